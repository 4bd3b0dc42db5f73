//! Two controllers of one subsystem: one device, whose I/O goes on whatever becomes of either.

use super::*;
use futures::FutureExt;
use futures::future::{Either, select};
use reactor::bdev::modules::{PathPolicy, PathStatus};
use reactor::nvme::soft::Fault;
use reactor::nvme::spec::{AnaState, Completion, Status, StatusCode};
use reactor::nvme::{self, QueuePair};
use reactor::time::Clock;
use std::pin::pin;

/// Two controllers, and the device that they make.
struct Pair {
    a: Bay,
    b: Bay,
    disk: Descriptor,
    /// This core's.
    queues: [QueuePair<SoftController>; 2],
}

/// There is one for each core, and it takes a moment to be let go of.
async fn queue(bay: &Bay) -> QueuePair<SoftController> {
    loop {
        match bay.nvme.source().queue_pair().await {
            Err(nvme::Error::NoQueue(_)) => yield_now().await,
            made => return made.unwrap(),
        }
    }
}

impl Pair {
    async fn new(name: &str, options: NvmeOptions) -> Self {
        let (a, b) = Bay::two(name, options).await;
        let disk = open(&format!("{name}-an1")).await;
        assert_eq!(
            (a.nvme.disks(), b.nvme.disks()),
            (vec![disk.name().to_owned()], vec![disk.name().to_owned()])
        );
        let queues = [queue(&a).await, queue(&b).await];
        Self { a, b, disk, queues }
    }

    fn module(&self) -> &Disk {
        self.disk.module_as().unwrap()
    }

    fn paths(&self) -> [PathStatus; 2] {
        self.module().paths().try_into().unwrap()
    }

    fn used(&self) -> [bool; 2] {
        self.paths().map(|path| path.is_used)
    }

    /// Commands that went by each.
    fn sent(&self) -> [u64; 2] {
        self.queues.each_ref().map(|queue| queue.counters().submitted)
    }

    async fn detach(self) {
        let Self { a, b, disk, queues } = self;
        drop((disk, queues));
        drop(a.nvme.detach());
        b.detach().await;
    }
}

/// Has every I/O command of a controller answered with this.
fn refuse(device: &SoftController, code: StatusCode) {
    device.tamper_completions(move |queue, completion: &mut Completion| {
        if queue != 0 {
            *completion = completion.with_status(Status::of(code), false);
        }
    });
}

/// The same of its admin commands too.
fn refuse_all(device: &SoftController, code: StatusCode) {
    device.tamper_completions(move |_, completion: &mut Completion| {
        *completion = completion.with_status(Status::of(code), false);
    });
}

#[test]
fn a_namespace_of_two_controllers_is_one_device() {
    on_a_core(async || {
        let pair = Pair::new("mp-one", options()).await;
        assert_eq!(pair.paths().map(|path| path.controller), ["mp-one-a", "mp-one-b"]);
        assert_eq!(pair.used(), [true, false], "the other stands by");
        assert!(!bdev::names().contains(&"mp-one-bn1".to_owned()));
        let channel = pair.disk.channel().unwrap();
        let before = pair.sent();
        for lba in 0..10 {
            write(&channel, lba, lba as u8 + 1).await;
        }
        assert_eq!(pair.sent(), [before[0] + 10, before[1]]);
        drop(channel);
        pair.detach().await;
        assert!(matches!(bdev::open("mp-one-an1", Access::ReadOnly).await, Err(Error::NotFound { .. })));
    });
}

