//! A poller watches a queue that no interrupt announces, beside one that is called by the clock: `spdk_poller_register`.
//!
//! `cargo run --example poller`

use futures::{StreamExt, channel::mpsc};
use reactor::{Poller, spawn_local, time::sleep};
use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

/// Stands for a device: completions appear in its memory.
#[derive(Default)]
struct Device {
    completions: VecDeque<u32>,
}

#[reactor::main]
async fn main() -> reactor::Result<()> {
    let device = Rc::new(RefCell::new(Device::default()));

    // Called every turn. What it returns, the number of completions, says whether the core was busy.
    let (completed, mut completions) = mpsc::unbounded();
    let queue = device.clone();
    let poller = Poller::register("device", move || {
        let reaped = std::mem::take(&mut queue.borrow_mut().completions);
        reaped.iter().filter(|&&id| completed.unbounded_send(id).is_ok()).count()
    });

    // Called every millisecond, until it is dropped.
    let mut beats = 0;
    let heartbeat = Poller::every("heartbeat", Duration::from_millis(1), move || {
        beats += 1;
        println!("beat {beats}");
        true
    });

    // Each takes its time: what completes between two turns is reaped by one call.
    let hardware = spawn_local(async move {
        for id in 0..5 {
            sleep(Duration::from_micros(100)).await;
            device.borrow_mut().completions.push_back(id);
        }
    });
    for _ in 0..5 {
        println!("completed: {:?}", completions.next().await);
    }
    hardware.await?;
    while heartbeat.stats().runs < 3 {
        sleep(Duration::from_millis(1)).await;
    }

    let stats = poller.stats();
    println!("`{}` ran {} times, {} of them busy", poller.name(), stats.runs, stats.busy_runs);
    // Dropped here, both are unregistered at once.
    Ok(())
}
