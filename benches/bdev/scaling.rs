//! How a stripe and a mirror scale with their members, each of which serves one I/O at a time, as a disk's arm does. Time is virtual:
//! the figures are the same on every machine, and say what the members' work was, not what the processor did.

use super::harness::Measure;
use super::{IO_BYTES, Places};
use reactor::{
    LocalExecutor,
    bdev::{
        self, Access, Bdev, Descriptor, Done, Geometry, Io, Op, Submit,
        modules::{Mirror, Stripe},
    },
    spawn_local,
    sync::Semaphore,
    time::{Clock, sleep},
};
use std::{cell::Cell, rc::Rc, time::Duration};

const DEPTH: u64 = 32;

/// What an arm takes for one I/O.
const SERVICE: Duration = Duration::from_micros(100);

/// A device that serves one I/O after the other. It keeps no data.
struct Arm;

struct ArmChannel(Semaphore);

impl Bdev for Arm {
    type Channel = ArmChannel;

    fn module(&self) -> &'static str {
        "arm"
    }

    fn geometry(&self) -> Geometry {
        Geometry::new(512, 1 << 21).with_keeps_data(false)
    }

    fn supports(&self, op: Op) -> bool {
        matches!(op, Op::Read | Op::Write)
    }

    fn channel(&self, _access: Access) -> bdev::Result<ArmChannel> {
        Ok(ArmChannel(Semaphore::new(1)))
    }
}

impl Submit for ArmChannel {
    async fn submit(&self, io: Io) -> Done {
        let _turn = self.0.acquire(1).await;
        sleep(SERVICE).await;
        io.done(Ok(()))
    }
}

fn arms(count: usize) -> Vec<Descriptor> {
    let arm = |n| bdev::open_private(format!("arm{n}"), Arm, Access::ReadWrite).expect("the device opens");
    (0..count).map(arm).collect()
}

/// I/Os in the time that one arm takes for one: reads of a stripe of so many members.
pub fn stripe_reads(measure: Measure, members: usize) -> f64 {
    served(measure, Op::Read, move || {
        let stripe = Stripe::new(arms(members), 64 << 10).expect("the members fit each other");
        bdev::open_private("stripe", stripe, Access::ReadWrite)
    })
}

/// The same of a mirror.
pub fn mirror(measure: Measure, members: usize, op: Op) -> f64 {
    served(measure, op, move || {
        let mirror = Mirror::over(arms(members)).expect("the members fit each other");
        bdev::open_private("mirror", mirror, Access::ReadWrite)
    })
}

fn served(measure: Measure, op: Op, make: impl FnOnce() -> bdev::Result<Descriptor> + 'static) -> f64 {
    let rounds = if measure.quick { 200 } else { 10_000 };
    let (clock, hand) = Clock::manual();
    let core = LocalExecutor::with_clock(clock).expect("the core starts");
    let done = Rc::new(Cell::new(0_u64));
    let counted = done.clone();
    core.spawn_local(async move {
        let disk = make().expect("the device opens");
        for seed in 0..DEPTH {
            let (disk, done) = (disk.clone(), counted.clone());
            spawn_local(async move {
                let channel = disk.channel().expect("the core has a channel");
                let mut places = Places::new(&channel, seed);
                let mut buf = channel.try_alloc(IO_BYTES).expect("the pool has a buffer");
                let data = channel.try_alloc(IO_BYTES).expect("the pool has a buffer").freeze();
                loop {
                    match op {
                        Op::Read => {
                            buf = channel.read_into(places.next(), buf).await.expect("the device reads")
                        }
                        _ => {
                            channel.write(places.next().start, data.clone()).await.expect("the device writes")
                        }
                    }
                    done.set(done.get() + 1);
                }
            })
            .detach();
        }
    })
    .detach();
    let settle = || while core.turn().is_busy() {};
    settle();
    for _ in 0..rounds {
        hand.advance(SERVICE);
        settle();
    }
    done.get() as f64 / f64::from(rounds)
}
