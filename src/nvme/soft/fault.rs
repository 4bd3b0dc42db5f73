//! What a software controller does wrong when it is told to.

use super::super::spec::{Command, StatusCode};
use std::collections::VecDeque;

/// What becomes of one I/O command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// It is never done, and never answered.
    Lose,
    /// It is done, and answered, so many steps later: behind those that came after it.
    Delay(u32),
    /// It is answered twice.
    Repeat,
    /// Its answer has the phase of the pass before: it cannot be told from what was there.
    WrongPhase,
    /// It is not done, and answered with this.
    Fail(StatusCode),
}

#[derive(Default)]
pub(super) struct Faults {
    pub(super) is_stuck: bool,
    pub(super) is_removed: bool,
    pub(super) is_silent: bool,
    to_come: VecDeque<Fault>,
    /// Steps left, queue, command.
    put_off: Vec<(u32, usize, Command)>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.to_come.push_back(fault);
    }

    pub(super) fn clear(&mut self) {
        self.to_come.clear();
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<Fault> {
        if self.to_come.is_empty() { None } else { self.to_come.pop_front() }
    }

    pub(super) fn put_off(&mut self, steps: u32, queue: usize, command: Command) {
        self.put_off.push((steps, queue, command));
    }

    /// A command whose time has come; none once in each step, when all others are a step nearer.
    #[inline]
    pub(super) fn due(&mut self) -> Option<(usize, Command)> {
        if self.put_off.is_empty() {
            return None;
        }
        if let Some(at) = self.put_off.iter().position(|&(steps, ..)| steps <= 1) {
            let (_, queue, command) = self.put_off.remove(at);
            return Some((queue, command));
        }
        self.put_off.iter_mut().for_each(|(steps, ..)| *steps -= 1);
        None
    }

    pub(super) fn forget_commands(&mut self) {
        self.put_off.clear();
    }
}
