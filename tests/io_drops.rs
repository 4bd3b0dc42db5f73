//! Every kind of I/O operation dropped, forgotten, aborted with its task and left to the end of its core, at every await, under
//! load, on every kind of ring: no released buffer is touched, no buffer and no descriptor stays behind.
//!
//! What is tried is in `io_drops/kinds`, how in `io_drops/trial`. Each run has a process of its own, this very program: it counts
//! all descriptors, may end by touching protected memory, and blocks signals before there are threads, for which it needs to be
//! without a test harness.

#[path = "io_drops/buffers.rs"]
mod buffers;
#[path = "io_drops/complete.rs"]
mod complete;
#[path = "io_drops/kinds/mod.rs"]
mod kinds;
#[path = "io_drops/load.rs"]
mod load;
#[path = "io_drops/stage.rs"]
mod stage;
#[path = "io_drops/trial.rs"]
mod trial;

use buffers::Watch;
use reactor::signal;
use reactor::uring::Setup;
use std::panic;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use trial::Run;

/// `what` and how it ended; a failure shows what its process said.
struct Running(String, Child);

/// How buffers are watched on rings of each kind that have all there is, and on bare ones. Each kind is tried with all and bare, and
/// watched in both ways; the one that cores get has both with all.
const RUNS: [(Setup, &[Watch], Watch); 3] = [
    (Setup::Deferred, &[Watch::Canary, Watch::Protect], Watch::Protect),
    (Setup::Cooperative, &[Watch::Protect], Watch::Canary),
    (Setup::Plain, &[Watch::Canary], Watch::Protect),
];

/// Begins the arguments of a child: the run's name, then the kinds, all if none is named.
const CHILD: &str = "--child";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [child, run, names @ ..] = &args[..] {
        if child == CHILD {
            let (_, run) = runs().find(|(name, _)| name == run).expect("a run of this name");
            return be_child(run, names);
        }
    }
    // Options are the test harness's.
    let names: Vec<String> = args.into_iter().filter(|arg| !arg.starts_with('-')).collect();
    complete::check(&kinds::all());
    // Two at a time: one waits for devices while the other computes.
    let runs: Vec<_> = runs().collect();
    for pair in runs.chunks(2) {
        let running: Vec<Running> = pair.iter().map(|(name, _)| Running::start(name, &names)).collect();
        running.into_iter().for_each(Running::end);
    }
}

fn runs() -> impl Iterator<Item = (String, Run)> {
    let all = RUNS.into_iter().flat_map(|(setup, watches, bare)| {
        let runs = watches.iter().map(move |&watch| Run { watch, setup, is_bare: false });
        runs.chain([Run { watch: bare, setup, is_bare: true }])
    });
    all.map(|run| (format!("{:?}-{:?}{}", run.watch, run.setup, if run.is_bare { "-bare" } else { "" }), run))
}

impl Running {
    fn start(name: &str, names: &[String]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([CHILD, name]).args(names).stderr(Stdio::piped());
        Self(name.into(), command.spawn().unwrap())
    }

    fn end(self) {
        let output = self.1.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(20).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        assert!(output.status.success(), "{}: {}:\n{}", self.0, output.status, last.join("\n"));
        println!("io_drops: {} ... ok", self.0);
    }
}

static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

/// Tries every kind, and says which before, so that one that ends the process is known.
fn be_child(run: Run, names: &[String]) {
    signal::block(kinds::SIGNALS).unwrap();
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        // Tasks that nobody awaits panic in vain otherwise.
        HAS_PANICKED.store(true, Ordering::Relaxed);
        report(panic);
    }));
    let (alive, ended) = mpsc::channel();
    thread::spawn(move || watch(&ended));
    let disk = tempfile::tempdir().unwrap();
    let direct = stage::write_direct(disk.path());
    for kind in kinds::all() {
        alive.send(()).unwrap();
        if names.is_empty() || names.iter().any(|name| kind.name.contains(&**name)) {
            eprintln!("{}", kind.name);
            run.try_kind(&kind, &direct);
            assert!(!HAS_PANICKED.load(Ordering::Relaxed), "a task has panicked");
        }
    }
}

/// Ends the process if a kind takes too long: the end of a core waits for the kernel without a limit.
fn watch(alive: &mpsc::Receiver<()>) {
    loop {
        match alive.recv_timeout(2 * trial::PATIENCE) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("this does not end");
                process::abort();
            }
        }
    }
}
