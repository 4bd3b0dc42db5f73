//! An entry of two words that a device writes, the last of them last: how its reader tells a whole one from what was there before.

/// A word that the device writes while this core may read.
pub(crate) trait Word {
    /// Read with Acquire.
    fn acquire(&self) -> u64;
    /// Read with Relaxed.
    fn read(&self) -> u64;
}

impl Word for std::sync::atomic::AtomicU64 {
    #[inline(always)]
    fn acquire(&self) -> u64 {
        self.load(std::sync::atomic::Ordering::Acquire)
    }

    #[inline(always)]
    fn read(&self) -> u64 {
        self.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// The entry, if its last word says that it is new.
#[inline(always)]
#[cfg_attr(not(feature = "nvme"), allow(dead_code, reason = "completion queues are NVMe's"))]
pub(crate) fn take<W: Word>(first: &W, last: &W, is_new: impl FnOnce(u64) -> bool) -> Option<[u64; 2]> {
    // Acquire: the device writes this word last, as with Release: the entry's other word, and the data that it tells of, before.
    let last = last.acquire();
    is_new(last).then(|| [first.read(), last])
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::{Word, take};
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, Ordering};

    impl Word for AtomicU64 {
        fn acquire(&self) -> u64 {
            self.load(Ordering::Acquire)
        }

        fn read(&self) -> u64 {
            self.load(Ordering::Relaxed)
        }
    }

    /// The bit that changes with each pass over the queue, as a completion has it (NVMe Base 2.0 §3.3.3.2).
    const PHASE: u64 = 1 << 48;

    /// A device transfers data, and then writes the entry that tells of it, its phase last: whoever sees that sees the rest. Fails if the
    /// last word is read, or written, with less than Acquire and Release.
    #[test]
    fn loom_an_entry_is_read_whole_and_after_its_data() {
        loom::model(|| {
            let memory: Arc<[AtomicU64; 3]> =
                Arc::new([AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)]);
            let seen = memory.clone();
            let device = loom::thread::spawn(move || {
                let [data, first, last] = &*seen;
                data.store(7, Ordering::Relaxed);
                first.store(8, Ordering::Relaxed);
                last.store(PHASE | 9, Ordering::Release);
            });
            let [data, first, last] = &*memory;
            let is_new = |last: u64| last & PHASE != 0;
            if let Some(entry) = take(first, last, is_new) {
                assert_eq!((entry, data.load(Ordering::Relaxed)), ([8, PHASE | 9], 7));
            }
            device.join().unwrap();
            assert_eq!(take(first, last, is_new), Some([8, PHASE | 9]));
        });
    }
}
