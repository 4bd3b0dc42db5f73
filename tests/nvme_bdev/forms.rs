//! Every form of blocks that a namespace may have: metadata apart or within, protected or not, zones.

use super::*;
use reactor::bdev::{ZoneAction, ZoneState, conformance};
use reactor::nvme::soft::{Fault, SoftNamespace, SoftZones};
use reactor::nvme::spec::StatusCode;

/// Makes a further namespace of this form, and does something with it as a device.
fn with(name: &str, soft: SoftNamespace, test: impl AsyncFnOnce(&Bay, Descriptor)) {
    on_a_core(async || {
        let device = SoftController::default();
        let nsid = device.add_namespace(soft);
        let attached = Bay::over(name, device, options()).await;
        assert_eq!(attached.nvme.refused(), [], "{soft:?}");
        let disk = open(&format!("{name}n{nsid}")).await;
        test(&attached, disk).await;
        attached.detach().await;
    });
}

#[test]
fn conforms_with_metadata_of_every_kind() {
    for is_extended in [false, true] {
        for (metadata_bytes, protection, is_protection_first) in
            [(64, 0, false), (8, 1, false), (8, 2, false), (16, 1, true), (16, 3, true)]
        {
            let mut soft = SoftNamespace::new(300, if metadata_bytes == 64 { 12 } else { 9 });
            (soft.metadata_bytes, soft.is_extended) = (metadata_bytes, is_extended);
            (soft.protection, soft.is_protection_first) = (protection, is_protection_first);
            let name = format!("forms-md{metadata_bytes}p{protection}{is_protection_first}{is_extended}");
            with(&name, soft, async |_, disk| {
                let metadata = disk.geometry().metadata.unwrap();
                assert_eq!((metadata.bytes, metadata.interleaved), (metadata_bytes.into(), is_extended));
                assert_eq!(metadata.protection.is_some(), protection > 0);
                conformance::check(&disk).await;
            });
        }
    }
}

#[test]
fn conforms_with_zones() {
    for (capacity, reads_cross) in [(128, true), (100, false)] {
        let mut zones = SoftZones::new(128);
        (zones.capacity, zones.reads_cross) = (capacity, reads_cross);
        let mut soft = SoftNamespace::new(128 * 80, 9);
        soft.zones = Some(zones);
        with(&format!("forms-zones{capacity}"), soft, async |_, disk| conformance::check(&disk).await);
    }
}

#[test]
fn what_is_more_than_a_command_takes_is_written_to_a_zone_in_order() {
    on_a_core(async || {
        let mut soft = SoftConfig::default();
        soft.transfer_max = 1;
        let device = SoftController::new(soft);
        let mut zoned = SoftNamespace::new(4096, 9);
        zoned.zones = Some(SoftZones::new(1024));
        let nsid = device.add_namespace(zoned);
        let attached = Bay::over("forms-order", device, options()).await;
        let disk = open(&format!("forms-ordern{nsid}")).await;
        let channel = disk.channel().unwrap();
        let mut data = buffer(512 * 1000, 0);
        data.chunks_mut(512).enumerate().for_each(|(at, block)| block.fill(at as u8));
        channel.write(1024, data).await.unwrap();
        let read = channel.read(1024..2024).await.unwrap();
        assert!(read.chunks(512).enumerate().all(|(at, block)| block.iter().all(|byte| *byte == at as u8)));
        let zone = channel.zones(1024..1025).await.unwrap()[0];
        assert_eq!((zone.write_pointer, zone.state), (2024, ZoneState::ImplicitlyOpen));
        let e = channel.write(2000, buffer(512, 1)).await.unwrap_err();
        assert!(matches!(e, Error::Zone { start: 1024, write_pointer: 2024, .. }), "{e}");
        channel.zone_manage(1024, ZoneAction::Finish).await.unwrap();
        let e = channel.zone_append(1024, buffer(512, 1)).await.unwrap_err();
        assert!(matches!(e, Error::Zone { state: ZoneState::Full, .. }), "{e}");
        drop((channel, disk));
        attached.detach().await;
    });
}

#[test]
fn a_block_that_differs_is_named() {
    with("forms-differs", SoftNamespace::new(256, 9), async |_, disk| {
        let channel = disk.channel().unwrap();
        channel.write(0, buffer(512 * 16, 1)).await.unwrap();
        write(&channel, 9, 2).await;
        let e = channel.compare(4, buffer(512 * 8, 1)).await.unwrap_err();
        assert!(matches!(e, Error::Miscompare { lba: 9 }), "{e}");
        let e = channel.compare_and_write(9, buffer(512, 1), buffer(512, 3)).await.unwrap_err();
        assert!(matches!(e, Error::Miscompare { lba: 9 }), "{e}");
        assert_eq!(reads(&channel, 9).await, 2);
        channel.compare_and_write(9, buffer(512, 2), buffer(512, 3)).await.unwrap();
        assert_eq!(reads(&channel, 9).await, 3);
    });
}

#[test]
fn vectors_and_unmaps_and_copies_are_commands_of_the_controller() {
    with("forms-native", SoftNamespace::new(4096, 9), async |attached, disk| {
        use reactor::bdev::Op;
        for op in [Op::Unmap, Op::WriteZeroes, Op::Compare, Op::CompareAndWrite, Op::Copy] {
            assert!(disk.supports(op), "{op}");
        }
        let channel = disk.channel().unwrap();
        channel.read(0..1).await.unwrap();
        let queue = attached.nvme.source().queue_pair().await.unwrap();
        let before = queue.counters().submitted;
        let list = (0..4).map(|byte| buffer(512, byte).freeze()).collect();
        channel.write_vectored(8, list).await.unwrap();
        let bufs = channel.read_vectored(8..12, vec![buffer(1024, 9), buffer(1024, 9)]).await.unwrap();
        assert_eq!((bufs[0][0], bufs[0][512], bufs[1][0], bufs[1][1023]), (0, 1, 2, 3));
        channel.copy(9..12, 100).await.unwrap();
        assert_eq!(reads(&channel, 102).await, 3);
        channel.unmap(100..103).await.unwrap();
        channel.write_zeroes(8..12).await.unwrap();
        assert_eq!(reads(&channel, 11).await, 0);
        assert_eq!(queue.counters().submitted - before, 7, "one command for each");
        // What has no command of its own fails as what it is made of does.
        attached.device.inject(Fault::Fail(StatusCode::WRITE_FAULT));
        (0..3).for_each(|_| attached.device.inject(Fault::Fail(StatusCode::WRITE_FAULT)));
        assert!(matches!(channel.write(0, buffer(512, 1)).await, Err(Error::Media)));
    });
}
