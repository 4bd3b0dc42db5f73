//! Zones: written in order, appended to in any, reported, and no more open than may be.

use super::*;
use crate::nvme::soft::{Fault, SoftNamespace, SoftZones};
use crate::nvme::spec::{ReportFilter, StatusCode, ZoneAction, ZoneState};
use crate::nvme::{Error, IoOptions};
use crate::spawn_local;
use std::rc::Rc;

/// 64 zones of 32 blocks of 512 bytes, at most 3 of them open; commands of up to 16 blocks.
async fn zoned(device: &SoftController, controller: &Controller<SoftController>) -> Disk {
    let mut like = SoftNamespace::new(2048, 9);
    let mut zones = SoftZones::new(32);
    (zones.open_max, zones.active_max, zones.reads_cross) = (3, 3, false);
    like.zones = Some(zones);
    let id = device.add_namespace(like);
    Channel::new(controller.namespace(id).await.unwrap(), controller.queue_pair().await.unwrap())
}

fn soft() -> SoftConfig {
    SoftConfig { transfer_max: 1, ..SoftConfig::default() }
}

async fn states(disk: &Disk, filter: ReportFilter) -> Vec<(u64, ZoneState)> {
    let zones = disk.zones(0..2048, filter).await.unwrap();
    zones.iter().map(|zone| (zone.start.get() / 32, zone.state())).collect()
}

#[test]
fn zones_are_written_in_order_and_read_across() {
    on_a_core(soft(), Config::default(), async |device, controller, _works| {
        let disk = zoned(&device, &controller).await;
        let known = disk.namespace().zones().unwrap();
        assert_eq!((known.blocks, known.open_max, known.reads_cross), (32, Some(3), false));
        // Four zones and a half at once, which are nine commands, each at the write pointer.
        let mut buf = buffer(144 * 512, 0);
        buf.chunks_mut(512).enumerate().for_each(|(lba, block)| block.fill(lba as u8));
        // The first is late: those behind it have to wait.
        device.inject(Fault::Delay(3));
        disk.write(0, buf.freeze()).await.unwrap();
        let (read, buf) = disk.read(0, buffer(160 * 512, 0xee)).await;
        read.unwrap();
        assert!(
            buf.chunks(512).enumerate().all(|(lba, block)| block[0] == if lba < 144 { lba as u8 } else { 0 })
        );
        let full = states(&disk, ReportFilter::FULL).await;
        assert_eq!(full, [0, 1, 2, 3].map(|zone| (zone, ZoneState::FULL)));
        let zones = disk.zones(128..192, ReportFilter::ALL).await.unwrap();
        let found: Vec<_> = zones.iter().map(|zone| (zone.start.get(), zone.write_pointer.get())).collect();
        assert_eq!(found, [(128, 144), (160, 160)]);
        let Err(Error::Status(status)) = disk.write(130, buffer(512, 0).freeze()).await else { panic!() };
        assert_eq!(status.code(), StatusCode::INVALID_ZONE_WRITE);
    });
}

#[test]
fn appends_find_their_places() {
    on_a_core(soft(), Config::default(), async |device, controller, _works| {
        let disk = Rc::new(zoned(&device, &controller).await);
        let tasks: Vec<_> = (0..16_u8)
            .map(|n| {
                let disk = disk.clone();
                spawn_local(async move {
                    let bytes = buffer(1024, n).freeze();
                    (n, disk.zone_append(64, bytes, IoOptions::new()).await.unwrap())
                })
            })
            .collect();
        let mut places = Vec::new();
        for task in tasks {
            let (n, lba) = task.await.unwrap();
            assert_eq!((reads(&disk, lba).await, reads(&disk, lba + 1).await), (n, n));
            places.push(lba);
        }
        places.sort_unstable();
        assert_eq!(places, (0..16).map(|n| 64 + n * 2).collect::<Vec<_>>());
        let append = |zone, len| disk.zone_append(zone, buffer(len, 0), IoOptions::new());
        let Err(Error::Status(status)) = append(64, 512).await else { panic!() };
        assert_eq!(status.code(), StatusCode::ZONE_FULL);
        assert!(matches!(append(65, 512).await, Err(Error::NoZone { lba: 65, blocks: 32 })));
        assert!(matches!(append(96, 16384).await, Err(Error::TooLarge { len: 16384, max: 8192 })));
    });
}

#[test]
fn no_more_zones_are_open_than_may_be_and_all_are_reset_at_once() {
    on_a_core(soft(), Config::default(), async |device, controller, _works| {
        let disk = zoned(&device, &controller).await;
        for zone in [0, 32, 64] {
            disk.zone_manage(zone, ZoneAction::OPEN).await.unwrap();
        }
        let Err(Error::Status(status)) = disk.zone_manage(96, ZoneAction::OPEN).await else { panic!() };
        assert!(
            [StatusCode::TOO_MANY_OPEN_ZONES, StatusCode::TOO_MANY_ACTIVE_ZONES].contains(&status.code()),
            "{status}"
        );
        disk.zone_manage(32, ZoneAction::FINISH).await.unwrap();
        disk.zone_manage(96, ZoneAction::OPEN).await.unwrap();
        let open = states(&disk, ReportFilter::EXPLICITLY_OPEN).await;
        assert_eq!(open, [0, 2, 3].map(|zone| (zone, ZoneState::EXPLICITLY_OPEN)));
        disk.zone_manage_all(ZoneAction::RESET).await.unwrap();
        // Zeroes are written in order as well, and zone by zone.
        device.inject(Fault::Delay(3));
        disk.write_zeroes(0..80).await.unwrap();
        assert_eq!(states(&disk, ReportFilter::FULL).await.len(), 2);
        disk.zone_manage_all(ZoneAction::RESET).await.unwrap();
        assert_eq!(states(&disk, ReportFilter::EMPTY).await.len(), 64);
        let brings = disk.zone_manage(0, ZoneAction::SET_DESCRIPTOR_EXTENSION).await;
        assert!(matches!(brings, Err(Error::Unsupported(_))));
        let plain = disk_of(&controller).await;
        assert!(matches!(plain.zone_manage(0, ZoneAction::RESET).await, Err(Error::Unsupported(_))));
    });
}
