//! The modules that come with the layer: one kind of device each.
//!
//! | module | device |
//! |---|---|
//! | [`Null`] | answers at once and keeps nothing |
//! | [`Ram`] | memory shared by all cores |
//! | [`Uring`] | a file or a block device |

mod null;
mod ram;
mod spec;
mod uring;

pub use null::Null;
pub use ram::Ram;
pub use spec::{open, parse_size};
pub use uring::Uring;

use super::{Error, Result};

/// Blocks of `block_size` in `bytes`, which they must fill.
fn whole_blocks(bytes: u64, block_size: u32) -> Result<u64> {
    let size = u64::from(block_size);
    if bytes == 0 || bytes % size != 0 {
        let reason = format!(
            "{bytes} bytes are not whole blocks of {block_size}; give a multiple of it, at least one"
        );
        return Err(Error::BadGeometry { reason });
    }
    Ok(bytes / size)
}
