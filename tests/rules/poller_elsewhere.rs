//! Trap 9: a poller is unregistered by a thread that does not own it.

#[reactor::main]
async fn main() {
    let poller = reactor::Poller::register("mine", || false);
    std::thread::spawn(move || drop(poller));
}
