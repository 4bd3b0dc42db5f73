//! Queues, events, aborts, features, logs, the keep-alive timer and shutdown.

use super::*;
use crate::nvme::soft::Fault;
use crate::nvme::spec::register::{NSSR, NSSR_RESET};
use crate::nvme::spec::{
    AsyncEvent, AsyncEventConfig, CriticalWarning, ErrorLogEntry, EventKind, FeatureId, FeatureSelect,
    LogPage, NamespaceList, NumberOfQueues, SmartLog,
};
use std::time::Duration;
use zerocopy::FromBytes;

#[test]
fn queues_are_made_and_deleted_in_the_right_order_alone() {
    let mut host = Host::new();
    let memory = words();
    let at = host.device.map(&memory).unwrap();
    let cq =
        |qid, entries, flags: CompletionQueueFlags| Command::create_cq(qid, entries, flags).with_prp(at, 0);
    let sq = |qid, entries, cqid| {
        let flags = SubmissionQueueFlags::default().with_contiguous(true).with_cqid(cqid);
        Command::create_sq(qid, entries, flags).with_prp(at, 0)
    };
    let plain = CompletionQueueFlags::default().with_contiguous(true);
    for (command, refused) in [
        (cq(0, 8, plain), StatusCode::INVALID_QID),
        (cq(1, 8, plain), StatusCode::INVALID_QID),
        (cq(17, 8, plain), StatusCode::INVALID_QID),
        (cq(2, 1025, plain), StatusCode::INVALID_QUEUE_SIZE),
        (cq(2, 8, CompletionQueueFlags::default()), StatusCode::INVALID_FIELD),
        (cq(2, 8, plain.with_interrupts(true)), StatusCode::INVALID_INTERRUPT_VECTOR),
        (cq(2, 8, plain).with_prp(at + 8, 0), StatusCode::INVALID_PRP_OFFSET),
        (sq(1, 8, 1), StatusCode::INVALID_QID),
        (sq(2, 8, 2), StatusCode::INVALID_CQ),
        (sq(2, 8, 0), StatusCode::INVALID_CQ),
        (Command::delete_cq(1), StatusCode::INVALID_QUEUE_DELETION),
        (Command::delete_cq(2), StatusCode::INVALID_QID),
        (Command::delete_sq(2), StatusCode::INVALID_QID),
        (Command::delete_sq(0), StatusCode::INVALID_QID),
        (Command::delete_cq(0), StatusCode::INVALID_QID),
    ] {
        assert_eq!(host.admin(command), Err(refused), "{command:?}");
    }
    // Two submission queues may be answered in one completion queue, which goes last.
    host.admin(sq(2, 8, 1)).unwrap();
    for (command, answer) in [
        (Command::delete_sq(1), Ok(0)),
        (Command::delete_cq(1), Err(StatusCode::INVALID_QUEUE_DELETION)),
        (Command::delete_sq(2), Ok(0)),
        (Command::delete_cq(1), Ok(0)),
        (Command::delete_cq(1), Err(StatusCode::INVALID_QID)),
    ] {
        assert_eq!(host.admin(command), answer);
    }
    host.rings.pop();
    host.make_pair(1).unwrap();
    host.io(Command::flush(1)).unwrap();
}

/// Faults go to commands as they are taken.
#[test]
fn urgent_queues_go_first_with_weighted_arbitration_alone() {
    for (arbitration, first) in [(0, 1), (1, 2)] {
        let mut host = Host::new();
        host.device.write32(CC, 0);
        host.enable(Configuration::default().with_ams(arbitration));
        host.make_pair_of(1, 3).unwrap();
        host.make_pair_of(2, 0).unwrap();
        host.device.inject(Fault::Fail(StatusCode::INTERNAL_ERROR));
        for queue in [1, 2] {
            host.put(queue, Command::flush(1));
            host.ring(queue);
        }
        host.device.step();
        let failed: Vec<_> =
            [1, 2].into_iter().filter(|&queue| host.take(queue).unwrap().1.is_err()).collect();
        assert_eq!(failed, [first]);
    }
}

#[test]
fn a_deleted_queue_answers_what_it_holds() {
    let mut host = Host::new();
    host.device.inject(Fault::Lose);
    let cid = host.put(1, Command::flush(1));
    host.ring(1);
    host.device.step();
    assert_eq!((host.take(1), host.device.held()), (None, 1));
    host.admin(Command::delete_sq(1)).unwrap();
    assert_eq!(host.take(1), Some((cid, Err(StatusCode::ABORTED_SQ_DELETION))));
}

