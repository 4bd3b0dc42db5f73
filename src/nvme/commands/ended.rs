//! Commands that are to end before the controller has done them, as their callers want it.

use super::{Commands, Done, Reaped};
use crate::inflight::Id;
use crate::nvme::Answer;
use crate::nvme::spec::{Status, StatusCode};
use std::task::Waker;

impl Commands {
    /// Those whose futures a waker of this kind is to wake.
    pub(in crate::nvme) fn awaited_by(&self, is_it: impl Fn(&Waker) -> bool) -> Vec<Id> {
        self.ops.awaited_by(is_it).collect()
    }

    /// Those whose futures were dropped, and which the controller may still be at.
    pub(in crate::nvme) fn given_up(&self) -> impl Iterator<Item = Id> + '_ {
        self.ops.orphans()
    }

    /// Ends those of `which` that the controller has not been given, as if it had aborted them. Yields whom that concerns, and the
    /// identifiers of the others: no other command is called by one of these until it is [let go of](Self::let_go).
    pub(in crate::nvme) fn abort(&mut self, which: &[Id]) -> (Vec<Reaped>, Vec<u16>) {
        let (mut ended, mut cids) = (Vec::new(), Vec::new());
        for &id in which {
            if let Some(cid) = self.cids.of(id) {
                cids.push(cid);
                continue;
            }
            let is_other = |other: Id| other != id;
            let waiting = (self.backlog.len(), self.again.len());
            self.backlog.retain(|(other, _)| is_other(*other));
            self.again.retain(|(other, _)| is_other(*other));
            let is_sent_again = waiting.1 > self.again.len();
            if is_sent_again || waiting.0 > self.backlog.len() && self.ops.submit(id) {
                let aborted = Answer { status: Status::of(StatusCode::ABORT_REQUESTED), result: 0 };
                ended.push(self.complete(id, Done::answered(aborted)));
            }
        }
        (ended, self.keep(cids))
    }

    /// Of these identifiers those of commands on their way whose abort has not been asked for. They are kept from others.
    pub(in crate::nvme) fn keep(&mut self, mut cids: Vec<u16>) -> Vec<u16> {
        cids.retain(|&cid| self.cids.keep(cid));
        cids
    }

    /// Whether the command of a kept identifier has not been answered.
    pub(in crate::nvme) fn is_on_its_way(&self, cid: u16) -> bool {
        self.cids.is_kept(cid)
    }

    /// The controller has answered what became of the abort.
    pub(in crate::nvme) fn let_go(&mut self, cid: u16) {
        self.cids.let_go(cid);
    }
}
