//! Why there is no buffer.

use std::io;

use super::config::HugePages;

/// Why there is no buffer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllocError {
    /// The pool has reached its limit and every buffer that would do is in use, or promised to who waits. One comes free
    /// when somebody drops one. Only [`try_alloc`](super::DmaPool::try_alloc) says so, [`alloc`](super::DmaPool::alloc) waits.
    #[error(
        "the dma pool is dry: {len} bytes wanted, {mapped} of at most {limit} bytes mapped and in use; \
         drop buffers, wait with DmaPool::alloc, or raise the limit with DmaPool::set_limit or DmaConfig::reserve"
    )]
    Dry {
        /// Bytes asked for.
        len: usize,
        /// Bytes that the pool has from the kernel.
        mapped: usize,
        /// The pool's limit in bytes, with what the reserve may have.
        limit: usize,
    },
    /// More than the pool may have in all: no wait would help.
    #[error(
        "a buffer of {len} bytes takes {needed}, and this dma pool may have {limit} in all: \
         raise the limit with DmaPool::set_limit or DmaConfig::reserve, or do the i/o in parts"
    )]
    OverLimit {
        /// Bytes asked for.
        len: usize,
        /// Bytes that they take: up to 4 MiB a power of two, whole pages beyond.
        needed: usize,
        /// The pool's limit in bytes, or the reserve's if that is more: a buffer lies in one or the other.
        limit: usize,
    },
    /// No buffer is that long, however many are free.
    #[error("a buffer of {len} bytes is too long: ask for at most {max}, and do the i/o in parts")]
    TooLong {
        /// Bytes asked for.
        len: usize,
        /// The longest buffer there is.
        max: usize,
    },
    /// The pool is to use huge pages only, and the kernel has none left.
    #[error(
        "no huge pages for {len} bytes of buffers: set some aside with `sysctl vm.nr_hugepages=N` (2 MiB each), or do with other pages \
         by HugePages::Auto"
    )]
    HugePages {
        /// Bytes asked for.
        len: usize,
        /// What mmap said.
        #[source]
        source: io::Error,
    },
    /// Devices are attached that see all buffers, and they could not see these.
    #[error("no device would see a buffer of {len} bytes")]
    Unseen {
        /// Bytes asked for.
        len: usize,
        /// Why not, and what to do.
        #[source]
        source: io::Error,
    },
    /// The kernel gave no memory.
    #[error("the kernel refused {len} bytes of buffer memory; check `ulimit -v` and the memory cgroup")]
    Os {
        /// Bytes asked for.
        len: usize,
        /// What mmap said.
        #[source]
        source: io::Error,
    },
}

impl AllocError {
    /// The kernel refused memory for `len` bytes, in pages as `wish` has them.
    pub(super) fn refused(len: usize, wish: HugePages, source: io::Error) -> Self {
        #[cfg(feature = "nvme")]
        if source.get_ref().is_some_and(|why| why.is::<super::Unseen>()) {
            return Self::Unseen { len, source };
        }
        match wish {
            HugePages::Required => Self::HugePages { len, source },
            _ => Self::Os { len, source },
        }
    }

    /// True if the same call can succeed once a buffer has been dropped.
    #[must_use]
    pub fn is_dry(&self) -> bool {
        matches!(self, Self::Dry { .. })
    }
}
