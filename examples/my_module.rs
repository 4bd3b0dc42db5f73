//! A whole block device module: every byte is inverted on its way down, and back on its way up.
//!
//! `cargo run --example my_module`. What is asked of a module stands in the documentation of `reactor::bdev::modules`.

use reactor::bdev::{self, Access, Bdev, Channel, Descriptor, Done, Geometry, Io, Op, Submit};

/// The device, which all cores share.
pub struct Inverted {
    /// The device below.
    pub base: Descriptor,
}

/// What a core has of it.
pub struct InvertedChannel {
    base: Channel,
}

impl Bdev for Inverted {
    type Channel = InvertedChannel;

    fn module(&self) -> &'static str {
        "inverted"
    }

    fn geometry(&self) -> Geometry {
        self.base.geometry()
    }

    // What is denied never arrives. Zeroes, for one, would not read as zeroes.
    fn supports(&self, op: Op) -> bool {
        matches!(op, Op::Read | Op::Write | Op::Flush | Op::Unmap) && self.base.supports(op)
    }

    fn bases(&self) -> Vec<Descriptor> {
        vec![self.base.clone()]
    }

    fn channel(&self, _access: Access) -> bdev::Result<InvertedChannel> {
        Ok(InvertedChannel { base: self.base.channel()? })
    }
}

impl Submit for InvertedChannel {
    async fn submit(&self, mut io: Io) -> Done {
        if io.op() == Op::Write {
            // Into a buffer of our own: the caller may have kept a clone of the data.
            let data = io.take_data();
            let mut inverted = match self.base.alloc(data.len()).await {
                Ok(buf) => buf,
                Err(e) => return io.done(Err(e)),
            };
            inverted.iter_mut().zip(data.iter()).for_each(|(to, from)| *to = !from);
            io.put_data(inverted.freeze());
        }
        let (result, mut io) = self.base.submit(io).await.into_io();
        if io.op() == Op::Read && result.is_ok() {
            io.read_buf().iter_mut().for_each(|byte| *byte = !*byte);
        }
        io.done(result)
    }
}

#[reactor::main]
async fn main() -> reactor::Result<()> {
    let base = bdev::open("ram:1M", Access::ReadWrite).await?;
    bdev::register("inverted0", Inverted { base: base.clone() })?;

    let disk = bdev::open("inverted0", Access::ReadWrite).await?;
    let channel = disk.channel()?;
    let mut block = channel.alloc(512).await?;
    block.fill(b'a');
    channel.write(0, block).await?;
    assert!(channel.read(0..1).await?.iter().all(|byte| *byte == b'a'));
    assert!(base.channel()?.read(0..1).await?.iter().all(|byte| *byte == !b'a'));
    let stats = channel.stats();
    println!("{} over {}: {} reads, {} writes", disk.module(), base.module(), stats.reads, stats.writes);
    bdev::unregister("inverted0")?;
    Ok(())
}
