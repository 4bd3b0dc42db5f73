//! What a command carries: the memory that the controller reads or writes, kept until it has answered.

use super::device::Device;
use super::prp::Lists;
use super::spec::Command;
use crate::sys::dma::{DmaAny, DmaBuf, DmaBytes};

/// What a command carries. It comes back with the answer.
pub enum Payload {
    /// Nothing.
    None,
    /// One buffer.
    One(Buffer),
}

/// A buffer of either kind, to be written by the controller or read.
pub struct Buffer(pub(super) DmaAny);

impl Payload {
    /// The buffer that it was made of, if it was one to be written.
    #[inline(always)]
    pub fn into_buf(self) -> Option<DmaBuf> {
        match self {
            Self::One(buffer) => buffer.0.into_buf(),
            Self::None => None,
        }
    }

    /// The command with pointers to the data, whose list goes to the page of its `slot`; none if the device cannot see the data.
    #[inline(always)]
    pub(super) fn point<D: Device>(
        &self,
        command: Command,
        device: &D,
        lists: &Lists,
        slot: usize,
    ) -> Option<Command> {
        match self {
            Self::None => Some(command),
            Self::One(buffer) => {
                let (prp1, prp2) = lists.entries(slot, device.see(&buffer.0)?);
                Some(command.with_prp(prp1, prp2))
            }
        }
    }
}

impl From<DmaBuf> for Payload {
    #[inline(always)]
    fn from(buffer: DmaBuf) -> Self {
        Self::One(Buffer(buffer.into()))
    }
}

impl From<DmaBytes> for Payload {
    #[inline(always)]
    fn from(bytes: DmaBytes) -> Self {
        Self::One(Buffer(bytes.into()))
    }
}
