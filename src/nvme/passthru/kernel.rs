//! The kernel's words (`linux/nvme_ioctl.h`): its form of a command, and the two calls that a device is opened with.

#![expect(unsafe_code, reason = "ioctls that point to memory")]

use crate::nvme::spec::{Command, Status};
use rustix::ioctl::{Ioctl, IoctlOutput, NoArg, Opcode, Updater, ioctl, opcode};
use std::ffi::c_void;
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::Duration;
use zerocopy::{Immutable, IntoBytes};

/// `struct nvme_passthru_cmd64`, whose first 72 bytes are `struct nvme_uring_cmd`. Addresses are this process's; the kernel makes PRPs or
/// SGLs of them.
#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
pub(super) struct KernelCommand {
    opcode: u8,
    flags: u8,
    reserved1: u16,
    nsid: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    data: u64,
    metadata_bytes: u32,
    /// Or how many pieces there are at `data`.
    data_bytes: u32,
    cdw10_to_15: [u32; 6],
    timeout_ms: u32,
    reserved2: u32,
    result: u64,
}

const _: () = assert!(size_of::<KernelCommand>() == 80);

/// `NVME_URING_CMD_*`: what an entry of a ring asks of the driver, and the ioctl numbers that they are made as.
pub(super) const URING_IO: u32 = number(0x80);
pub(super) const URING_IO_VEC: u32 = number(0x81);
pub(super) const URING_ADMIN: u32 = number(0x82);
pub(super) const URING_ADMIN_VEC: u32 = number(0x83);

const fn number(number: u8) -> u32 {
    opcode::read_write::<[u8; 72]>(b'N', number) as u32
}

impl KernelCommand {
    /// The command without its data: the pointers that it has are a device's, and mean nothing here.
    pub(super) fn new(command: &Command) -> Self {
        Self {
            opcode: command.opcode(),
            flags: command.flags().fuse(),
            nsid: command.nsid(),
            cdw2: command.cdw(2),
            cdw3: command.cdw(3),
            cdw10_to_15: std::array::from_fn(|n| command.cdw(10 + n)),
            ..Self::default()
        }
    }

    pub(super) fn with_data(mut self, place: Range<u64>) -> Self {
        (self.data, self.data_bytes) = (place.start, bytes(&place));
        self
    }

    /// With data in so many pieces, whose list is there.
    pub(super) fn with_pieces(mut self, list: usize, count: usize) -> Self {
        (self.data, self.data_bytes) = (list as u64, count as u32);
        self
    }

    pub(super) fn with_metadata(mut self, place: Range<u64>) -> Self {
        (self.metadata, self.metadata_bytes) = (place.start, bytes(&place));
        self
    }

    /// After that the kernel aborts it. In whole milliseconds; without, the kernel's own limit counts.
    pub(super) fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1);
        self
    }

    /// As an entry of a ring carries it.
    pub(super) fn bytes(self) -> [u8; 80] {
        zerocopy::transmute!(self)
    }
}

fn bytes(place: &Range<u64>) -> u32 {
    u32::try_from(place.end - place.start).expect("a buffer is below 2 GiB")
}

/// `NVME_IOCTL_ID`, `_IO('N', 0x40)`: answers with the namespace's identifier.
struct NamespaceId;

// SAFETY: the call takes no argument, and answers with a number.
unsafe impl Ioctl for NamespaceId {
    type Output = u32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        opcode::none(b'N', 0x40)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<u32> {
        Ok(output as u32)
    }
}

/// The identifier of the namespace. Other devices answer `ENOTTY`.
pub(super) fn namespace_id(device: impl AsFd) -> rustix::io::Result<u32> {
    // SAFETY: it changes nothing.
    unsafe { ioctl(device, NamespaceId) }
}

/// Resets the controller, and waits for that (`NVME_IOCTL_RESET`, `_IO('N', 0x44)`).
pub(super) fn reset(device: impl AsFd) -> rustix::io::Result<()> {
    // SAFETY: the call takes no argument.
    unsafe { ioctl(device, NoArg::<RESET>::new()) }
}

