//! Components on every core finish what they have begun, are counted as they do, and then the application ends.
//!
//! Stop it with Ctrl-C, or wait: it stops itself after a moment. `cargo run --example shutdown`

use reactor::{Core, app, call_on, cores, time};
use std::time::Duration;

/// Serves until the application ends, then finishes in its own time. Returns how many requests it served.
async fn serve() -> u64 {
    let mut served = 0;
    let mut end = app::shutdown_requested();
    // The guard holds up the end until this component is done.
    let _guard = loop {
        match time::timeout(Duration::from_millis(1), &mut end).await {
            Ok(guard) => break guard,
            Err(_elapsed) => served += 1,
        }
    };
    time::sleep(Duration::from_millis(2)).await;
    served
}

#[reactor::main(cores = 2)]
async fn main() -> reactor::Result<()> {
    // Runs when the end comes, while the components finish.
    app::on_shutdown(async || println!("hook on core {}", Core::current()));
    let components: Vec<_> = cores().map(|core| (core, call_on(core, serve))).collect();

    println!("running");
    let mut end = app::shutdown_requested();
    let _guard = match time::timeout(Duration::from_millis(20), &mut end).await {
        Ok(guard) => guard,
        Err(_elapsed) => {
            println!("stopping");
            // From any core or, by `app::control()`, any thread. The value is the exit code.
            app::stop(0);
            end.await
        }
    };

    // Where SPDK sends an event to every core and counts the answers, they are awaited.
    let mut remaining = components.len();
    for (core, component) in components {
        let served = component.await?;
        remaining -= 1;
        println!("component on core {core}: served {served} requests, and drained; {remaining} remaining");
    }
    println!("all components are done");
    Ok(())
}
