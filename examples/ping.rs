//! Two cores send a message back and forth: `spdk_event_allocate` and `spdk_event_call`, with an answer.
//!
//! `cargo run --release --example ping`

use reactor::{Core, call_on, time::Instant};

const ROUNDS: u32 = 10_000;

#[reactor::main(cores = 2, mode = "poll")]
async fn main() -> reactor::Result<()> {
    let here = Core::current();
    let there = Core::nth(1).expect("the second of two cores");

    let begin = Instant::now();
    for round in 0..ROUNDS {
        // The closure travels, its future runs over there, and its result comes back.
        let echo = call_on(there, async move || (round, Core::current())).await?;
        assert_eq!(echo, (round, there));
    }
    let each = begin.elapsed() / ROUNDS;
    println!("core {here} to core {there} and back: {each:?}");
    Ok(())
}
