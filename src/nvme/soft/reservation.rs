//! Reservations of a namespace: which hosts have registered, who holds it, and whom that keeps out (Base 2.0 §8.19).

use super::super::spec::{
    Command, IoOpcode, RegisteredController, ReservationStatus, ReservationType, StatusCode,
};
use zerocopy::IntoBytes;

/// Who asks: the controller that the command came by, and its host's identifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Host {
    pub(super) controller: u16,
    pub(super) id: [u8; 16],
}

#[derive(Default)]
pub(super) struct Reservation {
    generation: u32,
    registrants: Vec<(Host, u64)>,
    /// Who holds it, and how; all registrants do, in two kinds.
    held: Option<(Host, ReservationType)>,
    persists: bool,
}

/// What a controller's host is told of (Base 2.0 §5.16.1.24).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    RegistrationPreempted = 1,
    Released = 2,
    ReservationPreempted = 3,
}

/// Notices by controller.
pub(super) type Notices = Vec<(u16, Told)>;

const CONFLICT: StatusCode = StatusCode::RESERVATION_CONFLICT;

impl Reservation {
    pub(super) fn is_free(&self) -> bool {
        self.held.is_none()
    }

    /// Whether a host may do this while the namespace is held (Base 2.0 §8.19, Command Behavior in the Presence of a Reservation).
    pub(super) fn allows(&self, host: Host, opcode: IoOpcode) -> Result<(), StatusCode> {
        let Some((holder, kind)) = self.held else { return Ok(()) };
        let reads = matches!(
            opcode,
            IoOpcode::READ | IoOpcode::COMPARE | IoOpcode::VERIFY | IoOpcode::ZONE_MANAGEMENT_RECEIVE
        );
        let is_of_reservation = matches!(
            opcode,
            IoOpcode::RESERVATION_REGISTER
                | IoOpcode::RESERVATION_REPORT
                | IoOpcode::RESERVATION_ACQUIRE
                | IoOpcode::RESERVATION_RELEASE
        );
        let is_registered = self.key(host).is_some();
        let may = match kind {
            ReservationType::WRITE_EXCLUSIVE => reads || holder.id == host.id,
            ReservationType::EXCLUSIVE_ACCESS => holder.id == host.id,
            ReservationType::WRITE_EXCLUSIVE_REGISTRANTS | ReservationType::WRITE_EXCLUSIVE_ALL => {
                reads || is_registered
            }
            _ => is_registered,
        };
        if may || is_of_reservation { Ok(()) } else { Err(CONFLICT) }
    }

    fn key(&self, host: Host) -> Option<u64> {
        self.registrants.iter().find(|(other, _)| other.id == host.id).map(|&(_, key)| key)
    }

    fn holds(&self, host: Host) -> bool {
        self.held
            .is_some_and(|(holder, kind)| holder.id == host.id || is_of_all(kind) && self.key(host).is_some())
    }

    pub(super) fn register(
        &mut self,
        command: &Command,
        host: Host,
        [current, new]: [u64; 2],
    ) -> Result<Notices, StatusCode> {
        let cdw = command.cdw(10);
        let ignores = cdw >> 3 & 1 == 1;
        let known = self.key(host);
        let is_right = ignores || known == Some(current);
        let mut notices = Notices::new();
        match cdw & 7 {
            // A second registration with the same key is none (Base 2.0 §7.3).
            0 if known.is_some_and(|known| known != new) => return Err(CONFLICT),
            0 if known.is_some() => {}
            0 => self.registrants.push((host, new)),
            1 if known.is_none() || !is_right => return Err(CONFLICT),
            1 => self.leave(host, &mut notices),
            2 if !is_right || known.is_none() && !ignores => return Err(CONFLICT),
            2 => {
                self.registrants.retain(|(other, _)| other.id != host.id);
                self.registrants.push((host, new));
            }
            _ => return Err(StatusCode::INVALID_FIELD),
        }
        match cdw >> 30 {
            2 => self.persists = false,
            3 => self.persists = true,
            _ => {}
        }
        self.generation = self.generation.wrapping_add(1);
        Ok(notices)
    }

    /// A host is registered no longer, and holds nothing.
    fn leave(&mut self, host: Host, notices: &mut Notices) {
        self.registrants.retain(|(other, _)| other.id != host.id);
        let Some((holder, kind)) = self.held else { return };
        let ends = if is_of_all(kind) { self.registrants.is_empty() } else { holder.id == host.id };
        if !ends {
            return;
        }
        self.held = None;
        if kind == ReservationType::WRITE_EXCLUSIVE_REGISTRANTS
            || kind == ReservationType::EXCLUSIVE_ACCESS_REGISTRANTS
        {
            notices.extend(self.registrants.iter().map(|(other, _)| (other.controller, Told::Released)));
        }
    }