#[test]
fn aborts_find_what_is_held_unless_the_controller_keeps_it() {
    let mut host = Host::new();
    (0..2).for_each(|_| host.device.inject(Fault::Delay(100)));
    let cids = [host.put(1, Command::flush(1)), host.put(1, Command::flush(1))];
    host.ring(1);
    host.device.step();
    host.device.set_keeps_commands(true);
    assert_eq!(host.admin(Command::abort(1, cids[0])), Ok(1), "it was not aborted");
    assert_eq!(host.take(1), None);
    host.device.set_keeps_commands(false);
    assert_eq!(host.admin(Command::abort(1, cids[1])), Ok(0));
    assert_eq!(host.take(1), Some((cids[1], Err(StatusCode::ABORT_REQUESTED))));
    assert_eq!(host.admin(Command::abort(1, 0xfffe)), Ok(1), "there is no such command");
    (0..100).for_each(|_| _ = host.device.step());
    assert_eq!(host.take(1), Some((cids[0], Ok(0))));
}

/// The event that a request was answered with.
fn told(host: &mut Host) -> Option<(u16, EventKind, LogPage)> {
    host.device.step();
    let (cid, answer) = host.take(0)?;
    let event = AsyncEvent::from_bits(answer.unwrap() as u32);
    Some((cid, event.event(), event.log_page()))
}

fn want(host: &mut Host, config: AsyncEventConfig) {
    host.admin(Command::set_features(FeatureId::ASYNC_EVENTS, 0, config.bits(), false)).unwrap();
}

#[test]
fn events_are_told_once_until_their_log_is_read() {
    let mut host = Host::new();
    want(&mut host, AsyncEventConfig::default().with_namespace_changed(true).with_critical(2));
    let cids: Vec<_> = (0..4).map(|_| host.put(0, Command::async_event())).collect();
    host.ring(0);
    assert_eq!(told(&mut host), None);
    assert_eq!(host.admin(Command::async_event()), Err(StatusCode::ASYNC_EVENT_LIMIT));

    host.device.resize_namespace(1, 4096);
    assert_eq!(told(&mut host), Some((cids[0], EventKind::NamespaceChanged, LogPage::CHANGED_NAMESPACES)));
    host.device.resize_namespace(1, 8192);
    host.device.add_namespace(SoftNamespace::new(16, 12));
    assert_eq!(told(&mut host), None, "masked");
    let read = Command::get_log_page(LogPage::CHANGED_NAMESPACES, 0, 0, 4096);
    let changed = |page: Vec<u8>| NamespaceList::ref_from_bytes(&page).unwrap().iter().collect::<Vec<_>>();
    assert_eq!(changed(host.fetch(0, read.retaining_event(), 4096).unwrap()), [1, 2]);
    assert_eq!(told(&mut host), None, "masked yet");
    assert_eq!(changed(host.fetch(0, read, 4096).unwrap()), [1, 2]);
    assert_eq!(told(&mut host), Some((cids[1], EventKind::NamespaceChanged, LogPage::CHANGED_NAMESPACES)));
    assert_eq!(changed(host.fetch(0, read, 4096).unwrap()), [0_u32; 0]);

    // Of health, what the host wants to hear alone; of errors, all. They mask each other not.
    host.device.tell_health(CriticalWarning::from_bits(1));
    assert_eq!(told(&mut host), None);
    host.device.tell_health(CriticalWarning::from_bits(2));
    host.device.tell_error(3);
    assert_eq!(told(&mut host), Some((cids[2], EventKind::Health(1), LogPage::SMART)));
    assert_eq!(told(&mut host), Some((cids[3], EventKind::Error(3), LogPage::ERROR)));
    let smart = host.fetch(0, Command::get_log_page(LogPage::SMART, 0, 0, 512), 512).unwrap();
    assert_eq!(SmartLog::ref_from_bytes(&smart).unwrap().critical.bits(), 3);
}

#[test]
fn a_request_for_events_can_be_aborted() {
    let mut host = Host::new();
    let cid = host.put(0, Command::async_event());
    host.ring(0);
    host.device.step();
    let abort = host.put(0, Command::abort(0, cid));
    host.ring(0);
    host.device.step();
    assert_eq!(host.take(0), Some((cid, Err(StatusCode::ABORT_REQUESTED))));
    assert_eq!(host.take(0), Some((abort, Ok(0))));
}

