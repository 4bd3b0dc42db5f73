//! One controller: what its namespace is as a device, what I/O becomes, and what becomes of failures.

use super::*;
use reactor::bdev::{NvmeCommand, NvmeData, Op, conformance};
use reactor::nvme::soft::Fault;
use reactor::nvme::spec::StatusCode;

#[test]
fn conforms_with_blocks_of_any_size() {
    for (shift, transfer_max) in [(9, 0), (12, 0), (12, 1), (16, 4)] {
        on_a_core(async || {
            let mut soft = SoftConfig::default();
            (soft.block_shift, soft.transfer_max) = (shift, transfer_max);
            let name = format!("one-conforms{shift}x{transfer_max}");
            let attached = Bay::new(&name, soft).await;
            let disk = open(&format!("{name}n1")).await;
            assert_eq!(disk.geometry().block_size, 1 << shift);
            conformance::check(&disk).await;
            drop(disk);
            attached.detach().await;
        });
    }
}

#[test]
fn a_namespace_is_a_device_by_its_name_until_it_is_detached() {
    on_a_core(async || {
        let attached = Bay::new("one-named", SoftConfig::default()).await;
        assert_eq!(attached.nvme.disks(), ["one-namedn1"]);
        assert!(attached.nvme.refused().is_empty());
        let disk = open("one-namedn1").await;
        assert_eq!((disk.module(), disk.geometry().block_count), ("nvme", 2048));
        let paths = disk.module_as::<Disk>().unwrap().paths();
        assert_eq!((paths.len(), &*paths[0].controller, paths[0].is_used), (1, "one-named", true));
        let channel = disk.channel().unwrap();
        write(&channel, 7, 3).await;
        assert_eq!(reads(&channel, 7).await, 3);
        drop((disk, channel));
        attached.detach().await;
        assert!(matches!(bdev::open("one-namedn1", Access::ReadOnly).await, Err(Error::NotFound { .. })));
    });
}

#[test]
fn devices_outlive_the_handle() {
    on_a_core(async || {
        let Bay { nvme, .. } = Bay::new("one-handle", SoftConfig::default()).await;
        drop(nvme);
        turns(10).await;
        let disk = open("one-handlen1").await;
        write(&disk.channel().unwrap(), 1, 9).await;
        drop(disk);
        bdev::unregister("one-handlen1").unwrap().await;
    });
}

#[test]
fn what_the_controller_refuses_has_the_error_of_the_layer() {
    let cases = [
        (StatusCode::UNRECOVERED_READ, "the medium failed"),
        (StatusCode::WRITE_FAULT, "the medium failed"),
        (StatusCode::CAPACITY_EXCEEDED, "no space left"),
        (StatusCode::WRITE_PROTECTED, "read-only"),
        (StatusCode::LBA_OUT_OF_RANGE, "past the end"),
        (StatusCode::RESERVATION_CONFLICT, "reserved"),
        (StatusCode::ABORT_REQUESTED, "aborted"),
        (StatusCode::INVALID_OPCODE, "cannot read"),
        (StatusCode::INTERNAL_ERROR, "failed below"),
    ];
    on_a_core(async || {
        let attached = Bay::new("one-refused", SoftConfig::default()).await;
        let channel = open("one-refusedn1").await.channel().unwrap();
        for (code, words) in cases {
            // As often as it is tried again, for those that are.
            (0..4).for_each(|_| attached.device.inject(Fault::Fail(code)));
            let e = channel.read(0..1).await.unwrap_err();
            assert!(e.to_string().contains(words), "{code}: {e}");
            attached.device.clear_faults();
        }
        drop(channel);
        attached.detach().await;
    });
}

