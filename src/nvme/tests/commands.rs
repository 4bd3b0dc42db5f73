//! Compare and write as one, reservations, and commands as they are.

use super::*;
use crate::nvme::soft::{Fault, SoftNamespace};
use crate::nvme::spec::{
    AcquireAction, Command, DataProtection, FormatOptions, IdentifyNamespace, IdentifyWhat, IoOpcode,
    RegisterAction, ReleaseAction, ReservationType, Status, StatusCode,
};
use crate::nvme::{Error, IoOptions, Payload};
use crate::spawn_local;
use std::rc::Rc;
use zerocopy::{FromBytes, IntoBytes};

fn code(result: Result<(), Error>) -> StatusCode {
    let Err(Error::Status(status)) = result else { panic!("{result:?}") };
    status.code()
}

/// The controller is to hear of both by one doorbell: the first does not go while there is no room for the second.
#[test]
fn fused_commands_wait_until_there_is_room_for_both() {
    on_a_core(SoftConfig::default(), entries(3), async |device, controller, _works| {
        let disk = disk_of(&controller).await;
        device.inject(Fault::Delay(30));
        let reader = disk.clone();
        let reading = spawn_local(async move { reader.read(7, buffer(512, 0)).await.0 });
        while device.held() == 0 {
            yield_now().await;
        }
        let writer = disk.clone();
        let new = buffer(512, 1).freeze();
        let writing =
            spawn_local(
                async move { writer.compare_and_write(7, buffer(512, 0), new, IoOptions::new()).await },
            );
        turns().await;
        assert_eq!((device.held(), disk.queue().counters().submitted), (1, 1));
        reading.await.unwrap().unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!((reads(&disk, 7).await, disk.queue().counters().submitted), (1, 4));
    });
}

/// Many tasks count in one block, each by comparing what it read and writing one more; the queue is as small as it may be.
#[test]
fn compare_and_write_is_one() {
    on_a_core(SoftConfig::default(), entries(3), async |_, controller, _works| {
        let disk = Rc::new(disk_of(&controller).await);
        let block = |number: u64| {
            let mut buf = buffer(512, 0);
            buf[..8].copy_from_slice(&number.to_le_bytes());
            buf
        };
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let disk = disk.clone();
                spawn_local(async move {
                    let mut failed = 0;
                    for _ in 0..10 {
                        loop {
                            let (read, buf) = disk.read(7, buffer(512, 0)).await;
                            read.unwrap();
                            let known = u64::from_le_bytes(buf[..8].try_into().unwrap());
                            let new = block(known + 1).freeze();
                            match disk.compare_and_write(7, buf, new, IoOptions::new()).await {
                                Ok(()) => break,
                                result => assert_eq!(code(result), StatusCode::COMPARE_FAILURE),
                            }
                            failed += 1;
                        }
                    }
                    failed
                })
            })
            .collect();
        let mut failed = 0;
        for task in tasks {
            failed += task.await.unwrap();
        }
        let (_, buf) = disk.read(7, buffer(512, 0)).await;
        assert_eq!(buf[..8], 80_u64.to_le_bytes());
        assert!(failed > 0, "some were in each other's way");
        let counters = disk.queue().counters();
        assert_eq!((counters.submitted, counters.strays), (counters.completed, 0));
    });
}

#[test]
fn a_pair_tells_why_it_failed_and_is_never_split() {
    on_a_core(
        SoftConfig { transfer_max: 1, ..SoftConfig::default() },
        entries(8),
        async |device, controller, _works| {
            let disk = disk_of(&controller).await;
            let options = IoOptions::new();
            let zeroes = || buffer(512, 0);
            device.inject(Fault::Fail(StatusCode::WRITE_PROTECTED));
            let result = disk.compare_and_write(0, zeroes(), zeroes(), options).await;
            assert_eq!(code(result), StatusCode::WRITE_PROTECTED);
            let result = disk.compare_and_write(0, buffer(16384, 0), buffer(16384, 0), options).await;
            assert!(matches!(result, Err(Error::TooLarge { len: 16384, max: 8192 })), "{result:?}");
            let result = disk.compare_and_write(0, zeroes(), buffer(1024, 0), options).await;
            assert!(matches!(result, Err(Error::WrongLength { len: 1024, .. })), "{result:?}");
        },
    );
    // Two commands do not fit into a queue for one.
    on_a_core(SoftConfig::default(), entries(2), async |_, controller, _works| {
        let disk = disk_of(&controller).await;
        let result = disk.compare_and_write(0, buffer(512, 0), buffer(512, 0), IoOptions::new()).await;
        assert!(matches!(result, Err(Error::Unsupported(_))), "{result:?}");
    });
}

