//! Zoned namespaces: what may be written where, and how many zones may be open.

use super::*;
use crate::nvme::soft::SoftZones;
use crate::nvme::spec::{ReportFilter, ZoneAction, ZoneReport, ZoneState};

/// Four zones of 16 blocks, 12 of which can be written; two may be open, three active.
fn zoned() -> Host {
    let zones = SoftZones { capacity: 12, open_max: 2, active_max: 3, ..SoftZones::new(16) };
    Host::with(SoftNamespace { zones: Some(zones), ..SoftNamespace::new(64, 9) })
}

fn write(host: &mut Host, lba: u64, blocks: u32) -> Result<u64, StatusCode> {
    host.write(Command::write(2, lba, blocks), &vec![lba as u8; blocks as usize * 512])
}

fn send(host: &mut Host, zone: u64, action: ZoneAction) -> Result<u64, StatusCode> {
    host.io(Command::zone_send(2, zone * 16, action, false))
}

fn states(host: &mut Host, filter: ReportFilter) -> Vec<(u64, ZoneState, u64)> {
    let report = host.fetch(1, Command::zone_report(2, 0, filter, 512), 512).unwrap();
    let report = ZoneReport::parse(&report).unwrap();
    report.zones.iter().map(|zone| (zone.start.get(), zone.state(), zone.write_pointer.get())).collect()
}

#[test]
fn zones_are_written_at_their_write_pointers() {
    let mut host = zoned();
    assert_eq!(write(&mut host, 1, 1), Err(StatusCode::INVALID_ZONE_WRITE));
    write(&mut host, 0, 4).unwrap();
    assert_eq!(write(&mut host, 0, 1), Err(StatusCode::INVALID_ZONE_WRITE));
    assert_eq!(write(&mut host, 4, 9), Err(StatusCode::ZONE_BOUNDARY), "beyond the capacity");
    let append = |zone, blocks| Command::zone_append(2, zone, blocks);
    assert_eq!(host.write(append(0, 2), &[1; 1024]), Ok(4));
    assert_eq!(host.write(append(0, 6), &[1; 3072]), Ok(6));
    assert_eq!(host.write(append(0, 1), &[1; 512]), Err(StatusCode::ZONE_FULL));
    assert_eq!(host.write(append(1, 1), &[1; 512]), Err(StatusCode::INVALID_FIELD));
    assert_eq!(host.write(append(16, 13), &[1; 13 * 512]), Err(StatusCode::ZONE_BOUNDARY));
    assert_eq!(write(&mut host, 12, 1), Err(StatusCode::ZONE_FULL));
    assert_eq!(states(&mut host, ReportFilter::FULL), [(0, ZoneState::FULL, u64::MAX)]);
    send(&mut host, 0, ZoneAction::RESET).unwrap();
    assert_eq!(states(&mut host, ReportFilter::ALL)[0], (0, ZoneState::EMPTY, 0));
    assert_eq!(host.fetch(1, Command::read(2, 4, 1), 512).unwrap(), [0; 512]);
}

#[test]
fn as_many_zones_are_open_and_active_as_may_be() {
    let mut host = zoned();
    write(&mut host, 0, 1).unwrap();
    send(&mut host, 1, ZoneAction::OPEN).unwrap();
    write(&mut host, 32, 1).unwrap();
    let open = |start: u64| (start * 16, ZoneState::IMPLICITLY_OPEN, start * 16 + 1);
    assert_eq!(
        states(&mut host, ReportFilter::ALL),
        [
            (0, ZoneState::CLOSED, 1),
            (16, ZoneState::EXPLICITLY_OPEN, 16),
            open(2),
            (48, ZoneState::EMPTY, 48)
        ],
        "who was opened by a write made room"
    );
    assert_eq!(write(&mut host, 48, 1), Err(StatusCode::TOO_MANY_ACTIVE_ZONES));
    send(&mut host, 2, ZoneAction::OPEN).unwrap();
    assert_eq!(write(&mut host, 1, 1), Err(StatusCode::TOO_MANY_OPEN_ZONES));
    send(&mut host, 2, ZoneAction::FINISH).unwrap();
    write(&mut host, 48, 1).unwrap();
    assert_eq!(states(&mut host, ReportFilter::FULL).len(), 1);
    host.io(Command::zone_send(2, 0, ZoneAction::CLOSE, true)).unwrap();
    assert_eq!(states(&mut host, ReportFilter::CLOSED).len(), 3);
    host.io(Command::zone_send(2, 0, ZoneAction::RESET, true)).unwrap();
    assert_eq!(states(&mut host, ReportFilter::EMPTY).len(), 4);
}

#[test]
fn worn_zones_refuse_what_they_cannot_do() {
    let mut host = zoned();
    host.device.set_zone(2, 0, ZoneState::READ_ONLY);
    host.device.set_zone(2, 1, ZoneState::OFFLINE);
    assert_eq!(write(&mut host, 0, 1), Err(StatusCode::ZONE_READ_ONLY));
    assert_eq!(write(&mut host, 16, 1), Err(StatusCode::ZONE_OFFLINE));
    host.fetch(1, Command::read(2, 0, 1), 512).unwrap();
    assert_eq!(host.fetch(1, Command::read(2, 15, 2), 1024), Err(StatusCode::ZONE_OFFLINE));
    for action in [ZoneAction::CLOSE, ZoneAction::OPEN, ZoneAction::FINISH, ZoneAction::RESET] {
        assert_eq!(send(&mut host, 0, action), Err(StatusCode::INVALID_ZONE_TRANSITION), "{action}");
    }
    send(&mut host, 0, ZoneAction::OFFLINE).unwrap();
    assert_eq!(states(&mut host, ReportFilter::OFFLINE).len(), 2);
    assert_eq!(send(&mut host, 2, ZoneAction::OFFLINE), Err(StatusCode::INVALID_ZONE_TRANSITION));
}
