//! What a command that anybody may send moves, and whether its payload has room for that.
//!
//! PRPs say where data begins, page by page, and nothing of how much there is: a controller that means more by the command goes on
//! behind the payload. So what nobody knows the length of is not sent, unless what is behind is nobody's either.

use super::spec::{
    AdminOpcode, Command, CopyRange, DatasetRange, FeatureId, IoOpcode, ReservationAcquire,
    ReservationRegister, ReservationRelease, Transfer, ZoneAction, ZoneSend,
};
use super::{Error, Payload};
use crate::sys::dma::DmaAny;

const PAGE: usize = 4096;

/// Checks an admin command. Of one that moves nobody knows how much, the payload is whole pages, `unknown_max` bytes at most.
///
/// # Errors
/// If it would take the controller out of its driver's hands, moves more than the payload has, or writes what others may read.
pub(super) fn check_admin(command: &Command, payload: &Payload, unknown_max: usize) -> Result<(), Error> {
    use AdminOpcode as Op;
    match AdminOpcode(command.opcode()) {
        Op::CREATE_SQ | Op::CREATE_CQ | Op::DELETE_SQ | Op::DELETE_CQ | Op::DOORBELL_BUFFER => {
            return Err(Error::Unsupported("its queues are its driver's"));
        }
        Op::ASYNC_EVENT => {
            return Err(Error::Unsupported(
                "its driver asks it for events, and tells of them (`Controller::events`, `udevadm monitor`)",
            ));
        }
        Op::SET_FEATURES if command.feature() == FeatureId::HOST_MEMORY_BUFFER => {
            return Err(Error::Unsupported("its host memory buffer is its driver's to give"));
        }
        _ => {}
    }
    check_direction(command, payload)?;
    let has = payload.len();
    match admin_moves(command) {
        Some(needed) if needed > has as u64 => Err(Error::Payload { len: has as u64, needed }),
        Some(_) => Ok(()),
        None if has > 0 && has <= unknown_max && payload.buffers().all(is_of_pages) => Ok(()),
        None => Err(Error::Unsupported(
            "nobody can say how much the command moves: bring whole pages of memory, as many as it may need; one where the queues are \
             this process's own",
        )),
    }
}

/// Checks an I/O command that [moves](io_moves) this, if that is known; `has_sgls` if the controller takes them. True if an SGL is to bind
/// the controller to the payload's length.
///
/// # Errors
/// As [`check_admin`].
pub(crate) fn check_io(
    command: &Command,
    payload: &Payload,
    moves: Option<(u64, u64)>,
    has_sgls: bool,
) -> Result<bool, Error> {
    if command.flags().fuse() != 0 {
        return Err(Error::Unsupported("one of two fused commands: there is `compare_and_write` for them"));
    }
    check_direction(command, payload)?;
    let has = (payload.len() as u64, payload.metadata_len() as u64);
    match moves {
        Some((data, _)) if has.0 < data => Err(Error::Payload { len: has.0, needed: data }),
        Some((_, metadata)) if has.1 < metadata => Err(Error::Metadata { len: has.1, needed: metadata }),
        Some(_) => Ok(false),
        None if Transfer::of(command.opcode()) == Transfer::None => Ok(false),
        // A descriptor's length binds the controller; that of PRP entries is what it takes the command to mean.
        None if has_sgls && has.0 > 0 && has.1 == 0 => Ok(true),
        None => Err(Error::Unsupported(
            "a command that moves nobody knows how much needs SGLs, data and no metadata",
        )),
    }
}

/// The command without what is the queue's to fill in.
pub(crate) fn without_pointers(command: Command) -> Command {
    command.with_flags(Default::default()).with_prp(0, 0).with_metadata(0)
}

fn check_direction(command: &Command, payload: &Payload) -> Result<(), Error> {
    let is_written = matches!(Transfer::of(command.opcode()), Transfer::FromController | Transfer::Both);
    if is_written && !payload.is_writable() { Err(Error::Frozen) } else { Ok(()) }
}

