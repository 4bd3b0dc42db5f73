//! The mirror that everything happens to, and what happens.

use super::layout::Layout;
use super::worker::Shared;
use reactor::bdev::modules::{Failure, Faulty, Injection, MemberState, Mirror, MirrorControl, Uring};
use reactor::bdev::{Access, Bdev, Descriptor, Error, Op, Removal, open, open_private, register, unregister};
use reactor::yield_now;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// What the mirror and the member that is taken out are registered as.
pub const NAME: &str = "endurance";
pub const OUT: &str = "endurance-out";

/// What a stalled I/O is given.
const LIMIT: Duration = Duration::from_millis(20);

/// For the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Stack<'f> {
    pub layout: Layout,
    files: &'f [NamedTempFile; 2],
    control: MirrorControl,
    good: Descriptor,
    /// The second file, and what stands on it.
    bad: Descriptor,
    faulty: Descriptor,
}

fn file(path: &Path) -> Uring {
    Uring::open(path, Access::ReadWrite).unwrap()
}

impl<'f> Stack<'f> {
    /// The mirror, registered, and opened for writing.
    pub async fn new(files: &'f [NamedTempFile; 2]) -> (Self, Descriptor) {
        files[0].as_file().set_len(1 << 20).unwrap();
        let layout = Layout { block_size: file(files[0].path()).geometry().block_size as usize };
        files.iter().for_each(|file| file.as_file().set_len(layout.bytes(layout.ordinary_end())).unwrap());
        let good = open_private("good", file(files[0].path()), Access::ReadWrite).unwrap();
        let (bad, faulty) = second(&files[1]).await;
        let mirror = Mirror::over([good.clone(), faulty.clone()]).unwrap();
        let control = mirror.control();
        register(NAME, mirror).unwrap();
        let disk = open(NAME, Access::ReadWrite).await.unwrap();
        (Self { layout, files, control, good, bad, faulty }, disk)
    }

    fn errs(&self) -> &Faulty {
        self.faulty.module_as().unwrap()
    }

    fn second_is(&self, state: MemberState) -> bool {
        let status = self.control.status();
        assert_eq!(status.members[0].state, MemberState::InSync, "{status:?}");
        status.members[1].state == state
    }

    /// Waits until the second member is out, and leaves it out for a while.
    async fn falls_out(&self, shared: &Shared) {
        shared
            .patiently("the member to fall out", || self.second_is(MemberState::Failed).then_some(()))
            .await;
        shared.load(10).await;
    }

    /// Puts the second member back in its place, and makes it what the first is.
    async fn comes_back(&self, shared: &Shared) {
        self.errs().clear();
        self.errs().release();
        self.control.replace(1, self.faulty.clone()).unwrap();
        shared.load(2).await;
        assert!(self.second_is(MemberState::Stale), "{:?}", self.control);
        self.control.rebuild().await.unwrap();
        assert!(self.second_is(MemberState::InSync));
        shared.load(10).await;
    }

    /// Reads fail, and the other member answers.
    pub async fn a_member_cannot_read(&self, shared: &Shared) {
        self.errs().inject(Injection::fail(Failure::Media).on(Op::Read).every(3));
        shared.load(10).await;
        shared.patiently("reads to fail", || (self.errs().hits() > 0).then_some(())).await;
        assert!(self.second_is(MemberState::InSync), "who cannot read can still write");
        self.errs().clear();
    }

    pub async fn a_member_cannot_write(&self, shared: &Shared) {
        self.errs().inject(Injection::fail(Failure::Io).on(Op::Write).skip(5));
        self.falls_out(shared).await;
        self.comes_back(shared).await;
    }

    /// It says nothing any more: who watches gives its I/O up.
    pub async fn a_member_stalls(&self, shared: &Shared) {
        let watch = self.faulty.on_timeout(LIMIT, |channel, io| {
            channel.abort(io.id);
        });
        self.errs().inject(Injection::stall().skip(5));
        self.falls_out(shared).await;
        // What is merely slow shall not end the rebuild.
        drop(watch);
        self.comes_back(shared).await;
    }

