//! A task's result that belongs to a core is awaited elsewhere.

use std::rc::Rc;

#[reactor::main]
async fn main() {
    let local = reactor::spawn_local(async { Rc::new(5) });
    std::thread::spawn(move || drop(local.wait()));
}