#[test]
fn a_dropped_pair_is_not_torn_apart() {
    on_a_core(SoftConfig::default(), entries(3), async |device, controller, works| {
        let disk = disk_of(&controller).await;
        turns().await;
        drop(works);
        let before = DmaPool::local().stats().in_use;
        // The first goes to the controller, the second waits for room.
        for _ in 0..2 {
            let pair = disk.compare_and_write(0, buffer(512, 0), buffer(512, 9), IoOptions::new());
            let mut pair = Box::pin(pair);
            std::future::poll_fn(|cx| {
                assert!(pair.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
        assert_eq!(DmaPool::local().stats().in_use, before + 2, "the controller has one pair");
        turns().await;
        assert!(device.step() > 0);
        turns().await;
        assert_eq!((device.step(), DmaPool::local().stats().in_use), (0, before));
        let _works = super::works(&device);
        assert_eq!(reads(&disk, 0).await, 9, "it was done as a whole");
    });
}

#[test]
fn hosts_keep_each_other_out() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, one, _works| {
        let other_device = device.another(SoftConfig::default());
        let _also = super::works(&other_device);
        let other = Controller::attach(other_device, Config::default()).await.unwrap();
        let (mine, theirs) = (disk_of(&one).await, disk_of(&other).await);
        let none = mine.reservations().await.unwrap();
        assert_eq!((none.kind, none.registrants.len()), (None, 0));
        mine.reservation_register(RegisterAction::Register, Some(0), 0x11, None).await.unwrap();
        theirs.reservation_register(RegisterAction::Register, Some(0), 0x22, None).await.unwrap();
        let kind = ReservationType::WRITE_EXCLUSIVE;
        mine.reservation_acquire(AcquireAction::Acquire, kind, 0x11, 0).await.unwrap();
        let held = theirs.reservations().await.unwrap();
        assert_eq!(held.kind, Some(kind));
        let holders: Vec<_> = held.registrants.iter().map(|it| (it.key, it.holds)).collect();
        assert_eq!(holders, [(0x11, true), (0x22, false)]);
        assert_eq!(code(theirs.write(0, buffer(512, 1).freeze()).await), StatusCode::RESERVATION_CONFLICT);
        write(&mine, 0, 5).await;
        assert_eq!(reads(&theirs, 0).await, 5);
        // Taken over, with the old holder out.
        theirs.reservation_acquire(AcquireAction::Preempt, kind, 0x22, 0x11).await.unwrap();
        assert_eq!(code(mine.write(0, buffer(512, 1).freeze()).await), StatusCode::RESERVATION_CONFLICT);
        theirs.reservation_release(ReleaseAction::Release, kind, 0x22).await.unwrap();
        write(&mine, 0, 6).await;
        other.close().await.unwrap();
    });
}

#[test]
fn commands_go_as_they_are_if_their_payload_is_large_enough() {
    for has_sgl in [false, true] {
        let soft = SoftConfig { has_sgl, ..SoftConfig::default() };
        on_a_core(soft, Config::default(), async |_, controller, _works| {
            let disk = disk_of(&controller).await;
            write(&disk, 3, 7).await;
            let before = disk.queue().counters().submitted;
            // What is the driver's to say is not taken from the caller.
            let read = Command::read(99, 3, 1).with_metadata(64);
            let read = read.with_flags(read.flags().with_psdt(1));
            let (answer, payload) = disk.raw(read, buffer(512, 0).into()).await;
            assert!(answer.unwrap().status.is_success());
            assert_eq!(payload.into_buf().unwrap()[..], [7; 512]);
            let (answer, _) = disk.raw(Command::read(1, 5000, 1), buffer(512, 0).into()).await;
            assert_eq!(answer.unwrap().status, Status::of(StatusCode::LBA_OUT_OF_RANGE).with_dnr(true));

            let sent = disk.queue().counters().submitted - before;
            let (answer, _) = disk.raw(Command::read(1, 3, 2), buffer(512, 0).into()).await;
            assert!(matches!(answer, Err(Error::Payload { len: 512, needed: 1024 })), "{answer:?}");
            let (answer, _) = disk.raw(Command::read(1, 3, 1), buffer(512, 0).freeze().into()).await;
            assert!(matches!(answer, Err(Error::Frozen)), "{answer:?}");
            let (answer, _) = disk.raw(Command::write(1, 3, 1).fused(true), buffer(512, 0).into()).await;
            assert!(matches!(answer, Err(Error::Unsupported(_))), "{answer:?}");
            // Nobody knows how much it moves, unless a descriptor says.
            assert_eq!(disk.queue().counters().submitted - before, sent);
            let vendor = Command::new(0x82, 1, [0; 6]);
            match disk.raw(vendor, buffer(512, 0).into()).await.0 {
                Ok(answer) if has_sgl => assert_eq!(answer.status.code(), StatusCode::INVALID_OPCODE),
                Err(Error::Unsupported(_)) if !has_sgl => {}
                answer => panic!("{answer:?}"),
            }
            assert!(matches!(disk.raw(vendor, Payload::None).await.0, Err(Error::Unsupported(_))));
            let (answer, _) = disk.raw(Command::flush(1), Payload::None).await;
            assert!(answer.unwrap().status.is_success());
        });
    }
}

#[test]
fn what_a_namespace_says_is_known_and_its_end_too() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, controller, _works| {
        let mut like = SoftNamespace::new(100, 12);
        (like.metadata_bytes, like.protection, like.io_boundary) = (16, 2, 32);
        let id = device.add_namespace(like);
        let it = controller.namespace(id).await.unwrap();
        let format = it.format();
        assert_eq!((it.id(), it.size(), it.block_size()), (id, 100, 4096));
        assert_eq!(
            (format.metadata_size, format.is_extended, format.protection.unwrap().kind),
            (16, false, 2)
        );
        assert_eq!((it.limits().boundary_blocks, it.limits().copy_blocks), (32, 1024));
        assert!(it.names().nguid.is_some() && it.zones().is_none() && it.commands().verify());
        assert!(matches!(controller.namespace(77).await, Err(Error::NoNamespace(77))));

        let disk = Channel::new(it.clone(), controller.queue_pair().await.unwrap());
        let mut identity = *it.identity();
        identity.size.set(120);
        assert!(it.update(&identity) && !it.update(&identity));
        assert_eq!(disk.namespace().size(), 120, "all channels see it");
        // Another format is another namespace: a block is not what it was.
        identity.protection = DataProtection::default();
        assert!(it.update(&identity) && it.is_gone());
        let payload = Payload::from(buffer(4096, 0)).with_metadata(buffer(16, 0));
        let (read, _) = disk.read_with(0, payload, IoOptions::new()).await;
        assert!(matches!(read, Err(Error::NamespaceGone)), "{read:?}");
        let raw = Command::new(IoOpcode::FLUSH.0, 1, [0; 6]);
        assert!(matches!(disk.raw(raw, Payload::None).await.0, Err(Error::NamespaceGone)));
        assert!(!it.update(it.identity()), "it does not come back");
    });
}

