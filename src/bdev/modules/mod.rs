//! The modules that come with the layer, and how to write one's own.
//!
//! | module | device | spec |
//! |---|---|---|
//! | [`Null`] | answers at once and keeps nothing | `null:1G` |
//! | [`Ram`], [`TaggedRam`] | memory shared by all cores; with metadata and protection information | `ram:64M`, `ram:64M,md=8,pi=1` |
//! | [`Uring`] | a file or a block device | `file:PATH`, `poll:PATH` |
//! | [`Nvme`] | the namespaces of an NVMe controller, by one path or several (feature `nvme`) | `nvme:0000:00:04.0,ns=1` |
//! | [`KernelNamespace`] | a namespace that the kernel drives, by NVMe commands through io_uring (feature `nvme`) | `ng:/dev/ng0n1` |
//! | [`Passthru`] | hands everything on | `passthru(SPEC)` |
//! | [`Delay`] | answers later, by fixed times or by percentiles | `delay:avg=100us,p99=1ms(SPEC)` |
//! | [`Faulty`] | goes wrong as told: failures, corrupted data, stalls | `error:read=io_error,count=3(SPEC)` |
//! | [`Part`] | a range of the blocks of another | `part:blocks=0..2048(SPEC)` |
//! | [`gpt`] | a partition of a disk (feature `gpt`) | `gpt:1(SPEC)` |
//! | [`Concat`] | several devices behind each other | `concat(SPEC,SPEC)` |
//! | [`Mirror`] | the same blocks on several devices (RAID 1), with rebuild | `mirror(SPEC,SPEC)` |
//! | [`Stripe`] | chunks dealt out to several devices in turn (RAID 0) | `stripe:chunk=64K(SPEC,SPEC)` |
//! | [`Crypt`] | AES-XTS over another (feature `crypt`) | `crypt:key_file=PATH(SPEC)` |
//! | [`Verify`] | holds every read to what was written | `verify(SPEC)` |
//! | [`Zoned`] | zones over a device without | `zoned:zone=64M(SPEC)` |
//!
//! [`Gpt`](gpt::Gpt) is no device but a [`Module`](super::Module) that finds the partitions of every disk (feature `gpt`).
//!
//! Each is made in code by its `new`, and [`register`](super::register)ed under a name or [opened](super::open_private) for oneself; or by
//! [`open`] from its spec. What a device can be told while it runs is reached by
//! [`Descriptor::module_as`](super::Descriptor::module_as).
//!
//! # Writing one's own
//!
//! A module is two types: one that all cores share and that implements [`Bdev`](super::Bdev), and one that each core has for itself and that
//! implements [`Submit`](super::Submit), whose `submit` is the data path. A template, which keeps its blocks in memory of the core that uses
//! them:
//!
//! ```
//! use reactor::bdev::{self, Access, Bdev, Done, Geometry, Io, Op, Submit};
//! use std::cell::RefCell;
//!
//! /// What all cores share: settings, file descriptors, the devices below.
//! struct Mine {
//!     blocks: u64,
//! }
//!
//! /// What one core has for itself: queues, buffers, channels of the devices below. Neither `Send` nor locked.
//! struct MineChannel {
//!     memory: RefCell<Vec<u8>>,
//! }
//!
//! impl Bdev for Mine {
//!     type Channel = MineChannel;
//!
//!     fn module(&self) -> &'static str {
//!         "mine"
//!     }
//!
//!     // Blocks, and what the layer shall see to: the largest I/O, boundaries, the alignment of buffers.
//!     fn geometry(&self) -> Geometry {
//!         Geometry::new(512, self.blocks).with_max_io_blocks(128)
//!     }
//!
//!     // What this denies never reaches `submit`.
//!     fn supports(&self, op: Op) -> bool {
//!         matches!(op, Op::Read | Op::Write | Op::Flush)
//!     }
//!
//!     fn channel(&self, _access: Access) -> bdev::Result<MineChannel> {
//!         Ok(MineChannel { memory: RefCell::new(vec![0; self.blocks as usize * 512]) })
//!     }
//! }
//!
//! impl Submit for MineChannel {
//!     async fn submit(&self, mut io: Io) -> Done {
//!         // Within the device, whole blocks, a buffer of their length: the layer has checked.
//!         let bytes = io.lba() as usize * 512..(io.lba() + io.blocks()) as usize * 512;
//!         match io.op() {
//!             Op::Read => io.read_buf().copy_from_slice(&self.memory.borrow()[bytes]),
//!             Op::Write => self.memory.borrow_mut()[bytes].copy_from_slice(&io.take_data()),
//!             Op::Flush => {}
//!             _ => return io.unsupported(),
//!         }
//!         io.done(Ok(()))
//!     }
//! }
//!
//! # #[cfg(feature = "testing")]
//! bdev::conformance::check_bdev(async || Mine { blocks: 8192 });
//! ```
//!
//! `examples/my_module.rs` is a whole one that stands on another device. What to know:
//!
//! - **An [`Io`](super::Io) is answered once**, by [`done`](super::Io::done), wherever it has been in between: it may be kept, moved to another task
//!   of the core, or handed on. Dropped, it is answered with [`Error::Aborted`]. `submit` returns the answer to the I/O that it was
//!   given, and to no other.
//! - **`submit` runs many times at once** on a channel, and may be dropped at any await, when the caller has given up. Let go of everything by
//!   dropping it. A buffer that a device still uses stays with the driver ([`take_read_buf`](super::Io::take_read_buf),
//!   [`take_data`](super::Io::take_data)).
//! - **Waiting is `.await`**: for a device below, for a timer, for a [buffer](super::Channel::alloc). What blocks belongs on a thread of
//!   `unblock`.
//! - **Nothing is allocated per I/O**: the layer keeps the futures of `submit` in memory that it uses again.
//! - **Over another device** keep its [`Descriptor`](super::Descriptor) in the [`Bdev`](super::Bdev) and its [`Channel`](super::Channel) in the
//!   [`Submit`](super::Submit). Name it in [`bases`](super::Bdev::bases), so that its removal and its growth reach the device above, and
//!   that nobody writes to it if it was opened to be read. Ask it in [`supports`](super::Bdev::supports) what it
//!   [supports](super::Descriptor::supports).
//! - **Hand on what you do not know** by `self.base.submit(io).await`: operations may be added. A module that moves blocks elsewhere, with
//!   [`set_lba`](super::Io::set_lba), names in `supports` those operations that it can move, and no others.
//! - **To try again, or to do more after the answer**, take it back by [`Done::into_io`](super::Done::into_io).
//! - **Requests to change while it runs** come from any core: see [`Descriptor::module_as`](super::Descriptor::module_as).
//!
//! # Testing one's own
//!
//! With the feature `testing`, which belongs in `[dev-dependencies]`, one line holds a module to what every module promises:
//!
//! ```toml
//! [dev-dependencies]
//! reactor = { version = "0.1", features = ["testing"] }
//! ```
//!
//! `bdev::conformance::check_bdev(async || Mine { blocks: 8192 })` makes the device on a reactor of its own; `check` takes one that is open,
//! and `check_spec` one that [`open`] makes. [`Faulty`] below shows what becomes of errors, and [`Delay`] on a
//! [virtual clock](crate::time::Clock::manual) what becomes of time.

