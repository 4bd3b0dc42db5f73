//! Where devices see the memory of pools and queues: at one address, the same for all of them.
//!
//! ```text
//!   memory is mapped ── Visible::new ──▶ gets an address ──▶ goes into every space ──▶ … dropped: out of every space, then unmapped
//!   a device comes ──── show ──▶ its space gets all that there is, and all that comes ──▶ … `Shown` dropped: nothing any more
//! ```
//!
//! A [`Space`] is what an IOMMU lets some devices see. The addresses in there are ours to choose. Those of the process itself would not
//! do: they have 47 bits, and the smallest IOMMUs 39 (Intel's, and QEMU's unless told otherwise). Chosen low they fit everywhere, and as
//! they do not depend on the device, a buffer's slot knows its own: the way from a buffer to its address is one load.
//!
//! One lock guards it all, and is held while the kernel pins pages: it is taken where memory is mapped and unmapped, never for an I/O.

use super::mapping::HUGE;
use std::collections::BTreeMap;
use std::io;
use std::ptr::NonNull;
// No model has devices, and loom's locks live in models alone.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Above what PCs keep for interrupts and firmware in the first 4 GiB, below what the smallest IOMMUs translate.
const FIRST: u64 = 4 << 30;
const END: u64 = 1 << 38;

static VIEW: Mutex<View> = Mutex::new(View::new());

/// Memory, and where devices see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    start: usize,
    len: usize,
    at: u64,
}

impl Area {
    /// Its address in the process. Provenance is exposed.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Its bytes: whole pages.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where devices see it.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    fn end(&self) -> u64 {
        self.at + self.len as u64
    }
}

/// What some devices see. Only this module makes areas: of mapped memory whose users reckon with devices, and which stays mapped until
/// after [`unmap`](Self::unmap).
pub(crate) trait Space: Send + Sync {
    /// Has its devices see the area.
    fn map(&self, area: &Area) -> io::Result<()>;
    /// Has them see it no more: when this is back, none of them is at it.
    fn unmap(&self, area: &Area) -> io::Result<()>;
}

/// Why devices cannot see memory. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unseen {
    /// What devices see is locked in memory, of which a process may have so much.
    #[error(
        "devices are to see {needed} bytes of buffers and queues, which are locked in memory for that, and this process may lock {limit}: \
         raise the limit with `ulimit -l` or LimitMEMLOCK=, or have smaller pools (DmaConfig)"
    )]
    LockLimit {
        /// Bytes that would be locked in all.
        needed: u64,
        /// What `ulimit -l` allows, in bytes.
        limit: u64,
    },
    /// The kernel keeps count of the pieces.
    #[error(
        "devices are to see {0} pieces of memory, and the kernel's module vfio_iommu_type1 keeps no more: raise its parameter \
         dma_entry_limit"
    )]
    Pieces(usize),
    /// There is no address left between 4 GiB and 256 GiB.
    #[error("there is no address left for {0} bytes that devices are to see: have smaller pools (DmaConfig)")]
    Addresses(usize),
    /// Anything else.
    #[error("the kernel does not let devices see {len} bytes of memory")]
    Refused {
        /// Bytes of the piece.
        len: usize,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// Memory that all devices see, those that come later too, until it is dropped.
#[derive(Debug)]
pub(super) struct Visible(Area);

impl Visible {
    /// Shows `len` bytes, whole pages, which stay mapped until this is dropped.
    pub(super) fn new(start: NonNull<u8>, len: usize) -> io::Result<Self> {
        view().add(start.as_ptr().expose_provenance(), len).map(Self).map_err(io::Error::other)
    }

    /// Where devices see it.
    #[inline(always)]
    pub(super) fn at(&self) -> u64 {
        self.0.at
    }
}

impl Drop for Visible {
    fn drop(&mut self) {
        view().remove(&self.0);
    }
}

/// A space that is shown all memory; nothing that comes later once this is dropped.
pub(crate) struct Shown(Arc<dyn Space>);

/// Has the devices of `space` see all memory that they may be told of, from now on.
///
/// # Errors
/// What the kernel says; then they see nothing.
pub(crate) fn show(space: Arc<dyn Space>) -> Result<Shown, Unseen> {
    view().show(space.clone())?;
    Ok(Shown(space))
}

impl Drop for Shown {
    fn drop(&mut self) {
        view().spaces.retain(|space| !Arc::ptr_eq(space, &self.0));
    }
}

/// Whether the devices that translate these addresses see all that this module has to show.
pub(crate) fn are_enough(mut ranges: impl Iterator<Item = (u64, u64)>) -> bool {
    ranges.any(|(first, last)| first <= FIRST && last >= END - 1)
}

fn view() -> MutexGuard<'static, View> {
    // Nothing in here unwinds between two changes that belong together.
    VIEW.lock().unwrap_or_else(PoisonError::into_inner)
}

