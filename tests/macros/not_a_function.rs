//! The attributes go on functions.

#[reactor::test]
struct Checks;

#[reactor::test]
const CHECKS: usize = 1;

fn main() {}
