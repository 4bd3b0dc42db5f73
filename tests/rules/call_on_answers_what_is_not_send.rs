//! What belongs to a core comes back from there as a result.

use reactor::{Core, call_on};
use std::rc::Rc;

#[reactor::main(cores = 2)]
async fn main() {
    let there = Core::nth(1).unwrap();
    call_on(there, async || Rc::new(5)).await.unwrap();
}
