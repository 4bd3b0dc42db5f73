//! What belongs to a core is sent to another inside of a future.

use reactor::{Core, spawn_on};
use std::rc::Rc;

#[reactor::main(cores = 2)]
async fn main() {
    let shared = Rc::new(5);
    let there = Core::nth(1).unwrap();
    spawn_on(there, async move { assert_eq!(*shared, 5) }).await.unwrap();
}
