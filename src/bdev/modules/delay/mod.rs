//! A layer that takes its time: latencies for reads and changes, fixed or by percentile, changed while it runs.

mod latency;

pub use latency::{Delays, Latency};

use std::cell::Cell;
use std::time::Duration;

use super::setting::{Copied, Setting};
use super::spec::{Bases, Kind, Plan, spec_over};
use crate::bdev::{Access, Bdev, Channel, Descriptor, Done, Geometry, Io, Op, Result, Submit};
use crate::time::sleep;

pub(super) const KIND: Kind = Kind::new(
    "delay",
    "delay:avg=100us,p99=1ms(SPEC)",
    "answers later than what lies below by that time; also `read_avg`, `write_p999` and the like",
    Bases::One,
    |args| {
        let delays = latency::parse(args)?;
        Ok(Plan::over_one(move |base| Ok(Delay::new(base).with_delays(delays))))
    },
);

/// Answers later than the device below.
///
/// The time is added to what the device below takes. It ends with the first turn of the core that finds it over, never early.
///
/// ```
/// use reactor::bdev::{self, Access, modules::{Delay, Delays, Latency}};
/// use std::time::Duration;
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let disk = bdev::open("delay:100us(ram:1M)", Access::ReadWrite).await?;
/// // While it runs: from now on one read in a hundred takes a millisecond.
/// let reads = Latency::fixed(Duration::from_micros(50)).with_percentile(99.0, Duration::from_millis(1));
/// disk.module_as::<Delay>().unwrap().set(Delays::none().with_reads(reads));
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Delay {
    base: Descriptor,
    delays: Setting<Delays>,
}

impl Delay {
    /// A layer over `base`, without delays yet.
    #[must_use]
    pub fn new(base: Descriptor) -> Self {
        Self { base, delays: Setting::new(Delays::none()) }
    }

    /// The same with `delays`.
    #[must_use]
    pub fn with_delays(self, delays: Delays) -> Self {
        self.set(delays);
        self
    }

    /// Changes the delays, on all cores, for I/Os that the device below answers from now on.
    pub fn set(&self, delays: Delays) {
        self.delays.change(|it| *it = delays);
    }

    /// The delays now.
    #[must_use]
    pub fn delays(&self) -> Delays {
        self.delays.get()
    }
}

/// A core's way to the device below.
#[derive(Debug)]
pub struct DelayChannel {
    base: Channel,
    delays: Copied<Delays>,
    random: Cell<u64>,
}

impl Bdev for Delay {
    type Channel = DelayChannel;

    fn module(&self) -> &'static str {
        "delay"
    }

    fn geometry(&self) -> Geometry {
        self.base.geometry()
    }

    fn supports(&self, op: Op) -> bool {
        self.base.supports(op)
    }

    fn bases(&self) -> Vec<Descriptor> {
        vec![self.base.clone()]
    }

    fn spec(&self) -> Option<String> {
        spec_over(format!("delay{}", latency::spec(&self.delays())?), [&self.base])
    }

    fn channel(&self, _access: Access) -> Result<DelayChannel> {
        let random = Cell::new(0x9e37_79b9_7f4a_7c15);
        Ok(DelayChannel { base: self.base.channel()?, delays: self.delays.copied(), random })
    }
}

impl DelayChannel {
    /// A number below [`latency::WHOLE`].
    fn draw(&self) -> u32 {
        // xorshift64: nothing that a latency would notice is wrong with it.
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        ((u128::from(x) * u128::from(latency::WHOLE)) >> 64) as u32
    }
}

