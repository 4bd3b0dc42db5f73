//! Whether a disk may be overwritten: not while somebody has it.

use crate::failure::Failure;
use rustix::fs::OFlags;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Whoever mounts a disk, or builds another on it, claims it for himself: then what is called `name`, the disk at `path`, is not for us
/// to overwrite. Files of other kinds nobody claims.
pub(crate) fn must_be_free(name: &str, path: &Path) -> Result<(), Failure> {
    if !fs::metadata(path).is_ok_and(|about| about.file_type().is_block_device()) {
        return Ok(());
    }
    match OpenOptions::new().read(true).custom_flags(OFlags::EXCL.bits() as i32).open(path) {
        Err(e) if e.kind() == ErrorKind::ResourceBusy => Err(Failure::Run(format!(
            "{name} is in use, mounted for example, and would be overwritten: unmount it first, or measure --rw read or randread"
        ))),
        // Everything else is for the device to judge.
        _ => Ok(()),
    }
}
