//! The `reactor` command.
fn main() {}
