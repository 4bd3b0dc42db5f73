//! What keeps a controller going, at its home: it is watched, reset, given up, shut down.
//!
//! ```text
//!                          ┌──────────────── tried again, reset_tries times ───────────────┐
//!              reset_here  ▼      disable           restart, next generation     start_up  │
//!   attached ────────▶ commands held ────▶ disabled ────────▶ queues are empty ────────▶ ready ──resume──▶ attached
//!      │ ▲  CSTS.CFS, late commands,   │ all ones                                          │
//!      │ │  Controller::reset          └────────────▶ Removed                  Failed ◀────┘ no more tries
//!      │ └─ watched (CSTS, every watch_period)           └── give_up: all I/O ends, the device is let go ──┘
//!      └── close_here: held, told of the shutdown (CC.SHN), disabled ──▶ Closed
//! ```

use super::Error;
use super::device::Device;
use super::done::Lost;
use super::events::Event;
use super::link::Link;
use super::spec::Command;
use crate::spawn_local;
use crate::time::sleep;
use std::sync::Arc;
use std::time::Duration;

/// The least that a controller is given to get ready for the loss of its power, as it may not say what it needs.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

impl<D: Device> Link<D> {
    /// Looks at the controller from now on, from home.
    pub(super) fn watch(self: &Arc<Self>) {
        let link = Arc::downgrade(self);
        let period = self.config().watch_period;
        drop(spawn_local(async move {
            loop {
                sleep(period).await;
                let Some(link) = link.upgrade().filter(|link| link.over().is_none()) else { return };
                let status = link.status();
                let is_down = status.is_gone() || status.is_fatal() || !status.is_ready();
                if is_down && !link.is_resetting() {
                    let generation = link.generation();
                    let _told = link.reset_here(generation).await;
                }
            }
        }));
        if let Some(limit) = self.keep_alive() {
            let link = Arc::downgrade(self);
            drop(spawn_local(async move {
                loop {
                    sleep(limit / 2).await;
                    let Some(link) = link.upgrade().filter(|link| link.over().is_none()) else { return };
                    let _counts_as_heard = link.ask(Command::keep_alive()).await;
                }
            }));
        }
    }

    /// Has the controller give a command up, from any core. True if it says that it has.
    pub(super) async fn abort(self: &Arc<Self>, qid: u16, cid: u16) -> Result<bool, Error> {
        self.at_home(async move |link| link.abort_here(qid, cid).await).await?
    }

    async fn abort_here(self: &Arc<Self>, qid: u16, cid: u16) -> Result<bool, Error> {
        let seat = self.seats().get().map_err(|_closed| Error::Closed)?;
        // It takes no more at a time (Base 2.0 §5.17.2.1, ACL).
        let most = self.identity().get().map_or(0, |identity| identity.aborts_max);
        let _one = seat.aborts(usize::from(most) + 1).acquire(1).await.map_err(|_closed| Error::Closed)?;
        // Bit 0 says that it was not aborted (Base 2.0 §5.1).
        match self.ask(Command::abort(qid, cid)).await {
            Ok(answer) => Ok(answer & 1 == 0),
            Err(Error::Status(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Resets the controller, unless that has been done by then.
    pub(super) fn reset_soon(self: &Arc<Self>) {
        self.reset_soon_after(self.generation());
    }

    /// The same, unless it has been reset since this generation.
    pub(super) fn reset_soon_after(self: &Arc<Self>, generation: u32) {
        let link = self.clone();
        self.post_home(async move || _ = link.reset_here(generation).await);
    }

    fn post_home(&self, work: impl AsyncFnOnce() + Send + 'static) {
        let (handle, core) = self.home();
        // If home has ended, the controller is disabled.
        let _ended = handle.post(core, move || drop(spawn_local(async move { work().await })));
    }

    /// Resets the controller, unless it has been since `generation`. Commands that it had are sent again or end as aborted; those that
    /// come meanwhile wait in order.
    pub(super) async fn reset_here(self: &Arc<Self>, generation: u32) -> Result<(), Error> {
        let seat = self.seats().get().map_err(|_closed| Error::Closed)?;
        let _resetting = seat.resetting.lock().await;
        if let Some(lost) = self.over() {
            return Err(lost.error(Duration::ZERO));
        }
        if generation != self.generation() {
            return Ok(());
        }
        self.set_resetting(true);
        self.seats().for_each(async |seat| seat.hold()).await;
        let mut tries = 1;
        let lost = loop {
            match self.come_back().await {
                Ok(()) => break None,
                Err(Error::Removed) => break Some(Lost::Removed),
                Err(_) if tries >= self.config().reset_tries => break Some(Lost::Failed),
                Err(_) => tries += 1,
            }
        };
        match lost {
            None => {
                self.seats().for_each(async |seat| seat.resume()).await;
                self.listeners().tell(&Event::Reset);
            }
            Some(lost) => self.give_up(lost).await,
        }
        self.set_resetting(false);
        lost.map_or(Ok(()), |lost| Err(lost.error(Duration::ZERO)))
    }

    async fn come_back(self: &Arc<Self>) -> Result<(), Error> {
        self.disable().await?;
        if self.status().is_gone() {
            return Err(Error::Removed);
        }
        self.next_generation();
        self.seats().for_each(async |seat| seat.restart()).await;
        self.start_up().await
    }

    /// Ends all I/O, for good, if the controller can be kept from it. One that cannot keeps what it has.
    async fn give_up(self: &Arc<Self>, lost: Lost) {
        self.set_over(lost);
        if self.disable().await.is_ok() || self.device().cut_off() {
            self.seats().for_each(async move |seat| seat.end(lost)).await;
            self.let_go();
        } else {
            self.seats().for_each(async move |seat| seat.refuse(lost)).await;
        }
        self.listeners().end(Some(if lost == Lost::Removed { Event::Removed } else { Event::Failed }));
    }

    /// Shuts the controller down and disables it, has the pairs of all cores end what is on its way, and lets go of it.
    pub(super) async fn close_here(self: &Arc<Self>) -> Result<(), Error> {
        let seat = self.seats().get().map_err(|_closed| Error::Closed)?;
        let _resetting = seat.resetting.lock().await;
        if !self.is_ours() {
            return Ok(());
        }
        self.set_resetting(true);
        self.seats().for_each(async |seat| seat.hold()).await;
        if self.identity().get().is_some() {
            self.shut_down().await;
        }
        if let Err(error) = self.disable().await {
            if !self.device().cut_off() {
                self.set_over(Lost::Closed);
                self.seats().for_each(async |seat| seat.refuse(Lost::Closed)).await;
                self.listeners().end(None);
                return Err(error);
            }
        }
        self.set_over(Lost::Closed);
        self.seats().for_each(async |seat| seat.end(Lost::Closed)).await;
        self.let_go();
        self.listeners().end(None);
        Ok(())
    }

    /// Has the controller make what it was told survive, and waits for that (Base 2.0 §3.6.1).
    async fn shut_down(&self) {
        if !self.status().is_ready() {
            return;
        }
        let needed = self.identity().get().map_or(0, |identity| identity.shutdown_us.get());
        let limit = Duration::from_micros(needed.into()).max(SHUTDOWN_LIMIT);
        self.configure(self.configuration().with_shn(1));
        let mut waited = Duration::ZERO;
        while waited < limit {
            let status = self.status();
            // Gone reads as done.
            if status.shst() >= 2 || status.is_fatal() {
                return;
            }
            sleep(Duration::from_millis(1)).await;
            waited += Duration::from_millis(1);
        }
    }
}
