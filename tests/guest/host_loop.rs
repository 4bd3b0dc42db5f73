//! A core that sleeps in a host's event loop, on a kernel that may put off what wakes it.

use super::in_guest;
use reactor::{LocalExecutor, fs::File};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::Cell;
use std::fs;
use std::rc::Rc;

#[test]
fn host_loop() {
    in_guest("host_loop::host_loop", &[], &[each_completion_wakes_the_host]);
}

/// Far longer than it takes, so that a wake-up that is lost fails the test.
const LONG: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

fn each_completion_wakes_the_host() {
    println!("{}", fs::read_to_string("/proc/version").unwrap());
    let core = LocalExecutor::new().unwrap();
    let (read, write) = rustix::pipe::pipe().unwrap();
    let pipe = core.enter_with(|| File::from_std(read)).unwrap();
    for round in 0..20_u8 {
        let (pipe, answer) = (pipe.clone(), Rc::new(Cell::new(None)));
        let told = answer.clone();
        core.spawn_local(async move { told.set(Some(pipe.read_at(vec![0; 8], 0).await)) }).detach();
        while !core.prepare_to_sleep() {
            core.turn();
        }
        rustix::io::write(&write, &[round]).unwrap();
        let is_woken = poll(&mut [PollFd::new(&core, PollFlags::IN)], Some(&LONG)).unwrap() == 1;
        assert!(is_woken, "round {round}");
        let (read, bytes) = loop {
            core.turn();
            if let Some(answer) = answer.take() {
                break answer;
            }
        };
        assert_eq!((read.unwrap(), bytes[0]), (1, round));
    }
}
