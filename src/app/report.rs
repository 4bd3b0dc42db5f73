//! Naming what is still alive when the time for shutdown is over.

use super::{Error, state::App};
use crate::{Core, LightThread, call_on, reactor::ROOT_NAME, task::Home, time};
use futures::future::join_all;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// After the deadline, for what is quick unless something is wrong.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Each step gets this much of it in any case.
const GRACE_MIN: Duration = Duration::from_millis(50);

/// A core that does anything at all answers within this time.
const ANSWER: Duration = Duration::from_millis(200);

/// In the names of what shutdown itself has started on a core.
const SUPERVISOR: &str = concat!(env!("CARGO_CRATE_NAME"), "::app::supervise::");

/// More names than this of one core help nobody.
const NAMES_MAX: usize = 20;

/// Timers count microseconds in 64 bits; a deadline that is never to come is cut to one that never will.
pub(super) fn clamp(duration: Duration) -> Duration {
    duration.min(Duration::from_secs(10 * 365 * 86_400))
}

/// What is left of the time for shutdown, and a little more if that is over.
pub(super) fn left(app: &App) -> Duration {
    match app.until() {
        Some(until) => (until + GRACE).saturating_duration_since(Instant::now()).max(GRACE_MIN),
        None => clamp(Duration::MAX),
    }
}

/// Hooks, guards, light threads and tasks that have not come to their end.
pub(super) async fn deadline_passed(app: &App) -> Error {
    let mut alive = Vec::new();
    for (position, location) in app.hooks_left().into_iter().enumerate() {
        let waits = if position == 0 { "" } else { ", which has not begun" };
        alive.push(format!("the shutdown hook registered at {location}{waits}"));
    }
    alive.extend(app.holders().iter().map(|location| format!("the shutdown guard from {location}")));
    alive.extend(join_all(app.handle.cores().into_iter().map(work_of)).await.concat());
    said(app, alive)
}

/// A subsystem that does not end.
pub(super) fn fini_stuck(app: &App, name: Option<&'static str>) -> Error {
    said(app, name.iter().map(|name| format!("the end of subsystem `{name}`")).collect())
}

/// Says at once what is alive, as what follows may take time, and makes it the application's result.
pub(super) fn said(app: &App, alive: Vec<String>) -> Error {
    app.say(format_args!("shutdown was not done within {:?}, still alive:", app.deadline));
    for what in &alive {
        app.say(format_args!("  {what}"));
    }
    Error::Deadline { deadline: app.deadline, alive }
}

/// Light threads, then tasks, theirs included.
async fn work_of(core: Core) -> Vec<String> {
    let work = call_on(core, async || {
        (threads(), Home::with_current(|_, local| local.live_names()).unwrap_or_default())
    });
    match time::timeout(ANSWER, work).await {
        Ok(Ok((threads, names))) => {
            let tasks = counted(names).into_iter().map(|name| format!("task {name}"));
            threads.into_iter().chain(tasks).map(|what| format!("core {core}: {what}")).collect()
        }
        // It has ended in a panic.
        Ok(Err(_gone)) => Vec::new(),
        Err(_elapsed) => vec![format!("core {core}, which something keeps from turning")],
    }
}

/// The current core's light threads that have not come to their end.
fn threads() -> Vec<String> {
    let alive = LightThread::all().into_iter().filter(|info| info.stats.tasks > 0);
    alive
        .map(|info| format!("light thread `{}`, tasks left: {}", info.thread.name(), info.stats.tasks))
        .collect()
}

/// Each name once.
fn counted(names: Vec<Cow<'static, str>>) -> Vec<String> {
    let mut counts = BTreeMap::new();
    for name in names.into_iter().filter(|name| name != ROOT_NAME && !name.contains(SUPERVISOR)) {
        *counts.entry(name).or_insert(0_usize) += 1;
    }
    let rest = counts.len().saturating_sub(NAMES_MAX);
    let mut lines: Vec<_> = (counts.into_iter().take(NAMES_MAX))
        .map(
            |(name, count)| if count == 1 { format!("`{name}`") } else { format!("`{name}`, {count} times") },
        )
        .collect();
    if rest > 0 {
        lines.push(format!("and {rest} others"));
    }
    lines
}
