//! What an I/O is as a command, and how what comes back reaches it.
//!
//! One I/O is one command here; what takes several is in `steps`. The layer has seen to ranges, lengths, alignment and sizes.

use zerocopy::{FromBytes, IntoBytes};

use super::failure::{Failure, Verdict};
use super::shape::Shape;
use crate::bdev::{Io, Metadata, NvmeCommand, Op, Protection, ProtectionType, ZoneAction};
use crate::nvme::spec::{self, Command, CopyRange, DatasetAttributes, DatasetRange};
use crate::nvme::{self, Payload, bounds};
use crate::sys::dma::{DmaAny, DmaBuf, DmaBytes};

/// A command that carries an I/O out.
pub(super) struct Ask {
    pub(super) command: Command,
    pub(super) payload: Payload,
    pub(super) repeat: Repeat,
    pub(super) home: Home,
}

/// What an I/O takes home of what its command carries.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Home {
    /// A list of buffers, not one.
    is_list: bool,
    /// Metadata as well.
    metadata: bool,
}

/// When a command may be sent again that has come to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Always: done twice it is as if done once.
    Freely,
    /// If the device has certainly not done it.
    IfUndone,
    /// If no controller has answered it with a status of its own, and it was certainly not done.
    IfUnseen,
}

impl Repeat {
    pub(super) fn is_allowed(self, failure: &Failure, verdict: Verdict) -> bool {
        match self {
            Self::Freely => true,
            Self::IfUndone => !failure.may_be_done(),
            Self::IfUnseen => !failure.may_be_done() && !matches!(verdict, Verdict::Again(_)),
        }
    }
}

/// PRINFO (NVM Command Set 1.0 §3.2.6): the controller makes the protection information, or takes it off.
const PRACT: u32 = 0b1000;
const CHECK_GUARD: u32 = 0b0100;
const CHECK_REFERENCE: u32 = 0b0001;

impl Shape {
    /// Bytes of a buffer that the command takes besides what the I/O brings: what the controller is told in, or metadata that nobody
    /// asked for.
    #[inline]
    pub(super) fn bytes_aside(&self, io: &mut Io) -> usize {
        match io.op() {
            Op::Read | Op::Write => self.metadata_unasked(io),
            Op::Unmap => size_of::<DatasetRange>(),
            Op::Copy => size_of::<CopyRange>(),
            _ => 0,
        }
    }

    /// Where metadata is separate, the controller reads or writes it with each block, unless all of it is protection information that
    /// the controller makes.
    #[inline]
    fn metadata_unasked(&self, io: &mut Io) -> usize {
        match self.geometry.metadata {
            Some(Metadata { bytes, interleaved: false, protection, .. })
                if (bytes != 8 || protection.is_none()) && !has_metadata(io) =>
            {
                io.blocks() as usize * bytes as usize
            }
            _ => 0,
        }
    }

    /// What a read or a write carries that is nothing but blocks and one buffer, where these have neither metadata nor zones: with all
    /// others out of the way its command needs no more than where and how many.
    #[inline(always)]
    pub(super) fn plain(&self, io: &mut Io) -> Option<Payload> {
        if !self.is_plain || !matches!(io.op(), Op::Read | Op::Write) {
            return None;
        }
        let buffer = io.take_buffer()?;
        if io.op() == Op::Write {
            return Some(buffer.into_bytes().into());
        }
        match buffer.into_buf() {
            Some(buf) => Some(buf.into()),
            None => io.carries_nothing("buffer to read into"),
        }
    }

