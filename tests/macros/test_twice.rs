//! One test attribute is enough; with two the test would run twice, once without a runtime.

#[reactor::test]
#[test]
async fn checks() {}

fn main() {}
