//! Rule 2: a future that holds a channel is sent to another core. What makes the channel there may be sent: `call_on`.

use reactor::bdev::{self, Access};

#[reactor::main(cores = 2)]
async fn main() {
    let disk = bdev::open("null", Access::ReadOnly).await.unwrap();
    let channel = disk.channel().unwrap();
    let other = reactor::Core::nth(1).unwrap();
    let held = reactor::spawn_on(other, async move {
        reactor::yield_now().await;
        drop(channel);
    });
    held.await.unwrap();
}
