//! A core is turned by a thread that did not make it.

fn main() {
    let executor = reactor::LocalExecutor::new().unwrap();
    std::thread::spawn(move || executor.turn());
}