const RESET: Opcode = opcode::none(b'N', 0x44);

/// `NVME_IOCTL_ADMIN64_CMD`, `_IOWR('N', 0x47, struct nvme_passthru_cmd64)`, Linux 5.5: answers with the status.
struct Admin<'a>(Updater<'a, { opcode::read_write::<KernelCommand>(b'N', 0x47) }, KernelCommand>);

// SAFETY: that of the `Updater`, whose only difference is to say nothing of what the call answers.
unsafe impl Ioctl for Admin<'_> {
    type Output = Status;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.0.opcode()
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.0.as_ptr()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<Status> {
        Ok(Status::from_bits(output as u16))
    }
}

/// Asks the device what something is. Waits for the controller. The page is as it was, but for what the controller has written.
pub(super) fn identify(
    device: impl AsFd,
    command: &Command,
    page: &mut [u8; 4096],
) -> rustix::io::Result<Status> {
    let start = page.as_mut_ptr().expose_provenance() as u64;
    let mut command = KernelCommand::new(command).with_data(start..start + page.len() as u64);
    // SAFETY: the call takes a pointer to such a command, and writes the command's `result`.
    let call = Admin(unsafe { Updater::new(&mut command) });
    // SAFETY: as above; the kernel lets the device write the bytes of the page, which is borrowed for as long.
    unsafe { ioctl(device, call) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// As `linux/nvme_ioctl.h` has them.
    #[test]
    fn commands_and_calls_are_the_kernels() {
        assert_eq!([URING_IO, URING_IO_VEC], [0xc048_4e80, 0xc048_4e81]);
        assert_eq!([URING_ADMIN, URING_ADMIN_VEC], [0xc048_4e82, 0xc048_4e83]);
        let mut command = KernelCommand::default();
        // SAFETY: it is not called.
        let admin = Admin(unsafe { Updater::new(&mut command) });
        assert_eq!((admin.opcode(), NamespaceId.opcode(), RESET), (0xc050_4e47, 0x4e40, 0x4e44));
        assert_eq!(offset_of!(KernelCommand, metadata), 16);
        assert_eq!(offset_of!(KernelCommand, metadata_bytes), 32);
        assert_eq!(offset_of!(KernelCommand, cdw10_to_15), 40);
        assert_eq!(offset_of!(KernelCommand, timeout_ms), 64);
        assert_eq!(offset_of!(KernelCommand, result), 72);
    }

    #[test]
    fn a_command_keeps_its_words_and_loses_its_pointers() {
        let write = Command::write(3, 0x1_0000_0002, 8).with_prp(7, 8).with_cdw(2, 0x22).with_cdw(3, 0x33);
        let bytes =
            KernelCommand::new(&write).with_data(0x1000..0x2000).with_metadata(0x2000..0x2040).bytes();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((bytes[0], word(4), word(8), word(12)), (1, 3, 0x22, 0x33));
        assert_eq!((word(16), word(24), word(32), word(36)), (0x2000, 0x1000, 64, 4096));
        assert_eq!((word(40), word(44), word(48), word(64)), (2, 1, 7, 0));
        let soon = KernelCommand::new(&write).with_timeout(Duration::from_micros(1)).bytes();
        assert_eq!(soon[64..68], [1, 0, 0, 0], "no limit is the kernel's");
    }

    #[test]
    fn what_is_no_namespace_says_so() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(namespace_id(&null), Err(rustix::io::Errno::NOTTY));
        let identify = identify(
            &null,
            &Command::identify(crate::nvme::spec::IdentifyWhat::CONTROLLER, 0),
            &mut [0; 4096],
        );
        assert_eq!(identify, Err(rustix::io::Errno::NOTTY));
        assert_eq!(reset(&null), Err(rustix::io::Errno::NOTTY));
    }
}
