//! What a mirror promises when its members do not do what they should.

use std::future::Future;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::bdev::modules::{Failure, Faulty, Injection, Ram, Uring, Zoned};
use crate::bdev::{Channel, ZoneShape, conformance, open_private, register, unregister};
use crate::{LocalExecutor, spawn_local, yield_now};

const BLOCKS: u64 = 4096;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    LocalExecutor::new().unwrap().block_on(future)
}

/// A mirror of devices that go wrong where they are told to.
struct Bench {
    disk: Descriptor,
    control: MirrorControl,
    members: Vec<Descriptor>,
}

fn faulty() -> Descriptor {
    let ram = open_private("ram", Ram::new(BLOCKS * 512).unwrap(), Access::ReadWrite).unwrap();
    open_private("faulty", Faulty::new(ram), Access::ReadWrite).unwrap()
}

impl Bench {
    fn of(count: usize) -> Self {
        let members: Vec<_> = (0..count).map(|_| faulty()).collect();
        let mirror = Mirror::over(members.clone()).unwrap();
        let control = mirror.control();
        let disk = open_private("mirror", mirror, Access::ReadWrite).unwrap();
        Self { disk, control, members }
    }

    fn channel(&self) -> Channel {
        self.disk.channel().unwrap()
    }

    fn inject(&self, member: usize, injection: Injection) {
        self.faulty(member).inject(injection);
    }

    fn faulty(&self, member: usize) -> &Faulty {
        self.members[member].module_as::<Faulty>().unwrap()
    }

    fn states(&self) -> Vec<MemberState> {
        self.control.status().members.iter().map(|member| member.state).collect()
    }

    /// What stands in the first of `blocks` of a member.
    async fn below(&self, member: usize, block: u64) -> u8 {
        self.members[member].channel().unwrap().read(block..block + 1).await.unwrap()[0]
    }
}

async fn write(channel: &Channel, lba: u64, byte: u8) -> Result<()> {
    let mut data = channel.alloc(512).await?;
    data.fill(byte);
    channel.write(lba, data).await
}

async fn read(channel: &Channel, lba: u64) -> u8 {
    channel.read(lba..lba + 1).await.unwrap()[0]
}

#[test]
fn conforms() {
    conformance::check_spec("mirror(ram:16M,ram:16M)");
    conformance::check_spec("mirror(ram:16M,ram:17M,ram:16M,ram:16M)");
}

#[test]
fn what_cannot_be_a_mirror_is_refused() {
    block_on(async {
        let small = || open_private("small", Ram::new(512 * 300).unwrap(), Access::ReadWrite).unwrap();
        for count in [0, 1, MEMBERS_MAX + 1] {
            let refused = Mirror::over((0..count).map(|_| small()));
            assert!(matches!(refused, Err(Error::BadGeometry { .. })), "{count} members");
        }
        let mirror = Mirror::over([small(), faulty()]).unwrap();
        assert_eq!(mirror.geometry().block_count, 300, "as large as the smallest");
        let zones = ZoneShape { blocks: 128, ..ZoneShape::default() };
        let zoned = open_private("zoned", Zoned::over(faulty(), zones).unwrap(), Access::ReadWrite).unwrap();
        let over_zones = Mirror::over([zoned, faulty()]).unwrap().geometry();
        assert_eq!(over_zones.zones, None, "what one member has is not the mirror's");
        assert!(matches!(mirror.stale(2), Err(Error::NoMember { member: 2, .. })));
    });
}

