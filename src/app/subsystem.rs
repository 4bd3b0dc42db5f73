//! Subsystems: what starts before `main` and ends after it, in an order that they declare.

use super::{Error, state::App, supervise::panicked};
use futures::{FutureExt, future::LocalBoxFuture};
use std::{fmt, future::Future, panic::AssertUnwindSafe};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A part of an application with a beginning and an end: SPDK's `SPDK_SUBSYSTEM_REGISTER`.
///
/// All run on the main core, one after the other.
///
/// ```
/// use reactor::app::{Builder, Subsystem};
///
/// struct Log;
///
/// impl Subsystem for Log {
///     fn name(&self) -> &'static str {
///         "log"
///     }
///
///     async fn init(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///         Ok(())
///     }
/// }
///
/// struct Store;
///
/// impl Subsystem for Store {
///     fn name(&self) -> &'static str {
///         "store"
///     }
///
///     fn depends_on(&self) -> &[&'static str] {
///         &["log"]
///     }
///
///     async fn init(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///         Ok(()) // the log is up
///     }
///
///     async fn fini(&mut self) {
///         // the log is still up
///     }
/// }
///
/// Builder::new().subsystem(Store).subsystem(Log).run(async || ())?;
/// # Ok::<(), reactor::app::Error>(())
/// ```
pub trait Subsystem: Send + 'static {
    /// What others call it when they depend on it. Unique in its application.
    fn name(&self) -> &'static str;

    /// Names of subsystems that start before this one and end after it.
    fn depends_on(&self) -> &[&'static str] {
        &[]
    }

    /// Starts it. If it fails, neither the subsystems behind it nor `main` start, and those before it are ended.
    fn init(&mut self) -> impl Future<Output = Result<(), BoxError>>;

    /// Ends it, after `main` and the shutdown hooks, while all cores still turn.
    fn fini(&mut self) -> impl Future<Output = ()> {
        async {}
    }
}

/// [`Subsystem`] without its types.
trait Erased: Send {
    fn name(&self) -> &'static str;
    fn depends_on(&self) -> &[&'static str];
    fn init(&mut self) -> LocalBoxFuture<'_, Result<(), BoxError>>;
    fn fini(&mut self) -> LocalBoxFuture<'_, ()>;
}

impl<S: Subsystem> Erased for S {
    fn name(&self) -> &'static str {
        Subsystem::name(self)
    }

    fn depends_on(&self) -> &[&'static str] {
        Subsystem::depends_on(self)
    }

    fn init(&mut self) -> LocalBoxFuture<'_, Result<(), BoxError>> {
        Box::pin(Subsystem::init(self))
    }

    fn fini(&mut self) -> LocalBoxFuture<'_, ()> {
        Box::pin(Subsystem::fini(self))
    }
}

/// The subsystems of an application; once sorted, those started come first.
#[derive(Default)]
pub(super) struct Subsystems {
    all: Vec<Box<dyn Erased>>,
    started: usize,
}

impl Subsystems {
    pub(super) fn push(&mut self, subsystem: impl Subsystem) {
        self.all.push(Box::new(subsystem));
    }

    /// Starts all of them, each after those that it depends on.
    pub(super) async fn init(&mut self) -> Result<(), Error> {
        self.sort()?;
        for subsystem in &mut self.all {
            let name = subsystem.name();
            let source = match AssertUnwindSafe(subsystem.init()).catch_unwind().await {
                Ok(Ok(())) => {
                    self.started += 1;
                    continue;
                }
                Ok(Err(source)) => source,
                Err(payload) => format!("it panicked: {}", crate::Panic::new(payload).message()).into(),
            };
            return Err(Error::Subsystem { name, source });
        }
        Ok(())
    }

    /// Ends those that have started, the last first. Returns what panicked.
    pub(super) async fn fini(&mut self, app: &App) -> Vec<Error> {
        let mut panics = Vec::new();
        while let Some(subsystem) = self.started.checked_sub(1).and_then(|last| self.all.get_mut(last)) {
            let name = subsystem.name();
            if let Err(payload) = AssertUnwindSafe(subsystem.fini()).catch_unwind().await {
                let error = panicked(format!("the end of subsystem `{name}`"), payload);
                app.say(format_args!("{error}"));
                panics.push(error);
            }
            self.started -= 1;
        }
        panics
    }

    /// The one whose end is under way.
    pub(super) fn ending(&self) -> Option<&'static str> {
        Some(self.all.get(self.started.checked_sub(1)?)?.name())
    }

    /// Each behind what it depends on, otherwise in the order in which they were added.
    fn sort(&mut self) -> Result<(), Error> {
        let names: Vec<_> = self.all.iter().map(|subsystem| subsystem.name()).collect();
        for (position, &name) in names.iter().enumerate() {
            if names[..position].contains(&name) {
                return Err(Error::SubsystemOrder { name, problem: "was added twice".into() });
            }
            if let Some(missing) = self.all[position].depends_on().iter().find(|other| !names.contains(other))
            {
                let problem = format!("depends on `{missing}`, which was not added");
                return Err(Error::SubsystemOrder { name, problem });
            }
        }
        let mut sorted: Vec<Box<dyn Erased>> = Vec::new();
        while !self.all.is_empty() {
            let is_started = |name: &&str| sorted.iter().any(|other| other.name() == *name);
            let next = self.all.iter().position(|subsystem| subsystem.depends_on().iter().all(is_started));
            let Some(next) = next else {
                let (name, others) = (self.all[0].name(), self.all[0].depends_on().join("`, `"));
                let problem = format!("depends on `{others}`, and in the end on itself");
                return Err(Error::SubsystemOrder { name, problem });
            };
            let next = self.all.remove(next);
            sorted.push(next);
        }
        self.all = sorted;
        Ok(())
    }
}

impl fmt::Debug for Subsystems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|subsystem| subsystem.name())).finish()
    }
}
