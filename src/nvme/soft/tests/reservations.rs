//! Reservations of two hosts that share a namespace.

use super::*;
use crate::nvme::spec::{
    AcquireAction, AsyncEvent, EventKind, FeatureId, LogPage, RegisterAction, ReleaseAction,
    ReservationStatus, ReservationType,
};

const CONFLICT: Result<u64, StatusCode> = Err(StatusCode::RESERVATION_CONFLICT);

fn hosts() -> [Host; 2] {
    let device = SoftController::default();
    let other = device.another(SoftConfig::default());
    let mut hosts = [Host::of(device), Host::of(other)];
    for (n, host) in hosts.iter_mut().enumerate() {
        let set = Command::set_features(FeatureId::HOST_ID, 0, 0, false).with_cdw(11, 1);
        host.carry(0, set, &[n as u8 + 1; 16]).0.unwrap();
    }
    hosts
}

fn keys(one: u64, other: u64) -> Vec<u8> {
    [one.to_le_bytes(), other.to_le_bytes()].concat()
}

fn register(host: &mut Host, key: u64) -> Result<u64, StatusCode> {
    host.write(Command::reservation_register(1, RegisterAction::Register, false, None), &keys(0, key))
}

fn acquire(
    host: &mut Host,
    action: AcquireAction,
    kind: ReservationType,
    key: u64,
    from: u64,
) -> Result<u64, StatusCode> {
    host.write(Command::reservation_acquire(1, action, kind), &keys(key, from))
}

fn may(host: &mut Host) -> (bool, bool) {
    (
        host.fetch(1, Command::read(1, 0, 1), 512).is_ok(),
        host.write(Command::write(1, 0, 1), &[0; 512]).is_ok(),
    )
}

#[test]
fn a_reservation_keeps_out_whom_its_type_says() {
    use ReservationType as R;
    // Whether the other may read and write: unregistered, then registered.
    for (kind, stranger, registrant) in [
        (R::WRITE_EXCLUSIVE, (true, false), (true, false)),
        (R::EXCLUSIVE_ACCESS, (false, false), (false, false)),
        (R::WRITE_EXCLUSIVE_REGISTRANTS, (true, false), (true, true)),
        (R::EXCLUSIVE_ACCESS_REGISTRANTS, (false, false), (true, true)),
        (R::WRITE_EXCLUSIVE_ALL, (true, false), (true, true)),
        (R::EXCLUSIVE_ACCESS_ALL, (false, false), (true, true)),
    ] {
        let [mut one, mut other] = hosts();
        assert_eq!(acquire(&mut one, AcquireAction::Acquire, kind, 0, 0), CONFLICT, "not registered");
        register(&mut one, 7).unwrap();
        acquire(&mut one, AcquireAction::Acquire, kind, 7, 0).unwrap();
        assert_eq!((may(&mut one), may(&mut other)), ((true, true), stranger), "{kind}");
        register(&mut other, 9).unwrap();
        assert_eq!(may(&mut other), registrant, "{kind}");
        let release = |kind| Command::reservation_release(1, ReleaseAction::Release, kind);
        assert_eq!(one.write(release(kind), &8_u64.to_le_bytes()), CONFLICT, "another key");
        one.write(release(kind), &7_u64.to_le_bytes()).unwrap();
        assert_eq!(may(&mut other), (true, true));
    }
}

#[test]
fn who_is_preempted_is_told_and_out() {
    let [mut one, mut other] = hosts();
    let kind = ReservationType::WRITE_EXCLUSIVE;
    register(&mut one, 7).unwrap();
    register(&mut other, 9).unwrap();
    assert_eq!(register(&mut other, 10), CONFLICT, "another key");
    acquire(&mut one, AcquireAction::Acquire, kind, 7, 0).unwrap();
    assert_eq!(acquire(&mut other, AcquireAction::Acquire, kind, 9, 0), CONFLICT);
    let cid = one.put(0, Command::async_event());
    one.ring(0);
    acquire(&mut other, AcquireAction::Preempt, ReservationType::EXCLUSIVE_ACCESS, 9, 7).unwrap();
    assert_eq!((may(&mut one), may(&mut other)), ((false, false), (true, true)));
    one.device.step();
    let (told, event) = one.take(0).unwrap();
    assert_eq!((told, AsyncEvent::from_bits(event.unwrap() as u32).event()), (cid, EventKind::Reservation));
    let log = one.fetch(0, Command::get_log_page(LogPage::RESERVATIONS, 0, 0, 64), 64).unwrap();
    assert_eq!(
        (log[0], log[8], log[12]),
        (1, 1, 1),
        "the first notice: a registration preempted, of namespace 1"
    );

    let report = other.fetch(1, Command::reservation_report(1, 256), 256).unwrap();
    let (head, registered) = ReservationStatus::parse(&report).unwrap();
    assert_eq!((head.registered.get(), head.kind), (1, ReservationType::EXCLUSIVE_ACCESS.0));
    let it = registered[0];
    assert_eq!((it.controller_id.get(), it.status, it.key.get(), it.host), (1, 1, 9, [2; 16]));
    let clear = Command::reservation_release(1, ReleaseAction::Clear, ReservationType::EXCLUSIVE_ACCESS);
    other.write(clear, &9_u64.to_le_bytes()).unwrap();
    assert_eq!(may(&mut one), (true, true));
}
