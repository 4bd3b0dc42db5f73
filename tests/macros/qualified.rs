//! Nothing but `async` stands before `fn`.

#[reactor::main]
async unsafe fn main() {}

#[reactor::test]
async extern "C" fn checks() {}
