//! The cores that turn on threads of their own: all but the main one.

use super::{CoreError, Error, report, seat::Plan, state::App};
use crate::task::Panic;
use futures::channel::oneshot;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// Cores that have started. Dropping it stops them, the newest first.
pub(super) struct Crew {
    members: Vec<Member>,
}

struct Member {
    core: usize,
    /// Ends the core; so does dropping it.
    stop: Option<oneshot::Sender<()>>,
    /// Closed when the core has ended; says so if by a panic.
    ended: mpsc::Receiver<Panic>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Crew {
    /// Starts all cores but the first. If one does not start, those that have are stopped.
    pub(super) fn start(plan: &Plan, app: &Arc<App>) -> Result<Self, Error> {
        let mut crew = Self { members: Vec::new() };
        for peer in plan.group.iter().skip(1) {
            let core = peer.core.id();
            let member = Member::start(plan.clone(), peer.core.index(), core, app.clone())
                .map_err(|source| Error::Core { core, source })?;
            crew.members.push(member);
        }
        Ok(crew)
    }

    /// Stops the cores, the newest first, waiting for each as long as shutdown may take. Returns what went wrong.
    pub(super) fn stop(&mut self, app: &App) -> Vec<Error> {
        let mut errors = Vec::new();
        while let Some(mut member) = self.members.pop() {
            let core = member.core;
            match member.stop(report::left(app)) {
                Ok(()) => {}
                Err(Stuck::Panicked(panic)) => {
                    let error = Error::CorePanicked { core, message: panic.message().into() };
                    app.say(format_args!("{error}"));
                    errors.push(error);
                }
                Err(Stuck::Runs) => {
                    errors.push(report::said(
                        app,
                        vec![format!("core {core}, which something keeps from turning")],
                    ));
                }
            }
        }
        errors
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // The main core did not start, or ended in a panic.
        while let Some(mut member) = self.members.pop() {
            let _ended = member.stop(report::GRACE);
        }
    }
}

enum Stuck {
    Panicked(Panic),
    Runs,
}

impl Member {
    /// Returns when the core is ready to turn.
    fn start(plan: Plan, index: usize, core: usize, app: Arc<App>) -> Result<Self, CoreError> {
        let (ready, is_ready) = mpsc::sync_channel(1);
        let (has_ended, ended) = mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel();
        let body = move || {
            let turned = catch_unwind(AssertUnwindSafe(|| {
                let executor = match plan.seat(index, &app) {
                    Ok(executor) => executor,
                    // Nobody listening would mean that the starter panicked.
                    Err(error) => return drop(ready.send(Err(error))),
                };
                drop(ready.send(Ok(())));
                // Stopped, or nobody is left who could.
                let _either = executor.block_on(stopped);
            }));
            if let Err(payload) = turned {
                app.request(None);
                // Room for one, and this is it.
                let _heard = has_ended.send(Panic::new(payload));
            }
        };
        let thread =
            thread::Builder::new().name(format!("reactor_{core}")).spawn(body).map_err(CoreError::Thread)?;
        match is_ready.recv() {
            Ok(Ok(())) => Ok(Self { core, stop: Some(stop), ended, thread: Some(thread) }),
            Ok(Err(error)) => {
                // It ends on its own.
                let _ended = thread.join();
                Err(error)
            }
            Err(_) => {
                let _ended = thread.join();
                let message = ended.recv().map_or_else(|_| String::new(), |panic| panic.message().to_owned());
                Err(CoreError::Thread(std::io::Error::other(message)))
            }
        }
    }

    fn stop(&mut self, patience: Duration) -> Result<(), Stuck> {
        drop(self.stop.take());
        let result = match self.ended.recv_timeout(patience) {
            Ok(panic) => Err(Stuck::Panicked(panic)),
            Err(RecvTimeoutError::Disconnected) => Ok(()),
            // The thread is left alone: it may not be ended from here.
            Err(RecvTimeoutError::Timeout) => return Err(Stuck::Runs),
        };
        if let Some(thread) = self.thread.take() {
            // Its panics were caught.
            let _ended = thread.join();
        }
        result
    }
}
