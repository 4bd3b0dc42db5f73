//! Nobody could choose a type or a lifetime.

#[reactor::main]
async fn main<T: Default>() {
    let _ = T::default();
}

#[reactor::test]
async fn checks<'a>() {}
