//! Many tasks that do anything to a namespace of any kind while the controller errs at random: what is read is what was written, each
//! answer reaches who asked, and all buffers come back.

use super::hostile::cases;
use super::*;
use crate::nvme::soft::{Fault, SoftNamespace};
use crate::nvme::spec::StatusCode;
use crate::nvme::{Error, IoOptions};
use crate::spawn_local;
use proptest::prelude::*;
use std::ops::Range;

/// Blocks of each task, which no other touches.
const REGION: u64 = 48;

#[derive(Clone, Debug)]
enum Act {
    Write(u8),
    Zero,
    Deallocate,
    Copy(u64),
    Compare,
    Verify,
    Flush,
    Read,
    /// Started, and given up.
    GiveUp(u8),
}

/// Something with the blocks of a task from here on, and what goes wrong before it.
#[derive(Clone, Debug)]
struct Step {
    act: Act,
    at: u64,
    blocks: u64,
    fault: Option<Fault>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let act = prop_oneof![
        4 => any::<u8>().prop_map(Act::Write),
        1 => Just(Act::Zero),
        1 => Just(Act::Deallocate),
        1 => (0..REGION).prop_map(Act::Copy),
        1 => Just(Act::Compare),
        1 => Just(Act::Verify),
        1 => Just(Act::Flush),
        4 => Just(Act::Read),
        1 => any::<u8>().prop_map(Act::GiveUp),
    ];
    let fault = prop_oneof![
        (1..12_u32).prop_map(Fault::Delay),
        Just(Fault::Repeat),
        Just(Fault::Fail(StatusCode::INTERNAL_ERROR)),
        // An identifier that the driver has not given: they begin above the slots of the queue.
        Just(Fault::Stray(0)),
    ];
    let step = (act, 0..REGION, 1..=REGION, prop::option::weighted(0.4, fault));
    let step =
        step.prop_map(|(act, at, blocks, fault)| Step { act, at, blocks: blocks.min(REGION - at), fault });
    prop::collection::vec(step, 1..24)
}

/// A controller of any shape.
fn shapes() -> impl Strategy<Value = (SoftConfig, SoftNamespace, u16)> {
    let switches = (any::<bool>(), any::<bool>(), any::<bool>());
    let namespace = (prop_oneof![Just(9_u8), Just(12)], prop_oneof![Just(0_u16), Just(3), Just(16)]);
    (0..4_u8, switches, namespace, 2..40_u16).prop_map(
        |(transfer_max, (has_sgl, has_shadow, polls), (shift, boundary), entries)| {
            let soft = SoftConfig {
                transfer_max,
                has_sgl,
                has_shadow_doorbells: has_shadow,
                polls_shadow_doorbells: polls,
                is_strict: true,
                ..SoftConfig::default()
            };
            (soft, SoftNamespace { io_boundary: boundary, ..SoftNamespace::new(4 * REGION, shift) }, entries)
        },
    )
}

/// What a task knows of its blocks: none where a failed or given-up write may have been done or not.
struct Region {
    first: u64,
    known: Vec<Option<u8>>,
}

impl Region {
    fn set(&mut self, blocks: Range<usize>, byte: Option<u8>) {
        self.known[blocks].fill(byte);
    }
}

async fn take(device: &SoftController, disk: &Disk, step: Step, region: &mut Region) {
    let block = disk.namespace().block_size() as usize;
    let here = step.at as usize..(step.at + step.blocks) as usize;
    let (lba, len) = (region.first + step.at, here.len() * block);
    let blocks = lba..lba + step.blocks;
    step.fault.into_iter().for_each(|fault| device.inject(fault));
    let (done, after) = match step.act {
        Act::Flush => (disk.flush().await, None),
        Act::Verify => (disk.verify(blocks, IoOptions::new()).await, None),
        Act::Write(byte) => {
            (disk.write(lba, buffer(len, byte).freeze()).await, Some(vec![Some(byte); here.len()]))
        }
        Act::Zero => (disk.write_zeroes(blocks).await, Some(vec![Some(0); here.len()])),
        Act::Deallocate => (disk.deallocate(blocks).await, Some(vec![Some(0); here.len()])),
        Act::Copy(from) => {
            let from = from.min(REGION - step.blocks);
            let source = region.first + from..region.first + from + step.blocks;
            let copied = region.known[from as usize..][..here.len()].to_vec();
            // The driver refuses to copy onto what it copies.
            if from.abs_diff(step.at) < step.blocks {
                return;
            }
            (disk.copy(&[source], lba).await, Some(copied))
        }
        Act::GiveUp(byte) => {
            let mut write = Box::pin(disk.write(lba, buffer(len, byte).freeze()));
            std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx).is_ready())).await;
            drop(write);
            // What is left to the controller may or may not have been done when nothing is left of it.
            for _ in 0..20 {
                turns().await;
            }
            return region.set(here, None);
        }
        Act::Compare => {
            let Some(byte) = region.known[here.start] else { return };
            let is_same = region.known[here.clone()].iter().all(|&known| known == Some(byte));
            let is_known = region.known[here.clone()].iter().all(Option::is_some);
            let compared = disk.compare(lba, buffer(len, byte).freeze(), IoOptions::new()).await;
            if is_known && !failed_by_fault(&compared) {
                assert_eq!(compared.is_ok(), is_same, "{compared:?}");
            }
            return;
        }
        Act::Read => {
            let (read, buf) = disk.read(lba, buffer(len, 0xee)).await;
            if read.is_ok() {
                for (known, block) in region.known[here.clone()].iter().zip(buf.chunks(block)) {
                    assert!(block.iter().all(|&byte| byte == block[0]), "of two commands");
                    assert!(
                        known.is_none_or(|known| known == block[0]),
                        "{known:?}, but {} is read",
                        block[0]
                    );
                }
            }
            (read, None)
        }
    };
    if let Err(error) = &done {
        assert!(failed_by_fault(&done), "{error}");
    }
    match after {
        Some(after) if done.is_ok() => region.known[here].copy_from_slice(&after),
        Some(_) => region.set(here, None),
        None => {}
    }
}