struct View {
    /// By where they are seen.
    areas: BTreeMap<u64, Area>,
    spaces: Vec<Arc<dyn Space>>,
    /// Where the search for a place begins.
    next: u64,
}

impl View {
    const fn new() -> Self {
        Self { areas: BTreeMap::new(), spaces: Vec::new(), next: FIRST }
    }

    fn add(&mut self, start: usize, len: usize) -> Result<Area, Unseen> {
        let at = self.place(start, len).ok_or(Unseen::Addresses(len))?;
        let area = Area { start, len, at };
        for (n, space) in self.spaces.iter().enumerate() {
            if let Err(refused) = space.map(&area) {
                self.spaces[..n].iter().for_each(|space| unmap(&**space, &area));
                return Err(self.refused(&area, refused));
            }
        }
        self.areas.insert(at, area);
        self.next = area.end();
        Ok(area)
    }

    fn remove(&mut self, area: &Area) {
        self.spaces.iter().for_each(|space| unmap(&**space, area));
        self.areas.remove(&area.at);
    }

    fn show(&mut self, space: Arc<dyn Space>) -> Result<(), Unseen> {
        for (n, area) in self.areas.values().enumerate() {
            if let Err(refused) = space.map(area) {
                self.areas.values().take(n).for_each(|area| unmap(&*space, area));
                // Of what this one was to see, some is counted with it already.
                return Err(self.refused(&Area { len: 0, ..*area }, refused));
            }
        }
        self.spaces.push(space);
        Ok(())
    }

    /// The next free place behind the last one that was given, so that what is unmapped is not soon something else. A huge page keeps
    /// being one: it begins where the IOMMU can have one too.
    fn place(&self, start: usize, len: usize) -> Option<u64> {
        let (huge, offset) = (HUGE as u64, (start % HUGE) as u64);
        let fit = |from: u64| from.next_multiple_of(huge) + offset;
        let search = |from: u64| {
            let mut at = fit(from);
            loop {
                let end = at.checked_add(len as u64).filter(|&end| end <= END)?;
                match self.areas.range(..end).next_back() {
                    Some((_, area)) if area.end() > at => at = fit(area.end()),
                    _ => return Some(at),
                }
            }
        };
        search(self.next).or_else(|| search(FIRST))
    }

    /// Says why, with `new` to come to what there is.
    fn refused(&self, new: &Area, refused: io::Error) -> Unseen {
        use rustix::io::Errno;
        use rustix::process::{Resource, getrlimit};
        let needed = self.areas.values().chain([new]).map(|area| area.len as u64).sum();
        match Errno::from_io_error(&refused) {
            Some(Errno::NOMEM) => match getrlimit(Resource::Memlock).current {
                Some(limit) => Unseen::LockLimit { needed, limit },
                None => Unseen::Refused { len: new.len, source: refused },
            },
            Some(Errno::NOSPC) => Unseen::Pieces(self.areas.len() + usize::from(new.len > 0)),
            _ => Unseen::Refused { len: new.len, source: refused },
        }
    }
}

