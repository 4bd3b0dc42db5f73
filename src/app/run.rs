//! From a [`Builder`] to the end of its application, on the calling thread.

use super::{
    Builder, Error,
    buffers::{Buffers, Leave},
    crew::Crew,
    report,
    running::Control,
    seat::{Plan, Restore},
    signal::Signals,
    state::App,
    supervise::{Ended, supervise},
    watchdog::EndOfWatch,
};
use crate::{Handle, reactor::Group, signal, sys::cpu, time::Clock, unblock::Pool};
use std::{borrow::Cow, mem, path::Path, sync::Arc};

impl Builder {
    /// One id per core.
    pub(super) fn resolve_cores(&mut self) -> Result<Vec<usize>, Error> {
        let cores = mem::replace(&mut self.cores, Ok(super::CoreList::Count(1)))?;
        Ok(cores.resolve(self.is_pinned())?)
    }

    fn is_pinned(&self) -> bool {
        self.is_pinned.unwrap_or(true)
    }

    /// What messages on standard error begin with.
    pub(super) fn name_or_program(&self) -> Cow<'static, str> {
        self.name.clone().unwrap_or_else(|| {
            let program = std::env::args_os().next();
            let file = program.as_deref().and_then(|program| Path::new(program).file_name());
            file.map_or("reactor".into(), |file| file.to_string_lossy().into_owned().into())
        })
    }
}

/// Starts the cores `ids`, calls `started`, runs `main` on the first, and ends all of them.
///
/// # Errors
/// What kept the application from starting; nothing of it is left then.
pub(super) fn run_to_end<T>(
    builder: Builder,
    ids: Vec<usize>,
    main: impl AsyncFnOnce() -> T,
    started: impl FnOnce(Control),
) -> Result<Ended<T>, Error> {
    if builder.unblock_threads == 0 {
        return Err(Error::NoUnblockThreads);
    }
    // First: threads inherit it.
    signal::block(builder.blocked_signals.iter().copied())?;
    // Dropped last, after the executor.
    let _restore = Restore::remember();
    let (is_pinned, name) = (builder.is_pinned(), builder.name_or_program());
    let buffers = Buffers::new(builder.buffers, ids.len()).map_err(Error::Buffers)?;
    let group = Group::new(ids.iter().copied(), builder.mode)?;
    let pool = Pool::new(builder.unblock_threads, if is_pinned { beside(&ids) } else { Vec::new() });
    let app =
        Arc::new(App::new(name, Handle::new(group.clone()), pool, builder.deadline, builder.is_process));
    let _watched = EndOfWatch(app.clone());
    let clock = builder.clock.unwrap_or_else(Clock::tsc);
    let (spin, timer_slack) = (builder.spin, builder.timer_slack);
    let plan = Plan { group, is_pinned, spin, timer_slack, clock, buffers };
    // Dropped after the executor.
    let _leave = Leave;

    let executor = plan.seat(0, &app).map_err(|source| Error::Core { core: ids[0], source })?;
    let mut crew = Crew::start(&plan, &app)?;
    let signals = match builder.signals.unwrap_or(true) {
        true => Some(Signals::watch(&app).map_err(Error::Signals)?),
        false => None,
    };
    started(Control::new(app.clone()));
    let mut ended = executor.block_on(supervise(&app, builder.subsystems, main));

    ended.errors.extend(crew.stop(&app));
    drop(executor);
    // Only now: a call may be waiting for an answer from a core, and learns here that there is none.
    let still_called = app.pool.close(report::left(&app));
    if !still_called.is_empty() {
        let calls = still_called.iter().map(|location| format!("the call of `app::unblock` at {location}"));
        ended.errors.push(report::said(&app, calls.collect()));
    }
    drop(signals);
    // Only now: the last task might have given one.
    ended.code = app.code();
    ended.errors.sort_by_key(|error| !matches!(error, Error::Deadline { .. }));
    Ok(ended)
}

/// Where this process may run beside its reactors; anywhere, if they take all there is.
fn beside(reactors: &[usize]) -> Vec<usize> {
    let Ok(allowed) = cpu::allowed() else { return Vec::new() };
    let others: Vec<_> = allowed.iter().filter(|cpu| !reactors.contains(cpu)).collect();
    if others.is_empty() { allowed.iter().collect() } else { others }
}
