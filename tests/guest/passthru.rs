//! NVMe commands through the kernel's driver, on disks that it drives: answers, errors, polling, futures that go, nodes that are others.

use super::support::is_pending;
use super::{in_guest, interrupts_of_queues};
use futures::stream::{self, FuturesUnordered, StreamExt};
use reactor::nvme::passthru::{Controller, Namespace, OpenError, Queue};
use reactor::nvme::spec::{Command, FeatureId, FeatureSelect, IdentifyWhat, StatusCode};
use reactor::nvme::{Channel, Error, Payload, Queue as _};
use reactor::sys::dma::{DmaBuf, DmaPool};
use reactor::{LocalExecutor, Mode};
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use zerocopy::IntoBytes;

const DISK: &str = "/dev/ng0n1";
const BLOCK: usize = 512;
const PAGE: usize = 4096;

#[test]
fn passthru() {
    let stories = [
        devices_say_what_they_are,
        what_is_written_is_read_at_any_depth,
        controllers_and_kernels_errors_are_told_apart,
        what_finds_no_room_waits,
        dropped_commands_keep_their_buffers_until_the_disk_has_answered,
        cores_share_a_namespace,
        other_nodes_are_answered_with_what_to_open,
        without_queues_to_poll_that_is_said,
        who_may_not_is_told_so,
        a_reset_under_load_leaves_no_command_unanswered,
        a_disk_that_is_removed_under_load_leaves_no_command_unanswered,
    ];
    in_guest("passthru::passthru", &["-n", "64M", "-t", "300"], &stories);
}

#[test]
fn polled() {
    let stories = [
        a_polled_disk_interrupts_nobody,
        what_is_written_is_read_at_any_depth,
        controllers_and_kernels_errors_are_told_apart,
        what_finds_no_room_waits,
        dropped_commands_keep_their_buffers_until_the_disk_has_answered,
        a_reset_under_load_leaves_no_command_unanswered,
        a_disk_that_is_removed_under_load_leaves_no_command_unanswered,
    ];
    in_guest("passthru::polled", &["-n", "64M", "-t", "300", "-k", "nvme.poll_queues=1"], &stories);
}

/// Runs the story on a core of its own, in each mode.
pub(super) fn in_all_modes(story: impl AsyncFn()) {
    for mode in Mode::ALL {
        let core = LocalExecutor::new().unwrap();
        core.set_mode(mode);
        core.block_on(story());
    }
}

/// Of this core's pool.
fn page() -> DmaBuf {
    DmaPool::local().try_alloc(PAGE).unwrap()
}

/// Polled, where the machine was started with queues for that.
fn queue(namespace: &Namespace) -> Queue {
    match namespace.polling_queue() {
        Ok(queue) => queue,
        Err(OpenError::NoPollQueues { .. }) => namespace.queue().unwrap(),
        Err(error) => panic!("{error}"),
    }
}

async fn open() -> (Namespace, Channel<Queue>) {
    let namespace = Namespace::open(DISK).await.unwrap();
    let channel = Channel::new(namespace.description().clone(), queue(&namespace));
    (namespace, channel)
}

fn devices_say_what_they_are() {
    in_all_modes(async || {
        let controller = Controller::open("/dev/nvme0").await.unwrap();
        assert_eq!(controller.identity().serial(), "disk0");
        let (namespace, channel) = open().await;
        let description = namespace.description();
        assert_eq!((description.id(), description.block_size(), description.size()), (1, 512, 64 << 11));
        assert!(channel.queue().limits().bytes >= 64 << 10, "{:?}", channel.queue());
        // The same by a command of our own.
        let identify = Command::identify(IdentifyWhat::CONTROLLER, 0);
        let (answer, payload) = controller.admin(identify, page().into()).await;
        answer.unwrap().ok().unwrap();
        assert_eq!(payload.into_buf().unwrap()[..], controller.identity().as_bytes()[..]);
        // A result, without data.
        let queues = Command::get_features(FeatureId::NUMBER_OF_QUEUES, 0, FeatureSelect::Current);
        let (answer, _) = controller.admin_within(Duration::from_secs(9), queues, Payload::None).await;
        assert!(answer.unwrap().ok().unwrap() > 0);
        let (answer, _) = controller.admin(Command::new(0xc0, 0, [0; 6]), Payload::None).await;
        assert_eq!(answer.unwrap().status.code(), StatusCode::INVALID_OPCODE);
    });
}