#[test]
fn the_preferred_path_is_used_and_the_other_when_it_is_taken_away() {
    on_a_core(async || {
        let pair = Pair::new("mp-prefer", options()).await;
        let channel = pair.disk.channel().unwrap();
        write(&channel, 1, 1).await;
        pair.module().prefer("mp-prefer-b").unwrap();
        assert_eq!(
            pair.paths().map(|path| (path.controller, path.is_used)),
            [("mp-prefer-b".to_owned(), true), ("mp-prefer-a".to_owned(), false)]
        );
        assert!(matches!(pair.module().prefer("nobody"), Err(Error::NotFound { .. })));
        let before = pair.sent();
        assert_eq!(reads(&channel, 1).await, 1);
        assert_eq!(pair.sent(), [before[0], before[1] + 1]);
        let Pair { a, b, disk, queues } = pair;
        assert!(b.nvme.detach().is_empty(), "the device has another path");
        assert_eq!(reads(&channel, 1).await, 1);
        drop((channel, disk, queues));
        a.detach().await;
    });
}

#[test]
fn round_robin_uses_both_in_turn() {
    on_a_core(async || {
        let mut options = options();
        options.policy = PathPolicy::RoundRobin;
        let pair = Pair::new("mp-turn", options).await;
        assert_eq!(pair.used(), [true, true]);
        let channel = pair.disk.channel().unwrap();
        // Each path's queue is made with its first I/O.
        for _ in 0..2 {
            write(&channel, 0, 1).await;
        }
        let before = pair.sent();
        for lba in 0..20 {
            write(&channel, lba, 1).await;
        }
        assert_eq!(pair.sent(), before.map(|sent| sent + 10));
        pair.module().set_policy(PathPolicy::ActivePassive);
        assert_eq!(pair.used(), [true, false]);
        for lba in 0..20 {
            write(&channel, lba, 1).await;
        }
        assert_eq!(pair.sent(), [before[0] + 30, before[1] + 10]);
        drop(channel);
        pair.detach().await;
    });
}

#[test]
fn io_goes_on_while_paths_fail_and_come_back() {
    let codes = [
        StatusCode::INTERNAL_PATH_ERROR,
        StatusCode::CONTROLLER_PATH_ERROR,
        StatusCode::ABORTED_SQ_DELETION,
        StatusCode::TRANSIENT_TRANSPORT_ERROR,
        StatusCode::ANA_INACCESSIBLE,
        StatusCode::ANA_TRANSITION,
    ];
    for policy in [PathPolicy::ActivePassive, PathPolicy::RoundRobin] {
        on_a_core(async || {
            let mut options = options();
            options.policy = policy;
            let name = format!("mp-fail{policy:?}");
            let pair = Pair::new(&name, options).await;
            let stop = Rc::new(Cell::new(false));
            let tasks = load(&pair.disk, 16, &stop);
            turns(20).await;
            for code in codes {
                for bay in [&pair.a, &pair.b] {
                    refuse(&bay.device, code);
                    turns(40).await;
                    bay.device.stop_tampering();
                    until(|| pair.paths().iter().all(|path| path.failure.is_none())).await;
                    turns(20).await;
                }
            }
            // As at first: who was preferred is used again.
            until(|| pair.used() == [true, policy == PathPolicy::RoundRobin]).await;
            stop.set(true);
            for task in tasks {
                assert!(task.await.unwrap() > 20);
            }
            pair.detach().await;
        });
    }
}

#[test]
fn a_path_that_is_taken_away_under_load_loses_no_io() {
    on_a_core(async || {
        let Pair { a, b, disk, queues } = Pair::new("mp-away", options()).await;
        let stop = Rc::new(Cell::new(false));
        let tasks = load(&disk, 32, &stop);
        turns(50).await;
        assert!(a.nvme.detach().is_empty());
        turns(50).await;
        let paths = disk.module_as::<Disk>().unwrap().paths();
        assert_eq!((paths.len(), paths[0].is_used), (1, true));
        stop.set(true);
        for task in tasks {
            assert!(task.await.unwrap() > 10);
        }
        drop((disk, queues));
        b.detach().await;
    });
}

