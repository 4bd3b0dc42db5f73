//! Components on every core finish what they have begun before the application ends.
//!
//! Stop it with Ctrl-C, or wait: it stops itself after a moment. `cargo run --example shutdown`

use reactor::{Core, app, on_every_core, spawn_named, time};
use std::time::Duration;

/// Serves until the application ends, then finishes in its own time.
async fn serve() {
    let core = Core::current();
    let mut served = 0_u64;
    let mut end = app::shutdown_requested();
    // The guard holds up the end until this component is done.
    let _guard = loop {
        match time::timeout(Duration::from_millis(1), &mut end).await {
            Ok(guard) => break guard,
            Err(_elapsed) => served += 1,
        }
    };
    time::sleep(Duration::from_millis(2)).await;
    println!("component on core {core}: served {served} requests, and drained");
}

#[reactor::main(cores = 2)]
async fn main() -> reactor::Result<()> {
    let started = on_every_core(async || {
        // Runs on this core when the end comes, those of later cores before those of earlier ones.
        app::on_shutdown(async || println!("hook on core {}", Core::current()));
        spawn_named("component", serve()).detach();
    });
    for core in started.await {
        core?;
    }

    println!("running");
    let stop_anyway = time::timeout(Duration::from_millis(20), app::shutdown_requested());
    if stop_anyway.await.is_err() {
        println!("stopping");
        // From any core or, by `app::control()`, any thread. The value is the exit code.
        app::stop(0);
    }
    Ok(())
}