/// What is the driver's, what has no room, and what nobody knows the length of.
#[test]
fn admin_commands_that_could_harm_are_refused() {
    on_a_core(SoftConfig::default(), Config::default(), async |_, controller, _works| {
        let identify = Command::identify(IdentifyWhat::CONTROLLER, 0);
        let (answer, payload) = controller.admin(identify, buffer(512, 0).into()).await;
        assert!(matches!(answer, Err(Error::Payload { len: 512, needed: 4096 })), "{answer:?}");
        assert_eq!(payload.len(), 512, "it comes back");
        let (answer, _) = controller.admin(identify, buffer(4096, 0).freeze().into()).await;
        assert!(matches!(answer, Err(Error::Frozen)), "{answer:?}");
        let (answer, _) = controller.admin(identify.with_prp(0x1000, 0), Payload::None).await;
        assert!(matches!(answer, Err(Error::Payload { .. })), "{answer:?}");
        for command in [Command::delete_sq(1), Command::async_event(), Command::new(0xc2, 0, [0; 6])] {
            let (answer, _) = controller.admin(command, buffer(8192, 0).into()).await;
            assert!(matches!(answer, Err(Error::Unsupported(_))), "{answer:?}");
        }
        let (answer, payload) = controller.admin(identify, buffer(4096, 0).into()).await;
        assert!(
            answer.unwrap().status.is_success() && payload.into_buf().unwrap().iter().any(|&byte| byte != 0)
        );
    });
}

