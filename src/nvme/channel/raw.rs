//! Any command, as it is.

use super::super::spec::{
    Command, CommandFlags, CopyRange, DatasetRange, IoOpcode, ReservationAcquire, ReservationRegister,
    ReservationRelease, Transfer, ZoneAction, ZoneSend,
};
use super::super::{Answer, Error, Payload, Queue};
use super::{Channel, IoOptions};

impl<Q: Queue> Channel<Q> {
    /// Sends an I/O command to this namespace as it is, whatever it is: identifier, namespace and pointers are filled in, the rest is
    /// the caller's. Yields the answer, also if that is an error.
    ///
    /// # Errors
    /// [`Error::Payload`] if the command moves more than the payload has. [`Error::Unsupported`] if nobody can say how much it moves,
    /// and the controller takes no SGLs, which say it; for fused commands, which [`compare_and_write`](Channel::compare_and_write) is
    /// for. [`Error::Frozen`]; [`Error::Misaligned`]; [`Error::Scattered`]; [`Error::Closed`].
    pub async fn raw(&self, mut command: Command, payload: Payload) -> (Result<Answer, Error>, Payload) {
        match self.check_raw(&command, &payload) {
            Err(error) => (Err(error), payload),
            Ok(is_bound) => {
                command.nsid.set(self.namespace.id());
                (command.flags, command.data) = (CommandFlags::default(), Default::default());
                command.metadata.set(0);
                self.queue.send(command, if is_bound { payload.described() } else { payload }).await
            }
        }
    }

    /// Whether the length of the payload is to bind the controller, or else is known to do.
    fn check_raw(&self, command: &Command, payload: &Payload) -> Result<bool, Error> {
        if command.flags.fuse() != 0 {
            return Err(Error::Unsupported(
                "one of two fused commands: there is `compare_and_write` for them",
            ));
        }
        if self.namespace.is_gone() {
            return Err(Error::NamespaceGone);
        }
        let transfer = Transfer::of(command.opcode);
        if matches!(transfer, Transfer::FromController | Transfer::Both) && !payload.is_writable() {
            return Err(Error::Frozen);
        }
        let has = (payload.len() as u64, payload.metadata_len() as u64);
        match self.moves(command) {
            Some((data, _)) if has.0 < data => Err(Error::Payload { len: has.0, needed: data }),
            Some((_, metadata)) if has.1 < metadata => Err(Error::Metadata { len: has.1, needed: metadata }),
            Some(_) => Ok(false),
            None if transfer == Transfer::None => Ok(false),
            // A descriptor's length binds the controller; that of PRP entries is what it takes the command to mean.
            None if self.limits.has_sgls && has.0 > 0 && has.1 == 0 => Ok(true),
            None => Err(Error::Unsupported(
                "a command that moves nobody knows how much needs SGLs, data and no metadata",
            )),
        }
    }

    /// Bytes of data and metadata that a command moves, if that is known.
    fn moves(&self, command: &Command) -> Option<(u64, u64)> {
        let of = |size: usize| u64::from(command.range_count()) * size as u64;
        let doublewords = |less_one: u32| (u64::from(less_one) + 1) * 4;
        let data = match IoOpcode(command.opcode) {
            IoOpcode::READ | IoOpcode::WRITE | IoOpcode::COMPARE | IoOpcode::ZONE_APPEND => {
                let blocks = u64::from(command.block_count());
                let shape = self.shape(&IoOptions::of(command.io_control()));
                return Some((blocks * shape.stride, blocks * shape.apart));
            }
            IoOpcode::FLUSH | IoOpcode::WRITE_ZEROES | IoOpcode::WRITE_UNCORRECTABLE | IoOpcode::VERIFY => 0,
            IoOpcode::DATASET_MANAGEMENT => of(size_of::<DatasetRange>()),
            // Formats of 32 bytes, and of 40.
            IoOpcode::COPY => match command.cdw12.get() >> 8 & 0xf {
                0 | 2 => of(size_of::<CopyRange>()),
                1 | 3 => of(40),
                _ => return None,
            },
            IoOpcode::RESERVATION_REGISTER => size_of::<ReservationRegister>() as u64,
            IoOpcode::RESERVATION_ACQUIRE => size_of::<ReservationAcquire>() as u64,
            IoOpcode::RESERVATION_RELEASE => size_of::<ReservationRelease>() as u64,
            IoOpcode::RESERVATION_REPORT => doublewords(command.cdw10.get()),
            IoOpcode::MANAGEMENT_RECEIVE => doublewords(command.cdw11.get()),
            IoOpcode::ZONE_MANAGEMENT_RECEIVE => doublewords(command.cdw12.get()),
            IoOpcode::ZONE_MANAGEMENT_SEND => {
                match ZoneAction(ZoneSend::from_bits(command.cdw13.get()).action() as u8) {
                    ZoneAction::SET_DESCRIPTOR_EXTENSION => self.namespace.zones()?.extension_bytes.into(),
                    _ => 0,
                }
            }
            _ => return None,
        };
        Some((data, 0))
    }
}
