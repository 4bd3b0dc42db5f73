//! How an I/O is to be done, where the usual way will not do.

use super::super::Error;
use super::super::namespace::{Format, Guard};
use super::super::spec::{Command, IoControl};

/// How an I/O is to be done: flags and tags of reads, writes and their kin. The default asks for nothing special.
///
/// ```
/// use reactor::nvme::IoOptions;
/// // Written to the media itself; the controller makes guard and tags.
/// let options = IoOptions::new().forced().protected().with_tags(0x1000, 7, 0xffff);
/// assert_ne!(options, IoOptions::default());
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct IoOptions {
    control: IoControl,
    directive: u16,
    reference: u32,
    application: u16,
    application_mask: u16,
}

impl IoOptions {
    /// Nothing special.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            control: IoControl::from_bits(0),
            directive: 0,
            reference: 0,
            application: 0,
            application_mask: 0,
        }
    }

    /// Written to, or read from, the media itself, past a volatile write cache (FUA).
    #[must_use]
    pub const fn forced(self) -> Self {
        Self { control: self.control.with_forced(true), ..self }
    }

    /// Errors are recovered with less effort than usual, and reported sooner (LR).
    #[must_use]
    pub const fn limited_retry(self) -> Self {
        Self { control: self.control.with_limited_retry(true), ..self }
    }

    /// Zeroes may be written by deallocating (DEAC), of [`write_zeroes`](super::Channel::write_zeroes_with) alone.
    #[must_use]
    pub const fn deallocating(self) -> Self {
        Self { control: self.control.with_may_deallocate(true), ..self }
    }

    /// The controller makes the protection information of what is written, and takes it off what is read (PRACT): where that is all the
    /// metadata that there is, none is brought.
    #[must_use]
    pub const fn protected(self) -> Self {
        let control = self.control.with_protection(self.control.protection() | 8);
        Self { control, ..self }
    }

    /// The controller checks guard, application tag, reference tag (PRCHK).
    #[must_use]
    pub const fn checked(self, guard: bool, application: bool, reference: bool) -> Self {
        let which = (guard as u32) << 2 | (application as u32) << 1 | reference as u32;
        let control = self.control.with_protection(self.control.protection() & 8 | which);
        Self { control, ..self }
    }

    /// The tags to write or to expect: the reference tag of the first block, which counts up from block to block with type 2, and the
    /// application tag with the bits of it that are checked. With type 1 reference tags are the blocks' numbers, whatever is said here.
    #[must_use]
    pub const fn with_tags(self, reference: u32, application: u16, application_mask: u16) -> Self {
        Self { reference, application, application_mask, ..self }
    }

    /// A directive: its type and what is specific to it (Base 2.0 §8.7): type 1 and a stream's identifier, for one.
    ///
    /// # Panics
    /// If the type is above 15.
    #[must_use]
    pub const fn with_directive(self, kind: u8, specific: u16) -> Self {
        Self { control: self.control.with_directive(kind as u32), directive: specific, ..self }
    }

    /// Those of a command.
    pub(super) const fn of(control: IoControl) -> Self {
        Self { control, ..Self::new() }
    }

    /// Whether the controller makes and takes off all the metadata that there is.
    pub(super) fn is_all_controllers(&self, format: &Format) -> bool {
        self.control.protection() & 8 != 0
            && format.protection.is_some_and(|protection| protection.size() == format.metadata_size)
    }

    /// # Errors
    /// If blocks of this format cannot have it.
    pub(super) fn check(&self, format: &Format) -> Result<(), Error> {
        if self.control.protection() == 0 {
            return Ok(());
        }
        match format.protection {
            None => Err(Error::Unsupported("its format has no protection information to make or check")),
            Some(protection) if protection.guard != Guard::Crc16 => Err(Error::Unsupported(
                "tags of protection information with a guard of 32 or 64 bits are not known here",
            )),
            Some(_) => Ok(()),
        }
    }

    /// The command with these options, `blocks` into the I/O.
    #[inline(always)]
    pub(super) fn apply(&self, command: Command, blocks: u64, format: &Format) -> Command {
        let reference = match format.protection.map(|protection| protection.kind) {
            Some(1) => command.start_lba() as u32,
            Some(2) => self.reference.wrapping_add(blocks as u32),
            _ => self.reference,
        };
        command
            .with_cdw(12, command.cdw(12) | self.control.bits())
            .with_cdw(13, u32::from(self.directive) << 16)
            .with_tags(reference, self.application, self.application_mask)
    }
}
