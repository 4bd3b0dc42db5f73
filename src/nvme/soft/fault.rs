//! What a software controller does wrong when it is told to.

use super::super::spec::{Command, Completion, StatusCode};
use super::Done;
use std::collections::VecDeque;

/// What becomes of one I/O command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// It is never done, and not answered unless it is aborted.
    Lose,
    /// It is done, and answered, so many steps later: behind those that came after it.
    Delay(u32),
    /// It is answered twice.
    Repeat,
    /// Its answer has the phase of the pass before: it cannot be told from what was there.
    WrongPhase,
    /// It is not done, and answered with this.
    Fail(StatusCode),
    /// It is done, and answered under another identifier, which differs from its own by these bits.
    Misname(u16),
    /// Before its answer comes one to the command with this identifier.
    Stray(u16),
}

#[derive(Default)]
pub(super) struct Faults {
    pub(super) is_stuck: bool,
    pub(super) is_removed: bool,
    pub(super) is_silent: bool,
    pub(super) is_deaf: bool,
    pub(super) tamper: Option<Tamper>,
    pub(super) tamper_completions: Option<TamperCompletions>,
    /// Commands are not given up when the host asks.
    pub(super) keeps_commands: bool,
    to_come: VecDeque<Fault>,
    /// Commands that were taken and are not answered.
    held: Vec<Held>,
    /// Commands that were answered before they were taken, by queue and identifier.
    void: Vec<(usize, u16)>,
}

/// Changes an answer of bytes.
pub(super) type Tamper = Box<dyn FnMut(&Command, &mut Vec<u8>) + Send>;
/// Changes a completion of a queue.
pub(super) type TamperCompletions = Box<dyn FnMut(usize, &mut Completion) + Send>;

struct Held {
    /// Steps until it is done; none if it is lost.
    steps: Option<u32>,
    queue: usize,
    command: Command,
    /// What it came to, if it is done already.
    answer: Option<Done>,
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

    /// Keeps a command for so many steps, or for good.
    pub(super) fn hold(&mut self, steps: Option<u32>, queue: usize, command: Command, answer: Option<Done>) {
        self.held.push(Held { steps, queue, command, answer });
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether such a command was taken and not answered.
    #[inline]
    pub(super) fn holds(&self, queue: usize, cid: u16) -> bool {
        self.held.iter().any(|held| held.queue == queue && held.command.cid() == cid)
    }

    /// A command whose time has come; none once in each step, when all others are a step nearer.
    #[inline]
    pub(super) fn due(&mut self) -> Option<(usize, Command, Option<Done>)> {
        if self.held.is_empty() {
            return None;
        }
        if let Some(at) = self.held.iter().position(|held| held.steps.is_some_and(|steps| steps <= 1)) {
            let held = self.held.remove(at);
            return Some((held.queue, held.command, held.answer));
        }
        self.held.iter_mut().filter_map(|held| held.steps.as_mut()).for_each(|steps| *steps -= 1);
        None
    }

    /// A command that is given up, by its identifier or any of its queue.
    pub(super) fn give_up(&mut self, queue: usize, cid: Option<u16>) -> Option<Command> {
        let is_it = |held: &Held| held.queue == queue && cid.is_none_or(|cid| held.command.cid() == cid);
        let at = self.held.iter().position(is_it)?;
        Some(self.held.remove(at).command)
    }

    /// Has a command that was not taken yet not be done when it is.
    pub(super) fn void(&mut self, queue: usize, cid: u16) {
        self.void.push((queue, cid));
    }

    /// Whether that is so of this one, which is taken now.
    #[inline]
    pub(super) fn is_void(&mut self, queue: usize, cid: u16) -> bool {
        let found = self.void.iter().position(|&void| void == (queue, cid));
        found.map(|at| self.void.swap_remove(at)).is_some()
    }

    pub(super) fn forget_commands(&mut self) {
        self.void.clear();
        self.held.clear();
    }
}
