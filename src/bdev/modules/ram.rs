//! The RAM disk: memory that all cores share, zeroed at first and occupied only where written.
//!
//! # Two cores on the same blocks
//!
//! Nothing orders one core's write of a block with another core's read of it, as on a disk: the reader sees old bytes,
//! new bytes, or some of both. In Rust such a race is defined only if every access to the shared memory is atomic, so
//! the store is touched by [`Store`]'s copies alone, which are byte-wise relaxed atomic. On x86-64 that is
//! `rep movsb` in an `asm!` block, whose accesses are the hardware's own and relaxed atomic per byte by its rules;
//! elsewhere a loop over `AtomicU64`. The compiler never sees a plain access, so it assumes no race away.
//!
//! Measured on random 4 KiB blocks of 64 MiB, reads and writes: `memcpy` (unsound here) 296 and 211 ns, `rep movsb` 329
//! and 152, an SSE loop 411 and 251, `AtomicU64` 458 and 298. Locks per stripe would add two locked instructions and
//! make one core wait for another.
#![expect(unsafe_code, reason = "copies to and from memory that other cores write at the same time")]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::Either;

use super::spec::{Bases, Kind, Plan, size};
use super::whole_blocks;
use crate::bdev::{Access, Bdev, Done, Error, Geometry, Io, Op, Result, Submit};
use crate::sys::dma::Mapping;

const BLOCK_SIZE: u32 = 512;

pub(super) const KIND: Kind =
    Kind::new("ram", "ram:64M", "memory, zeroed; gone with its last descriptor", Bases::None, |args| {
        let size = args.bare().ok_or_else(|| args.missing("say how large, such as ram:64M"))?;
        let bytes = size.size()?;
        Ok(Plan::leaf(format_args!("ram:{bytes}"), move |_| Ram::new(bytes)))
    });

/// A disk in memory. Its content goes with it.
///
/// Unmapped blocks read as zeroes, and whole pages of them give their memory back.
#[derive(Debug)]
pub struct Ram {
    geometry: Geometry,
    store: Arc<Store>,
}

impl Ram {
    /// A RAM disk of `bytes`, in blocks of 512.
    ///
    /// # Errors
    /// [`Error::BadGeometry`] if that is not whole blocks; [`Error::Os`] if there is no address space for it.
    pub fn new(bytes: u64) -> Result<Self> {
        let geometry = Geometry::new(BLOCK_SIZE, whole_blocks(bytes, BLOCK_SIZE)?);
        let refused = |source| Error::Os {
            context: format!("the kernel refused {bytes} bytes for a RAM disk"),
            source,
        };
        let len = usize::try_from(bytes).map_err(|e| refused(std::io::Error::other(e)))?;
        let memory = Mapping::zeroed(len).map_err(refused)?;
        // Random I/O over small pages waits for the TLB more than for the bytes.
        memory.prefer_huge_pages();
        Ok(Self { geometry, store: Arc::new(Store(memory)) })
    }
}

/// A core's share in the memory.
#[derive(Debug)]
pub struct RamChannel {
    store: Arc<Store>,
}

impl Bdev for Ram {
    type Channel = RamChannel;

    fn module(&self) -> &'static str {
        "ram"
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn supports(&self, op: Op) -> bool {
        matches!(
            op,
            Op::Read
                | Op::Write
                | Op::Flush
                | Op::WriteZeroes
                | Op::Unmap
                | Op::Reset
                | Op::SeekData
                | Op::SeekHole
        )
    }

    fn spec(&self) -> Option<String> {
        Some(format!("ram:{}", size(self.geometry.len_bytes())))
    }

    fn channel(&self, _access: Access) -> Result<RamChannel> {
        Ok(RamChannel { store: self.store.clone() })
    }
}

impl Submit for RamChannel {
    #[inline]
    fn submit(&self, io: Io) -> impl Future<Output = Done> {
        // What never waits stays apart: a future that can wait costs more to make.
        match io.op() {
            Op::SeekData | Op::SeekHole => Either::Left(self.seek(io)),
            _ => Either::Right(self.at_once(io)),
        }
    }
}

impl RamChannel {
    #[inline]
    async fn at_once(&self, mut io: Io) -> Done {
        let at = (io.lba() * u64::from(BLOCK_SIZE)) as usize;
        let len = (io.blocks() * u64::from(BLOCK_SIZE)) as usize;
        match io.op() {
            Op::Read => self.store.read(at, &mut io.read_buf()),
            Op::Write => self.store.write(at, &io.take_data()),
            Op::WriteZeroes => self.store.zero(at, len),
            Op::Unmap => self.store.discard(at, len),
            Op::Flush | Op::Reset => {}
            _ => return io.unsupported(),
        }
        io.done(Ok(()))
    }