fn unmap(space: &dyn Space, area: &Area) {
    // If it failed, the kernel would keep the pages: the process would lose memory, and nothing else would be harmed.
    let unmapped = space.unmap(area);
    debug_assert!(unmapped.is_ok(), "{area:?}: {unmapped:?}");
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Keeps what it is told, and refuses what would be one too many.
    struct Table {
        seen: Mutex<Vec<Area>>,
        limit: AtomicUsize,
    }

    impl Table {
        fn new(limit: usize) -> Arc<Self> {
            Arc::new(Self { seen: Mutex::default(), limit: limit.into() })
        }

        fn seen(&self) -> Vec<Area> {
            let mut seen = self.seen.lock().unwrap().clone();
            seen.sort_by_key(Area::at);
            seen
        }
    }

    impl Space for Table {
        fn map(&self, area: &Area) -> io::Result<()> {
            let mut seen = self.seen.lock().unwrap();
            if seen.len() == self.limit.load(Relaxed) {
                return Err(rustix::io::Errno::NOSPC.into());
            }
            assert!(seen.iter().all(|other| other.end() <= area.at || area.end() <= other.at), "{area:?}");
            seen.push(*area);
            Ok(())
        }

        fn unmap(&self, area: &Area) -> io::Result<()> {
            let mut seen = self.seen.lock().unwrap();
            let at = seen.iter().position(|other| other == area).expect("it was seen");
            seen.swap_remove(at);
            Ok(())
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add { page: usize, pages: usize },
        Remove(prop::sample::Index),
        Show { limit: usize },
        Hide(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..1_usize << 35, 1..3000_usize).prop_map(|(page, pages)| Step::Add { page, pages }),
            3 => any::<prop::sample::Index>().prop_map(Step::Remove),
            1 => (0..12_usize).prop_map(|limit| Step::Show { limit }),
            1 => any::<prop::sample::Index>().prop_map(Step::Hide),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// After each step, whether it succeeded or not, every space sees what there is and nothing else.
        #[test]
        fn every_space_sees_all_that_there_is(steps in prop::collection::vec(step(), 1..60)) {
            let mut view = View::new();
            let mut tables: Vec<Arc<Table>> = Vec::new();
            let mut areas: Vec<Area> = Vec::new();
            for step in steps {
                match step {
                    Step::Add { page, pages } => {
                        let full = tables.iter().any(|table| table.limit.load(Relaxed) == areas.len());
                        match view.add(page * 4096, pages * 4096) {
                            Ok(area) => {
                                prop_assert!(!full && area.at >= FIRST && area.end() <= END);
                                prop_assert_eq!(area.at % HUGE as u64, (area.start % HUGE) as u64);
                                areas.push(area);
                            }
                            Err(error) => prop_assert!(full && matches!(error, Unseen::Pieces(n) if n == areas.len() + 1)),
                        }
                    }
                    Step::Remove(_) if areas.is_empty() => {}
                    Step::Remove(which) => {
                        let area = areas.swap_remove(which.index(areas.len()));
                        view.remove(&area);
                    }
                    Step::Show { limit } => {
                        let table = Table::new(limit);
                        match view.show(table.clone()) {
                            Ok(()) => tables.push(table),
                            Err(_) => prop_assert!(limit < areas.len() && table.seen().is_empty()),
                        }
                    }
                    Step::Hide(_) if tables.is_empty() => {}
                    Step::Hide(which) => {
                        let gone: Arc<dyn Space> = tables.swap_remove(which.index(tables.len()));
                        view.spaces.retain(|space| !Arc::ptr_eq(space, &gone));
                    }
                }
                areas.sort_by_key(Area::at);
                for table in &tables {
                    prop_assert_eq!(&table.seen(), &areas);
                }
            }
        }
    }

    #[test]
    fn places_are_used_again_when_all_have_been() {
        let mut view = View::new();
        let half = (END - FIRST) as usize / 2;
        let first = view.add(0, half).unwrap();
        let second = view.add(0, half).unwrap();
        assert!(matches!(view.add(0, 4096), Err(Unseen::Addresses(4096))));
        view.remove(&first);
        assert_eq!(view.add(0, half).unwrap().at, FIRST);
        view.remove(&second);
        assert_eq!(view.add(0, 4096).unwrap().at, second.at);
    }

    #[test]
    fn buffers_and_queues_are_seen_from_when_they_are_mapped_until_they_are_not() {
        use super::super::{DmaAny, DmaConfig, DmaPool, DmaReserve, DmaWords};
        let table = Table::new(usize::MAX);
        let shown = show(table.clone()).unwrap();
        let is_seen = |at: u64| table.seen().iter().any(|area| (area.at..area.end()).contains(&at));
        let words = DmaWords::zeroed(100).unwrap();
        let (own, large) = (DmaPool::new(), DmaPool::new());
        let leased = DmaPool::with_limit(0);
        let config = DmaConfig::new().own(0);
        leased.join(&config, &DmaReserve::new(&config, 1).unwrap(), std::task::Waker::noop().clone());
        let mut buffers = Vec::new();
        for (pool, len) in [(&own, 3), (&own, 9000), (&leased, 1 << 20), (&large, 5 << 20)] {
            let any = DmaAny::from(pool.try_alloc(len).unwrap());
            let (at, seen) = (any.place().0, any.seen());
            assert_eq!(seen.end - seen.start, len as u64);
            let area = table.seen().into_iter().find(|area| (area.at..area.end()).contains(&seen.start));
            let area = area.expect("the device sees it");
            // The same distance from the beginning, here and there.
            assert_eq!(at - area.start, (seen.start - area.at) as usize);
            assert!(seen.end <= area.end());
            buffers.push((any, seen.start));
        }
        let mut part = own.try_alloc(8192).unwrap();
        let begin = DmaAny::from(part.split_to(4096)).seen();
        assert_eq!(DmaAny::from(part).seen(), begin.end..begin.end + 4096);
        assert!(is_seen(words.seen()));
        let gone: Vec<u64> = buffers.iter().map(|&(_, at)| at).chain([words.seen()]).collect();
        drop((words, buffers, own, large, leased));
        assert!(gone.iter().all(|&at| !is_seen(at)), "{:?}", table.seen());
        drop(shown);
        let late = DmaWords::zeroed(100).unwrap();
        assert!(!is_seen(late.seen()));
    }
}
