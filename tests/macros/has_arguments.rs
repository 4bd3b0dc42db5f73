//! Nobody could pass arguments: the runtime calls these functions.

#[reactor::main]
async fn main(_words: Vec<String>) {}

#[reactor::test]
async fn checks(_first: usize, _second: usize) {}