impl Submit for DelayChannel {
    async fn submit(&self, io: Io) -> Done {
        let op = io.op();
        let done = self.base.submit(io).await;
        // Held back with its answer: dropped meanwhile, it is aborted like any other.
        let latency = self.delays.with(|delays| delays.of_op(op).at(self.draw()));
        if latency > Duration::ZERO {
            sleep(latency).await;
        }
        done
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::spec::assert_points_at;
    use super::*;
    use std::rc::Rc;

    use crate::LocalExecutor;
    use crate::bdev::modules::Ram;
    use crate::bdev::{conformance, open, open_private};
    use crate::sys::dma::DmaPool;
    use crate::task::JoinHandle;
    use crate::time::{Clock, VirtualClock};

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn conforms() {
        conformance::check_spec("delay:avg=1us,p99=10us(ram:16M)");
    }

    /// A core whose time passes by hand, with a channel to a delayed RAM disk on it.
    struct Step {
        hand: VirtualClock,
        disk: Descriptor,
        channel: Channel,
        core: LocalExecutor,
    }

    impl Step {
        fn new(spec: &str) -> Self {
            let (clock, hand) = Clock::manual();
            let core = LocalExecutor::with_clock(clock).unwrap();
            let disk = core.block_on(open(spec, Access::ReadWrite)).unwrap();
            let channel = core.enter_with(|| disk.channel()).unwrap();
            Self { hand, disk, channel, core }
        }

        fn begin(&self, io: impl Future<Output = ()> + 'static) -> Begun {
            let has_ended = Rc::new(Cell::new(false));
            let end = has_ended.clone();
            let task = self.core.spawn_local(async move {
                io.await;
                end.set(true);
            });
            self.turn();
            Begun { task, has_ended }
        }

        fn turn(&self) {
            for _ in 0..4 {
                self.core.turn();
            }
        }

        fn pass(&self, duration: Duration) {
            self.hand.advance(duration);
            self.turn();
        }

        fn read(&self) -> Begun {
            let channel = self.channel.clone();
            self.begin(async move { drop(channel.read(0..1).await.unwrap()) })
        }
    }

    struct Begun {
        task: JoinHandle<()>,
        has_ended: Rc<Cell<bool>>,
    }

    impl Begun {
        fn has_ended(&self) -> bool {
            self.has_ended.get()
        }
    }

    #[test]
    fn each_kind_of_io_takes_its_time_and_no_less() {
        let step = Step::new("delay:avg=100us,write_avg=300us,other_avg=1ms(ram:3M)");
        let read = step.read();
        let channel = step.channel.clone();
        let write = step.begin(async move {
            let data = channel.alloc(512).await.unwrap();
            channel.write(0, data).await.unwrap();
        });
        let channel = step.channel.clone();
        let flush = step.begin(async move { channel.flush().await.unwrap() });
        let due = [(100, &read), (300, &write), (1_000, &flush)];
        let mut now = 0;
        for (us, io) in due {
            step.pass((us - now - 1) * US);
            assert!(!io.has_ended(), "early at {us} µs");
            step.pass(US);
            assert!(io.has_ended(), "late at {us} µs");
            now = us;
        }
    }

    #[test]
    fn percentiles_have_their_share() {
        let latency = Latency::fixed(US).with_percentile(99.0, 10 * US).with_percentile(50.0, 2 * US);
        let disk = open_private("ram", Ram::new(512).unwrap(), Access::ReadOnly).unwrap();
        let core = LocalExecutor::new().unwrap();
        let channel = core.enter_with(|| Delay::new(disk).channel(Access::ReadOnly)).unwrap();
        let mut counts = [0; 11];
        for _ in 0..100_000 {
            counts[latency.at(channel.draw()).as_micros() as usize] += 1;
        }
        for (us, expected) in [(1, 50_000), (2, 49_000), (10, 1_000)] {
            let off = i64::abs(counts[us] - expected);
            assert!(off * off < 25 * expected, "{us} µs: {} of 100000, not {expected}", counts[us]);
        }
    }

    #[test]
    fn delays_change_while_it_runs() {
        let step = Step::new("delay:10us(ram:5M)");
        let slow = step.read();
        step.disk.module_as::<Delay>().unwrap().set(Delays::of(Latency::fixed(3 * US)));
        let fast = step.read();
        step.pass(3 * US);
        assert!(fast.has_ended() && !slow.has_ended());
        step.pass(7 * US);
        assert!(slow.has_ended());
        step.disk.module_as::<Delay>().unwrap().set(Delays::none());
        assert!(step.read().has_ended());
    }

    #[test]
    fn an_io_dropped_in_its_delay_leaves_nothing_behind() {
        let step = Step::new("delay:10us(ram:6M)");
        let in_use = step.core.enter_with(|| DmaPool::local().stats().in_use);
        let read = step.read();
        read.task.abort();
        step.turn();
        assert_eq!((step.channel.stats().dropped, step.channel.stats().in_flight), (1, 0));
        assert_eq!(step.core.enter_with(|| DmaPool::local().stats().in_use), in_use);
        step.pass(10 * US);
    }

    #[test]
    fn times_that_are_none_are_pointed_at() {
        assert_points_at(&[
            ("delay:avg=1parsec(null)", "1parsec"),
            ("delay:p99=1(null)", "1"),
            ("delay:p98=1us(null)", "p98=1us"),
            ("delay:write_p98=1us(null)", "write_p98=1us"),
            ("delay:1us,avg(null)", "avg"),
            ("stripe:chunk=4K(delay:p99=x(null),null)", "x"),
        ]);
    }
}