#[test]
fn a_write_reaches_every_member_and_reads_are_dealt_out() {
    block_on(async {
        let bench = Bench::of(3);
        let channel = bench.channel();
        write(&channel, 7, 9).await.unwrap();
        for member in 0..3 {
            assert_eq!(bench.below(member, 7).await, 9);
        }
        let reads = || bench.members.iter().map(|m| m.channel().unwrap().stats().reads).collect::<Vec<_>>();
        let before = reads();
        bench.faulty(0).inject(Injection::stall().on(Op::Read));
        bench.faulty(1).inject(Injection::stall().on(Op::Read));
        let mut together =
            pin!(futures::future::join3(read(&channel, 7), read(&channel, 7), read(&channel, 7)));
        assert!(together.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!((bench.faulty(0).stalled(), bench.faulty(1).stalled()), (1, 1), "one read each");
        bench.faulty(0).release();
        bench.faulty(1).release();
        assert_eq!(together.await, (9, 9, 9));
        let after = reads();
        assert!(after.iter().zip(&before).all(|(after, before)| after - before == 1), "{before:?} {after:?}");
    });
}

#[test]
fn a_read_that_fails_is_answered_by_another_member_and_counted() {
    block_on(async {
        let bench = Bench::of(2);
        let channel = bench.channel();
        write(&channel, 1, 5).await.unwrap();
        bench.inject(0, Injection::fail(Failure::Media).on(Op::Read));
        assert_eq!(read(&channel, 1).await, 5);
        let status = bench.control.status();
        assert_eq!((status.members[0].read_errors, status.members[1].read_errors), (1, 0));
        assert!(!status.is_degraded(), "what cannot be read here can still be written");
        bench.inject(1, Injection::fail(Failure::Io).on(Op::Read));
        assert!(matches!(channel.read(1..2).await, Err(Error::Media)), "the first error, when nobody can");
    });
}

#[test]
fn a_member_that_misses_a_write_is_not_read_any_more() {
    block_on(async {
        let members = [faulty(), faulty()];
        let degraded = Arc::new(AtomicUsize::new(0));
        let told = degraded.clone();
        let mirror = Mirror::over(members.clone()).unwrap().on_change(move |status| {
            assert!(status.is_degraded());
            told.fetch_add(1, Relaxed);
        });
        let control = mirror.control();
        let disk = open_private("mirror", mirror, Access::ReadWrite).unwrap();
        let channel = disk.channel().unwrap();
        write(&channel, 0, 1).await.unwrap();
        members[0].module_as::<Faulty>().unwrap().inject(Injection::fail(Failure::Io).on(Op::Write).times(1));
        write(&channel, 0, 2).await.expect("the other member has it");
        assert_eq!(degraded.load(Relaxed), 1);
        assert_eq!(control.status().members[0].state, MemberState::Failed);
        assert!(control.status().members[0].failure.is_some());
        for _ in 0..8 {
            assert_eq!(read(&channel, 0).await, 2);
        }
        members[1].module_as::<Faulty>().unwrap().inject(Injection::fail(Failure::Io).on(Op::Write).times(1));
        assert!(write(&channel, 0, 3).await.is_err(), "the last member says what it says");
        assert_eq!(control.status().members[1].state, MemberState::InSync);
        assert!(matches!(control.fail(1), Err(Error::NoMember { member: 1, .. })));
    });
}

#[test]
fn a_write_that_no_member_takes_fails_nobody_and_leaves_them_equal() {
    block_on(async {
        let bench = Bench::of(2);
        let channel = bench.channel();
        write(&channel, 3, 1).await.unwrap();
        for member in 0..2 {
            bench.inject(member, Injection::fail(Failure::NoSpace).on(Op::Write).times(1));
        }
        assert!(matches!(write(&channel, 3, 2).await, Err(Error::NoSpace)));
        assert_eq!(bench.states(), [MemberState::InSync; 2]);
        assert_eq!(bench.below(0, 3).await, bench.below(1, 3).await);
    });
}

/// One member has the new bytes when the caller goes, the other the old ones.
#[test]
fn a_write_given_up_half_way_leaves_the_members_equal() {
    block_on(async {
        for slow in 0..2 {
            let bench = Bench::of(2);
            let channel = bench.channel();
            write(&channel, 5, 1).await.unwrap();
            bench.inject(slow, Injection::stall().on(Op::Write).times(1));
            {
                let mut given_up = pin!(write(&channel, 5, 2));
                assert!(given_up.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            assert_eq!((bench.below(slow, 5).await, bench.below(1 - slow, 5).await), (1, 2));
            // Behind the hold of those who make them equal.
            write(&channel, 6, 0).await.unwrap();
            let disk = bench.disk.clone();
            drop(disk.quiesce_range(5..6).await.unwrap());
            for _ in 0..100 {
                yield_now().await;
            }
            assert_eq!(bench.below(0, 5).await, bench.below(1, 5).await, "member {slow} was slow");
            assert_eq!(bench.states(), [MemberState::InSync; 2]);
        }
    });
}

#[test]
fn a_new_member_is_rebuilt_while_writes_go_on() {
    block_on(async {
        let bench = Bench::of(2);
        let channel = bench.channel();
        for lba in 0..BLOCKS / 8 {
            write(&channel, lba * 8, lba as u8).await.unwrap();
        }
        bench.control.fail(1).unwrap();
        let new = faulty();
        bench.control.replace(1, new.clone()).unwrap();
        assert_eq!(bench.states(), [MemberState::InSync, MemberState::Stale]);
        let writer = async {
            for round in 0..2000_u64 {
                write(&channel, round * 37 % BLOCKS, round as u8).await.unwrap();
            }
        };
        let (rebuilt, ()) = futures::future::join(bench.control.rebuild(), writer).await;
        rebuilt.unwrap();
        assert_eq!(bench.states(), [MemberState::InSync; 2]);
        let (old, new) = (bench.members[0].channel().unwrap(), new.channel().unwrap());
        let all = old.read(0..BLOCKS).await.unwrap();
        assert!(all[..] == new.read(0..BLOCKS).await.unwrap()[..], "the members differ");
    });
}

/// The rebuild has read the old bytes of a block when a write to it comes.
#[test]
fn a_write_to_what_is_being_copied_waits_for_it() {
    block_on(async {
        let bench = Bench::of(2);
        let channel = bench.channel();
        write(&channel, 3, 1).await.unwrap();
        bench.control.fail(1).unwrap();
        let new = faulty();
        let slow = new.module_as::<Faulty>().unwrap();
        slow.inject(Injection::stall().on(Op::Write).times(1));
        bench.control.replace(1, new.clone()).unwrap();
        let rebuild = async { bench.control.rebuild().await.unwrap() };
        let others = async {
            while slow.stalled() == 0 {
                yield_now().await;
            }
            let mut writing = pin!(write(&channel, 3, 2));
            for _ in 0..10 {
                assert!(std::future::poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx).is_pending())).await);
                yield_now().await;
            }
            slow.release();
            writing.await.unwrap();
        };
        futures::future::join(rebuild, others).await;
        assert_eq!(new.channel().unwrap().read(3..4).await.unwrap()[0], 2);
        assert_eq!(bench.below(0, 3).await, 2);
    });
}

