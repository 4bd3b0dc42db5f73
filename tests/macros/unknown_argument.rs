//! An unknown argument is named beside those that are known.

#[reactor::main(core = "0-3")]
async fn main() {}

#[reactor::test(cores = 2, threads = 4, size = "big")]
async fn checks() {}