    /// Looks at the memory itself: a hole is a block of zeroes. Long searches let others have the core in between.
    async fn seek(&self, mut io: Io) -> Done {
        const AT_A_TIME: usize = 2048;
        let is_data = io.op() == Op::SeekData;
        let mut found = None;
        for start in io.range().step_by(AT_A_TIME) {
            let end = io.range().end.min(start + AT_A_TIME as u64);
            found = (start..end).find(|block| {
                self.store.is_zero((block * u64::from(BLOCK_SIZE)) as usize, BLOCK_SIZE as usize) != is_data
            });
            if found.is_some() {
                break;
            }
            crate::reactor::yield_now().await;
        }
        io.set_found(found);
        io.done(Ok(()))
    }
}

/// The memory.
///
/// # Invariants
/// Only the methods below reach it, and they access it byte-wise relaxed atomic: see the head of this file.
#[derive(Debug)]
struct Store(Mapping);

impl Store {
    /// The address of `len` bytes at `at`.
    ///
    /// # Panics
    /// If they are not within the store.
    #[inline(always)]
    fn address(&self, at: usize, len: usize) -> *mut u8 {
        let end = at.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.0.len()),
            "{len} bytes at {at} of a store of {}",
            self.0.len()
        );
        self.0.start().as_ptr().wrapping_add(at)
    }

    #[inline(always)]
    fn read(&self, at: usize, to: &mut [u8]) {
        let from = self.address(at, to.len());
        // SAFETY: `from` has that many bytes in the store, and `to`, which is borrowed mutably, lies elsewhere.
        unsafe { copy::from_shared(to.as_mut_ptr(), from, to.len()) }
    }

    #[inline(always)]
    fn write(&self, at: usize, from: &[u8]) {
        let to = self.address(at, from.len());
        // SAFETY: `to` has that many bytes in the store, and `from`, which is borrowed, lies elsewhere.
        unsafe { copy::to_shared(to, from.as_ptr(), from.len()) }
    }

    fn zero(&self, at: usize, len: usize) {
        let to = self.address(at, len);
        // SAFETY: `to` has that many bytes in the store.
        unsafe { copy::zero_shared(to, len) }
    }

    /// Whether so many bytes, whole words of 8, are zeroes.
    fn is_zero(&self, at: usize, len: usize) -> bool {
        let from = self.address(at, len).cast_const().cast::<AtomicU64>();
        // SAFETY: within the store, which begins with a page; blocks are whole words. The loads are relaxed atomic.
        (0..len / 8).all(|word| unsafe { (*from.add(word)).load(Ordering::Relaxed) } == 0)
    }

    /// Zeroes, by giving whole pages back to the kernel.
    fn discard(&self, at: usize, len: usize) {
        const PAGE: usize = 4096;
        let from = at.next_multiple_of(PAGE);
        let to = (at + len) / PAGE * PAGE;
        // Checked also for the part below.
        let _ = self.address(at, len);
        // A failed or useless call falls through to writing zeroes.
        if from < to && self.0.discard(from, to - from).is_ok() {
            self.zero(at, from - at);
            self.zero(to, at + len - to);
        } else {
            self.zero(at, len);
        }
    }
}

/// Byte-wise relaxed atomic copies. The lengths are whole blocks, multiples of 8, and so are the shared addresses.
#[cfg(target_arch = "x86_64")]
mod copy {
    use std::arch::asm;

    /// # Safety
    /// Both have `len` bytes; `to` is the caller's alone; `from` is accessed by this module only.
    #[inline(always)]
    pub(super) unsafe fn from_shared(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: the caller's promise. The direction flag is clear on entry to asm.
        unsafe { rep_movsb(to, from, len) }
    }

    /// # Safety
    /// Both have `len` bytes; nobody writes `from`; `to` is accessed by this module only.
    #[inline(always)]
    pub(super) unsafe fn to_shared(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: the caller's promise.
        unsafe { rep_movsb(to, from, len) }
    }

    /// # Safety
    /// `to` has `len` bytes and is accessed by this module only.
    pub(super) unsafe fn zero_shared(to: *mut u8, len: usize) {
        // SAFETY: stores `len` bytes from `to` on, which the caller vouches for.
        unsafe {
            asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") 0u8, options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn rep_movsb(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: copies `len` bytes upwards between ranges that the callers vouch for.
        unsafe {
            asm!(
                "rep movsb",
                inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
                options(nostack, preserves_flags)
            );
        }
    }
}

/// As above, word by word.
#[cfg(not(target_arch = "x86_64"))]
mod copy {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    const WORD: usize = size_of::<u64>();