#[test]
fn a_rebuild_that_is_dropped_or_fails_leaves_the_member_unread() {
    block_on(async {
        let bench = Bench::of(2);
        assert!(
            matches!(bench.control.replace(1, faulty()), Err(Error::NoMember { .. })),
            "it has not failed"
        );
        bench.control.fail(1).unwrap();
        let small = open_private("small", Ram::new(512).unwrap(), Access::ReadWrite).unwrap();
        assert!(matches!(bench.control.replace(1, small), Err(Error::BadGeometry { .. })));
        let new = faulty();
        bench.control.replace(1, new.clone()).unwrap();
        {
            new.module_as::<Faulty>().unwrap().inject(Injection::stall().on(Op::Write).times(1));
            let mut dropped = pin!(bench.control.rebuild());
            assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert!(matches!(bench.control.rebuild().await, Err(Error::Busy { .. })), "one at a time");
        }
        assert_eq!(bench.states()[1], MemberState::Stale);
        assert_eq!(bench.control.status().rebuilt_blocks, None);
        new.module_as::<Faulty>().unwrap().inject(Injection::fail(Failure::Media).on(Op::Write));
        assert!(matches!(bench.control.rebuild().await, Err(Error::Media)));
        assert_eq!(bench.states()[1], MemberState::Failed);
    });
}

/// Devices that become longer bring whatever stood there.
#[test]
fn a_rebuild_goes_as_far_as_the_mirror_reaches_by_then() {
    const LEN: u64 = 3 << 20;
    block_on(async {
        for grows in [true, false] {
            let files = [1, 2].map(|byte| {
                let mut file = tempfile::NamedTempFile::new().unwrap();
                file.write_all(&vec![byte; LEN as usize]).unwrap();
                file
            });
            let open = |file: &tempfile::NamedTempFile| {
                let file = Uring::open(file.path(), Access::ReadWrite).unwrap();
                open_private("file", file, Access::ReadWrite).unwrap()
            };
            let members = files.each_ref().map(open);
            let resize = |bytes: u64| {
                for (file, member) in files.iter().zip(&members) {
                    file.as_file().set_len(bytes).unwrap();
                    member.module_as::<Uring>().unwrap().rescan().unwrap();
                }
            };
            let mirror = Mirror::over(members.clone()).unwrap().stale(1).unwrap();
            let control = mirror.control();
            let disk = open_private("mirror", mirror, Access::ReadWrite).unwrap();
            let bytes = if grows { 2 * LEN } else { LEN / 2 };
            let rebuild = spawn_local({
                let control = control.clone();
                async move { control.rebuild().await }
            });
            while matches!(control.status().rebuilt_blocks, None | Some(0)) {
                yield_now().await;
            }
            // Whoever copies there has done so then.
            let last = (disk.geometry().block_count / 2)..disk.geometry().block_count;
            let held = disk.quiesce_range(last).await.unwrap();
            resize(bytes);
            drop(held);
            if grows {
                let tails = [3, 4].map(|byte| vec![byte; LEN as usize]);
                files
                    .iter()
                    .zip(&tails)
                    .for_each(|(file, tail)| file.as_file().write_all_at(tail, LEN).unwrap());
            }
            rebuild.await.unwrap().unwrap();
            assert_eq!(disk.geometry().len_bytes(), bytes);
            assert!(!control.status().is_degraded());
            let [one, other] = files.each_ref().map(|file| std::fs::read(file.path()).unwrap());
            assert!(one == other, "grows: {grows}");
        }
    });
}

#[test]
fn a_member_that_is_removed_has_failed_and_the_last_takes_the_mirror_with_it() {
    block_on(async {
        for name in ["member0", "member1"] {
            register(name, Ram::new(BLOCKS * 512).unwrap()).unwrap();
        }
        let open = async |name| crate::bdev::open(name, Access::ReadWrite).await.unwrap();
        let mirror = Mirror::over([open("member0").await, open("member1").await]).unwrap();
        let control = mirror.control();
        let disk = open_private("mirror", mirror, Access::ReadWrite).unwrap();
        let (channel, mut events) = (disk.channel().unwrap(), disk.events());
        write(&channel, 0, 1).await.unwrap();
        drop(unregister("member0").unwrap());
        assert_eq!(control.status().members[0].state, MemberState::Failed);
        write(&channel, 0, 2).await.unwrap();
        assert_eq!(read(&channel, 0).await, 2);
        assert_eq!(events.try_next(), None);
        drop(unregister("member1").unwrap());
        assert_eq!(events.next().await, Some(Event::Removed));
        assert!(matches!(channel.read(0..1).await, Err(Error::Removed)));
    });
}
