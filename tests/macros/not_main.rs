//! `#[reactor::main]` turns the return value into an exit code, which only `main` may give.

#[reactor::main]
async fn start() {}

fn main() {}