mod concat;
#[cfg(feature = "crypt")]
mod crypt;
mod delay;
mod faulty;
#[cfg(feature = "gpt")]
pub mod gpt;
mod members;
#[cfg(all(test, not(loom)))]
mod metadata_tests;
mod mirror;
mod null;
#[cfg(feature = "nvme")]
mod nvme;
mod part;
mod passthru;
mod ram;
mod setting;
mod spec;
#[cfg(all(test, not(loom)))]
mod stack_tests;
mod stripe;
mod uring;
mod verify;
mod zoned;

pub use concat::{Concat, ConcatChannel};
#[cfg(feature = "crypt")]
pub use crypt::{Crypt, CryptChannel, CryptKey};
pub use delay::{Delay, DelayChannel, Delays, Latency};
pub use faulty::{Failure, Faulty, FaultyChannel, Injection};
pub use mirror::{
    MEMBERS_MAX, MemberState, MemberStatus, Mirror, MirrorChannel, MirrorControl, MirrorStatus,
};
pub use null::Null;
#[cfg(feature = "nvme")]
pub use nvme::{
    KernelNamespace, Nvme, NvmeChannel, NvmeDisk, NvmeOptions, PathPolicy, PathStatus, Source, Told,
};
pub use part::{Part, PartChannel};
pub use passthru::{Passthru, PassthruChannel};
pub use ram::{Ram, TaggedRam};
pub use spec::{Kind, config, create, kinds, load, open, parse_size};
pub use stripe::{Stripe, StripeChannel};
pub use uring::Uring;
pub use verify::{Verify, VerifyChannel};
pub use zoned::{Zoned, ZonedChannel};

use super::{Error, Result};

/// Blocks of `block_size` in `bytes`, which they must fill.
fn whole_blocks(bytes: u64, block_size: u32) -> Result<u64> {
    let size = u64::from(block_size);
    if bytes == 0 || bytes % size != 0 {
        let reason = format!(
            "{bytes} bytes are not whole blocks of {block_size}; give a multiple of it, at least one"
        );
        return Err(Error::BadGeometry { reason });
    }
    Ok(bytes / size)
}
