//! Namespaces that are made, shared, formatted and reached in several ways; firmware; interrupts; doorbells in memory.

use super::*;
use crate::nvme::spec::{
    AnaGroups, AnaState, AsyncEvent, AsyncEventConfig, ControllerList, EventKind, FeatureId, FirmwareLog,
    FormatOptions, IdentifyController, IdentifyNamespace, IdentifyWhat, LogPage, NamespaceId, NamespaceIds,
    NamespaceList,
};
use rustix::io::read;
use zerocopy::{FromBytes, IntoBytes};

fn list(host: &mut Host, what: IdentifyWhat) -> Vec<u32> {
    let page = host.fetch(0, Command::identify(what, 0), 4096).unwrap();
    NamespaceList::ref_from_bytes(&page).unwrap().iter().collect()
}

fn describe(host: &mut Host, id: u32) -> IdentifyNamespace {
    let page = host.fetch(0, Command::identify(IdentifyWhat::NAMESPACE, id), 4096).unwrap();
    IdentifyNamespace::read_from_bytes(&page).unwrap()
}

#[test]
fn a_namespace_is_made_attached_formatted_and_deleted() {
    let device = SoftController::default();
    let mut other = Host::of(device.another(SoftConfig::default()));
    let mut host = Host::of(device);
    let wants = AsyncEventConfig::default().with_namespace_changed(true);
    other.admin(Command::set_features(FeatureId::ASYNC_EVENTS, 0, wants.bits(), false)).unwrap();
    other.put(0, Command::async_event());
    other.ring(0);

    let mut wanted = IdentifyNamespace::default();
    wanted.size.set(100);
    wanted.capacity.set(100);
    assert_eq!(host.carry(0, Command::create_namespace(0), wanted.as_bytes()).0, Ok(2));
    assert_eq!(list(&mut host, IdentifyWhat::ACTIVE_NAMESPACES), [1]);
    assert_eq!(list(&mut host, IdentifyWhat::ALLOCATED_NAMESPACES), [1, 2]);
    assert!(!describe(&mut host, 2).is_active());
    assert_eq!(host.io(Command::flush(2)), Err(StatusCode::INVALID_NAMESPACE));
    let mut both = ControllerList::of(0);
    both.count.set(2);
    both.raw[1].set(1);
    let attach = |attach| Command::attach_namespace(2, attach);
    assert_eq!(host.carry(0, attach(false), both.as_bytes()).0, Err(StatusCode::NOT_ATTACHED));
    host.carry(0, attach(true), both.as_bytes()).0.unwrap();
    assert_eq!(host.carry(0, attach(true), both.as_bytes()).0, Err(StatusCode::ALREADY_ATTACHED));
    let nobody = ControllerList::of(7);
    assert_eq!(host.carry(0, attach(true), nobody.as_bytes()).0, Err(StatusCode::INVALID_CONTROLLER_LIST));
    other.device.step();
    let event = AsyncEvent::from_bits(other.take(0).unwrap().1.unwrap() as u32);
    assert_eq!(event.event(), EventKind::NamespaceChanged);
    assert_eq!(describe(&mut other, 2).size.get(), 100);
    host.write(Command::write(2, 0, 1), &[1; 512]).unwrap();
    assert_eq!(other.fetch(1, Command::read(2, 0, 1), 512).unwrap(), [1; 512], "it is shared");

    // Format 4: 4 KiB with 8 bytes of metadata.
    let options = FormatOptions::default().with_format_low(4).with_protection(1).with_extended_blocks(true);
    host.admin(Command::format(2, options)).unwrap();
    let page = describe(&mut other, 2);
    let format = page.current_format().unwrap();
    assert_eq!((format.data_shift, format.metadata_bytes.get(), page.protection.kind()), (12, 8, 1));
    assert_eq!(page.size.get(), 12);
    let many = FormatOptions::default().with_format_low(9);
    assert_eq!(host.admin(Command::format(2, many)), Err(StatusCode::INVALID_FORMAT));
    host.admin(Command::delete_namespace(2)).unwrap();
    assert_eq!(list(&mut other, IdentifyWhat::ALLOCATED_NAMESPACES), [1]);
}

