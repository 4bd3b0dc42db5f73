//! Buffers in huge pages out of the system's stock, which the test fills for itself where it may. A process of its own: whoever else asks
//! for huge pages meanwhile might get these.

mod support;

use reactor::{
    bdev::{self, Access},
    sys::dma::{DmaConfig, DmaPool, HugePages},
};
use std::{
    fs, thread,
    time::{Duration, Instant},
};
use support::cores_unpinned;

const STOCK: &str = "/proc/sys/vm/nr_hugepages";
const FREE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
const HUGE: usize = 2 << 20;

/// Adds to the stock, and takes it out again when dropped.
struct Stocked(usize);

impl Stocked {
    fn pages() -> Option<usize> {
        fs::read_to_string(STOCK).ok()?.trim().parse().ok()
    }

    fn add(pages: usize) -> Option<Self> {
        let before = Self::pages()?;
        fs::write(STOCK, (before + pages).to_string()).ok()?;
        let stocked = Self(pages);
        // Some may be used still by what has ended just now: the kernel takes a ring apart, and what is registered with it, in its own time.
        let began = Instant::now();
        while Self::free()? < pages && began.elapsed() < Duration::from_secs(10) {
            thread::yield_now();
        }
        (Self::free()? >= pages).then_some(stocked)
    }

    fn free() -> Option<usize> {
        fs::read_to_string(FREE).ok()?.trim().parse().ok()
    }
}

impl Drop for Stocked {
    fn drop(&mut self) {
        let left = Self::pages().unwrap_or(0).saturating_sub(self.0);
        let _refused = fs::write(STOCK, left.to_string());
    }
}

/// On a thread of its own, whose pool has no past.
fn on_fresh_thread<T: Send>(buffers: DmaConfig, main: impl AsyncFnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        scope.spawn(|| cores_unpinned(1).buffers(buffers).run(main).unwrap()).join().unwrap()
    })
}

#[test]
fn buffers_lie_in_huge_pages_as_long_as_there_are_any() {
    let Some(_stocked) = Stocked::add(4) else {
        return println!("no huge pages may be set aside here");
    };
    // The stock runs out: the rest is of other pages, or refused.
    for (wish, is_more) in [(HugePages::Auto, true), (HugePages::Required, false)] {
        let buffers = DmaConfig::new().own(64 * HUGE).reserve(0).huge_pages(wish);
        let (held, pages, end) = on_fresh_thread(buffers, async || {
            let pool = DmaPool::local();
            let mut held = Vec::new();
            let end = loop {
                match pool.try_alloc(HUGE) {
                    Ok(mut buf) if held.len() < 40 => {
                        buf.fill(1);
                        held.push(buf);
                    }
                    end => break end.map(drop),
                }
            };
            (held.len(), pool.stats().pages, end)
        });
        assert!(held >= 4, "{held}");
        assert_eq!((pages.transparent > 0, end.is_ok()), (is_more, is_more), "{wish:?} {pages:?}");
        if let Err(e) = end {
            assert!(e.to_string().contains("sysctl vm.nr_hugepages"), "{e}");
        }
    }
    // Last, as the kernel takes a ring apart in its own time, and its pages come back to the stock with it.
    let config = DmaConfig::new().own(2 * HUGE).reserve(2 * HUGE);
    let required = config.clone().huge_pages(HugePages::Required);
    on_fresh_thread(required, async || {
        let pool = DmaPool::local();
        // Small ones and large ones, own and leased, by way of a device.
        let mut small = pool.try_alloc(4096).unwrap();
        let large = pool.try_alloc(HUGE).unwrap();
        let leased = pool.try_alloc(HUGE).unwrap();
        let (mine, shared) = (pool.stats(), pool.reserve().unwrap().stats());
        assert_eq!((mine.pages.huge, mine.pages.plain + mine.pages.transparent), (mine.mapped_bytes, 0));
        assert_eq!((mine.mapped_bytes, mine.leased_bytes, shared.pages.huge), (3 * HUGE, HUGE, HUGE));
        assert_eq!(large.as_ptr().addr() % HUGE, 0);
        small.fill(7);
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let disk = bdev::open(&format!("file:{}", file.path().display()), Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        channel.write(0, small).await.unwrap();
        assert!(channel.read(0..8).await.unwrap().iter().all(|byte| *byte == 7));
        drop((large, leased));
    });
}