fn what_is_written_is_read_at_any_depth() {
    in_all_modes(async || {
        let (_namespace, channel) = open().await;
        let blocks = (PAGE / BLOCK) as u64;
        for depth in [1, 32, 128] {
            let before = channel.queue().counters();
            let writes = stream::iter(0..128_u64).map(|at| {
                let mut page = page();
                page.fill(at as u8 ^ depth as u8);
                channel.write(at * blocks, page.freeze())
            });
            writes.buffer_unordered(depth).for_each(async |written| written.unwrap()).await;
            channel.flush().await.unwrap();
            let reads = stream::iter(0..128_u64).map(async |at| {
                let (read, page) = channel.read(at * blocks, page()).await;
                read.unwrap();
                assert!(page.iter().all(|byte| *byte == at as u8 ^ depth as u8), "{at} at {depth}");
            });
            reads.buffer_unordered(depth).for_each(async |()| ()).await;
            let after = channel.queue().counters();
            let did = [after.submitted - before.submitted, after.completed - before.completed];
            assert_eq!((did, after.waits, after.overflows), ([257, 257], 0, 0));
        }
        // In one command, as much as one takes.
        let most = channel.transfer_max() as usize;
        let (read, all) = channel.read(0, DmaPool::local().try_alloc(most).unwrap()).await;
        read.unwrap();
        let is_right = |(at, page): (usize, &[u8])| page.iter().all(|byte| *byte == at as u8 ^ 128);
        assert!(all.chunks(PAGE).enumerate().all(is_right));
    });
}

/// The message, and what the kernel said.
fn kernels(error: &Error) -> Option<Errno> {
    let Error::Kernel(source) = error else { panic!("not the kernel's: {error}") };
    Errno::from_io_error(source)
}

fn controllers_and_kernels_errors_are_told_apart() {
    in_all_modes(async || {
        let (_namespace, channel) = open().await;
        let size = channel.namespace().size();
        let (answer, payload) = channel.raw(Command::read(0, size, 8), page().into()).await;
        let status = answer.unwrap().status;
        assert_eq!((status.code(), status.dnr()), (StatusCode::LBA_OUT_OF_RANGE, true));
        assert_eq!(payload.into_buf().unwrap().len(), PAGE);
        // The disk has no metadata, and the kernel knows.
        let (answer, payload) =
            channel.raw(Command::read(0, 0, 8), Payload::from(page()).with_metadata(page())).await;
        assert_eq!(kernels(&answer.unwrap_err()), Some(Errno::INVAL));
        let (data, metadata) = payload.into_bufs_and_metadata();
        assert_eq!((data.len(), metadata.unwrap().len()), (1, PAGE));
        // Before the kernel is asked.
        let before = channel.queue().counters().submitted;
        let large = DmaPool::local().try_alloc(4 << 20).unwrap();
        let (answer, large) = channel.raw(Command::read(0, 0, 8192), large.into()).await;
        assert!(matches!(answer, Err(Error::TooLarge { len, .. }) if len == 4 << 20));
        assert_eq!(large.into_buf().unwrap().len(), 4 << 20);
        assert_eq!(channel.queue().counters().submitted, before);
        // In as many commands as it takes.
        let (read, large) = channel.read(0, DmaPool::local().try_alloc(4 << 20).unwrap()).await;
        read.unwrap();
        assert_eq!(large.len(), 4 << 20);
    });
}

/// Far more than the kernel has room for. None of them fails.
fn what_finds_no_room_waits() {
    in_all_modes(async || {
        let (_namespace, channel) = open().await;
        let reads = (0..3000).map(|at| channel.read(at, DmaPool::local().try_alloc(BLOCK).unwrap()));
        let reads: Vec<_> = reads.collect::<FuturesUnordered<_>>().collect().await;
        assert!(reads.into_iter().all(|(read, _)| read.is_ok()));
        let counters = channel.queue().counters();
        assert_eq!(counters.completed, 3000);
        assert!(counters.waits >= 3000 - 1023, "{counters:?}");
    });
}