fn is_of_pages(buffer: &DmaAny) -> bool {
    let (start, len) = buffer.place();
    start % PAGE == 0 && len % PAGE == 0
}

/// Bytes of data that an admin command moves, if that is known.
fn admin_moves(command: &Command) -> Option<u64> {
    use AdminOpcode as Op;
    let doublewords = |less_one: u32| (u64::from(less_one) + 1) * 4;
    Some(match AdminOpcode(command.opcode()) {
        Op::IDENTIFY | Op::NAMESPACE_ATTACHMENT => PAGE as u64,
        // Only to make one takes a description.
        Op::NAMESPACE_MANAGEMENT if command.cdw(10) & 0xf == 0 => PAGE as u64,
        Op::NAMESPACE_MANAGEMENT => 0,
        Op::GET_LOG_PAGE => command.log_page().2,
        Op::GET_FEATURES | Op::SET_FEATURES => return feature_bytes(command),
        Op::FIRMWARE_DOWNLOAD | Op::DIRECTIVE_SEND | Op::DIRECTIVE_RECEIVE => doublewords(command.cdw(10)),
        Op::SECURITY_SEND | Op::SECURITY_RECEIVE => command.cdw(11).into(),
        Op::GET_LBA_STATUS => doublewords(command.cdw(12)),
        _ if Transfer::of(command.opcode()) == Transfer::None => 0,
        _ => return None,
    })
}

/// Of a feature's data structure (Base 2.0 §5.27.1); those of vendors are not known.
fn feature_bytes(command: &Command) -> Option<u64> {
    // What it can do, not what it is: there is a doubleword for that, and no data.
    let is_capabilities = command.opcode() == AdminOpcode::GET_FEATURES.0 && command.cdw(10) >> 8 & 7 == 3;
    Some(match command.feature() {
        _ if is_capabilities => 0,
        FeatureId::LBA_RANGE_TYPE | FeatureId::HOST_MEMORY_BUFFER => PAGE as u64,
        FeatureId::AUTONOMOUS_POWER => 256,
        FeatureId::TIMESTAMP => 8,
        FeatureId::HOST_BEHAVIOR => 512,
        FeatureId::HOST_ID => 16,
        // Predictable Latency Mode; what came later, and the vendors' own.
        FeatureId(0x13 | 0x1b..=0x7f | 0x85..) => return None,
        _ => 0,
    })
}