    pub async fn a_member_is_taken_out_and_comes_back(&mut self, shared: &Shared) {
        let removal = unregister(OUT).unwrap();
        self.falls_out(shared).await;
        (self.bad, self.faulty) = second(&self.files[1]).await;
        self.comes_back(shared).await;
        gone(removal, shared).await;
    }

    /// Both files become longer, one after the other.
    pub async fn grow(&self, shared: &Shared) {
        for (file, device) in self.files.iter().zip([&self.good, &self.bad]) {
            file.as_file().set_len(self.layout.bytes(self.layout.farthest_end())).unwrap();
            let blocks = device.module_as::<Uring>().unwrap().rescan().unwrap();
            assert_eq!(blocks, self.layout.farthest_end());
        }
        shared.load(10).await;
    }

    /// And shorter again, with nothing on its way to what is cut off. The half of a size is refused.
    pub async fn shrink(&self, disk: &Descriptor, shared: &Shared) {
        let (end, farthest) = (self.layout.ordinary_end(), self.layout.farthest_end());
        let good = self.good.module_as::<Uring>().unwrap();
        let held = disk.quiesce_range(end..farthest).await.unwrap();
        self.files[0].as_file().set_len(self.layout.bytes(end) + 1).unwrap();
        assert!(matches!(good.rescan(), Err(Error::BadGeometry { .. })));
        assert_eq!(disk.geometry().block_count, farthest);
        shared.cuts.fetch_add(1, SeqCst);
        for (file, device) in self.files.iter().zip([&self.good, &self.bad]) {
            file.as_file().set_len(self.layout.bytes(end)).unwrap();
            assert_eq!(device.module_as::<Uring>().unwrap().rescan().unwrap(), end);
            assert_eq!(disk.geometry().block_count, end);
        }
        drop(held);
        shared.load(10).await;
        assert!(self.second_is(MemberState::InSync), "what is beyond the end went below: {:?}", self.control);
    }

    /// Nothing is on its way while the mirror is held.
    pub async fn hold(&self, disk: &Descriptor, shared: &Shared) {
        for _ in 0..3 {
            let held = disk.quiesce().await.unwrap();
            let counts = disk.on_every_channel(async |channel| {
                for _ in 0..10 {
                    yield_now().await;
                }
                channel.stats().in_flight
            });
            let counts = counts.await;
            assert!(counts.len() >= 2, "{counts:?}");
            assert!(counts.iter().all(|(_, count)| matches!(count, Ok(0))), "{counts:?}");
            drop(held);
            shared.load(2).await;
        }
    }

    /// What is on its way ends with `Aborted`, and the rest goes on.
    pub async fn reset(&self, disk: &Descriptor, shared: &Shared) {
        disk.reset().await.unwrap();
        shared.load(10).await;
        assert!(self.second_is(MemberState::InSync));
    }
}

async fn second(path: &NamedTempFile) -> (Descriptor, Descriptor) {
    register(OUT, file(path.path())).unwrap();
    let bad = open(OUT, Access::ReadWrite).await.unwrap();
    (bad.clone(), open_private("faulty", Faulty::new(bad), Access::ReadWrite).unwrap())
}

pub async fn gone(removal: Removal, shared: &Shared) {
    shared.patiently("the device to go", || removal.is_over().then_some(())).await;
}

impl Shared {
    /// Waits until each core has ended so many I/Os of each worker, more or less.
    pub async fn load(&self, each: u64) {
        let more = self.ended.each_ref().map(|ended| ended.load(SeqCst) + each * super::layout::WORKERS);
        let has_more = || self.ended.iter().zip(more).all(|(ended, more)| ended.load(SeqCst) >= more);
        self.patiently("the load to go on", || has_more().then_some(())).await;
    }

    pub async fn patiently<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let patience = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(!self.is_broken.load(SeqCst), "another core has panicked");
            assert!(Instant::now() < patience, "waited for {what}: {:?}", self.ended);
            yield_now().await;
            thread::yield_now();
        }
    }

    /// Does `work`, and tells the others if it panics.
    pub fn unless_broken<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Guard<'s>(&'s Shared);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    self.0.is_broken.store(true, SeqCst);
                }
            }
        }
        let _guard = Guard(self);
        work()
    }
}
