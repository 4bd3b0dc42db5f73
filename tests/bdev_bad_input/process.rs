//! A story in a process of its own, which has to end by itself, with nothing left of it.

use super::support::cores_unpinned;
use reactor::app::Builder;
use reactor::bdev::{self, Access};
use reactor::sys::dma::{DmaPool, DmaStats};
use reactor::{Mode, call_on, on_every_core, yield_now};
use std::process::Command;
use std::time::{Duration, Instant};

const CHILD: &str = "REACTOR_BAD_INPUT";
/// What a child says last.
const CLEAN: &str = "every buffer is back";
/// How long a device may go on with what was given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells `story`, which is the test called `name`, in an application of two cores that is a process of its own. What is registered then
/// goes, other I/O works as ever on both cores, all buffers of all cores are back, and the process ends with success.
#[track_caller]
pub fn ends_clean(name: &str, story: impl AsyncFnOnce() + 'static) {
    ends_clean_on(cores_unpinned(2), name, story);
}

#[track_caller]
pub fn ends_clean_on(builder: Builder, name: &str, story: impl AsyncFnOnce() + 'static) {
    if std::env::var_os(CHILD).is_some() {
        return tell(builder, PATIENCE, story);
    }
    let (is_success, said) = child(name);
    assert!(is_success && said.contains(CLEAN), "{said}");
}

/// Whether this test ended well as a process of its own, and what it said.
pub fn child(name: &str) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (output.status.success(), said)
}

pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

pub fn tell(builder: Builder, patience: Duration, story: impl AsyncFnOnce() + 'static) {
    let run = builder.mode(Mode::Interrupt).run(async || {
        story().await;
        bdev::finish().await.unwrap();
        assert_eq!(bdev::names(), [""; 0], "somebody has a device open");
        for core in reactor::cores() {
            call_on(core, works_as_ever).await.unwrap();
        }
        let end = Instant::now() + patience;
        loop {
            let pools: DmaStats =
                on_every_core(async || DmaPool::local().stats()).await.into_iter().map(Result::unwrap).sum();
            if (pools.in_use, pools.waiting) == (0, 0) {
                // What was counted has been there.
                return assert!(pools.allocated >= 4, "{pools:?}");
            }
            assert!(Instant::now() < end, "buffers are left: {pools:?}");
            yield_now().await;
        }
    });
    run.unwrap();
    assert_eq!(DmaPool::local().stats().in_use, 0);
    println!("{CLEAN}");
}

async fn works_as_ever() {
    let disk = bdev::open("ram:64K", Access::ReadWrite).await.unwrap();
    let channel = disk.channel().unwrap();
    let mut page = channel.alloc(4096).await.unwrap();
    page.fill(7);
    channel.write(0, page).await.unwrap();
    assert!(channel.read(0..8).await.unwrap().iter().all(|byte| *byte == 7));
}