#[test]
fn a_namespace_says_what_it_is_called() {
    let mut host = Host::new();
    let page = host.fetch(0, Command::identify(IdentifyWhat::NAMESPACE_IDS, 1), 4096).unwrap();
    let ids: Vec<_> = NamespaceIds::new(&page).collect();
    assert_eq!(
        ids,
        [
            NamespaceId::Eui64(*b"soft\0\0\0\x01"),
            NamespaceId::Nguid(*b"soft-namespa\0\0\0\x01"),
            NamespaceId::CommandSet(0)
        ]
    );
    let refused = Err(StatusCode::INVALID_NAMESPACE);
    assert_eq!(
        host.fetch(0, Command::identify(IdentifyWhat::ACTIVE_NAMESPACES, u32::MAX - 1), 4096),
        refused
    );
    assert_eq!(host.fetch(0, Command::identify(IdentifyWhat::NAMESPACE, 0), 4096), refused);
    let none = Command::identify(IdentifyWhat::UUIDS, 0);
    assert_eq!(host.fetch(0, none, 4096), Err(StatusCode::INVALID_FIELD));
}

#[test]
fn a_write_protected_namespace_is_not_written() {
    let mut host = Host::new();
    let protect = |value| Command::set_features(FeatureId::WRITE_PROTECTION, 1, value, false);
    host.admin(protect(1)).unwrap();
    assert_eq!(host.write(Command::write(1, 0, 1), &[0; 512]), Err(StatusCode::WRITE_PROTECTED));
    assert_eq!(host.io(Command::write_zeroes(1, 0, 1)), Err(StatusCode::WRITE_PROTECTED));
    host.fetch(1, Command::read(1, 0, 1), 512).unwrap();
    host.admin(protect(0)).unwrap();
    host.write(Command::write(1, 0, 1), &[0; 512]).unwrap();
}

#[test]
fn paths_are_as_good_as_their_controllers_say() {
    let device = SoftController::default();
    let mut other = Host::of(device.another(SoftConfig::default()));
    let mut host = Host::of(device);
    for (state, answer) in [
        (AnaState::INACCESSIBLE, Err(StatusCode::ANA_INACCESSIBLE)),
        (AnaState::PERSISTENT_LOSS, Err(StatusCode::ANA_PERSISTENT_LOSS)),
        (AnaState::CHANGE, Err(StatusCode::ANA_TRANSITION)),
        (AnaState::NON_OPTIMIZED, Ok(0)),
        (AnaState::OPTIMIZED, Ok(0)),
    ] {
        host.device.set_ana(1, state);
        assert_eq!(host.write(Command::write(1, 0, 1), &[0; 512]), answer, "{state}");
        assert_eq!(other.write(Command::write(1, 0, 1), &[0; 512]), Ok(0), "the other path");
        let log = host.fetch(0, Command::get_log_page(LogPage::ANA, 0, 0, 128), 128).unwrap();
        let groups: Vec<_> = AnaGroups::new(&log).collect();
        assert_eq!((groups.len(), groups[0].id, groups[0].state), (1, 1, state));
        assert_eq!(groups[0].namespaces[0].get(), 1);
    }
}

