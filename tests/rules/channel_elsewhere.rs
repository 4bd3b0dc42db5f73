//! Rule 2: a channel is used by a thread that did not get it.

use reactor::bdev::{self, Access};

#[reactor::main]
async fn main() {
    let disk = bdev::open("null", Access::ReadOnly).await.unwrap();
    let channel = disk.channel().unwrap();
    std::thread::spawn(move || drop(channel));
}
