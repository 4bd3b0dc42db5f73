//! A runtime runs an async function, and says so where `async` is missing.

#[reactor::main]
fn main() {}

#[reactor::test]
fn checks() {}
