//! A disk whose completions the core asks for (`IOPOLL`): an NVMe disk with a queue for that, which few machines have switched on.

use super::support::is_pending;
use super::{in_guest, interrupts_of_queues};
use futures::stream::{FuturesUnordered, StreamExt};
use reactor::bdev::{self, Access};
use reactor::sys::dma::{DmaBuf, DmaPool};
use reactor::uring::{Config, Fd, Ring};
use reactor::{LocalExecutor, Mode};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

const DISK: &str = "/dev/nvme0n1";
const BLOCK: usize = 4096;

#[test]
fn polled_disk() {
    let stories = [
        a_block_device_is_asked_and_interrupts_nobody,
        what_finds_no_room_waits,
        errors_keep_their_code_and_return_the_buffer,
        dropped_reads_keep_their_buffers_until_the_disk_has_answered,
    ];
    in_guest("polled_disk::polled_disk", &["-n", "64M", "-k", "nvme.poll_queues=1"], &stories);
}

fn open(flags: OFlags) -> Fd {
    let flags = flags.bits() as i32;
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(DISK).unwrap().into()
}

/// Of this core's pool.
fn page() -> DmaBuf {
    DmaPool::local().try_alloc(BLOCK).unwrap()
}

fn code(error: io::Error) -> Option<Errno> {
    Errno::from_io_error(&error)
}

/// Runs the story on a core of its own, in each mode.
fn in_all_modes(story: impl AsyncFn()) {
    for mode in Mode::ALL {
        let core = LocalExecutor::new().unwrap();
        core.set_mode(mode);
        core.block_on(story());
    }
}

fn a_block_device_is_asked_and_interrupts_nobody() {
    assert_eq!(fs::read_to_string("/sys/block/nvme0n1/queue/io_poll").unwrap().trim(), "1");
    in_all_modes(async || {
        let disk = bdev::open(&format!("poll:{DISK}"), Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        let blocks = BLOCK as u64 / u64::from(channel.geometry().block_size);
        let (ordinary, polling) = (Ring::current().unwrap(), Ring::current_polling().unwrap());
        let before = (ordinary.counters(), interrupts_of_queues());
        for round in 1..=4 {
            let writes = (0..32).map(|at| {
                let mut page = channel.try_alloc(BLOCK).unwrap();
                page.fill(round * 32 + at as u8);
                channel.write(at * blocks, page)
            });
            writes.collect::<FuturesUnordered<_>>().for_each(async |written| written.unwrap()).await;
            for at in 0..32 {
                let page = channel.read(at * blocks..(at + 1) * blocks).await.unwrap();
                assert!(page.iter().all(|byte| *byte == round * 32 + at as u8), "{round}, {at}");
            }
        }
        assert_eq!((ordinary.counters(), interrupts_of_queues()), before);
        let counters = polling.counters();
        assert_eq!((counters.submitted, counters.completed), (4 * 64, 4 * 64));
        // What such a ring does not take goes by the other one.
        channel.flush().await.unwrap();
        assert_eq!(ordinary.counters().completed, before.0.completed + 1);
    });
}

/// Far more than the disk has room for, and more than the ring lets in at a time.
fn what_finds_no_room_waits() {
    const READS: u64 = 3000;
    for in_flight_max in [8, 4096] {
        LocalExecutor::new().unwrap().block_on(async {
            let mut config = Config::default();
            (config.is_polling, config.entries, config.in_flight_max) = (true, 64, in_flight_max);
            let ring = Ring::current_or_new(&config).unwrap();
            let fd = open(OFlags::DIRECT);
            let before = interrupts_of_queues();
            let reads = (0..READS).map(|at| ring.read_at(&fd, page(), at * BLOCK as u64));
            let reads: Vec<_> = reads.collect::<FuturesUnordered<_>>().collect().await;
            assert!(reads.into_iter().all(|(read, _page)| read.unwrap() == BLOCK));
            let counters = ring.counters();
            assert_eq!((counters.completed, interrupts_of_queues()), (READS, before));
            assert!(counters.waits > 0, "{counters:?}");
        });
    }
}

fn errors_keep_their_code_and_return_the_buffer() {
    in_all_modes(async || {
        let ring = Ring::current_polling().unwrap();
        let (direct, cached) = (open(OFlags::DIRECT), open(OFlags::empty()));
        let (read, buf) = ring.read_at(&cached, page(), 0).await;
        assert_eq!((code(read.unwrap_err()), buf.len()), (Some(Errno::OPNOTSUPP), BLOCK));
        let (read, buf) = ring.read_at(&direct, page(), 7).await;
        assert_eq!((code(read.unwrap_err()), buf.len()), (Some(Errno::INVAL), BLOCK));
        let (read, _) = ring.read_at(&direct, page(), 64 << 20).await;
        assert_eq!(read.unwrap(), 0, "past the end");
        let (write, buf) = ring.write_at(&direct, page(), 64 << 20).await;
        assert_eq!((code(write.unwrap_err()), buf.len()), (Some(Errno::NOSPC), BLOCK));
        assert!(ring.sync_data(&direct).await.is_err(), "there is nothing to ask a disk about");
    });
}

/// Dropped at once, or with the core: the buffers are the disk's until it has answered, and come back to the pool then.
fn dropped_reads_keep_their_buffers_until_the_disk_has_answered() {
    for mode in Mode::ALL {
        let core = LocalExecutor::new().unwrap();
        core.set_mode(mode);
        let pool = core.enter_with(DmaPool::local);
        core.block_on(async {
            let (ring, fd) = (Ring::current_polling().unwrap(), open(OFlags::DIRECT));
            for at in 0..256 {
                let mut read = Box::pin(ring.read_at(&fd, page(), at * BLOCK as u64));
                assert!(is_pending(&mut read).await);
                if at % 3 == 0 {
                    reactor::yield_now().await;
                }
                drop(read);
                let turned = at % 3 == 0;
                assert!(turned || pool.stats().in_use > 0, "nobody has asked the disk since");
            }
            let read = ring.read_at(&fd, page(), 0);
            reactor::spawn_local(async move { drop(read.await) }).detach();
            reactor::yield_now().await;
        });
        drop(core);
        assert_eq!(pool.stats().in_use, 0, "{mode:?}");
    }
}