    /// The command for `io`, with what that carries; none for what is no single command.
    #[inline]
    pub(super) fn ask(&self, io: &mut Io, aside: Option<DmaBuf>) -> Option<Ask> {
        let (nsid, lba, blocks) = (self.nsid, io.lba(), io.blocks() as u32);
        let ask =
            |command, payload| Some(Ask { command, payload, repeat: Repeat::Freely, home: Home::default() });
        match io.op() {
            Op::Read => {
                let mut home = Home { is_list: io.is_vectored(), metadata: false };
                let mut payload = match home.is_list {
                    false => Payload::from(io.take_read_buf()),
                    true => Payload::from(io.take_read_bufs()),
                };
                let mut command = Command::read(nsid, lba, blocks);
                if let Some(metadata) = self.geometry.metadata {
                    let own = io.take_metadata_buf();
                    home.metadata = own.is_some();
                    command = self.protect(command, metadata, home.metadata);
                    payload = with_metadata(payload, own.or(aside));
                }
                Some(Ask { command, payload, repeat: Repeat::Freely, home })
            }
            Op::Write => {
                let mut payload = match io.is_vectored() {
                    false => self.data(io),
                    true => Payload::from(io.take_data_list()),
                };
                let mut command = Command::write(nsid, lba, blocks);
                if let Some(metadata) = self.geometry.metadata {
                    let own = io.take_metadata();
                    command = self.protect(command, metadata, own.is_some());
                    if let Some(own) = own.clone().filter(|_| metadata.protection.is_some()) {
                        io.put_metadata(own);
                    }
                    payload = with_metadata(payload, own.or(aside.map(zeroed)));
                }
                let repeat = if self.geometry.zones.is_some() { Repeat::IfUndone } else { Repeat::Freely };
                Some(Ask { command, payload, repeat, home: Home::default() })
            }
            Op::Flush => ask(Command::flush(nsid), Payload::None),
            Op::WriteZeroes => {
                let command = Command::write_zeroes(nsid, lba, blocks);
                let command = match self.geometry.metadata {
                    Some(metadata) if metadata.protection.is_some() => with_protection(command, PRACT),
                    _ => command,
                };
                ask(command, Payload::None)
            }
            Op::Compare => {
                let command = self.protected(Command::compare(nsid, lba, blocks));
                // The block that differs is looked for, if one does.
                ask(command, io.data().into())
            }
            Op::Unmap => {
                let attributes = DatasetAttributes::default().with_deallocates(true);
                let command = Command::dataset_management(nsid, 1, attributes);
                ask(command, told(aside, DatasetRange::new(lba, blocks).as_bytes()))
            }
            Op::Copy => {
                let command = Command::copy(nsid, lba, 1);
                ask(command, told(aside, CopyRange::new(io.copy_from(), blocks).as_bytes()))
            }
            Op::ZoneAppend => {
                let command = Command::zone_append(nsid, lba, blocks);
                let payload = io.take_data().into();
                Some(Ask { command, payload, repeat: Repeat::IfUndone, home: Home::default() })
            }
            Op::ZoneManage => {
                let action = match io.zone_action() {
                    ZoneAction::Open => spec::ZoneAction::OPEN,
                    ZoneAction::Close => spec::ZoneAction::CLOSE,
                    ZoneAction::Finish => spec::ZoneAction::FINISH,
                    ZoneAction::Reset => spec::ZoneAction::RESET,
                    ZoneAction::Offline => spec::ZoneAction::OFFLINE,
                };
                let command = Command::zone_send(nsid, lba, action, false);
                let payload = Payload::None;
                Some(Ask { command, payload, repeat: Repeat::IfUndone, home: Home::default() })
            }
            Op::NvmeIo => {
                let command = command_of(&io.nvme_command()).with_nsid(nsid);
                let payload = carried(io);
                Some(Ask { command, payload, repeat: Repeat::IfUnseen, home: Home::default() })
            }
            _ => None,
        }
    }

    /// What a write brings. What is protected stays with the I/O too, to be looked at if it is refused.
    #[inline(always)]
    fn data(&self, io: &mut Io) -> Payload {
        match self.geometry.metadata {
            Some(Metadata { protection: Some(_), .. }) => io.data().into(),
            _ => io.take_data().into(),
        }
    }

    /// The same command for blocks that have no metadata, or have it within them.
    pub(super) fn protected(&self, command: Command) -> Command {
        match self.geometry.metadata {
            Some(metadata) => self.protect(command, metadata, true),
            None => command,
        }
    }

