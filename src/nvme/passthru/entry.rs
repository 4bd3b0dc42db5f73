//! A command as the kernel takes it: with pointers into its payload, which is kept until the answer.

#![expect(unsafe_code, reason = "promises that commands point only into what is kept for them")]

use super::kernel::KernelCommand;
use crate::nvme::spec::{AdminOpcode, Command};
use crate::nvme::{Error, Limits, Payload};
use crate::sys::dma::DmaAny;
use crate::uring::command::{CommandRing, Sent, Target};
use std::rc::Rc;
use std::time::Duration;

/// What is kept for a command.
pub(super) struct Held {
    pub(super) payload: Payload,
    /// Where the pieces of the payload are, if there are several.
    _pieces: Option<Box<[Piece]>>,
}

/// `struct iovec`.
#[repr(C)]
struct Piece {
    start: usize,
    len: usize,
}

/// Which driver is asked: `NVME_URING_CMD_*` for data in one piece, and in several.
#[derive(Clone, Copy)]
pub(super) struct Operations {
    pub(super) one: u32,
    pub(super) many: u32,
}

/// Sends the command, or says why the kernel would not take it. `limit` is the kernel's own if there is none.
#[inline]
pub(super) fn send<'a>(
    ring: &'a CommandRing<Held>,
    target: &Rc<Target<Held>>,
    operations: Operations,
    command: &Command,
    payload: Payload,
    limit: Option<Duration>,
) -> Sent<'a, Held> {
    let mut kernels = KernelCommand::new(command);
    if let Some(limit) = limit {
        kernels = kernels.with_timeout(limit);
    }
    let (mut operation, mut chunk, mut pieces) = (operations.one, None, None);
    match &payload {
        Payload::One(buffer) => {
            kernels = kernels.with_data(buffer.0.expose());
            chunk = Some(buffer.0.chunk());
        }
        Payload::Many(_) => {
            let places: Box<[Piece]> = payload.buffers().map(Piece::of).collect();
            if let Some(metadata) = payload.metadata() {
                kernels = kernels.with_metadata(metadata.expose());
            }
            if !places.is_empty() {
                kernels = kernels.with_pieces(places.as_ptr().expose_provenance(), places.len());
                operation = operations.many;
            }
            pieces = Some(places);
        }
    }
    let held = Held { payload, _pieces: pieces };
    // SAFETY: the command points to the payload's buffers and to the list of them, all kept in `Held`: memory of pools and of a box, which
    // stays put. `check` has seen that the kernel writes only to buffers of which there is one owner, and the list is only read.
    unsafe { ring.send(target, operation, kernels.bytes(), chunk, held) }
}

/// Whether the kernel may be given it.
#[inline]
pub(super) fn check(command: &Command, payload: &Payload, limits: Limits) -> Result<(), Error> {
    if command.flags().fuse() != 0 {
        return Err(Error::Unsupported(
            "the kernel passes no fused commands on: use a queue pair of your own",
        ));
    }
    // What the kernel goes by: bit 0 is to the device, but for fabrics' commands, and bit 1 from it (Base 2.0 §5, §7).
    let is_only_read = command.opcode() & 3 == 1 && command.opcode() != FABRICS;
    if !is_only_read && !payload.is_writable() {
        return Err(Error::Frozen);
    }
    match payload {
        // Wherever it begins.
        Payload::One(buffer) if buffer.0.len() as u64 <= limits.bytes => Ok(()),
        Payload::One(buffer) => Err(Error::TooLarge { len: buffer.0.len() as u64, max: limits.bytes }),
        Payload::Many(_) => check_many(payload, limits),
    }
}

#[cold]
fn check_many(payload: &Payload, limits: Limits) -> Result<(), Error> {
    let (len, count) = (payload.len() as u64, payload.buffers().count());
    if len > limits.bytes {
        return Err(Error::TooLarge { len, max: limits.bytes });
    }
    // The list of the kernel's is no longer, and one of its pieces is below 4 GiB.
    if count > limits.segments || payload.metadata_len() > limits.bytes as usize {
        return Err(Error::TooLong);
    }
    Ok(())
}

/// The opcode of all commands of fabrics.
const FABRICS: u8 = AdminOpcode::FABRICS.0;

impl Piece {
    fn of(buffer: &DmaAny) -> Self {
        let place = buffer.expose();
        Self { start: place.start as usize, len: (place.end - place.start) as usize }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sys::dma::DmaPool;

    const LIMITS: Limits = Limits { bytes: 8192, segments: 2, has_sgls: false, has_fused: false };

    fn checked(command: Command, payload: Payload) -> Result<(), Error> {
        check(&command, &payload, LIMITS)
    }

    #[test]
    fn the_kernel_writes_to_nothing_that_is_shared() {
        let page = || DmaPool::local().try_alloc(4096).unwrap();
        let (read, write) = (Command::read(1, 0, 8), Command::write(1, 0, 8));
        assert!(checked(read, page().into()).is_ok() && checked(write, page().into()).is_ok());
        assert!(checked(write, page().freeze().into()).is_ok());
        // By the kernel's measure, which takes commands of fabrics apart.
        for opcode in [read.opcode(), 0x03, 0x7a, FABRICS] {
            let command = Command::new(opcode, 1, [0; 6]);
            assert!(matches!(checked(command, page().freeze().into()), Err(Error::Frozen)));
            let metadata = Payload::from(page()).with_metadata(page().freeze());
            assert!(matches!(checked(command, metadata), Err(Error::Frozen)));
        }
    }

    #[test]
    fn what_the_kernel_would_not_take_is_told_before() {
        let of = |bytes: &[usize]| -> Payload {
            bytes.iter().map(|&bytes| DmaPool::local().try_alloc(bytes).unwrap()).collect::<Vec<_>>().into()
        };
        let read = Command::read(1, 0, 8);
        assert!(checked(read, of(&[8192])).is_ok() && checked(read, of(&[4096, 4096])).is_ok());
        assert!(matches!(checked(read, of(&[8704])), Err(Error::TooLarge { len: 8704, max: 8192 })));
        assert!(matches!(checked(read, of(&[8192, 512])), Err(Error::TooLarge { len: 8704, max: 8192 })));
        assert!(matches!(checked(read, of(&[512, 512, 512])), Err(Error::TooLong)));
        assert!(matches!(checked(read.fused(false), of(&[512])), Err(Error::Unsupported(_))));
    }
}
