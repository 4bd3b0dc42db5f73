//! The operations beyond reading and writing, on modules made to test them: what the layer does for a module that cannot, what it
//! hands on as it is, and what is left behind when somebody gives up.

mod cores;
mod typed;

use std::cell::RefCell;
use std::future::{Future, pending};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use super::modules::Ram;
use super::*;
use crate::LocalExecutor;
use crate::sys::dma::DmaPool;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    LocalExecutor::new().unwrap().block_on(future)
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn ram(bytes: u64) -> Descriptor {
    open_private("below", Ram::new(bytes).unwrap(), Access::ReadWrite).unwrap()
}

/// A device that can little, on one that can more; it minds what reaches it.
struct Strict {
    base: Descriptor,
    shape: Geometry,
    can: &'static [Op],
}

struct StrictChannel(Channel, Geometry);

impl Bdev for Strict {
    type Channel = StrictChannel;
    fn module(&self) -> &'static str {
        "strict"
    }
    fn geometry(&self) -> Geometry {
        self.shape
    }
    fn supports(&self, op: Op) -> bool {
        self.can.contains(&op)
    }
    fn channel(&self, _access: Access) -> Result<StrictChannel> {
        Ok(StrictChannel(self.base.channel()?, self.shape))
    }
}

impl Submit for StrictChannel {
    async fn submit(&self, mut io: Io) -> Done {
        let is_limited =
            matches!(io.op(), Op::Read | Op::Write | Op::WriteZeroes | Op::Unmap | Op::Compare | Op::Copy);
        assert!(!is_limited || self.1.takes_whole(io.op(), io.lba(), io.blocks()), "{io:?}");
        if io.is_vectored() {
            let count = match io.op() {
                Op::Read => {
                    let bufs = io.take_read_bufs();
                    let count = bufs.len();
                    io.put_read_bufs(bufs);
                    count
                }
                _ => return self.0.submit(io).await,
            };
            assert!(count <= self.1.max_segments as usize, "a list of {count}");
        } else if let Some((address, len)) = io.place() {
            assert_eq!(address % self.1.buffer_align as usize, 0, "{io:?}");
            assert_eq!(len as u64, io.blocks() * u64::from(self.1.block_size), "{io:?}");
        }
        self.0.submit(io).await
    }
}

fn strict(shape: Geometry, can: &'static [Op]) -> Descriptor {
    let base = ram(shape.len_bytes());
    open_private("strict", Strict { base, shape, can }, Access::ReadWrite).unwrap()
}

const SHAPE: Geometry = Geometry::new(512, 8192);
const LITTLE: &[Op] = &[Op::Read, Op::Write, Op::Flush];

#[test]
fn a_module_that_only_reads_and_writes_conforms_whatever_its_limits() {
    block_on(async {
        for align in [1, 512] {
            for (most, boundary) in [(0, 0), (5, 0), (0, 8), (7, 16)] {
                for segments in [1, 3, 1024] {
                    let shape = SHAPE
                        .with_buffer_align(align)
                        .with_max_io_blocks(most)
                        .with_optimal_io_boundary(boundary)
                        .with_max_segments(segments);
                    conformance::check(&strict(shape, LITTLE)).await;
                }
            }
        }
        assert_eq!(DmaPool::local().stats().in_use, 0, "a buffer leaked");
    });
}

#[test]
fn what_the_module_can_reaches_it_within_its_limits() {
    const CAN: &[Op] = &[
        Op::Read,
        Op::Write,
        Op::Flush,
        Op::WriteZeroes,
        Op::Unmap,
        Op::Compare,
        Op::CompareAndWrite,
        Op::Copy,
        Op::SeekData,
        Op::SeekHole,
    ];
    block_on(async {
        for shape in [
            SHAPE,
            SHAPE
                .with_buffer_align(64)
                .with_max_write_zeroes_blocks(3)
                .with_max_unmap_blocks(2)
                .with_max_copy_blocks(5)
                .with_atomic_compare_blocks(4)
                .with_max_io_blocks(9),
        ] {
            conformance::check(&strict(shape, CAN)).await;
        }
        let channel = strict(SHAPE.with_atomic_compare_blocks(4), CAN).channel().unwrap();
        let page = || channel.try_alloc(5 * 512).unwrap();
        let e = channel.compare_and_write(0, page(), page()).await.unwrap_err();
        assert!(e.to_string().contains("at most 2048 bytes"), "{e}");
    });
}

/// Stands on nothing, and takes no lists.
struct Plain;

impl Bdev for Plain {
    type Channel = Self;
    fn module(&self) -> &'static str {
        "plain"
    }
    fn geometry(&self) -> Geometry {
        SHAPE
    }
    fn channel(&self, _access: Access) -> Result<Self> {
        Ok(Self)
    }
}