#[test]
fn without_a_path_io_waits_for_one() {
    on_a_core(async || {
        let pair = Pair::new("mp-none", options()).await;
        let channel = pair.disk.channel().unwrap();
        write(&channel, 3, 4).await;
        for bay in [&pair.a, &pair.b] {
            refuse_all(&bay.device, StatusCode::INTERNAL_PATH_ERROR);
        }
        let mut read = spawn_local({
            let channel = channel.clone();
            async move { reads(&channel, 3).await }
        });
        until(|| pair.paths().iter().all(|path| path.failure.is_some())).await;
        turns(50).await;
        assert!((&mut read).now_or_never().is_none());
        pair.b.device.stop_tampering();
        assert_eq!(read.await.unwrap(), 4);
        assert_eq!(pair.used(), [false, true]);
        pair.a.device.stop_tampering();
        until(|| pair.used() == [true, false]).await;
        drop(channel);
        pair.detach().await;
    });
}

#[test]
fn without_a_path_for_too_long_io_fails() {
    let (clock, hand) = Clock::manual();
    let executor = LocalExecutor::with_clock(clock).unwrap();
    executor.block_on(async {
        let mut options = options();
        options.path_timeout = Duration::from_secs(10);
        options.probe_every = Duration::from_secs(1);
        // Controllers take some time to come up.
        let passes = async {
            loop {
                hand.advance(Duration::from_millis(1));
                yield_now().await;
            }
        };
        let Either::Left((pair, _)) = select(pin!(Pair::new("mp-late", options)), pin!(passes)).await;
        let channel = pair.disk.channel().unwrap();
        write(&channel, 3, 4).await;
        for bay in [&pair.a, &pair.b] {
            refuse_all(&bay.device, StatusCode::INTERNAL_PATH_ERROR);
        }
        let mut read = spawn_local({
            let channel = channel.clone();
            async move { channel.read(3..4).await.map(drop) }
        });
        until(|| pair.paths().iter().all(|path| path.failure.is_some())).await;
        for _ in 0..9 {
            hand.advance(Duration::from_secs(1));
            turns(30).await;
        }
        assert!((&mut read).now_or_never().is_none());
        hand.advance(Duration::from_secs(1));
        let e = read.await.unwrap().unwrap_err();
        assert!(matches!(&e, Error::Io(source) if source.to_string().contains("no path")), "{e:?}");
        for bay in [&pair.a, &pair.b] {
            bay.device.stop_tampering();
        }
        hand.advance(Duration::from_secs(1));
        until(|| pair.used() == [true, false]).await;
        assert_eq!(reads(&channel, 3).await, 4);
        drop(channel);
        pair.detach().await;
    });
}

#[test]
fn access_states_decide_which_path_is_used() {
    on_a_core(async || {
        let pair = Pair::new("mp-ana", options()).await;
        let channel = pair.disk.channel().unwrap();
        write(&channel, 5, 6).await;
        // Noticed by the refusal of I/O.
        pair.a.device.set_ana(1, AnaState::INACCESSIBLE);
        assert_eq!(reads(&channel, 5).await, 6);
        until(|| pair.paths()[0].access == AnaState::INACCESSIBLE).await;
        assert_eq!(pair.used(), [false, true]);
        let before = pair.sent();
        assert_eq!(reads(&channel, 5).await, 6);
        assert_eq!(pair.sent(), [before[0], before[1] + 1]);
        drop(channel);
        pair.detach().await;
    });
}

#[test]
fn what_is_the_devices_answer_is_asked_of_no_other_path() {
    on_a_core(async || {
        let pair = Pair::new("mp-answer", options()).await;
        let channel = pair.disk.channel().unwrap();
        write(&channel, 5, 6).await;
        let before = pair.sent();
        pair.a.device.inject(Fault::Fail(StatusCode::LBA_OUT_OF_RANGE));
        assert!(matches!(channel.read(0..1).await, Err(Error::OutOfRange { .. })));
        assert_eq!(pair.sent(), [before[0] + 1, before[1]]);
        assert_eq!(pair.used(), [true, false]);
        drop(channel);
        pair.detach().await;
    });
}