    /// # Safety
    /// Both have `len` bytes; `to` is the caller's alone; `from` is accessed by this module only.
    pub(super) unsafe fn from_shared(to: *mut u8, from: *const u8, len: usize) {
        for at in (0..len).step_by(WORD) {
            // SAFETY: within the ranges that the caller vouches for; `from` is aligned to a block.
            unsafe {
                let word = (*from.add(at).cast::<AtomicU64>()).load(Relaxed);
                to.add(at).cast::<u64>().write_unaligned(word);
            }
        }
    }

    /// # Safety
    /// Both have `len` bytes; nobody writes `from`; `to` is accessed by this module only.
    pub(super) unsafe fn to_shared(to: *mut u8, from: *const u8, len: usize) {
        for at in (0..len).step_by(WORD) {
            // SAFETY: within the ranges that the caller vouches for; `to` is aligned to a block.
            unsafe {
                let word = from.add(at).cast::<u64>().read_unaligned();
                (*to.add(at).cast::<AtomicU64>()).store(word, Relaxed);
            }
        }
    }

    /// # Safety
    /// `to` has `len` bytes and is accessed by this module only.
    pub(super) unsafe fn zero_shared(to: *mut u8, len: usize) {
        for at in (0..len).step_by(WORD) {
            // SAFETY: within the range that the caller vouches for, aligned to a block.
            unsafe { (*to.add(at).cast::<AtomicU64>()).store(0, Relaxed) }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::LocalExecutor;
    use crate::bdev::{Descriptor, conformance, open_private};

    #[test]
    fn conforms() {
        conformance::check_spec("ram:16M");
    }

    #[test]
    fn two_cores_share_the_blocks_and_see_whole_bytes() {
        let disk = open_private("two", Ram::new(1 << 20).unwrap(), Access::ReadWrite).unwrap();
        let on_a_core = |disk: Descriptor, value: u8| {
            LocalExecutor::new().unwrap().block_on(async move {
                let channel = disk.channel().unwrap();
                for _ in 0..500 {
                    let mut data = channel.try_alloc(64 << 10).unwrap();
                    data.fill(value);
                    channel.write(0, data).await.unwrap();
                    let seen = channel.read(0..128).await.unwrap();
                    assert!(seen.iter().all(|b| [0x0f, 0xf0].contains(b)), "a byte that nobody wrote");
                }
            });
        };
        std::thread::scope(|scope| {
            scope.spawn(|| on_a_core(disk.clone(), 0x0f));
            scope.spawn(|| on_a_core(disk.clone(), 0xf0));
        });
    }

    #[test]
    fn discarded_ranges_read_as_zeroes_and_no_more() {
        let store = Store(Mapping::zeroed(1 << 20).unwrap());
        for (at, len) in
            [(0, 512), (512, 4096), (4096, 4096), (1024, 100 * 1024), (0, 1 << 20), (4096 * 3, 512)]
        {
            store.write(0, &vec![7; 1 << 20]);
            store.discard(at, len);
            let mut all = vec![1; 1 << 20];
            store.read(0, &mut all);
            assert!(
                all.iter().enumerate().all(|(i, b)| *b == if i >= at && i < at + len { 0 } else { 7 }),
                "{at}+{len}"
            );
        }
    }

    #[test]
    fn data_and_holes_are_found_beyond_what_is_looked_at_in_one_go() {
        LocalExecutor::new().unwrap().block_on(async {
            let disk = open_private("seek", Ram::new(4 << 20).unwrap(), Access::ReadWrite).unwrap();
            let channel = disk.channel().unwrap();
            assert_eq!(channel.seek_data(0).await.unwrap(), None);
            assert_eq!(channel.seek_hole(17).await.unwrap(), Some(17));
            let mut data = channel.try_alloc(1024).unwrap();
            data.fill(0);
            data[1023] = 1;
            channel.write(5000, data).await.unwrap();
            assert_eq!(channel.seek_data(3).await.unwrap(), Some(5001));
            assert_eq!(channel.seek_hole(5001).await.unwrap(), Some(5002));
            assert_eq!(channel.seek_data(5002).await.unwrap(), None);
            assert_eq!(channel.seek_hole(8191).await.unwrap(), Some(8191));
        });
    }

    #[test]
    fn what_is_not_whole_blocks_is_refused() {
        for bytes in [0, 1, 513] {
            assert!(matches!(Ram::new(bytes), Err(Error::BadGeometry { .. })));
        }
    }
}
