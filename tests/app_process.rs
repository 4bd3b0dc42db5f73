//! What only a process of its own can show: signals, exit codes, and limits of the system.
//!
//! Each story has a child, which is this very program running the test of the same name once more.
#![expect(unsafe_code, reason = "a child installs a filter of system calls, as a container's sandbox does")]

use reactor::{
    Mode,
    app::{self, Builder, main_entry},
    sys::cpu::{self, CpuSet},
};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::{
    future::pending,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStderr, Command, ExitCode, ExitStatus, Stdio, exit},
};

const CHILD: &str = "REACTOR_TEST_CHILD";

/// Whether this process is the child of a story.
fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

struct Story {
    child: Child,
    says: BufReader<ChildStderr>,
}

impl Story {
    /// The test called `name` in a process of its own.
    fn start(name: &str) -> Self {
        Self::of(Command::new(std::env::current_exe().unwrap()), name)
    }

    fn of(mut command: Command, name: &str) -> Self {
        let command = command.args(["--exact", name, "--nocapture"]).env(CHILD, "1").stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let says = BufReader::new(child.stderr.take().unwrap());
        Self { child, says }
    }

    /// Waits until the child says `line` on its standard error.
    fn until(&mut self, line: &str) {
        let mut said = String::new();
        while self.says.read_line(&mut said).unwrap() > 0 {
            if said.trim_end().ends_with(line) {
                return;
            }
        }
        panic!("the child has ended without saying `{line}`: {said}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How it ended, and what it still said.
    fn end(mut self) -> (ExitStatus, String) {
        let said = std::io::read_to_string(&mut self.says).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

fn one_core() -> Builder {
    Builder::new().pin(false).mode(Mode::Interrupt).name("story")
}

/// Runs a child's `main` and ends the process by its code, of which there are few here.
fn exit_by(code: ExitCode) -> ! {
    let code = [0, 1, 3].into_iter().find(|&known| code == ExitCode::from(known));
    exit(code.map_or(99, i32::from))
}

#[test]
fn the_first_signal_ends_the_application_in_order() {
    if is_child() {
        exit_by(main_entry(one_core(), async || {
            app::on_shutdown(async || eprintln!("hook"));
            eprintln!("ready");
            pending::<()>().await
        }));
    }
    for signal in [Signal::INT, Signal::TERM] {
        let mut story = Story::start("the_first_signal_ends_the_application_in_order");
        story.until("ready");
        story.signal(signal);
        let (status, said) = story.end();
        assert_eq!((status.code(), said.as_str()), (Some(0), "hook\n"));
    }
}

/// SIGINT means that `main` is to end, and what it then returns counts.
#[test]
fn main_may_choose_its_code_after_a_signal() {
    if is_child() {
        exit_by(main_entry(one_core().cores(2), async || {
            eprintln!("ready");
            let _guard = app::shutdown_requested().await;
            ExitCode::from(3)
        }));
    }
    let mut story = Story::start("main_may_choose_its_code_after_a_signal");
    story.until("ready");
    story.signal(Signal::INT);
    assert_eq!(story.end().0.code(), Some(3));
}

#[test]
fn the_second_signal_ends_the_process_at_once() {
    if is_child() {
        exit_by(main_entry(one_core(), async || {
            app::on_shutdown(async || {
                eprintln!("hanging");
                pending().await
            });
            eprintln!("ready");
            pending::<()>().await
        }));
    }
    for (second, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut story = Story::start("the_second_signal_ends_the_process_at_once");
        story.until("ready");
        story.signal(Signal::TERM);
        story.until("hanging");
        story.signal(second);
        assert_eq!(story.end().0.code(), Some(code));
    }
}

/// A task that never lets go of its core keeps the first signal from arriving, but not the second.
#[test]
fn a_blocked_core_does_not_outlive_two_signals() {
    if is_child() {
        exit_by(main_entry(one_core(), async || {
            eprintln!("ready");
            loop {
                std::thread::park();
            }
        }));
    }
    let mut story = Story::start("a_blocked_core_does_not_outlive_two_signals");
    story.until("ready");
    story.signal(Signal::TERM);
    story.signal(Signal::INT);
    let code = story.end().0.code();
    assert!([Some(130), Some(143)].contains(&code), "{code:?}");
}

#[test]
fn without_an_application_signals_do_what_they_did() {
    if is_child() {
        for _ in 0..2 {
            one_core().run(async || ()).unwrap();
        }
        eprintln!("over");
        loop {
            std::thread::park();
        }
    }
    let mut story = Story::start("without_an_application_signals_do_what_they_did");
    story.until("over");
    story.signal(Signal::TERM);
    assert_eq!(story.end().0.signal(), Some(Signal::TERM.as_raw()));
}

/// As under `nohup`: SIGINT does not count, so that SIGTERM is the first.
#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    if is_child() {
        exit_by(main_entry(one_core(), async || {
            eprintln!("ready");
            pending::<()>().await
        }));
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"trap "" INT; exec "$0" "$@""#]).arg(std::env::current_exe().unwrap());
    let mut story = Story::of(shell, "a_signal_that_is_ignored_stays_ignored");
    story.until("ready");
    story.signal(Signal::INT);
    story.signal(Signal::TERM);
    assert_eq!(story.end().0.code(), Some(0));
}

#[test]
fn every_way_to_end_has_its_code_and_its_words() {
    let name = "every_way_to_end_has_its_code_and_its_words";
    let way = std::env::var("WAY").unwrap_or_default();
    let deadline = std::time::Duration::from_millis(10);
    match way.as_str() {
        "value" => exit_by(main_entry(one_core(), async || ())),
        "error" => exit_by(main_entry(one_core(), async || Err::<(), _>("no disk"))),
        "stop" => exit_by(main_entry(one_core(), async || {
            app::stop(3);
            pending::<()>().await
        })),
        "stop and error" => exit_by(main_entry(one_core(), async || {
            app::stop(3);
            Err::<(), _>("no disk")
        })),
        "stop 0 and error" => exit_by(main_entry(one_core(), async || {
            app::stop(0);
            Err::<(), _>("no disk")
        })),
        "no such core" => exit_by(main_entry(Builder::new().name("story").cores("1023"), async || ())),
        "hook" => exit_by(main_entry(one_core(), async || {
            app::on_shutdown(async || panic!("oh"));
        })),
        "deadline" => exit_by(main_entry(one_core().shutdown_deadline(deadline), async || {
            app::on_shutdown(async || pending().await);
        })),
        _ => assert!(!is_child()),
    }
    for (way, code, words) in [
        ("value", 0, ""),
        ("error", 1, "Error: \"no disk\"\n"),
        ("stop", 3, ""),
        ("stop and error", 3, "Error: \"no disk\"\n"),
        ("stop 0 and error", 1, "Error: \"no disk\"\n"),
        ("no such core", 1, "story: core 1023 is not online on this machine"),
        ("hook", 1, "story: the shutdown hook registered at tests/app_process.rs:"),
        (
            "deadline",
            1,
            "story: shutdown was not done within 10ms, still alive:\nstory:   the shutdown hook registered at",
        ),
    ] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("WAY", way);
        let (status, said) = Story::of(command, name).end();
        assert_eq!(status.code(), Some(code), "{way}: {said}");
        assert!(said.contains(words) && (said.is_empty() || !words.is_empty()), "{way}: {said}");
    }
}

/// A main core that never gets to its end is named by another thread, which then ends the program.
#[test]
fn a_stuck_main_core_is_named_and_the_program_ends() {
    if is_child() {
        let builder = one_core().shutdown_deadline(std::time::Duration::from_millis(1));
        exit_by(main_entry(builder, async || {
            app::stop(3);
            loop {
                std::thread::park();
            }
        }));
    }
    let (status, said) = Story::start("a_stuck_main_core_is_named_and_the_program_ends").end();
    assert_eq!(status.code(), Some(3));
    assert!(
        said.starts_with("story: shutdown is stuck: on the main core 0 a task does not return"),
        "{said}"
    );
}

/// Whichever descriptor is one too many: the start says so, and leaves no thread and no descriptor behind.
#[test]
fn running_out_of_descriptors_stops_what_has_started() {
    const CORES: usize = 4;
    if !is_child() {
        let (status, said) = Story::start("running_out_of_descriptors_stops_what_has_started").end();
        assert!(status.success(), "{said}");
        return;
    }
    let count = |what: &str| std::fs::read_dir(what).unwrap().count();
    // Whatever is made once per process is made now.
    Builder::new().cores(CORES).pin(false).run(async || ()).unwrap();
    let (open, threads) = (count("/proc/self/fd"), count("/proc/self/task"));
    let maximum = getrlimit(Resource::Nofile).maximum;
    let mut refusals = Vec::new();
    // `open` counts the directory that was being read.
    for limit in open as u64 - 1.. {
        setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }).unwrap();
        let ended = Builder::new().cores(CORES).pin(false).run(async || ());
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
        assert_eq!((count("/proc/self/fd"), count("/proc/self/task")), (open, threads), "at {limit}");
        match ended {
            Ok(()) => break,
            Err(error) => refusals.push(error.to_string()),
        }
    }
    assert!(refusals.iter().all(|refusal| refusal.contains("ulimit -n")), "{refusals:?}");
    for part in ["the cores cannot be connected: ", "core 0 did not start: ", "core 3 did not start: "] {
        assert!(refusals.iter().any(|refusal| refusal.starts_with(part)), "{part}: {refusals:?}");
    }
    // Where all descriptors are taken, cores that there are can be named and pinned all the same.
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum }).unwrap();
    let named = CpuSet::try_from(&*cpu::allowed().unwrap().to_string()).unwrap();
    named.iter().try_for_each(cpu::pin).unwrap();
    assert!(cpu::pin(cpu::CPU_MAX).unwrap_err().to_string().contains("ulimit -n"));
    exit(0)
}

