//! Work is dealt out to the cores in turn, and each result comes home to where the work came from.
//!
//! `cargo run --example distribute`

use reactor::{Core, call_on, cores};

/// What is to be done, and with what.
struct Work {
    id: usize,
    data: Vec<u8>,
}

/// What came of it, and where.
struct Outcome {
    id: usize,
    sum: u64,
    done_on: Core,
}

/// Runs on whichever core the work was dealt to.
async fn process(work: Work) -> Outcome {
    let sum = work.data.iter().copied().map(u64::from).sum();
    Outcome { id: work.id, sum, done_on: Core::current() }
}

/// Deals to one core after the other.
struct RoundRobin(std::iter::Cycle<reactor::Cores>);

impl RoundRobin {
    fn new() -> Self {
        Self(cores().cycle())
    }

    fn next_core(&mut self) -> Core {
        self.0.next().expect("a runtime has a core")
    }
}

#[reactor::main(cores = 2)]
async fn main() -> reactor::Result<()> {
    let origin = Core::current();
    let mut deal = RoundRobin::new();

    // All of it is under way at once; the data moves with the closure, nothing is shared.
    let work = (0..8_usize).map(|id| Work { id, data: vec![id as u8; 1_000] });
    let submitted: Vec<_> =
        work.map(|work| call_on(deal.next_core(), async || process(work).await)).collect();

    for outcome in submitted {
        // A panic over there would be an error here, and nothing else would notice.
        let Outcome { id, sum, done_on } = outcome.await?;
        println!("work {id}: sum {sum}, done on core {done_on}, back on core {origin}");
        assert_eq!(Core::current(), origin);
    }
    Ok(())
}