/// Bytes of data and metadata that an I/O command moves, if that is known, where each block has `stride` bytes and `apart` of metadata
/// elsewhere, and each zone's descriptor an `extension`.
pub(crate) fn io_moves(
    command: &Command,
    stride: u64,
    apart: u64,
    extension: Option<u32>,
) -> Option<(u64, u64)> {
    let of = |size: usize| u64::from(command.range_count()) * size as u64;
    let doublewords = |less_one: u32| (u64::from(less_one) + 1) * 4;
    let data = match IoOpcode(command.opcode()) {
        IoOpcode::READ | IoOpcode::WRITE | IoOpcode::COMPARE | IoOpcode::ZONE_APPEND => {
            let blocks = u64::from(command.block_count());
            return Some((blocks * stride, blocks * apart));
        }
        IoOpcode::FLUSH | IoOpcode::WRITE_ZEROES | IoOpcode::WRITE_UNCORRECTABLE | IoOpcode::VERIFY => 0,
        IoOpcode::DATASET_MANAGEMENT => of(size_of::<DatasetRange>()),
        // Formats of 32 bytes, and of 40.
        IoOpcode::COPY => match command.cdw(12) >> 8 & 0xf {
            0 | 2 => of(size_of::<CopyRange>()),
            1 | 3 => of(40),
            _ => return None,
        },
        IoOpcode::RESERVATION_REGISTER => size_of::<ReservationRegister>() as u64,
        IoOpcode::RESERVATION_ACQUIRE => size_of::<ReservationAcquire>() as u64,
        IoOpcode::RESERVATION_RELEASE => size_of::<ReservationRelease>() as u64,
        IoOpcode::RESERVATION_REPORT => doublewords(command.cdw(10)),
        IoOpcode::MANAGEMENT_RECEIVE => doublewords(command.cdw(11)),
        IoOpcode::ZONE_MANAGEMENT_RECEIVE => doublewords(command.cdw(12)),
        IoOpcode::ZONE_MANAGEMENT_SEND => {
            match ZoneAction(ZoneSend::from_bits(command.cdw(13)).action() as u8) {
                ZoneAction::SET_DESCRIPTOR_EXTENSION => extension?.into(),
                _ => 0,
            }
        }
        _ => return None,
    };
    Some((data, 0))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::nvme::spec::{FeatureSelect, IdentifyWhat, LogPage};
    use crate::sys::dma::DmaPool;

    fn checked(command: Command, bytes: usize) -> Result<(), Error> {
        let payload = match bytes {
            0 => Payload::None,
            _ => DmaPool::local().try_alloc(bytes).unwrap().into(),
        };
        check_admin(&command, &payload, 8192)
    }

    #[test]
    fn a_payload_has_room_for_all_that_the_command_moves() {
        let identify = Command::identify(IdentifyWhat::CONTROLLER, 0);
        let log = Command::get_log_page(LogPage::SMART, 0, 0, 512);
        let host = Command::get_features(FeatureId::HOST_ID, 0, FeatureSelect::Current);
        for (command, needed) in [(identify, 4096), (log, 512), (host, 16)] {
            assert!(checked(command, needed).is_ok());
            let Err(Error::Payload { needed: told, .. }) = checked(command, needed - 4) else {
                panic!("{needed}")
            };
            assert_eq!(told, needed as u64);
        }
        let queues = Command::get_features(FeatureId::NUMBER_OF_QUEUES, 0, FeatureSelect::Current);
        assert!(checked(queues, 0).is_ok());
    }

    #[test]
    fn of_what_nobody_knows_whole_pages_are_brought() {
        let vendors = Command::new(0xc2, 0, [0; 6]);
        assert!(checked(vendors, 4096).is_ok() && checked(vendors, 8192).is_ok());
        assert!(matches!(checked(vendors, 512), Err(Error::Unsupported(_))));
        assert!(matches!(checked(vendors, 12288), Err(Error::Unsupported(_))), "more than is allowed");
        assert!(matches!(checked(vendors, 0), Err(Error::Unsupported(_))));
        assert!(checked(Command::new(0xc0, 0, [0; 6]), 0).is_ok(), "it moves nothing");
    }

    #[test]
    fn what_others_may_read_is_not_written() {
        let frozen = Payload::from(DmaPool::local().try_alloc(4096).unwrap().freeze());
        let identify = Command::identify(IdentifyWhat::CONTROLLER, 0);
        assert!(matches!(check_admin(&identify, &frozen, 4096), Err(Error::Frozen)));
        assert!(matches!(
            check_io(&Command::read(1, 0, 8), &frozen, Some((4096, 0)), false),
            Err(Error::Frozen)
        ));
        assert!(check_io(&Command::write(1, 0, 8), &frozen, Some((4096, 0)), false).is_ok());
    }

    /// Their memory would be the controller's after the answer.
    #[test]
    fn what_is_the_drivers_stays_the_drivers() {
        let buffer = Command::set_features(FeatureId::HOST_MEMORY_BUFFER, 0, 1, false);
        let queue = Command::create_cq(3, 16, Default::default());
        for command in
            [buffer, queue, Command::delete_sq(1), Command::async_event(), Command::doorbell_buffer(0, 0)]
        {
            assert!(matches!(checked(command, 4096), Err(Error::Unsupported(_))));
        }
    }
}