#[test]
#[should_panic(expected = "namespace 1 is another controller's than the queue")]
fn a_channel_is_of_one_controller() {
    on_a_core(SoftConfig::default(), Config::default(), async |_, one, _works| {
        let device = SoftController::default();
        let _works = works(&device);
        let other = Controller::attach(device, Config::default()).await.unwrap();
        Channel::new(one.namespace(1).await.unwrap(), other.queue_pair().await.unwrap());
    });
}

/// Its blocks are eight times as long, and the buffers of who reads on are not.
#[test]
fn a_format_ends_what_was_known_of_the_namespace() {
    on_a_core(SoftConfig::default(), Config::default(), async |_, controller, _works| {
        let disk = disk_of(&controller).await;
        controller.format(1, FormatOptions::default()).await.unwrap();
        assert!(disk.namespace().is_gone());
        assert!(matches!(disk.read(0, buffer(512, 0)).await.0, Err(Error::NamespaceGone)));
        let disk = disk_of(&controller).await;
        disk.read(0, buffer(512, 0)).await.0.unwrap();
    });
}

#[test]
fn what_a_controller_says_of_itself_is_what_its_firmware_says() {
    on_a_core(SoftConfig::default(), Config::default(), async |_, controller, _works| {
        let before = controller.identity();
        assert_eq!(&before.firmware_bytes, b"1.0     ");
        controller.update_firmware(b"2.0     ", 2, 3).await.unwrap();
        assert_eq!(&controller.identity().firmware_bytes, b"2.0     ");
        controller.update_firmware(b"3.0     ", 3, 1).await.unwrap();
        assert_eq!(&controller.identity().firmware_bytes, b"2.0     ", "with the next reset");
        for _ in 0..2 {
            controller.reset().await.unwrap();
            assert_eq!(&controller.identity().firmware_bytes, b"3.0     ");
        }
        assert_eq!(&before.firmware_bytes, b"1.0     ", "it was lent");
    });
}

/// As QEMU's, for disks that are given to the controller itself.
#[test]
fn a_namespace_that_copies_nothing_of_any_length_has_no_copy() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, controller, _works| {
        assert!(controller.namespace(1).await.unwrap().commands().copy());
        device.tamper(|command: &Command, answer| {
            if command.opcode() == 6 && command.identify_what() == IdentifyWhat::NAMESPACE {
                let mut told = IdentifyNamespace::read_from_bytes(answer).unwrap();
                told.copy_range_max.set(0);
                answer.copy_from_slice(told.as_bytes());
            }
        });
        let disk = disk_of(&controller).await;
        assert!(!disk.namespace().commands().copy());
        assert!(matches!(disk.copy(std::slice::from_ref(&(0..8)), 8).await, Err(Error::Unsupported(_))));
    });
}