impl Submit for Plain {
    async fn submit(&self, io: Io) -> Done {
        assert!(!io.is_vectored(), "a list reached a module that takes none");
        io.done(Ok(()))
    }
}

/// What was found of an I/O says nothing of the next in its place.
#[test]
fn a_list_is_checked_whatever_io_came_before() {
    block_on(async {
        let disk = open_private("plain", Plain, Access::ReadWrite).unwrap();
        let channel = disk.channel().unwrap();
        let page = || channel.try_alloc(512).unwrap();
        channel.write(0, page()).await.unwrap();
        channel.write_vectored(0, vec![page().freeze(), page().freeze()]).await.unwrap();
        channel.read(0..1).await.unwrap();
        let e = channel.read_vectored(0..3, vec![page(), page()]).await.unwrap_err();
        assert!(matches!(e.error, Error::BadLength { .. }), "{e}");
    });
}

#[test]
fn blocks_of_any_size_are_zeroed_and_copied() {
    block_on(async {
        // Larger than what the layer moves at a time.
        let shape = Geometry::new(256 << 10, 300);
        let base = open_private("below", Ram::new(shape.len_bytes()).unwrap(), Access::ReadWrite).unwrap();
        struct Huge(Descriptor, Geometry);
        struct HugeChannel(Channel, u64);
        impl Bdev for Huge {
            type Channel = HugeChannel;
            fn module(&self) -> &'static str {
                "huge"
            }
            fn geometry(&self) -> Geometry {
                self.1
            }
            fn channel(&self, _access: Access) -> Result<HugeChannel> {
                Ok(HugeChannel(self.0.channel()?, u64::from(self.1.block_size) / 512))
            }
        }
        impl Submit for HugeChannel {
            async fn submit(&self, mut io: Io) -> Done {
                let blocks = io.lba() * self.1..(io.lba() + io.blocks()) * self.1;
                let result = match io.op() {
                    Op::Read => match self.0.read_into(blocks, io.take_read_buf()).await {
                        Ok(buf) => {
                            io.put_read_buf(buf);
                            Ok(())
                        }
                        Err(e) => Err(e.into()),
                    },
                    Op::Write => self.0.write(blocks.start, io.take_data()).await,
                    _ => return io.unsupported(),
                };
                io.done(result)
            }
        }
        let disk = open_private("huge", Huge(base, shape), Access::ReadWrite).unwrap();
        let channel = disk.channel().unwrap();
        let mut data = channel.try_alloc(256 << 10).unwrap();
        data.fill(5);
        channel.write(1, data.freeze()).await.unwrap();
        channel.copy(1..2, 0).await.unwrap();
        channel.write_zeroes(1..3).await.unwrap();
        assert!(channel.read(0..1).await.unwrap().iter().all(|byte| *byte == 5));
        assert!(channel.read(1..3).await.unwrap().iter().all(|byte| *byte == 0));
    });
}

/// Says that it zeroes, and cannot.
struct Boasts(Descriptor, &'static AtomicUsize);
struct BoastsChannel(Channel, &'static AtomicUsize);

impl Bdev for Boasts {
    type Channel = BoastsChannel;
    fn module(&self) -> &'static str {
        "boasts"
    }
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn supports(&self, _op: Op) -> bool {
        true
    }
    fn channel(&self, _access: Access) -> Result<BoastsChannel> {
        Ok(BoastsChannel(self.0.channel()?, self.1))
    }
}

impl Submit for BoastsChannel {
    async fn submit(&self, io: Io) -> Done {
        match io.op() {
            Op::Read | Op::Write => self.0.submit(io).await,
            _ => {
                self.1.fetch_add(1, Ordering::Relaxed);
                io.unsupported()
            }
        }
    }
}

#[test]
fn a_module_that_turns_out_unable_to_zero_is_not_asked_for_ever() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    block_on(async {
        let disk = open_private("boasts", Boasts(ram(1 << 20), &ASKED), Access::ReadWrite).unwrap();
        let channel = disk.channel().unwrap();
        for round in 0..3 {
            let mut data = channel.try_alloc(4096).unwrap();
            data.fill(round + 1);
            channel.write(0, data).await.unwrap();
            channel.write_zeroes(1..7).await.unwrap();
            let got = channel.read(0..8).await.unwrap();
            assert!(got[512..7 * 512].iter().all(|byte| *byte == 0) && got[7 * 512] == round + 1);
        }
        // By itself, and once more when the layer took it over.
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);
        let e = channel.unmap(0..1).await.unwrap_err();
        assert_eq!(e.to_string(), "this block device (boasts) cannot unmap");
    });
}