#[test]
fn features_are_current_default_and_saved() {
    let mut host = Host::new();
    let get = |id, select| Command::get_features(id, 0, select);
    let set = |id, value, save| Command::set_features(id, 0, value, save);
    let id = FeatureId::ARBITRATION;
    host.admin(set(id, 3, true)).unwrap();
    host.admin(set(id, 5, false)).unwrap();
    for (select, value) in [
        (FeatureSelect::Current, 5),
        (FeatureSelect::Default, 0),
        (FeatureSelect::Saved, 3),
        (FeatureSelect::Capabilities, 5),
    ] {
        assert_eq!(host.admin(get(id, select)), Ok(value), "{select:?}");
    }
    for (command, refused) in [
        (set(FeatureId::KEEP_ALIVE, 1, true), StatusCode::FEATURE_NOT_SAVEABLE),
        (set(FeatureId::COMMAND_SET_PROFILE, 1, false), StatusCode::FEATURE_NOT_CHANGEABLE),
        (set(FeatureId::SANITIZE, 0, false), StatusCode::INVALID_FIELD),
        // There are I/O queues already.
        (set(FeatureId::NUMBER_OF_QUEUES, 0, false), StatusCode::SEQUENCE_ERROR),
    ] {
        assert_eq!(host.admin(command), Err(refused), "{command:?}");
    }
    let given = NumberOfQueues::from_bits(
        host.admin(get(FeatureId::NUMBER_OF_QUEUES, FeatureSelect::Current)).unwrap() as u32,
    );
    assert_eq!((given.submission(), given.completion()), (15, 15));
    let long = set(FeatureId::HOST_ID, 0, false).with_cdw(11, 1);
    let name = [7; 16];
    host.carry(0, long, &name).0.unwrap();
    assert_eq!(host.carry(0, long, &[8; 16]).0, Err(StatusCode::SEQUENCE_ERROR), "it stays");
    let ask = get(FeatureId::HOST_ID, FeatureSelect::Current).with_cdw(11, 1);
    assert_eq!(host.fetch(0, ask, 16).unwrap(), name);

    host.device.write32(CC, 0);
    host.enable(Configuration::default());
    assert_eq!(host.admin(get(id, FeatureSelect::Current)), Ok(3), "what was saved comes back");
}

#[test]
fn logs_are_read_from_an_offset_and_say_what_went_wrong() {
    let mut host = Host::new();
    for nsid in 2..5 {
        assert_eq!(host.io(Command::flush(nsid)), Err(StatusCode::INVALID_NAMESPACE));
    }
    let read = |offset, bytes| Command::get_log_page(LogPage::ERROR, 0, offset, bytes);
    let errors = host.fetch(0, read(0, 1024), 1024).unwrap();
    let entries = <[ErrorLogEntry]>::ref_from_bytes(&errors).unwrap();
    let said: Vec<_> = entries
        .iter()
        .take_while(|one| one.is_used())
        .map(|one| (one.number.get(), one.nsid.get()))
        .collect();
    assert_eq!(said, [(3, 4), (2, 3), (1, 2)], "newest first");
    assert_eq!(entries[0].status().code(), StatusCode::INVALID_NAMESPACE);
    assert_eq!(host.fetch(0, read(64, 128), 128).unwrap(), errors[64..192]);
    let mut beyond = host.fetch(0, read(1020, 8), 8).unwrap();
    assert_eq!(beyond.split_off(4), [0; 4]);
    assert_eq!(host.fetch(0, read(1028, 4), 4), Err(StatusCode::INVALID_FIELD));
    assert_eq!(host.fetch(0, read(2, 4), 4), Err(StatusCode::INVALID_FIELD));
    let none = Command::get_log_page(LogPage::TELEMETRY_HOST, 0, 0, 4);
    assert_eq!(host.fetch(0, none, 4), Err(StatusCode::INVALID_LOG_PAGE));
}

#[test]
fn a_host_that_is_not_heard_loses_the_controller() {
    let mut host = Host::new();
    host.admin(Command::set_features(FeatureId::KEEP_ALIVE, 0, 500, false)).unwrap();
    for _ in 0..5 {
        host.device.pass(Duration::from_millis(400));
        host.admin(Command::keep_alive()).unwrap();
    }
    host.device.pass(Duration::from_millis(501));
    assert!(host.status().is_fatal());
    host.put(0, Command::keep_alive());
    host.ring(0);
    assert_eq!(host.device.step(), 0, "it takes no commands");
}

#[test]
fn a_shutdown_is_notified_of_and_done() {
    let host = Host::new();
    let was = Configuration::from_bits(host.device.read32(CC));
    host.device.write32(CC, was.with_shn(1).bits());
    assert_eq!(host.status().shst(), 1);
    host.device.step();
    assert!(host.device.is_shut_down());
}

#[test]
fn a_subsystem_reset_disables_and_says_so() {
    let host = Host::new();
    host.device.write32(NSSR, 7);
    assert!(host.status().is_ready(), "that is not the word");
    host.device.write32(NSSR, NSSR_RESET);
    assert!(!host.status().is_ready() && host.status().was_subsystem_reset());
}
