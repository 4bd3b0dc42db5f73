//! Signals read by tasks. Each story has a child, which is this very program told the story's name. No test harness here: its
//! first thread waits for the tests' threads, blocks no signals, and would be given them.

use futures::StreamExt;
use reactor::{
    Mode,
    app::{self, Builder},
    call_on, cores,
    signal::{self, Signal, Signals},
};
use rustix::process::{Pid, getpid, kill_process};
use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc,
    task::Poll,
    thread,
};

/// A story's name, what the child does, and what its parent does meanwhile.
type Told = (&'static str, fn(), fn(Story));

const STORIES: &[Told] = &[
    ("each signal reaches the task that reads it", read_in_all_modes, send_in_all_modes),
    ("no thread of the application takes a blocked signal away", read_many, send_many),
    ("a signal that comes while nobody reads waits for the next who does", read_late, Story::ends_well),
    ("a thread that would take the signal is named", read_beside_another_thread, Story::ends_well),
    ("what no task can read is refused", watch_the_unwatchable, Story::ends_well),
];

fn main() {
    let mut args = std::env::args().skip(1);
    if let Some(told) = args.next().filter(|arg| arg == CHILD).and_then(|_| args.next()) {
        let (_, child, _) = STORIES.iter().find(|(name, ..)| *name == told).expect("a story of this name");
        return child();
    }
    for (name, _, parent) in STORIES {
        parent(Story::start(name));
        println!("signals: {name} ... ok");
    }
}

const CHILD: &str = "--child";

/// A story's child.
struct Story {
    child: Child,
    says: BufReader<ChildStderr>,
}

impl Story {
    fn start(name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([CHILD, name])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stderr.take().unwrap());
        Self { child, says }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ends_well(mut self) {
        let said = std::io::read_to_string(&mut self.says).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {said}");
    }
}

fn read_in_all_modes() {
    for mode in Mode::ALL {
        let read = async || {
            let mut signals = Signals::new([Signal::HUP, Signal::USR1]).unwrap();
            eprintln!("ready");
            for _ in 0..2 {
                let came = signals.next().await.unwrap().unwrap();
                eprintln!("{:?} {}", came.signal, came.pid);
            }
        };
        let builder = Builder::new().pin(false).mode(mode).block_signals([Signal::HUP, Signal::USR1]);
        builder.run(read).unwrap();
    }
}

fn send_in_all_modes(mut story: Story) {
    let me = std::process::id();
    for _ in Mode::ALL {
        assert_eq!(story.hear(), "ready");
        for signal in [Signal::USR1, Signal::HUP] {
            story.signal(signal);
            assert_eq!(story.hear(), format!("{signal:?} {me}"));
        }
    }
    story.ends_well();
}

const TIMES: usize = 200;

fn read_many() {
    let builder = Builder::new().pin(false).cores(2).block_signals([Signal::HUP]);
    builder
        .run(async || {
            // By now there are two cores, a thread of the pool, and workers of the kernel's.
            app::unblock(|| ()).await.unwrap();
            let far = cores().last().unwrap();
            let reader = call_on(far, async || {
                let mut signals = Signals::new([Signal::HUP]).unwrap();
                eprintln!("ready");
                for n in 0..TIMES {
                    signals.next().await.unwrap().unwrap();
                    eprintln!("{n}");
                }
            });
            reader.await.unwrap();
        })
        .unwrap();
}

fn send_many(mut story: Story) {
    assert_eq!(story.hear(), "ready");
    for n in 0..TIMES {
        story.signal(Signal::HUP);
        assert_eq!(story.hear(), n.to_string());
    }
    story.ends_well();
}

fn read_late() {
    signal::block([Signal::USR2]).unwrap();
    let builder = Builder::new().pin(false);
    builder
        .run(async || {
            let mut first = Signals::new([Signal::USR2]).unwrap();
            assert!(std::future::poll_fn(|cx| Poll::Ready(first.poll_next_unpin(cx))).await.is_pending());
            drop(first);
            kill_process(getpid(), Signal::USR2).unwrap();
            let came = Signals::new([Signal::USR2]).unwrap().next().await.unwrap().unwrap();
            assert_eq!(came.signal, Signal::USR2);
        })
        .unwrap();
}

fn read_beside_another_thread() {
    let (end, ended) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let early = thread::Builder::new().name("early".into());
    let early = early.spawn(move || {
        begin.send(()).unwrap();
        ended.recv().unwrap_err()
    });
    begun.recv().unwrap();
    let builder = Builder::new().pin(false).block_signals([Signal::USR1, Signal::HUP]);
    let refused = builder.run(async || Signals::new([Signal::USR1, Signal::HUP]).unwrap_err()).unwrap();
    let said = refused.to_string();
    assert!(said.starts_with("thread \"early\" (") && said.contains("does not block SIGHUP"), "{said}");
    assert!(said.contains("app::Builder::block_signals"), "{said}");
    drop(end);
    early.unwrap().join().unwrap();
}

fn watch_the_unwatchable() {
    for signal in [Signal::KILL, Signal::STOP, Signal::SEGV, Signal::BUS, Signal::FPE, Signal::ILL] {
        assert!(matches!(signal::block([signal]), Err(signal::Error::NotWatchable(s)) if s == signal));
        let refused = Builder::new().pin(false).block_signals([signal]).run(async || ()).unwrap_err();
        assert!(matches!(refused, app::Error::BlockSignals(_)), "{refused}");
    }
}
