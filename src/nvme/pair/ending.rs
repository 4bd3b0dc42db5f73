//! How commands come to their end before others are sent: waited for, or aborted.

use super::Pair;
use crate::inflight::Id;
use crate::nvme::Error;
use crate::nvme::commands::Reaped;
use crate::nvme::device::Device;
use crate::time::sleep;
use crate::{JoinHandle, spawn_local};
use std::rc::Rc;
use std::time::Duration;

impl<D: Device> Pair<D> {
    /// Waits for the commands that are not answered at present, those included that wait for their turn.
    pub(in crate::nvme) async fn drain(&self) {
        let mut sent: Vec<Id> = self.commands().ops().open().collect();
        loop {
            sent.retain(|id| self.commands().ops().is_open(*id));
            // One that takes no more commands ends what it has, or keeps it for ever.
            if sent.is_empty() || !self.is_open() {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends these commands, if the controller gives them up. Yields how many it has.
    pub(in crate::nvme) fn abort(self: &Rc<Self>, which: &[Id]) -> JoinHandle<Result<usize, Error>> {
        let (ended, cids) = self.commands().abort(which);
        let count = ended.len();
        ended.into_iter().for_each(Reaped::settle);
        self.send_aborts(cids, count)
    }

    /// Has what was given up aborted when the turn ends.
    pub(in crate::nvme) fn abort_given_up(&self) {
        self.aborts.set(true);
    }

    /// In a task of its own: what is kept from other commands is let go of whatever becomes of who asked.
    pub(super) fn send_aborts(
        self: &Rc<Self>,
        cids: Vec<u16>,
        mut count: usize,
    ) -> JoinHandle<Result<usize, Error>> {
        let pair = self.clone();
        spawn_local(async move {
            let mut result = Ok(());
            for cid in cids {
                let is_on_its_way = pair.commands().is_on_its_way(cid);
                if is_on_its_way && result.is_ok() {
                    let aborted = pair.link.abort(pair.qid, cid).await;
                    count += usize::from(matches!(aborted, Ok(true)));
                    result = aborted.map(drop);
                }
                pair.commands().let_go(cid);
            }
            result.map(|()| count)
        })
    }

    #[cold]
    pub(super) fn abort_orphans(&self) {
        let orphans: Vec<_> = self.commands().given_up().collect();
        // One that is no driver any more has nothing to abort.
        if let Some(pair) = self.seat.io().filter(|pair| std::ptr::eq(&**pair, self)) {
            pair.abort(&orphans).detach();
        }
    }
}