fn a_polled_disk_interrupts_nobody() {
    in_all_modes(async || {
        let namespace = Namespace::open(DISK).await.unwrap();
        let description = namespace.description().clone();
        let polling = Channel::new(description.clone(), namespace.polling_queue().unwrap());
        let ordinary = Channel::new(description, namespace.queue().unwrap());
        let before = (interrupts_of_queues(), ordinary.queue().counters());
        for round in 1..=4 {
            let writes = (0..32).map(|at| {
                let mut page = page();
                page.fill(round * 32 + at as u8);
                polling.write(at * 8, page.freeze())
            });
            writes.collect::<FuturesUnordered<_>>().for_each(async |written| written.unwrap()).await;
            for at in 0..32 {
                let (read, page) = polling.read(at * 8, page()).await;
                read.unwrap();
                assert!(page.iter().all(|byte| *byte == round * 32 + at as u8), "{round}, {at}");
            }
        }
        assert_eq!((interrupts_of_queues(), ordinary.queue().counters()), before);
        assert_eq!(polling.queue().counters().completed, 4 * 64);
        // Without data there is nothing to poll for: the kernel has the disk interrupt, and the core hears of it.
        polling.flush().await.unwrap();
        let (read, _) = ordinary.read(0, page()).await;
        read.unwrap();
        assert!(interrupts_of_queues() > before.0);
    });
}

/// Dropped at once or later, forgotten, or dropped with the core: the buffers are the disk's until it has answered, and come back to the
/// pool then; with the core, which is the ring's end, also those of futures that were forgotten.
fn dropped_commands_keep_their_buffers_until_the_disk_has_answered() {
    for mode in Mode::ALL {
        let core = LocalExecutor::new().unwrap();
        core.set_mode(mode);
        let pool = core.enter_with(DmaPool::local);
        core.block_on(async {
            let (_namespace, channel) = open().await;
            for at in 0..128 {
                let mut read = Box::pin(channel.read(at, page()));
                assert!(is_pending(&mut read).await);
                if at % 3 == 0 {
                    reactor::yield_now().await;
                }
                drop(read);
                assert!(at % 3 == 0 || pool.stats().in_use > 0, "nobody has asked the disk since");
            }
            let mut forgotten = Box::pin(channel.read(7, page()));
            assert!(is_pending(&mut forgotten).await);
            std::mem::forget(forgotten);
            let left = channel.clone();
            reactor::spawn_local(async move { drop(left.read(0, page()).await) }).detach();
            reactor::yield_now().await;
        });
        drop(core);
        assert_eq!(pool.stats().in_use, 0, "{mode:?}");
    }
}

fn cores_share_a_namespace() {
    let namespace = LocalExecutor::new().unwrap().block_on(Namespace::open(DISK)).unwrap();
    let write = |core: u64| {
        let namespace = namespace.clone();
        std::thread::spawn(move || {
            LocalExecutor::new().unwrap().block_on(async {
                let channel = Channel::new(namespace.description().clone(), namespace.queue().unwrap());
                for at in 0..64 {
                    let mut page = page();
                    page.fill(core as u8 + 1);
                    channel.write((at * 2 + core) * 8, page.freeze()).await.unwrap();
                }
            });
        })
    };
    [0, 1].map(write).into_iter().for_each(|core| core.join().unwrap());
    LocalExecutor::new().unwrap().block_on(async {
        let (_namespace, channel) = open().await;
        for at in 0..128 {
            let (read, page) = channel.read(at * 8, page()).await;
            read.unwrap();
            assert!(page.iter().all(|byte| *byte == (at % 2) as u8 + 1), "{at}");
        }
    });
}

fn other_nodes_are_answered_with_what_to_open() {
    LocalExecutor::new().unwrap().block_on(async {
        let said = async |path: &str| Namespace::open(path).await.unwrap_err().to_string();
        let block = said("/dev/nvme0n1").await;
        assert!(block.contains("is a block device") && block.contains(" /dev/ng0n1, or"), "{block}");
        assert_eq!(said("/dev/nvme0").await, "/dev/nvme0 is no namespace, but a controller: open /dev/ng0n1");
        assert_eq!(said("/dev/ng7n1").await, "there is no /dev/ng7n1: the kernel has /dev/ng0n1");
        let error = Controller::open(DISK).await.unwrap_err().to_string();
        assert_eq!(error, "/dev/ng0n1 is no controller, but a namespace: open /dev/nvme0");
        let error = Controller::open("/dev/nvme7").await.unwrap_err().to_string();
        assert_eq!(error, "there is no /dev/nvme7: the kernel has /dev/nvme0");
    });
}

