//! Arguments are `key = literal`, between commas.

const COUNT: usize = 2;

#[reactor::main(cores = COUNT)]
async fn main() {}

#[reactor::test("0-3")]
async fn no_key() {}

#[reactor::test(cores)]
async fn no_value() {}

#[reactor::test(cores("0-3"))]
async fn a_call() {}

#[reactor::test(cores = 2 name = "x")]
async fn no_comma() {}
