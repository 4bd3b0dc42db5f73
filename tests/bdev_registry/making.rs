//! While a device is being made, which takes reading what lies below: what others find then, and what is left when it is given up.

use super::gpt::{disk, spec};
use super::{poll, run, wait_turns};
use reactor::bdev::{
    self, Access, Error, Op, create,
    modules::{Faulty, Injection, Null},
    open, register, unregister,
};
use reactor::spawn_local;
use std::future::Future;

/// A disk with a table, as `stalled`, whose reads wait until they are let go.
async fn stalled(file: &tempfile::NamedTempFile) {
    create("stalled", &format!("error({})", spec(file))).await.unwrap();
    let faulty = open("stalled", Access::ReadOnly).await.unwrap();
    faulty.module_as::<Faulty>().unwrap().inject(Injection::stall().on(Op::Read));
}

async fn let_go() {
    let faulty = open("stalled", Access::ReadOnly).await.unwrap();
    faulty.module_as::<Faulty>().unwrap().clear();
    faulty.module_as::<Faulty>().unwrap().release();
}

/// Of all devices but the file below.
fn names() -> Vec<String> {
    bdev::names().into_iter().filter(|name| !name.starts_with("file:")).collect()
}

/// Sent to wherever there is room: what is opened may take reading, and still anybody may wait for it.
#[allow(dead_code, reason = "it only has to compile")]
fn opening_may_be_waited_for_anywhere() -> impl Future + Send {
    async {
        let _disk = open("gpt:1(disk)", Access::ReadOnly).await;
        let _made = create("name", "gpt:1(disk)").await;
        bdev::load("name = gpt:1(disk)").await
    }
}

#[test]
fn of_two_who_open_one_spec_the_second_waits_for_the_first() {
    let file = disk(&["a"]);
    run(async {
        stalled(&file).await;
        let first = spawn_local(open("gpt:1(stalled)", Access::ReadWrite));
        wait_turns(10).await;
        let mut second = Box::pin(open("gpt:1(stalled)", Access::ReadOnly));
        assert!(poll(&mut second).is_pending());
        assert_eq!(names(), ["stalled"]);
        let_go().await;
        let (first, second) = (first.await.unwrap().unwrap(), second.await.unwrap());
        assert_eq!((first.info().open, second.name()), (2, first.name()));
    });
}

/// Who waited makes it instead.
#[test]
fn an_opening_that_is_given_up_is_taken_over() {
    let file = disk(&["a"]);
    run(async {
        stalled(&file).await;
        let mut first = Box::pin(open("gpt:1(stalled)", Access::ReadWrite));
        assert!(poll(&mut first).is_pending());
        let mut second = Box::pin(open("gpt:1(stalled)", Access::ReadWrite));
        assert!(poll(&mut second).is_pending());
        drop(first);
        // What the first had open closes when its task has heard of it.
        wait_turns(10).await;
        let second = spawn_local(second);
        wait_turns(10).await;
        let_go().await;
        assert_eq!(second.await.unwrap().unwrap().info().writers, 1);
    });
}

#[test]
fn a_device_unregistered_while_it_is_made_never_appears() {
    let file = disk(&["a"]);
    run(async {
        stalled(&file).await;
        let making = spawn_local(create("slice", "gpt:1(stalled)"));
        wait_turns(10).await;
        assert_eq!(names(), ["stalled"]);
        assert!(matches!(open("slice", Access::ReadOnly).await, Err(Error::NotFound { .. })));
        assert!(matches!(open("passthru(slice)", Access::ReadOnly).await, Err(Error::NotFound { .. })));
        let taken = register("slice", Null::new(512).unwrap()).unwrap_err().to_string();
        assert!(taken.contains("a device of that name is being made"), "{taken}");
        unregister("slice").unwrap().await;
        // The name is another's by the time the first is made.
        register("slice", Null::new(512).unwrap()).unwrap();
        let_go().await;
        assert!(matches!(making.await.unwrap(), Err(Error::Removed)));
        assert_eq!(bdev::info("slice").unwrap().module, "null");
        open("stalled", Access::ReadWrite).await.unwrap();
    });
}

#[test]
fn a_base_that_goes_while_a_device_is_made_over_it_ends_the_making() {
    let file = disk(&["a"]);
    run(async {
        stalled(&file).await;
        for making in [spawn_local(create("slice", "gpt:1(stalled)"))] {
            wait_turns(10).await;
            // Its module has five seconds to answer, and the reads are held: they are let go.
            let faulty = open("stalled", Access::ReadOnly).await.unwrap();
            let removal = unregister("stalled").unwrap();
            faulty.module_as::<Faulty>().unwrap().release();
            drop(faulty);
            assert!(matches!(making.await.unwrap(), Err(Error::Removed)));
            removal.await;
        }
        assert_eq!(names(), [""; 0]);
    });
}

#[test]
fn a_configuration_that_is_given_up_half_way_leaves_nothing() {
    let file = disk(&["a"]);
    run(async {
        stalled(&file).await;
        let mut loading = Box::pin(bdev::load("first = ram:1M\nslice = gpt:1(stalled)\nlast = ram:1M"));
        assert!(poll(&mut loading).is_pending());
        wait_turns(10).await;
        assert_eq!(names(), ["first", "stalled"]);
        drop(loading);
        assert_eq!(names(), ["stalled"]);
        register("slice", Null::new(512).unwrap()).unwrap();
        // What it had open of the disk is closed with it.
        wait_turns(10).await;
        open("stalled", Access::ReadWrite).await.unwrap();
    });
}