/// Has the kernel refuse one system call with `errno`, for this thread and those that it starts, as container runtimes do it.
fn refuse(system_call: u32, errno: u32) {
    #[repr(C)]
    struct Instruction(u16, u8, u8, u32);
    #[repr(C)]
    struct Program {
        len: u16,
        instructions: *const Instruction,
    }
    unsafe extern "C" {
        fn prctl(option: i32, ...) -> i32;
    }
    // linux/bpf_common.h, linux/seccomp.h, linux/prctl.h.
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const SECCOMP_RET_ERRNO: u32 = 0x0005_0000;
    const SECCOMP_RET_ALLOW: u32 = 0x7fff_0000;
    const PR_SET_SECCOMP: i32 = 22;
    const SECCOMP_MODE_FILTER: u64 = 2;
    let instructions = [
        // The number is what `struct seccomp_data` begins with.
        Instruction(LOAD, 0, 0, 0),
        Instruction(JUMP_IF_EQUAL, 0, 1, system_call),
        Instruction(RETURN, 0, 0, SECCOMP_RET_ERRNO | errno),
        Instruction(RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ];
    let program = Program { len: instructions.len() as u16, instructions: instructions.as_ptr() };
    rustix::thread::set_no_new_privs(true).unwrap();
    // SAFETY: prctl(2): the program is read during the call, and stands in this frame.
    let refused = unsafe { prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(refused, 0, "{}", std::io::Error::last_os_error());
}

/// An error with what lies behind it.
fn told(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(|error| format!("{error}: ")).collect()
}

/// No io_uring, for whatever reason: opening a file says why and what to do, with no panic, and everything else goes on.
#[test]
fn a_refused_io_uring_is_explained_and_the_rest_goes_on() {
    use reactor::bdev::{self, Access};
    const IO_URING_SETUP: u32 = 425;
    let name = "a_refused_io_uring_is_explained_and_the_rest_goes_on";
    if is_child() {
        refuse(IO_URING_SETUP, std::env::var("ERRNO").unwrap().parse().unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let disk = format!("file:{}", file.path().display());
        exit_by(main_entry(one_core().cores(2), async move || {
            for core in reactor::cores() {
                let disk = disk.clone();
                let refused = reactor::call_on(core, async move || {
                    let opened = bdev::open(&disk, Access::ReadWrite).await;
                    told(&opened.and_then(|disk| disk.channel().map(drop)).unwrap_err())
                });
                eprintln!("core {core}: {}", refused.await.unwrap());
            }
            let ram = bdev::open("ram:1M", Access::ReadWrite).await.unwrap();
            assert_eq!(ram.channel().unwrap().read(0..8).await.unwrap().len(), 4096);
            let file = tempfile::tempfile().unwrap();
            assert_eq!(
                app::unblock(move || file.metadata().map(|about| about.len())).await.unwrap().unwrap(),
                0
            );
            eprintln!("goes on");
        }));
    }
    for (errno, advice) in [
        (rustix::io::Errno::NOSYS, "run Linux 5.6 or later"),
        (rustix::io::Errno::PERM, "kernel.io_uring_disabled=0"),
        (rustix::io::Errno::ACCESS, "seccomp profile"),
        (rustix::io::Errno::NOMEM, "raise the memlock limit"),
        (rustix::io::Errno::MFILE, "`ulimit -n`"),
    ] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("ERRNO", errno.raw_os_error().to_string());
        let (status, said) = Story::of(command, name).end();
        assert_eq!(status.code(), Some(0), "{errno}: {said}");
        assert_eq!(said.lines().filter(|line| line.contains(advice)).count(), 2, "{errno}: {said}");
        assert!(said.ends_with("goes on\n"), "{errno}: {said}");
    }
}

/// A sandbox that lets nobody pin: the start says which core, and what to do; unpinned cores start.
#[test]
fn refused_pinning_is_explained() {
    #[cfg(target_arch = "x86_64")]
    const SCHED_SETAFFINITY: u32 = 203;
    #[cfg(not(target_arch = "x86_64"))]
    const SCHED_SETAFFINITY: u32 = 122;
    let name = "refused_pinning_is_explained";
    if is_child() {
        refuse(SCHED_SETAFFINITY, rustix::io::Errno::PERM.raw_os_error() as u32);
        let pinned = Builder::new().name("story").cores(1).run(async || ());
        eprintln!("{}", pinned.unwrap_err());
        exit_by(main_entry(one_core().cores(2), async || eprintln!("unpinned")));
    }
    let (status, said) = Story::start(name).end();
    assert_eq!(status.code(), Some(0), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].contains(" did not start: the kernel refused to pin to core "), "{said}");
    assert!(lines[0].ends_with("or run without pinning"), "{said}");
    assert_eq!(lines[1], "unpinned", "{said}");
}
