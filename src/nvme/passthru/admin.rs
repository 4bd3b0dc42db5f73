//! Which admin commands the kernel may be given, and how much memory they need.
//!
//! The kernel makes PRPs of the payload that there is. A controller that means more by the command writes on behind it.

use crate::nvme::spec::{AdminOpcode, Command, FeatureId, Transfer};
use crate::nvme::{Error, Payload};
use crate::sys::dma::DmaAny;

const PAGE: usize = 4096;

/// # Errors
/// If it would take the controller out of the kernel's hands, or moves more than the payload has.
pub(super) fn check(command: &Command, payload: &Payload) -> Result<(), Error> {
    use AdminOpcode as Op;
    let opcode = AdminOpcode(command.opcode);
    match opcode {
        Op::CREATE_SQ | Op::CREATE_CQ | Op::DELETE_SQ | Op::DELETE_CQ | Op::DOORBELL_BUFFER => {
            return Err(Error::Unsupported(
                "its queues are the kernel's: bind it to vfio-pci for ones of your own",
            ));
        }
        Op::ASYNC_EVENT => {
            return Err(Error::Unsupported(
                "the kernel asks it for events, and tells of them (`udevadm monitor`)",
            ));
        }
        Op::SET_FEATURES if command.feature() == FeatureId::HOST_MEMORY_BUFFER => {
            return Err(Error::Unsupported("its host memory buffer is the kernel's to give"));
        }
        _ => {}
    }
    let has = payload.len() as u64;
    match moves(command) {
        Some(needed) if needed > has => Err(Error::Payload { len: has, needed }),
        Some(_) => Ok(()),
        // What is behind a page is nobody's by the PRPs.
        None if has > 0 && payload.buffers().all(is_of_pages) => Ok(()),
        None => Err(Error::Unsupported(
            "nobody can say how much the command moves: bring whole pages of memory, as many as it may need",
        )),
    }
}

fn is_of_pages(buffer: &DmaAny) -> bool {
    let (start, len) = buffer.place();
    start % PAGE == 0 && len % PAGE == 0
}

/// Bytes of data that it moves, if that is known.
fn moves(command: &Command) -> Option<u64> {
    use AdminOpcode as Op;
    let doublewords = |less_one: u32| (u64::from(less_one) + 1) * 4;
    Some(match AdminOpcode(command.opcode) {
        Op::IDENTIFY | Op::NAMESPACE_ATTACHMENT => PAGE as u64,
        // Only to make one takes a description.
        Op::NAMESPACE_MANAGEMENT if command.cdw10.get() & 0xf == 0 => PAGE as u64,
        Op::NAMESPACE_MANAGEMENT => 0,
        Op::GET_LOG_PAGE => command.log_page().2,
        Op::GET_FEATURES | Op::SET_FEATURES => return feature_bytes(command),
        Op::FIRMWARE_DOWNLOAD | Op::DIRECTIVE_SEND | Op::DIRECTIVE_RECEIVE => {
            doublewords(command.cdw10.get())
        }
        Op::SECURITY_SEND | Op::SECURITY_RECEIVE => command.cdw11.get().into(),
        Op::GET_LBA_STATUS => doublewords(command.cdw12.get()),
        _ if Transfer::of(command.opcode) == Transfer::None => 0,
        _ => return None,
    })
}

/// Of a feature's data structure (Base 2.0 §5.27.1); those of vendors are not known.
fn feature_bytes(command: &Command) -> Option<u64> {
    // What it can do, not what it is: there is a doubleword for that, and no data.
    let is_capabilities = command.opcode == AdminOpcode::GET_FEATURES.0 && command.cdw10.get() >> 8 & 7 == 3;
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
        check(&command, &payload)
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
        assert!(matches!(checked(vendors, 0), Err(Error::Unsupported(_))));
        assert!(checked(Command::new(0xc0, 0, [0; 6]), 0).is_ok(), "it moves nothing");
    }

    /// Their memory would be the controller's after the answer.
    #[test]
    fn what_is_the_kernels_stays_the_kernels() {
        let buffer = Command::set_features(FeatureId::HOST_MEMORY_BUFFER, 0, 1, false);
        let queue = Command::create_cq(3, 16, Default::default());
        for command in
            [buffer, queue, Command::delete_sq(1), Command::async_event(), Command::doorbell_buffer(0, 0)]
        {
            assert!(matches!(checked(command, 4096), Err(Error::Unsupported(_))));
        }
    }
}