#[test]
fn firmware_is_brought_and_activated_by_a_reset() {
    let mut host = Host::new();
    let part =
        |offset, bytes: &[u8]| (Command::firmware_download(offset, bytes.len() as u32), bytes.to_vec());
    for ((command, bytes), answer) in [
        (part(4, b"...."), Err(StatusCode::OVERLAPPING_RANGE)),
        (part(0, b"2.0 "), Ok(0)),
        (part(4, b"    "), Ok(0)),
    ] {
        assert_eq!(host.carry(0, command, &bytes).0, answer);
    }
    let commit = Command::firmware_commit;
    assert_eq!(host.admin(commit(1, 1)), Err(StatusCode::INVALID_FIRMWARE_SLOT), "it is read-only");
    assert_eq!(host.admin(commit(3, 2)), Err(StatusCode::INVALID_FIRMWARE_IMAGE), "there is none");
    host.admin(commit(2, 1)).unwrap();
    let log = host.fetch(0, Command::get_log_page(LogPage::FIRMWARE, 0, 0, 512), 512).unwrap();
    let log = FirmwareLog::read_from_bytes(&log).unwrap();
    assert_eq!((log.running(), log.next(), log.revision(2).as_deref()), (1, Some(2), Some("2.0")));
    host.device.write32(CC, 0);
    host.enable(Configuration::default());
    let page = host.fetch(0, Command::identify(IdentifyWhat::CONTROLLER, 0), 4096).unwrap();
    assert_eq!(IdentifyController::ref_from_bytes(&page).unwrap().firmware(), "2.0");
}

#[test]
fn answers_interrupt_once_a_step() {
    let device = SoftController::new(SoftConfig { vectors: 2, ..SoftConfig::default() });
    let mut host = Host::of(device.clone());
    let raised = |vector| {
        let mut count = [0; 8];
        read(device.interrupt(vector).unwrap(), &mut count).is_ok().then(|| u64::from_ne_bytes(count))
    };
    assert!(raised(0).is_some() && raised(0).is_none(), "of the admin queue");
    host.admin(Command::delete_sq(1)).unwrap();
    let ring = Ring::new();
    let (sq, cq) = (device.map(&ring.sq).unwrap(), device.map(&ring.cq).unwrap());
    let flags = CompletionQueueFlags::default().with_contiguous(true).with_interrupts(true);
    let make = |vector| Command::create_cq(2, ENTRIES, flags.with_vector(vector)).with_prp(cq, 0);
    assert_eq!(host.admin(make(2)), Err(StatusCode::INVALID_INTERRUPT_VECTOR));
    host.admin(make(1)).unwrap();
    let flags = SubmissionQueueFlags::default().with_contiguous(true).with_cqid(2);
    host.admin(Command::create_sq(2, ENTRIES, flags).with_prp(sq, 0)).unwrap();
    host.rings.push(ring);
    (0..5).for_each(|_| _ = host.put(2, Command::flush(1)));
    host.ring(2);
    assert_eq!(raised(1), None);
    device.step();
    assert_eq!(raised(1), Some(1));
    device.step();
    assert_eq!(raised(1), None);
    assert!(device.interrupt(2).is_none());
}

#[test]
fn doorbells_in_memory_are_heard_and_say_when_they_want_the_others() {
    for polls in [false, true] {
        let config =
            SoftConfig { has_shadow_doorbells: true, polls_shadow_doorbells: polls, ..SoftConfig::default() };
        let mut host = Host::of(SoftController::new(config));
        let (shadow, wanted) = (words(), words());
        let at = [host.device.map(&shadow).unwrap(), host.device.map(&wanted).unwrap()];
        host.io(Command::flush(1)).unwrap();
        host.admin(Command::doorbell_buffer(at[0], at[1])).unwrap();
        assert_eq!(shadow.words()[1].load(Acquire), 1 | 1 << 32, "it begins where the others are");
        let bells = host.device.bells();
        for round in 0..20 {
            let cid = host.put(1, Command::flush(1));
            let ring = &host.rings[1];
            let (tail, head) = (u64::from(ring.tail), u64::from(ring.head));
            shadow.words()[1].store(tail | head << 32, Release);
            // Whether the new tail goes past what was wanted (Base 2.0 §5.8).
            let (new, old) = (tail as u16, (ring.tail + ENTRIES - 1) as u16 % ENTRIES as u16);
            let event = wanted.words()[1].load(Acquire) as u16;
            let rings = new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old);
            assert_eq!(rings, !polls, "round {round}");
            host.device.step();
            let completion = host.rings[1].take().unwrap();
            assert_eq!(completion.cid.get(), cid);
        }
        assert_eq!(host.device.bells(), bells);
    }
}
