//! SPDK's hello_bdev: opens a block device, writes a greeting, reads it back.
//!
//! Without arguments it makes a RAM disk; `cargo run --example hello_bdev file:PATH` takes a file or block device, whose first block
//! it overwrites.

use reactor::{
    Result,
    bdev::{self, Access},
};

#[reactor::main]
async fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "ram:1M".into());
    let disk = bdev::open(&name, Access::ReadWrite).await?;
    let geometry = disk.geometry();
    println!("{}: {} blocks of {} bytes", disk.name(), geometry.block_count, geometry.block_size);

    // A channel is this core's way to the device, and stays here.
    let channel = disk.channel()?;
    let mut block = channel.alloc(geometry.block_size as usize).await?;
    block.fill(0);
    let greeting = b"Hello, block device!";
    block[..greeting.len()].copy_from_slice(greeting);

    channel.write(0, block.freeze()).await?;
    channel.flush().await?;
    let block = channel.read(0..1).await?;
    println!("read back: {}", String::from_utf8_lossy(&block[..greeting.len()]));
    assert_eq!(&block[..greeting.len()], greeting);
    Ok(())
}
