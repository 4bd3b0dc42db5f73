//! Rule 5's way out: what runs beside the core takes nothing along that belongs to it.

use std::rc::Rc;

#[reactor::main]
async fn main() {
    let shared = Rc::new(5);
    reactor::app::unblock(move || *shared).await.unwrap();
}
