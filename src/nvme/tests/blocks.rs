//! Reads and writes, one by one and many at a time.

use super::*;
use crate::nvme::Error;
use crate::spawn_local;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Write { lba: u64, blocks: u64, byte: u8, skip: usize },
    Read { lba: u64, blocks: u64, skip: usize },
    Zero { lba: u64, blocks: u64 },
    Deallocate { lba: u64, blocks: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Beyond the end as well, over the one page that needs no list and over two, and from buffers that start within a page.
    let place = || (0..2100_u64, prop_oneof![1..40_u64, 1..600_u64]);
    let skip = || prop_oneof![Just(0_usize), (1..1024_usize).prop_map(|dwords| dwords * 4)];
    let one = prop_oneof![
        (place(), any::<u8>(), skip()).prop_map(|((lba, blocks), byte, skip)| Step::Write {
            lba,
            blocks,
            byte,
            skip
        }),
        (place(), skip()).prop_map(|((lba, blocks), skip)| Step::Read { lba, blocks, skip }),
        place().prop_map(|(lba, blocks)| Step::Zero { lba, blocks }),
        place().prop_map(|(lba, blocks)| Step::Deallocate { lba, blocks }),
    ];
    prop::collection::vec(one, 1..40)
}

/// What a write of `byte` puts: different in each block, so that pages that change places are noticed.
fn pattern(len: usize, byte: u8) -> impl Iterator<Item = u8> {
    (0..len).map(move |at| byte ^ (at / 512) as u8 ^ (at / 4096) as u8)
}

async fn take(disk: &Disk, step: Step, model: &mut [u8]) {
    let cut = |len: usize, skip: usize| {
        let mut buf = buffer(len + skip, 0xee);
        drop(buf.split_to(skip));
        buf
    };
    let place = |lba: u64, blocks: u64| lba as usize * 512..(lba + blocks) as usize * 512;
    let (lba, blocks) = match step {
        Step::Write { lba, blocks, .. } | Step::Read { lba, blocks, .. } => (lba, blocks),
        Step::Zero { lba, blocks } | Step::Deallocate { lba, blocks } => (lba, blocks),
    };
    let range = place(lba, blocks);
    let done = match step {
        Step::Write { byte, skip, .. } => {
            let mut buf = cut(range.len(), skip);
            buf.iter_mut().zip(pattern(range.len(), byte)).for_each(|(to, from)| *to = from);
            disk.write(lba, buf.freeze()).await
        }
        Step::Read { skip, .. } => {
            let (read, buf) = disk.read(lba, cut(range.len(), skip)).await;
            if read.is_ok() {
                assert!(buf[..] == model[range.clone()], "{step:?}");
            }
            read
        }
        Step::Zero { .. } => disk.write_zeroes(lba..lba + blocks).await,
        Step::Deallocate { .. } => disk.deallocate(lba..lba + blocks).await,
    };
    if range.end > model.len() {
        assert!(matches!(done, Err(Error::OutOfRange { .. })), "{done:?}");
        return;
    }
    done.unwrap();
    match step {
        Step::Write { byte, .. } => {
            let bytes = pattern(range.len(), byte);
            model[range].iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        }
        Step::Zero { .. } | Step::Deallocate { .. } => model[range].fill(0),
        Step::Read { .. } => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_namespace_keeps_what_is_written(steps in steps()) {
        on_a_core(SoftConfig::default(), entries(8), async |_, controller, _works| {
            let disk = disk_of(&controller).await;
            let mut model = vec![0; 2048 * 512];
            for step in steps {
                take(&disk, step, &mut model).await;
            }
            disk.flush().await.unwrap();
            assert_eq!(disk.queue().counters().strays, 0);
        });
    }
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_buffer() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, controller, _works| {
        let disk = disk_of(&controller).await;
        let bells = device.bells();
        let mut odd = buffer(514, 0);
        drop(odd.split_to(2));
        for (lba, buf, message) in [
            (0, buffer(100, 0), "a buffer of 100 bytes is no positive number of blocks of 512 bytes"),
            (2048, buffer(512, 0), "blocks 2048..2049 are not within the namespace's 2048"),
            (
                u64::MAX,
                buffer(512, 0),
                "blocks 18446744073709551615..18446744073709551616 are not within the namespace's 2048",
            ),
            (
                0,
                odd,
                "a buffer that does not begin on a multiple of 4 bytes: take one as it comes from the pool",
            ),
        ] {
            let len = buf.len();
            let (read, buf) = disk.read(lba, buf).await;
            assert_eq!((read.unwrap_err().to_string().as_str(), buf.len()), (message, len));
            assert_eq!(disk.write(lba, buf.freeze()).await.unwrap_err().to_string(), message);
        }
        assert!(matches!(disk.write_zeroes(5..5).await, Err(Error::OutOfRange { .. })));
        turns().await;
        assert_eq!(device.bells(), bells, "the controller has heard of none");
    });
}

/// The tail's tells of commands; the head's of no more than room, if the controller does not interrupt.
#[test]
fn a_batch_rings_the_tail_once_and_a_quarter_of_the_queue_the_head() {
    on_a_core(SoftConfig::default(), entries(128), async |device, controller, works| {
        let disk = std::rc::Rc::new(disk_of(&controller).await);
        turns().await;
        drop(works);
        for (commands, heads) in [(31, 0), (1, 1), (31, 0), (3, 1), (29, 0)] {
            let bells = device.bells();
            let tasks: Vec<_> = (0..commands)
                .map(|lba| {
                    let disk = disk.clone();
                    spawn_local(async move { reads(&disk, lba).await })
                })
                .collect();
            turns().await;
            assert_eq!(device.bells() - bells, 1, "{commands} commands, one tail");
            assert_eq!(device.step() as u64, commands);
            turns().await;
            assert_eq!(device.bells() - bells, 1 + heads, "{commands} answers");
            for task in tasks {
                assert_eq!(task.await.unwrap(), 0);
            }
        }
    });
}

#[test]
fn a_full_queue_makes_commands_wait_in_order() {
    on_a_core(SoftConfig::default(), entries(4), async |_, controller, _works| {
        let disk = std::rc::Rc::new(disk_of(&controller).await);
        let done = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..100_u64)
            .map(|n| {
                let (disk, done) = (disk.clone(), done.clone());
                spawn_local(async move {
                    write(&disk, n % 7, n as u8).await;
                    done.borrow_mut().push(n);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*done.borrow(), (0..100).collect::<Vec<_>>());
        assert_eq!(reads(&disk, 99 % 7).await, 99);
    });
}
