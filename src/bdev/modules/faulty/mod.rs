//! A layer that goes wrong where it is told to: failures, corrupted data and stalls, by operation, place and count, changed while it
//! runs. SPDK's error module.

mod injection;
#[cfg(all(test, not(loom)))]
mod tests;

pub use injection::{Failure, Injection};

use std::sync::{Arc, Mutex, PoisonError};

use super::setting::{Copied, Setting};
use super::spec::{Bases, Kind, Plan, spec_over};
use crate::bdev::{Access, Bdev, Channel, Descriptor, Done, Geometry, Io, Op, Result, Submit};
use crate::sync::oneshot;
use crate::sys::dma::DmaBuf;
use injection::{Rule, What};

pub(super) const KIND: Kind = Kind::new(
    "error",
    "error:read=io_error,count=3(SPEC)",
    "goes wrong as told: OPERATION or `all`, and `media`, `io_error`, `no_space`, `removed`, `aborted`, `corrupt`, `lost`, `misdirected` or `stall`; also `blocks=A..B`, `skip=N`, `every=N`",
    Bases::One,
    |args| {
        let injections = injection::parse(args)?;
        Ok(Plan::over_one(move |base| {
            let faulty = Faulty::new(base);
            injections.into_iter().for_each(|injection| faulty.inject(injection));
            Ok(faulty)
        }))
    },
);

/// A device that goes wrong where it is told to.
///
/// ```
/// use reactor::bdev::{self, Access, Error, Op, modules::{Failure, Faulty, Injection}};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let disk = bdev::open("error(ram:1M)", Access::ReadWrite).await?;
/// let channel = disk.channel()?;
/// let faulty = disk.module_as::<Faulty>().unwrap();
/// faulty.inject(Injection::fail(Failure::Media).on(Op::Read).within(8..16).times(1));
/// channel.read(0..8).await?;
/// assert!(matches!(channel.read(8..9).await, Err(Error::Media)));
/// channel.read(8..9).await?;
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Faulty {
    base: Descriptor,
    rules: Setting<Vec<Arc<Rule>>>,
    stalls: Arc<Stalls>,
}

impl Faulty {
    /// A layer over `base` that hands everything on so far.
    #[must_use]
    pub fn new(base: Descriptor) -> Self {
        Self { base, rules: Setting::new(Vec::new()), stalls: Arc::default() }
    }

    /// The same with `injection` from the start.
    #[must_use]
    pub fn with(self, injection: Injection) -> Self {
        self.inject(injection);
        self
    }

    /// Adds to what goes wrong, for I/O that begins from now on, on all cores. Of several that an I/O meets, the first one counts.
    pub fn inject(&self, injection: Injection) {
        let rule = Arc::new(Rule::new(injection));
        self.rules.change(|rules| rules.push(rule));
    }

    /// Nothing goes wrong any more. I/O that is held stays so: see [`release`](Self::release).
    pub fn clear(&self) {
        self.rules.change(Vec::clear);
    }

    /// How many I/Os have gone wrong by what is injected now.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.rules.get().iter().map(|rule| rule.hits()).sum()
    }

    /// How many I/Os are held.
    #[must_use]
    pub fn stalled(&self) -> usize {
        self.stalls.count()
    }

    /// Lets go of what is held: it goes on to the device below.
    pub fn release(&self) {
        self.stalls.release();
    }
}

/// The I/Os that are held, on whatever core: each waits for word.
#[derive(Debug, Default)]
struct Stalls(Mutex<Vec<oneshot::Sender<()>>>);

impl Stalls {
    async fn hold(&self) {
        let (release, released) = oneshot::channel();
        self.change(|held| {
            // Those whose caller has gone.
            held.retain(|release| !release.is_closed());
            held.push(release);
        });
        let _ = released.await;
    }

    fn count(&self) -> usize {
        self.change(|held| held.iter().filter(|release| !release.is_closed()).count())
    }

    fn release(&self) {
        // Sent with the lock free: it wakes.
        for release in self.change(std::mem::take) {
            let _ = release.send(());
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut Vec<oneshot::Sender<()>>) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A core's way to the device below.
#[derive(Debug)]
pub struct FaultyChannel {
    base: Channel,
    rules: Copied<Vec<Arc<Rule>>>,
    stalls: Arc<Stalls>,
}

impl Bdev for Faulty {
    type Channel = FaultyChannel;

    fn module(&self) -> &'static str {
        "error"
    }

    /// Without lists of buffers: a corrupted byte is looked for in one.
    fn geometry(&self) -> Geometry {
        self.base.geometry().with_max_segments(1)
    }

    fn supports(&self, op: Op) -> bool {
        self.base.supports(op)
    }

    fn bases(&self) -> Vec<Descriptor> {
        vec![self.base.clone()]
    }

    fn spec(&self) -> Option<String> {
        spec_over(format!("error{}", injection::spec(&self.rules.get())?), [&self.base])
    }

    fn channel(&self, _access: Access) -> Result<FaultyChannel> {
        let (rules, stalls) = (self.rules.copied(), self.stalls.clone());
        Ok(FaultyChannel { base: self.base.channel()?, rules, stalls })
    }
}

impl Submit for FaultyChannel {
    async fn submit(&self, io: Io) -> Done {
        let hit =
            self.rules.with(|rules| rules.iter().find(|rule| rule.strikes(&io)).map(|rule| rule.what()));
        match hit {
            None => self.base.submit(io).await,
            Some(What::Fail(failure)) => io.done(Err(failure.error())),
            Some(What::Corrupt) => self.corrupt(io).await,
            Some(What::Lose) => io.done(Ok(())),
            Some(What::Misdirect) => self.misdirect(io).await,
            Some(What::Stall) => {
                self.stalls.hold().await;
                self.base.submit(io).await
            }
        }
    }
}

impl FaultyChannel {
    async fn corrupt(&self, mut io: Io) -> Done {
        if io.op() == Op::Write {
            // The caller may have kept a clone, which is not ours to change.
            let mut data = match self.copy_of(&io).await {
                Ok(data) => data,
                Err(e) => return io.done(Err(e)),
            };
            data[0] = !data[0];
            io.put_data(data.freeze());
            return self.base.submit(io).await;
        }
        let (result, mut io) = self.base.submit(io).await.into_io();
        if result.is_ok() {
            let mut buf = io.read_buf();
            buf[0] = !buf[0];
        }
        io.done(result)
    }

    async fn misdirect(&self, mut io: Io) -> Done {
        let (lba, blocks) = (io.lba(), io.blocks());
        let has_room = lba + 2 * blocks <= self.base.geometry().block_count;
        io.set_lba(if has_room { lba + blocks } else { lba.saturating_sub(blocks) });
        self.base.submit(io).await
    }

    async fn copy_of(&self, io: &Io) -> Result<DmaBuf> {
        let data = io.data();
        let mut copy = self.base.alloc(data.len()).await?;
        copy.copy_from_slice(&data);
        Ok(copy)
    }
}
