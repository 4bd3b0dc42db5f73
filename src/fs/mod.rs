//! Files: opened, read, written, named and asked about through the core's io_uring.
//!
//! [`File`] is a cheap handle; its methods take owned buffers and give them back, in success and in failure, as the kernel may
//! use them until it has answered, whatever becomes of the future. The functions do what those of [`std::fs`] do.
//!
//! ```
//! use reactor::fs::{self, File};
//!
//! # #[reactor::main]
//! # async fn main() -> reactor::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("greeting");
//! fs::write(&path, "hello, files").await?;
//! let file = File::open(&path).await?;
//! let (read, buf) = file.read_exact_at(vec![0; 5], 7).await;
//! read?;
//! assert_eq!(buf, b"files");
//! fs::remove_file(&path).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What goes which way
//!
//! What the kernel's io_uring has no operation for is done by a thread beside the core, from the pool of
//! [`app::unblock`](crate::app::unblock()), with the same result.
//!
//! | call | operation | from Linux | before |
//! |---|---|---|---|
//! | [`File::open`], [`OpenOptions::open`], [`File::close`] | `OPENAT`, `CLOSE` | 5.6 | no ring |
//! | [`read_at`](File::read_at), [`write_at`](File::write_at) and what loops over them | `READ`, `WRITE` | 5.6 | no ring |
//! | [`read_vectored_at`](File::read_vectored_at), [`write_vectored_at`](File::write_vectored_at) | `READV`, `WRITEV` | 5.1 | no ring |
//! | [`sync_all`](File::sync_all), [`sync_data`](File::sync_data) | `FSYNC` | 5.1 | no ring |
//! | [`sync_range`](File::sync_range), [`write_back`](File::write_back) | `SYNC_FILE_RANGE` | 5.2 | no ring |
//! | [`allocate`](File::allocate), [`punch_hole`](File::punch_hole) and the like | `FALLOCATE` | 5.6 | no ring |
//! | [`advise`](File::advise) | `FADVISE` | 5.6; beyond 4 GiB always a thread | no ring |
//! | [`metadata()`], [`File::metadata`], [`File::alignment`] | `STATX` | 5.6 | no ring |
//! | [`rename`], [`rename_no_replace`], [`exchange`] | `RENAMEAT` | 5.11 | a thread |
//! | [`remove_file`], [`remove_dir`] | `UNLINKAT` | 5.11 | a thread |
//! | [`create_dir`], [`create_dir_all`] | `MKDIRAT` | 5.15 | a thread |
//! | [`symlink`], [`hard_link`] | `SYMLINKAT`, `LINKAT` | 5.15 | a thread |
//! | [`File::set_len`] | `FTRUNCATE` | 6.9 | a thread |
//! | [`copy`], [`File::copy_range_to`] | none: always a thread, by `copy_file_range(2)` where the kernel can | | |
//! | [`read_dir`], [`read_link`], [`canonicalize`], [`set_permissions`], [`remove_dir_all`] | none: always a thread | | |
//!
//! # Errors
//!
//! They are [`std::io::Error`]s with the OS code; what stopped half-way is an [`Incomplete`], which also says how far it came. The
//! one exception is direct I/O out of alignment: [`Misaligned`] takes the place of a bare `EINVAL` and says what would have been right.
//!
//! # Panics
//!
//! Functions that open, or go by a path, panic with [`NotOnReactor`](crate::NotOnReactor) when they are polled outside of a reactor.

mod alignment;
mod copy;
mod copying;
mod dir;
mod error;
mod file;
mod metadata;
mod names;
mod options;
mod read_dir;
mod space;
mod transfer;
mod vectored;
mod way;
mod whole;

pub use alignment::Alignment;
pub use copy::copy;
pub use dir::{create_dir, create_dir_all, remove_dir, remove_dir_all};
pub use error::{Incomplete, Misaligned};
pub use file::File;
pub use metadata::{FileType, Metadata, metadata, symlink_metadata, try_exists};
pub use names::{
    canonicalize, exchange, hard_link, read_link, remove_file, rename, rename_no_replace, set_permissions,
    symlink,
};
pub use options::OpenOptions;
pub use read_dir::{DirEntry, ReadDir, read_dir};
pub use space::Advice;
pub use whole::{read, read_to_string, write};

#[cfg(all(test, not(loom)))]
mod tests;