fn without_queues_to_poll_that_is_said() {
    LocalExecutor::new().unwrap().block_on(async {
        let namespace = Namespace::open(DISK).await.unwrap();
        let error = namespace.polling_queue().unwrap_err();
        assert!(matches!(error, OpenError::NoPollQueues { .. }));
        assert!(error.to_string().contains("nvme.poll_queues=1"), "{error}");
    });
}

/// Run once more by the story below, as a user who may not.
#[test]
fn as_nobody() {
    if rustix::process::getuid().as_raw() == NOBODY && std::env::var_os("REACTOR_GUEST").is_some() {
        let error = LocalExecutor::new().unwrap().block_on(Namespace::open(DISK)).unwrap_err();
        assert!(matches!(error, OpenError::NotPermitted { .. }), "{error}");
        assert!(error.to_string().contains("run as root"), "{error}");
    }
}

const NOBODY: u32 = 65534;

fn who_may_not_is_told_so() {
    let me = std::env::current_exe().unwrap();
    let asked = std::process::Command::new(me).args(["--exact", "passthru::as_nobody"]).uid(NOBODY).output();
    let asked = asked.unwrap();
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success() && said.contains("1 passed"), "{said}");
}

/// Reads all the time, 128 at a time, until something is written to `to`, and on until `is_enough` is true of an answer each.
async fn under_load(to: &'static str, is_enough: impl Fn(&Result<(), Error>) -> bool) -> Vec<Error> {
    let (_namespace, channel) = open().await;
    let written = Arc::new(AtomicBool::new(false));
    let begun = Cell::new(0);
    let errors = RefCell::new(Vec::new());
    let readers = (0..128).map(|at| {
        let (channel, written, begun, errors) = (&channel, &written, &begun, &errors);
        let is_enough = &is_enough;
        async move {
            loop {
                let was_written = written.load(Relaxed);
                begun.set(begun.get() + 1);
                let (read, page) = channel.read(at * 8, page()).await;
                assert_eq!(page.len(), PAGE);
                let is_last = was_written && is_enough(&read);
                errors.borrow_mut().extend(read.err());
                if is_last {
                    return;
                }
                reactor::yield_now().await;
            }
        }
    });
    let mut readers: FuturesUnordered<_> = readers.collect();
    let writer = async {
        while begun.get() < 1000 {
            reactor::yield_now().await;
        }
        let written = written.clone();
        let write = move || {
            fs::write(to, "1").unwrap();
            written.store(true, Relaxed);
        };
        reactor::app::unblock(write).await.unwrap();
    };
    futures::future::join(writer, async { while readers.next().await.is_some() {} }).await;
    assert_eq!(channel.queue().counters().submitted, channel.queue().counters().completed);
    errors.take()
}

fn a_reset_under_load_leaves_no_command_unanswered() {
    in_all_modes(async || {
        let errors = under_load("/sys/class/nvme/nvme0/reset_controller", Result::is_ok).await;
        let is_of_reset = |error: &Error| match error {
            Error::Kernel(source) => Errno::from_io_error(source) == Some(Errno::INTR),
            Error::Status(status) => !status.dnr(),
            _ => false,
        };
        assert!(errors.iter().all(is_of_reset), "{errors:?}");
    });
}

fn a_disk_that_is_removed_under_load_leaves_no_command_unanswered() {
    LocalExecutor::new().unwrap().block_on(async {
        let errors = under_load("/sys/class/nvme/nvme0/device/remove", Result::is_err).await;
        assert!(errors.len() >= 128);
        let error = Namespace::open(DISK).await.unwrap_err().to_string();
        assert!(
            error.starts_with("there is no /dev/ng0n1: the kernel's driver has no NVMe namespace"),
            "{error}"
        );
    });
}
