//! Reservations: hosts that share a namespace keep each other out (Base 2.0 §8.19).

use super::super::queue::{Request, ok};
use super::super::spec::{
    AcquireAction, Command, RegisterAction, RegisteredController, ReleaseAction, ReservationAcquire,
    ReservationRegister, ReservationRelease, ReservationStatus, ReservationType,
};
use super::super::{Error, Queue};
use super::Channel;
use crate::sys::dma::DmaPool;
use zerocopy::{Immutable, IntoBytes};

/// How often a report is asked for again, as more have registered meanwhile than it had room for.
const REPORTS_MAX: usize = 8;

/// Who has registered with a namespace, and who has reserved it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Reservations {
    /// How often registrations have changed.
    pub generation: u32,
    /// What the reservation keeps others from, if there is one.
    pub kind: Option<ReservationType>,
    /// Whether it outlasts a loss of power.
    pub persists: bool,
    /// Those who have registered, one for each controller that they have.
    pub registrants: Vec<Registrant>,
}

/// A host's registration by one controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Registrant {
    /// The controller's identifier.
    pub controller: u16,
    /// Whether the host holds the reservation.
    pub holds: bool,
    /// Its key.
    pub key: u64,
    /// Its identifier.
    pub host: [u8; 16],
}

impl<Q: Queue> Channel<Q> {
    /// Registers the host's key, or changes it, or takes it back. Without a `current` key the one that is there is not looked at
    /// (IEKEY). `persist` changes whether reservations outlast a loss of power.
    ///
    /// # Errors
    /// [`Error::Unsupported`]; what the controller answers, such as
    /// [`RESERVATION_CONFLICT`](super::super::spec::StatusCode::RESERVATION_CONFLICT); [`Error::Buffer`]; [`Error::Closed`].
    pub async fn reservation_register(
        &self,
        action: RegisterAction,
        current: Option<u64>,
        new: u64,
        persist: Option<bool>,
    ) -> Result<(), Error> {
        let keys = ReservationRegister { current_key: current.unwrap_or(0).into(), new_key: new.into() };
        let id = self.namespace.id();
        self.reserve(Command::reservation_register(id, action, current.is_none(), persist), keys).await
    }

    /// Reserves the namespace, or takes the reservation from whose key is `preempted`.
    ///
    /// # Errors
    /// As [`reservation_register`](Self::reservation_register).
    pub async fn reservation_acquire(
        &self,
        action: AcquireAction,
        kind: ReservationType,
        key: u64,
        preempted: u64,
    ) -> Result<(), Error> {
        let keys = ReservationAcquire { current_key: key.into(), preempted_key: preempted.into() };
        self.reserve(Command::reservation_acquire(self.namespace.id(), action, kind), keys).await
    }

    /// Gives the reservation up, or clears it and all registrations.
    ///
    /// # Errors
    /// As [`reservation_register`](Self::reservation_register).
    pub async fn reservation_release(
        &self,
        action: ReleaseAction,
        kind: ReservationType,
        key: u64,
    ) -> Result<(), Error> {
        let keys = ReservationRelease { current_key: key.into() };
        self.reserve(Command::reservation_release(self.namespace.id(), action, kind), keys).await
    }

    /// Who has registered, and reserved.
    ///
    /// # Errors
    /// As [`reservation_register`](Self::reservation_register).
    pub async fn reservations(&self) -> Result<Reservations, Error> {
        self.has_reservations()?;
        let mut bytes = 4096;
        for _ in 0..REPORTS_MAX {
            let mut buf = DmaPool::local().alloc(bytes).await?;
            buf.fill(0);
            let command = Command::reservation_report(self.namespace.id(), bytes as u32);
            let (answer, payload) = self.queue.send(Request::new(move || command, buf.into())).await;
            ok(answer)?;
            let buf = payload.into_buf().expect("the buffer comes back");
            let (head, controllers) = ReservationStatus::parse(&buf).expect("it has a head");
            let registered = usize::from(head.registered.get());
            if controllers.len() == registered {
                return Ok(Reservations::of(head, controllers));
            }
            // More may have come meanwhile: then once more.
            bytes = size_of::<ReservationStatus>() + registered * size_of::<RegisteredController>();
            if bytes as u64 > self.transfer_max() {
                return Err(Error::TooLarge { len: bytes as u64, max: self.transfer_max() });
            }
        }
        Err(Error::Unsupported("its registrations change faster than they are reported"))
    }

    async fn reserve(&self, command: Command, keys: impl IntoBytes + Immutable) -> Result<(), Error> {
        self.has_reservations()?;
        let mut buf = DmaPool::local().alloc(size_of_val(&keys)).await?;
        buf.copy_from_slice(keys.as_bytes());
        self.ask(move || command, buf.freeze().into()).await.map(drop)
    }

    fn has_reservations(&self) -> Result<(), Error> {
        if self.namespace.commands().reservations() {
            return Ok(());
        }
        Err(Error::Unsupported("it has no reservations (ONCS)"))
    }
}

impl Reservations {
    fn of(head: &ReservationStatus, controllers: &[RegisteredController]) -> Self {
        let registrants = controllers.iter().map(|it| Registrant {
            controller: it.controller_id.get(),
            holds: it.status & 1 == 1,
            key: it.key.get(),
            host: it.host,
        });
        Self {
            generation: head.generation.get(),
            kind: (head.kind != 0).then_some(ReservationType(head.kind)),
            persists: head.persists != 0,
            registrants: registrants.collect(),
        }
    }
}
