//! Namespaces of other formats through the kernel's driver: large blocks, metadata apart from the data, zones.

use super::in_guest;
use super::passthru::in_all_modes;
use reactor::nvme::passthru::{Namespace, Queue};
use reactor::nvme::spec::{ReportFilter, StatusCode, ZoneAction};
use reactor::nvme::{Channel, Error, IoOptions, Payload};
use reactor::sys::dma::{DmaBuf, DmaPool};
use std::fs;

const PAGE: usize = 4096;

#[test]
fn formats() {
    let dir = tempfile::tempdir().unwrap();
    let drive = |name: &str| {
        let path = dir.path().join(name);
        fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
        format!("-drive file={},if=none,id={name},format=raw ", path.display())
    };
    let large = "logical_block_size=4096,physical_block_size=4096";
    let zoned = "zoned=on,zoned.zone_size=4M,zoned.zone_capacity=3M";
    let drives: String = ["large", "apart", "zones"].map(drive).concat();
    let devices = format!(
        "-device nvme,id=n0,serial=formats -device nvme-ns,drive=large,nsid=1,bus=n0,{large} \
         -device nvme-ns,drive=apart,nsid=2,bus=n0,{large},ms=8,mset=0 \
         -device nvme-ns,drive=zones,nsid=3,bus=n0,{large},{zoned}"
    );
    let stories =
        [blocks_of_4096_bytes, metadata_apart_from_the_data, zones_are_reported_appended_to_and_reset];
    in_guest("formats::formats", &["-q", &(drives + &devices)], &stories);
}

/// The namespace of this identifier: names follow the order in which the kernel has found them.
async fn of_id(id: u32) -> (Namespace, Channel<Queue>) {
    for n in 1..=3 {
        let namespace = Namespace::open(format!("/dev/ng0n{n}")).await.unwrap();
        if namespace.description().id() == id {
            let channel = Channel::new(namespace.description().clone(), namespace.queue().unwrap());
            return (namespace, channel);
        }
    }
    panic!("no namespace {id}")
}

fn filled(byte: u8, len: usize) -> DmaBuf {
    let mut buf = DmaPool::local().try_alloc(len).unwrap();
    buf.fill(byte);
    buf
}

fn blocks_of_4096_bytes() {
    in_all_modes(async || {
        let (_namespace, channel) = of_id(1).await;
        assert_eq!((channel.namespace().block_size(), channel.namespace().size()), (4096, 64 << 8));
        let pages = (1..=3).map(|byte| filled(byte, PAGE).freeze()).collect();
        channel.write_vectored(5, pages).await.unwrap();
        let (read, pages) = channel.read_vectored(5, (0..3).map(|_| filled(0xff, PAGE)).collect()).await;
        read.unwrap();
        assert!((1..).zip(&pages).all(|(byte, page)| page.iter().all(|found| *found == byte)));
        channel.compare(6, filled(2, PAGE).freeze(), IoOptions::new()).await.unwrap();
        let Err(Error::Status(status)) = channel.compare(6, filled(3, PAGE).freeze(), IoOptions::new()).await
        else {
            panic!("they differ")
        };
        assert_eq!(status.code(), StatusCode::COMPARE_FAILURE);
        channel.write_zeroes(6..7).await.unwrap();
        channel.deallocate(7..8).await.unwrap();
        let (read, page) = channel.read(6, filled(0xff, PAGE)).await;
        read.unwrap();
        assert!(page.iter().all(|byte| *byte == 0));
        let fused = channel.compare_and_write(5, page.freeze(), page_of(9), IoOptions::new()).await;
        assert!(matches!(fused, Err(Error::Unsupported(_))), "the kernel has none");
    });
}

fn page_of(byte: u8) -> Payload {
    filled(byte, PAGE).freeze().into()
}

fn metadata_apart_from_the_data() {
    in_all_modes(async || {
        let (_namespace, channel) = of_id(2).await;
        let format = channel.namespace().format();
        assert_eq!((format.block_size, format.metadata_size, format.is_extended), (4096, 8, false));
        for (lba, blocks) in [(0, 1), (7, 16)] {
            let payload = Payload::from(filled(lba as u8 + 1, blocks * PAGE).freeze())
                .with_metadata(filled(lba as u8 + 0x80, blocks * 8).freeze());
            channel.write_with(lba, payload, IoOptions::new()).await.0.unwrap();
            let payload = Payload::from(filled(0, blocks * PAGE)).with_metadata(filled(0, blocks * 8));
            let (read, payload) = channel.read_with(lba, payload, IoOptions::new()).await;
            read.unwrap();
            let (data, metadata) = payload.into_bufs_and_metadata();
            assert!(data[0].iter().all(|byte| *byte == lba as u8 + 1));
            assert_eq!(metadata.unwrap()[..], vec![lba as u8 + 0x80; blocks * 8]);
        }
        let (read, _) = channel.read(0, filled(0, PAGE)).await;
        assert!(matches!(read, Err(Error::Metadata { needed: 8, .. })));
    });
}

fn zones_are_reported_appended_to_and_reset() {
    in_all_modes(async || {
        let (_namespace, channel) = of_id(3).await;
        let (size, zone) = (channel.namespace().size(), channel.namespace().zones().unwrap().blocks);
        assert_eq!((size, zone), (64 << 8, 4 << 8));
        channel.zone_manage(zone, ZoneAction::RESET).await.unwrap();
        for n in 0..3 {
            let at = channel.zone_append(zone, page_of(n), IoOptions::new()).await.unwrap();
            assert_eq!(at, zone + u64::from(n));
        }
        let zones = channel.zones(0..size, ReportFilter::ALL).await.unwrap();
        assert_eq!((zones.len(), zones[1].write_pointer.get()), (16, zone + 3));
        let (read, pages) = channel.read(zone, filled(9, 3 * PAGE)).await;
        read.unwrap();
        assert!(pages.chunks(PAGE).enumerate().all(|(n, page)| page.iter().all(|byte| *byte == n as u8)));
        let Err(Error::Status(status)) = channel.write(zone, filled(1, PAGE).freeze()).await else {
            panic!("it is not where the zone goes on")
        };
        assert_eq!(status.code(), StatusCode::INVALID_ZONE_WRITE);
    });
}