    pub(super) fn acquire(
        &mut self,
        command: &Command,
        host: Host,
        [current, preempted]: [u64; 2],
    ) -> Result<Notices, StatusCode> {
        let cdw = command.cdw(10);
        let kind = ReservationType((cdw >> 8) as u8);
        if kind.name().is_none() {
            return Err(StatusCode::INVALID_FIELD);
        }
        if self.key(host) != Some(current) {
            return Err(CONFLICT);
        }
        match cdw & 7 {
            0 => match self.held {
                None => self.held = Some((host, kind)),
                Some((_, same)) if same == kind && self.holds(host) => {}
                Some(_) => return Err(CONFLICT),
            },
            1 | 2 => return self.preempt(host, kind, preempted),
            _ => return Err(StatusCode::INVALID_FIELD),
        }
        Ok(Notices::new())
    }

    fn preempt(&mut self, host: Host, kind: ReservationType, key: u64) -> Result<Notices, StatusCode> {
        let takes = match self.held {
            Some((_, held)) if is_of_all(held) => key == 0,
            Some((holder, _)) => self.key(holder) == Some(key),
            None => false,
        };
        let goes = |&(other, its): &(Host, u64)| other.id != host.id && (its == key || takes && key == 0);
        let mut notices: Notices = self
            .registrants
            .iter()
            .filter(|one| goes(one))
            .map(|(other, _)| (other.controller, Told::RegistrationPreempted))
            .collect();
        if notices.is_empty() && !takes {
            return Err(CONFLICT);
        }
        self.registrants.retain(|one| !goes(one));
        if takes {
            let changes = self.held.is_some_and(|(_, held)| held != kind);
            if changes {
                let others = self.registrants.iter().filter(|(other, _)| other.id != host.id);
                notices.extend(others.map(|(other, _)| (other.controller, Told::Released)));
            }
            self.held = Some((host, kind));
        }
        self.generation = self.generation.wrapping_add(1);
        Ok(notices)
    }

    pub(super) fn release(
        &mut self,
        command: &Command,
        host: Host,
        current: u64,
    ) -> Result<Notices, StatusCode> {
        let cdw = command.cdw(10);
        if self.key(host) != Some(current) {
            return Err(CONFLICT);
        }
        let others = |this: &Self, told| {
            let others = this.registrants.iter().filter(move |(other, _)| other.id != host.id);
            others.map(|(other, _)| (other.controller, told)).collect::<Notices>()
        };
        match cdw & 7 {
            0 => {
                let Some((_, kind)) = self.held.filter(|_| self.holds(host)) else {
                    return Ok(Notices::new());
                };
                if kind != ReservationType((cdw >> 8) as u8) {
                    return Err(StatusCode::INVALID_FIELD);
                }
                self.held = None;
                let tells =
                    !matches!(kind, ReservationType::WRITE_EXCLUSIVE | ReservationType::EXCLUSIVE_ACCESS);
                Ok(if tells { others(self, Told::Released) } else { Notices::new() })
            }
            1 => {
                let notices = others(self, Told::ReservationPreempted);
                self.registrants.clear();
                self.held = None;
                self.generation = self.generation.wrapping_add(1);
                Ok(notices)
            }
            _ => Err(StatusCode::INVALID_FIELD),
        }
    }

    /// What Reservation Report answers, in the extended form, as long as it asks.
    pub(super) fn report(&self, command: &Command) -> Result<Vec<u8>, StatusCode> {
        if command.cdw(11) & 1 == 0 {
            return Err(StatusCode::HOST_ID_FORMAT);
        }
        let mut head = ReservationStatus::default();
        head.generation.set(self.generation);
        head.kind = self.held.map_or(0, |(_, kind)| kind.0);
        head.registered.set(self.registrants.len() as u16);
        head.persists = self.persists.into();
        let mut report = head.as_bytes().to_vec();
        for &(host, key) in &self.registrants {
            let mut one = RegisteredController::default();
            one.controller_id.set(host.controller);
            one.status = self.holds(host).into();
            one.key.set(key);
            one.host = host.id;
            report.extend(one.as_bytes());
        }
        let bytes = (u64::from(command.cdw(10)) + 1) * 4;
        if bytes > 1 << 24 {
            return Err(StatusCode::INVALID_FIELD);
        }
        report.resize(bytes as usize, 0);
        Ok(report)
    }
}

fn is_of_all(kind: ReservationType) -> bool {
    matches!(kind, ReservationType::WRITE_EXCLUSIVE_ALL | ReservationType::EXCLUSIVE_ACCESS_ALL)
}
