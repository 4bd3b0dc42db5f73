//! Commands on ranges of blocks, in as many as the controller's limits make of them.

use super::*;
use crate::nvme::Error;
use crate::nvme::IoOptions;
use crate::nvme::spec::{Command, DatasetAttributes, IdentifyNvmController, IdentifyWhat, StatusCode};
use zerocopy::{FromBytes, IntoBytes};

/// Has the controller tell of other limits.
fn tell(device: &SoftController, limits: impl Fn(&mut IdentifyNvmController) + Send + 'static) {
    device.tamper(move |command: &Command, answer| {
        if command.identify_what() == IdentifyWhat::CONTROLLER_OF_SET && command.opcode() == 6 {
            let mut told = IdentifyNvmController::read_from_bytes(answer).unwrap();
            limits(&mut told);
            answer.copy_from_slice(told.as_bytes());
        }
    });
}

async fn commands(disk: &Disk, work: impl Future<Output = Result<(), Error>>) -> u64 {
    let before = disk.queue().counters().submitted;
    work.await.unwrap();
    disk.queue().counters().submitted - before
}

#[test]
fn ranges_are_split_at_what_the_controller_says() {
    on_a_core(SoftConfig::default(), entries(8), async |device, controller, _works| {
        tell(&device, |told| {
            // 16, 32 and 8 blocks, the last as 4 KiB; 3 ranges of up to 10 blocks, 25 in all.
            (told.write_zeroes_max, told.verify_max, told.write_uncorrectable_max) = (1, 2, 0);
            told.dataset_ranges_max = 3;
            told.dataset_range_max.set(10);
            told.dataset_max.set(25);
        });
        let disk = disk_of(&controller).await;
        let ones = || buffer(2048 * 512, 1);
        disk.write(0, ones().freeze()).await.unwrap();
        assert_eq!(commands(&disk, disk.write_zeroes(3..103)).await, 7);
        assert_eq!(commands(&disk, disk.verify(0..100, IoOptions::new())).await, 4);
        assert_eq!(commands(&disk, disk.write_uncorrectable(2000..2001)).await, 1);
        let Err(Error::Status(status)) = disk.verify(1990..2040, IoOptions::new()).await else { panic!() };
        assert_eq!(status.code(), StatusCode::UNRECOVERED_READ);
        disk.write(2000, buffer(512, 1).freeze()).await.unwrap();
        // 10, 10, 5 | 5, 10 (ten of thirty), 10 | 10, 7.
        let ranges = [200..230, 300..330, 400..407];
        let deallocates = DatasetAttributes::default().with_deallocates(true);
        assert_eq!(commands(&disk, disk.dataset_management(&ranges, deallocates)).await, 3);
        let (_, buf) = disk.read(0, ones()).await;
        // 15 blocks in all: 10, 5 | 5, 10 | 10, 5 | 5, 10 | 7.
        tell(&device, |told| {
            told.dataset_ranges_max = 3;
            told.dataset_range_max.set(10);
            told.dataset_max.set(15);
        });
        let less = disk_of(&controller).await;
        assert_eq!(commands(&less, less.dataset_management(&ranges, deallocates)).await, 5);
        for lba in 0..2048 {
            let is_zero = (3..103).contains(&lba) || ranges.iter().any(|range| range.contains(&(lba as u64)));
            assert_eq!(buf[lba * 512], u8::from(!is_zero), "{lba}");
        }
    });
}

#[test]
fn copies_go_in_as_many_commands_as_they_need() {
    on_a_core(SoftConfig::default(), entries(8), async |_, controller, _works| {
        let disk = disk_of(&controller).await;
        let mut buf = buffer(2048 * 512, 0);
        buf.chunks_mut(512).enumerate().for_each(|(lba, block)| block.fill((lba % 251) as u8));
        disk.write(0, buf.freeze()).await.unwrap();
        // Ranges of up to 256 blocks, 16 of them, 1,024 in all: 256, 44, then 700 as 256, 256, 188 and 24 more.
        assert_eq!(commands(&disk, disk.copy(&[0..300, 300..1000], 1024)).await, 1);
        // Twenty of one block each take two.
        let ones: Vec<_> = (0..20).map(|n| n * 2..n * 2 + 1).collect();
        assert_eq!(commands(&disk, disk.copy(&ones, 2025)).await, 2);
        let (_, buf) = disk.read(0, buffer(2048 * 512, 0xee)).await;
        assert!((0..1000).all(|n| buf[(1024 + n) * 512] == (n % 251) as u8));
        assert!((0..20).all(|n| buf[(2025 + n) * 512] == (n * 2) as u8));
        assert!(matches!(disk.copy(std::slice::from_ref(&(10..20)), 19).await, Err(Error::Overlap)));
        assert!(matches!(
            disk.copy(std::slice::from_ref(&(0..20)), 2030).await,
            Err(Error::OutOfRange { .. })
        ));
        disk.copy(std::slice::from_ref(&(10..20)), 20).await.unwrap();
    });
}

#[test]
fn what_the_controller_has_not_is_not_asked() {
    on_a_core(SoftConfig::default(), entries(8), async |_, controller, _works| {
        let disk = disk_of(&controller).await;
        let before = disk.queue().counters().submitted;
        assert!(matches!(disk.write_zeroes(5..5).await, Err(Error::OutOfRange { .. })));
        assert!(matches!(disk.verify(0..2049, IoOptions::new()).await, Err(Error::OutOfRange { .. })));
        let (lost, reversed) = (2000..3000, std::ops::Range { start: 7, end: 3 });
        assert!(matches!(disk.copy(&[lost], 0).await, Err(Error::OutOfRange { .. })));
        assert!(matches!(disk.deallocate(reversed).await, Err(Error::OutOfRange { .. })));
        assert_eq!(disk.queue().counters().submitted, before);
    });
}
