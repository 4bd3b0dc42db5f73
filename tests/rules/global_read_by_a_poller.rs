//! Trap 1: a global that a poller reads, and another core writes.

use std::cell::Cell;

static STATE: Cell<u32> = Cell::new(0);

#[reactor::main(cores = 2)]
async fn main() {
    let _poller = reactor::Poller::register("reads", || STATE.get() > 0);
    reactor::post(reactor::Core::nth(1).unwrap(), || STATE.set(1)).unwrap();
}
