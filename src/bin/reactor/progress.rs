//! The line on standard error that says how it goes, if that is a terminal.
//!
//! Drawn by a thread of its own: a terminal may block, and a reactor may not.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_millis(100);

/// A progress line. It is wiped when this is dropped.
pub(crate) struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// Shows a bar that fills within `time`, and what `rate` makes of the counters that `read` gives, per second.
    pub(crate) fn start(
        time: Duration,
        unit: &'static str,
        read: impl Fn() -> (u64, u64) + Send + 'static,
    ) -> Self {
        if !stderr().is_terminal() {
            return Self(None);
        }
        let (stop, stopped) = channel();
        let show = move || {
            let total_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let bar = ProgressBar::with_draw_target(Some(total_ms), ProgressDrawTarget::stderr());
            bar.set_style(
                ProgressStyle::with_template("{bar:30} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            let begin = Instant::now();
            let (mut last, mut then) = (0, begin);
            while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                let (count, errors) = read();
                let now = Instant::now();
                let per_s = crate::report::rate(count.saturating_sub(last), now - then);
                (last, then) = (count, now);
                let left = time.saturating_sub(now - begin).as_secs_f64();
                let errors = if errors > 0 { format!(", {errors} errors") } else { String::new() };
                bar.set_position(u64::try_from((now - begin).as_millis()).unwrap_or(u64::MAX).min(total_ms));
                bar.set_message(format!(
                    "{} {unit}{errors}, {left:.1} s left",
                    crate::report::grouped(per_s)
                ));
            }
            bar.finish_and_clear();
        };
        // Without it the job runs as well.
        let thread = thread::Builder::new().name("progress".into()).spawn(show);
        Self(thread.ok().map(|thread| (stop, thread)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            let _shown = thread.join();
        }
    }
}