#[test]
fn what_may_succeed_next_time_is_tried_again_a_few_times() {
    on_a_core(async || {
        let attached = Bay::new("one-again", SoftConfig::default()).await;
        let channel = open("one-againn1").await.channel().unwrap();
        for (failures, is_well) in [(1, true), (3, true), (4, false)] {
            (0..failures).for_each(|_| attached.device.inject(Fault::Fail(StatusCode::NAMESPACE_NOT_READY)));
            assert_eq!(channel.read(0..1).await.is_ok(), is_well, "{failures}");
            (0..failures).for_each(|_| attached.device.inject(Fault::Fail(StatusCode::NAMESPACE_NOT_READY)));
            assert_eq!(channel.write(0, buffer(512, 1)).await.is_ok(), is_well, "{failures}");
        }
        drop(channel);
        attached.detach().await;
    });
}

#[test]
fn a_path_that_fails_is_used_again_once_its_controller_has_answered() {
    on_a_core(async || {
        let attached = Bay::new("one-path", SoftConfig::default()).await;
        let disk = open("one-pathn1").await;
        let channel = disk.channel().unwrap();
        attached.device.inject(Fault::Fail(StatusCode::INTERNAL_PATH_ERROR));
        write(&channel, 3, 5).await;
        attached.device.inject(Fault::Fail(StatusCode::ABORTED_SQ_DELETION));
        assert_eq!(reads(&channel, 3).await, 5);
        assert!(disk.module_as::<Disk>().unwrap().paths()[0].is_used);
        drop((disk, channel));
        attached.detach().await;
    });
}

#[test]
fn commands_of_ones_own_are_answered_as_the_controller_does() {
    on_a_core(async || {
        let attached = Bay::new("one-own", SoftConfig::default()).await;
        let channel = open("one-ownn1").await.channel().unwrap();
        assert!([Op::NvmeAdmin, Op::NvmeIo, Op::Reset].iter().all(|op| channel.descriptor().supports(*op)));
        // Identify Controller.
        let identify = NvmeCommand::new(0x06).with_dword(10, 1);
        let answer = channel.nvme_admin(identify, NvmeData::Read(buffer(4096, 0))).await.unwrap();
        let page = answer.data.unwrap();
        assert_eq!(answer.status, 0);
        assert_eq!(page[4..24], attached.nvme.source().identity().serial_bytes);
        // A write, and a read of what it wrote.
        let place = |opcode| NvmeCommand::new(opcode).with_dword(10, 11);
        let written = channel.nvme_io(place(1), NvmeData::Write(buffer(512, 4).freeze())).await.unwrap();
        assert_eq!((written.status, reads(&channel, 11).await), (0, 4));
        let read = channel.nvme_io(place(2), NvmeData::Read(buffer(512, 0))).await.unwrap();
        assert_eq!((read.status, read.data.unwrap()[511]), (0, 4));
        // What has no room, writes what is shared, or is of a length that nobody knows does not reach the controller.
        let two = place(2).with_dword(12, 1);
        for (command, data) in [
            (two, NvmeData::Read(buffer(512, 0))),
            (place(2), NvmeData::Write(buffer(512, 0).freeze())),
            (place(0x82), NvmeData::Read(buffer(4096, 0))),
        ] {
            let bells = attached.device.bells();
            channel.nvme_io(command, data).await.unwrap_err();
            assert_eq!(attached.device.bells(), bells, "{command:?}");
        }
        // Refusals are answers, and tried once.
        let past = NvmeCommand::new(2).with_dword(10, u32::MAX);
        let refused = channel.nvme_io(past, NvmeData::Read(buffer(512, 0))).await.unwrap();
        assert_eq!((refused.status & 0x7ff, refused.data.is_some()), (StatusCode::LBA_OUT_OF_RANGE.0, true));
        attached.device.inject(Fault::Fail(StatusCode::NAMESPACE_NOT_READY));
        let refused = channel.nvme_io(place(2), NvmeData::Read(buffer(512, 0))).await.unwrap();
        assert_eq!(refused.status, StatusCode::NAMESPACE_NOT_READY.0);
        drop(channel);
        attached.detach().await;
    });
}