/// Whether it failed as a fault has it.
fn failed_by_fault(done: &Result<(), Error>) -> bool {
    matches!(done, Err(Error::Status(status)) if status.code() == StatusCode::INTERNAL_ERROR)
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn what_is_read_was_written_whatever_goes_wrong(
        (soft, namespace, queue_entries) in shapes(),
        tasks in prop::collection::vec(steps(), 1..4),
    ) {
        let device = SoftController::new(soft);
        let id = device.add_namespace(namespace);
        LocalExecutor::new().unwrap().block_on(async {
            let _works = works(&device);
            let controller = Controller::attach(device.clone(), entries(queue_entries)).await.unwrap();
            let pair = controller.queue_pair().await.unwrap();
            let disk = std::rc::Rc::new(Channel::new(controller.namespace(id).await.unwrap(), pair));
            let before = DmaPool::local().stats().in_use;
            let running: Vec<_> = tasks
                .into_iter()
                .zip(0..)
                .map(|(steps, n)| {
                    let (device, disk) = (device.clone(), disk.clone());
                    let mut region = Region { first: n * REGION, known: vec![Some(0); REGION as usize] };
                    spawn_local(async move {
                        for step in steps {
                            take(&device, &disk, step, &mut region).await;
                        }
                    })
                })
                .collect();
            for task in running {
                task.await.unwrap();
            }
            for _ in 0..20 {
                turns().await;
            }
            assert_eq!(device.held(), 0, "all is answered");
            assert_eq!(DmaPool::local().stats().in_use, before, "buffers are lost");
            controller.close().await.unwrap();
        });
    }

    /// The same with answers that never come, until the controller is closed in the middle of it.
    #[test]
    fn closing_in_a_storm_ends_all_that_is_on_its_way(
        (soft, namespace, queue_entries) in shapes(),
        tasks in prop::collection::vec(steps(), 1..4),
        lost in prop::collection::vec(prop_oneof![Just(Fault::Lose), Just(Fault::WrongPhase), Just(Fault::Misname(0x4000))], 1..6),
        after in 0..30_usize,
    ) {
        let device = SoftController::new(soft);
        let id = device.add_namespace(namespace);
        LocalExecutor::new().unwrap().block_on(async {
            let _works = works(&device);
            let controller = Controller::attach(device.clone(), entries(queue_entries)).await.unwrap();
            let pair = controller.queue_pair().await.unwrap();
            let disk = std::rc::Rc::new(Channel::new(controller.namespace(id).await.unwrap(), pair));
            let before = DmaPool::local().stats().in_use;
            lost.into_iter().for_each(|fault| device.inject(fault));
            let running: Vec<_> = tasks
                .into_iter()
                .map(|steps| {
                    let disk = disk.clone();
                    spawn_local(async move {
                        for step in steps {
                            let len = step.blocks as usize * disk.namespace().block_size() as usize;
                            let (read, buf) = disk.read(step.at, buffer(len, 0)).await;
                            assert_eq!(buf.len(), len, "it is the caller's");
                            if read.is_err() {
                                return;
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..after {
                yield_now().await;
            }
            controller.close().await.unwrap();
            for task in running {
                task.await.unwrap();
            }
            assert_eq!(DmaPool::local().stats().in_use, before, "buffers are lost");
            assert!(matches!(disk.flush().await, Err(Error::Closed)));
        });
    }
}
