//! A mode that does not exist is answered with those that do; a name is a string with something in it.

#[reactor::main(mode = "fast", name = "")]
async fn main() {}

#[reactor::test(mode = 1, name = 2)]
async fn checks() {}