    /// The same command for blocks with metadata, which is within the blocks or `brought` beside them.
    fn protect(&self, command: Command, metadata: Metadata, brought: bool) -> Command {
        let Some(protection) = metadata.protection else { return command };
        let checks = checks(&protection);
        let prinfo = if metadata.interleaved || brought { checks } else { PRACT | checks };
        with_protection(command, prinfo)
    }

    /// Checks a caller's own command: that what it carries has room for all that it may move, and that it writes nothing that is shared.
    pub(super) fn check(&self, command: &Command, payload: &Payload) -> Result<(), nvme::Error> {
        let apart = self.geometry.metadata.filter(|metadata| !metadata.interleaved);
        let apart = apart.map_or(0, |metadata| metadata.bytes.into());
        let moves = bounds::io_moves(command, self.geometry.block_size.into(), apart, None);
        bounds::check_io(command, payload, moves, false).map(drop)
    }

    /// Gives the I/O what its command has brought.
    #[inline]
    pub(super) fn bring_home(&self, io: &mut Io, home: Home, value: u64, payload: Payload) {
        home.put_back(io, payload);
        match io.op() {
            Op::ZoneAppend => io.set_value(value),
            Op::NvmeIo => io.set_nvme_answer(value, 0),
            _ => {}
        }
    }
}

impl Home {
    /// Gives the I/O its buffers back, if they were to be read to.
    #[inline]
    pub(super) fn put_back(self, io: &mut Io, payload: Payload) {
        if self.metadata || self.is_list {
            let (mut bufs, metadata) = payload.into_bufs_and_metadata();
            metadata.into_iter().for_each(|metadata| io.put_metadata_buf(metadata));
            match self.is_list {
                true => io.put_read_bufs(bufs),
                false => bufs.pop().into_iter().for_each(|buf| io.put_read_buf(buf)),
            }
        } else if let Some(buf) = payload.into_buf() {
            io.put_buffer(Some(buf.into()));
        }
    }
}

/// Whether a read or a write brings metadata of its own.
fn has_metadata(io: &mut Io) -> bool {
    if io.op() == Op::Read {
        return io.take_metadata_buf().map(|buf| io.put_metadata_buf(buf)).is_some();
    }
    io.take_metadata().map(|bytes| io.put_metadata(bytes)).is_some()
}

fn zeroed(mut aside: DmaBuf) -> DmaBytes {
    aside.fill(0);
    aside.freeze()
}

/// PRCHK for what the layer says is checked.
fn checks(protection: &Protection) -> u32 {
    CHECK_GUARD | if protection.kind == ProtectionType::Type3 { 0 } else { CHECK_REFERENCE }
}

/// With PRINFO, and the number of its first block for the reference tag of that (ILBRT, EILBRT).
fn with_protection(command: Command, prinfo: u32) -> Command {
    command
        .with_io_control(command.io_control().with_protection(prinfo))
        .with_cdw(14, command.start_lba() as u32)
}

fn with_metadata<M: Into<crate::nvme::Buffer>>(payload: Payload, metadata: Option<M>) -> Payload {
    match metadata {
        Some(metadata) => payload.with_metadata(metadata),
        None => payload,
    }
}

/// What the controller is told in a buffer.
fn told(aside: Option<DmaBuf>, bytes: &[u8]) -> Payload {
    let mut buf = aside.expect("as many bytes as `bytes_aside` says");
    buf.copy_from_slice(bytes);
    buf.freeze().into()
}

/// A command as the layer carries it.
pub(super) fn command_of(command: &NvmeCommand) -> Command {
    // Where its data is, the queue says.
    bounds::without_pointers(Command::read_from_bytes(&command.0).expect("64 bytes"))
}

/// What an I/O carries, whichever way it goes.
pub(super) fn carried(io: &mut Io) -> Payload {
    match io.take_buffer().map(either) {
        None => Payload::None,
        Some(Ok(buf)) => buf.into(),
        Some(Err(bytes)) => bytes.into(),
    }
}

fn either(buffer: DmaAny) -> Result<DmaBuf, DmaBytes> {
    if buffer.is_writable() {
        return buffer.into_buf().ok_or_else(|| unreachable!("it is writable"));
    }
    Err(buffer.into_bytes())
}
