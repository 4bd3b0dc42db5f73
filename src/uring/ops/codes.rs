//! The numbers of operations that came later than io_uring itself (Linux 5.6), for rooms that can do without them.

use io_uring::opcode;

/// Linux 5.11.
pub(crate) const RENAME: u8 = opcode::RenameAt::CODE;
/// Linux 5.11.
pub(crate) const UNLINK: u8 = opcode::UnlinkAt::CODE;
/// Linux 5.15.
pub(crate) const MAKE_DIRECTORY: u8 = opcode::MkDirAt::CODE;
/// Linux 5.15.
pub(crate) const SYMLINK: u8 = opcode::SymlinkAt::CODE;
/// Linux 5.15.
pub(crate) const HARD_LINK: u8 = opcode::LinkAt::CODE;
/// Linux 6.9.
pub(crate) const TRUNCATE: u8 = opcode::Ftruncate::CODE;
