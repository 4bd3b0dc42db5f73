//! What there is to choose about the buffers of an application: how much, from where, in which pages.

/// Whether buffers lie in huge pages, which device and processor look up less often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HugePages {
    /// Pages of 4 KiB.
    Never,
    /// Pages of 2 MiB out of the system's stock (`vm.nr_hugepages`), as long as there are any; memory that is aligned for transparent
    /// huge pages when there are none; pages of 4 KiB for pools too small for either.
    #[default]
    Auto,
    /// Pages of 2 MiB out of the system's stock, or an error that says how to get some.
    Required,
}

/// How much memory the buffers of an application may take, for [`app::Builder::buffers`](crate::app::Builder::buffers).
///
/// Each core has memory of its own, which no other core can take from it, and beyond that takes from a
/// [reserve](super::DmaReserve) that all cores share. All of it is address space: but for huge pages out of the system's
/// stock, memory is spent when buffers are first written.
///
/// ```
/// use reactor::app::Builder;
/// use reactor::sys::dma::{DmaConfig, DmaPool, HugePages};
///
/// let buffers = DmaConfig::new().own(1 << 20).reserve(8 << 20).huge_pages(HugePages::Never);
/// Builder::new().pin(false).buffers(buffers).run(async || {
///     let pool = DmaPool::local();
///     let big = pool.alloc(4 << 20).await?;
///     assert_eq!(pool.stats().leased_bytes, big.len(), "more than the core has of its own");
///     Ok::<(), reactor::sys::dma::AllocError>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// SPDK's `spdk_iobuf_opts`: its pools are the reserve, its channel caches a core's own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it is to be given to a builder"]
pub struct DmaConfig {
    pub(super) own: usize,
    pub(super) reserve: Option<usize>,
    pub(super) pages: HugePages,
}

/// Enough for 128 I/Os of 512 KiB.
const OWN: usize = 64 << 20;

/// The reserve's part for each core.
const RESERVE_PER_CORE: usize = 1 << 30;

impl DmaConfig {
    /// 64 MiB of each core's own, and a reserve of 1 GiB for each of them, in [`HugePages::Auto`].
    pub fn new() -> Self {
        Self { own: OWN, reserve: None, pages: HugePages::default() }
    }

    /// Bytes that each core has to itself. [`DmaPool::set_limit`](super::DmaPool::set_limit) changes them core by core.
    pub fn own(mut self, bytes: usize) -> Self {
        self.own = bytes;
        self
    }

    /// Bytes that all cores share beyond these; 0 for no reserve.
    pub fn reserve(mut self, bytes: usize) -> Self {
        self.reserve = Some(bytes);
        self
    }

    /// In which pages buffers lie.
    pub fn huge_pages(mut self, pages: HugePages) -> Self {
        self.pages = pages;
        self
    }

    /// Of the reserve, with so many cores.
    pub(super) fn reserve_bytes(&self, cores: usize) -> usize {
        self.reserve.unwrap_or(cores.saturating_mul(RESERVE_PER_CORE))
    }
}

impl Default for DmaConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes of memory by the kind of their pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageBytes {
    /// In pages of 4 KiB.
    pub plain: usize,
    /// Aligned and advised, so that the kernel makes huge pages where it can.
    pub transparent: usize,
    /// In huge pages out of the system's stock.
    pub huge: usize,
}
