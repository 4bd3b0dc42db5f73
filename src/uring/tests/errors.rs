//! What keeps a ring from being made, and what the error says.

use super::super::{Config, Error, Probe, Ring, Setup};
use super::{SETUPS, block_on, ring};
use io_uring::{Builder, opcode};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

fn refused(errno: Errno) -> Error {
    Config::default().climb(|_: &Builder, _| Err::<(), _>(errno.into())).unwrap_err()
}

#[test]
fn each_refusal_says_what_to_do() {
    for (errno, matches, advice) in [
        (Errno::NOSYS, (|e| matches!(e, Error::Unsupported(_))) as fn(&Error) -> bool, "Linux 5.6 or later"),
        (Errno::INVAL, |e| matches!(e, Error::Unsupported(_)), "Linux 5.6 or later"),
        (Errno::PERM, |e| matches!(e, Error::Forbidden(_)), "kernel.io_uring_disabled=0"),
        (Errno::ACCESS, |e| matches!(e, Error::Forbidden(_)), "seccomp"),
        (Errno::NOMEM, |e| matches!(e, Error::Memory(_)), "ulimit -l"),
        (Errno::MFILE, |e| matches!(e, Error::Descriptors(_)), "ulimit -n"),
        (Errno::NFILE, |e| matches!(e, Error::Descriptors(_)), "fs.file-max"),
        (Errno::FAULT, |e| matches!(e, Error::Setup(_)), "could not be set up"),
    ] {
        let error = refused(errno);
        assert!(matches(&error), "{errno:?}: {error:?}");
        assert!(error.to_string().contains(advice), "{error}");
        let source = std::error::Error::source(&error).unwrap();
        let os = source.downcast_ref::<io::Error>().unwrap().raw_os_error();
        assert_eq!(os, Some(errno.raw_os_error()), "the OS code is kept");
    }
}

/// Kernels that lack a flag answer `EINVAL`: each rung is forced in turn.
#[test]
fn setup_falls_back_rung_by_rung() {
    for newest in SETUPS {
        let mut asked = Vec::new();
        let result = Config::default().climb(|_: &Builder, setup| {
            asked.push(setup);
            if setup >= newest { Ok(()) } else { Err(Errno::INVAL.into()) }
        });
        assert_eq!(result.unwrap().1, newest, "asked for {asked:?}");
    }
    // A kernel that has DEFER_TASKRUN but not NO_SQARRAY is asked twice and keeps the former.
    let mut times = 0;
    let result = Config::default().climb(|_: &Builder, _| {
        times += 1;
        if times == 1 { Err(Errno::INVAL.into()) } else { Ok(()) }
    });
    assert_eq!((result.unwrap().1, times), (Setup::Deferred, 2));
}

#[test]
fn every_rung_carries_operations() {
    for setup in SETUPS {
        let ring = ring(setup, 8, 8);
        assert_eq!(ring.setup(), setup);
        block_on(&ring, ring.nop()).unwrap();
    }
}

#[test]
fn the_probe_knows_the_kernel() {
    let probe = Probe::get().unwrap();
    assert!(probe.supports(opcode::Nop::CODE) && probe.supports(opcode::Read::CODE));
    assert!(!probe.supports(u8::MAX));
    assert_eq!(probe.setup(), Ring::new(&Config::default()).unwrap().setup());
}

/// Runs in a process of its own, as the limit is the whole process's.
#[test]
fn out_of_descriptors_is_an_error_that_helps() {
    const CHILD: &str = "REACTOR_TEST_OUT_OF_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit }).unwrap();
        let error = Ring::new(&Config::default()).unwrap_err();
        assert!(matches!(error, Error::Descriptors(_)), "{error:?}");
        println!("saw: {error}");
        return;
    }
    let name = "uring::tests::errors::out_of_descriptors_is_an_error_that_helps";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success() && output.contains("saw: no file descriptor left"), "{child:?}");
}

#[test]
fn sizes_beyond_the_kernels_are_clamped() {
    let ring = ring(Setup::Deferred, u32::MAX / 4, u32::MAX / 4);
    block_on(&ring, ring.nop()).unwrap();
}