thread_local! { static SHELF: RefCell<Vec<Io>> = const { RefCell::new(Vec::new()) }; }

/// Supports all, and leaves it lying or passes over it.
struct Shelves(bool);
struct ShelvesChannel(bool);

impl Bdev for Shelves {
    type Channel = ShelvesChannel;
    fn module(&self) -> &'static str {
        "shelves"
    }
    fn geometry(&self) -> Geometry {
        SHAPE.with_max_segments(8).with_metadata(Some(Metadata::separate(8)))
    }
    fn supports(&self, _op: Op) -> bool {
        true
    }
    fn channel(&self, _access: Access) -> Result<ShelvesChannel> {
        Ok(ShelvesChannel(self.0))
    }
}

impl Submit for ShelvesChannel {
    async fn submit(&self, io: Io) -> Done {
        let _own = if self.0 {
            SHELF.with(|shelf| shelf.borrow_mut().push(io));
            None
        } else {
            Some(io)
        };
        pending().await
    }
}

/// Every operation that carries something, given up while the module has it: in its future, or elsewhere for longer.
#[test]
fn what_was_given_up_leaves_nothing_in_the_next_io_and_no_buffer_behind() {
    block_on(async {
        for is_shelved in [false, true] {
            let disk = open_private("shelves", Shelves(is_shelved), Access::ReadWrite).unwrap();
            let channel = disk.channel().unwrap();
            let page = || channel.try_alloc(512).unwrap();
            let in_use = DmaPool::local().stats().in_use;
            for _ in 0..2 {
                let mut pending: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + '_>>> = vec![
                    Box::pin(async { drop(channel.compare(0, page()).await) }),
                    Box::pin(async { drop(channel.compare_and_write(0, page(), page()).await) }),
                    Box::pin(async { drop(channel.read_with_metadata(0..1).await) }),
                    Box::pin(async {
                        drop(channel.write_with_metadata(0, page(), channel.try_alloc(8).unwrap()).await)
                    }),
                    Box::pin(async { drop(channel.read_vectored(0..2, vec![page(), page()]).await) }),
                    Box::pin(async {
                        drop(channel.write_vectored(0, vec![page().freeze(), page().freeze()]).await)
                    }),
                    Box::pin(async {
                        drop(channel.nvme_io(NvmeCommand::new(2), NvmeData::Read(page())).await)
                    }),
                    Box::pin(async { drop(channel.zones(0..9).await) }),
                    Box::pin(async { drop(channel.copy(0..9, 20).await) }),
                    // By the layer's hand.
                    Box::pin(async {
                        drop(channel.read_vectored(0..9, (0..9).map(|_| page()).collect()).await)
                    }),
                    Box::pin(async { drop(channel.copy(0..9, 2).await) }),
                ];
                assert!(pending.iter_mut().all(|future| poll(future).is_pending()));
                drop(pending);
                // Another I/O in the requests of those.
                let mut next = Box::pin(channel.read(0..1));
                assert!(poll(&mut next).is_pending());
                if let Some(io) = SHELF.with(|shelf| shelf.borrow_mut().pop()) {
                    assert!(!io.is_vectored() && io.request().extra.aside.take().is_none());
                    drop(io);
                }
                drop(next);
                SHELF.with(|shelf| shelf.borrow_mut().clear());
            }
            assert_eq!(DmaPool::local().stats().in_use, in_use, "a buffer leaked, shelved: {is_shelved}");
            assert_eq!(channel.stats().in_flight, 0);
        }
    });
}

#[test]
fn an_emulation_that_is_given_up_frees_its_blocks() {
    block_on(async {
        let base = open_private("shelves", Shelves(false), Access::ReadWrite).unwrap();
        let shape = base.geometry();
        let disk = open_private("strict", Strict { base, shape, can: LITTLE }, Access::ReadWrite).unwrap();
        let channel = disk.channel().unwrap();
        let page = || channel.try_alloc(512).unwrap();
        let mut first = Box::pin(channel.compare_and_write(3, page(), page()));
        let mut second = Box::pin(channel.compare_and_write(3, page(), page()));
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        let below = channel.stats().in_flight;
        drop((first, second));
        // The second waits at the door.
        assert_eq!((below, channel.stats().in_flight, channel.stats().dropped), (1, 0, 1));
        let mut third = Box::pin(channel.compare_and_write(3, page(), page()));
        assert!(poll(&mut third).is_pending());
        drop(third);
        drop(Rc::new(channel));
        assert_eq!(DmaPool::local().stats().in_use, 0);
    });
}
