//! What `#[reactor::main]` and `#[reactor::test]` refuse, and what the compiler then says.
//!
//! Each file in `tests/macros/` is a program that must not compile, its `.stderr` the answer a user reads. After a
//! deliberate change of wording: `TRYBUILD=overwrite cargo test --test macros`, then read the difference.

#[test]
fn mistakes_are_told_where_they_stand() {
    trybuild::TestCases::new().compile_fail("tests/macros/*.rs");
}
