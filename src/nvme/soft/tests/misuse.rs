//! What a driver must not do is a panic that says so.

use super::*;
use crate::nvme::soft::Fault;

#[test]
#[should_panic = "2 commands were put into submission queue 1, which has 6 already"]
fn a_queue_is_not_overrun() {
    let host = Host::new();
    host.device.write32(tail_doorbell(1, 4), 6);
    host.device.write32(tail_doorbell(1, 4), 0);
}

#[test]
#[should_panic = "tail 8 of submission queue 1, which has 8 entries"]
fn a_doorbell_is_within_its_queue() {
    Host::new().device.write32(tail_doorbell(1, 4), 8);
}

#[test]
#[should_panic = "the tail doorbell of submission queue 2, which is not there, was rung"]
fn a_doorbell_is_of_a_queue() {
    Host::new().device.write32(tail_doorbell(2, 4), 1);
}

#[test]
#[should_panic = "1 answers were taken from completion queue 1, which had 0"]
fn answers_are_taken_when_there_are_some() {
    Host::new().device.write32(head_doorbell(1, 4), 1);
}

#[test]
#[should_panic = "is given twice in submission queue 1"]
fn an_identifier_is_given_once() {
    let mut host = Host::new();
    host.device.inject(Fault::Lose);
    host.put(1, Command::flush(1));
    host.cid -= 1;
    host.put(1, Command::flush(1));
    host.ring(1);
    host.device.step();
}

#[test]
#[should_panic = "AQA is written while the controller is enabled"]
fn admin_queues_are_not_moved_while_they_are_used() {
    Host::new().device.write32(AQA, 0);
}

#[test]
#[should_panic = "is written to an enabled controller"]
fn pages_do_not_change_while_the_controller_is_enabled() {
    let host = Host::new();
    let was = Configuration::from_bits(host.device.read32(CC));
    host.device.write32(CC, was.with_mps(1).bits());
}

#[test]
#[should_panic = "CC.EN is set while CSTS.RDY is"]
fn a_controller_is_enabled_when_it_is_disabled() {
    let host = Host::new();
    host.device.set_stuck(true);
    host.device.write32(CC, 0);
    host.device.write32(CC, 1);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "that is checked with debug assertions alone")]
#[should_panic = "where the driver has shown no buffer"]
fn commands_point_to_buffers() {
    let mut host = Host::new();
    // Of what is readable, so that a test of the test fails by more than this panic.
    let memory = words();
    let at = host.device.map(&memory).unwrap();
    _ = host.io(Command::read(1, 0, 1).with_prp(at, 0));
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "that is checked with debug assertions alone")]
#[should_panic = "where the driver has shown no buffer"]
fn buffers_are_as_long_as_commands_say() {
    let mut host = Host::new();
    _ = host.fetch(1, Command::read(1, 0, 8), 512);
}
