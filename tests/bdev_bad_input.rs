//! What callers and modules get wrong, one story each: the error says what is wrong and what to do, and the process then ends as if
//! nothing had been, with every buffer back in its pool.
//!
//! `bdev_life`, `bdev_registry` and `bdev_account` have the details of each. That an I/O is completed twice does not compile:
//! `rules/io_completed_twice.rs`.

#[path = "bdev_bad_input/modules.rs"]
mod modules;
#[path = "bdev_bad_input/process.rs"]
mod process;
mod support;

use process::{ends_clean, ends_clean_on};
use reactor::bdev::modules::{Null, Part, Ram};
use reactor::bdev::{
    self, Access, Channel, Claim, Descriptor, Error, Limits, Module, Populate, open, register, unregister,
};
use reactor::sys::dma::{DmaConfig, DmaPool, HugePages};
use reactor::{Core, call_on, spawn_local, yield_now};
use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;
use support::cores_unpinned;

const PAGE: usize = 4096;

/// Checks that it is refused, in these words.
#[track_caller]
fn refused<T: Debug, E: Into<Error>>(result: Result<T, E>, words: &[&str]) {
    let said = result.map_err(Into::into).expect_err("it was not refused").to_string();
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

async fn disk(name: &str) -> Descriptor {
    register(name, Ram::new(1 << 20).unwrap()).unwrap();
    open(name, Access::ReadOnly).await.unwrap()
}

async fn write_page(disk: &Descriptor) {
    let channel = disk.channel().unwrap();
    let page = channel.alloc(PAGE).await.unwrap();
    channel.write(0, page).await.unwrap();
}

#[test]
fn claims_that_overlap() {
    ends_clean("claims_that_overlap", async || {
        let disk = disk("disk").await;
        let mine = disk.claim(Claim::WriteOne, "volumes").unwrap();
        write_page(&mine).await;
        let words = ["\"disk\" is in use by volumes, to write alone: end that first"];
        for claim in [Claim::WriteOne, Claim::WriteNone, Claim::WriteShared(7)] {
            refused(disk.claim(claim, "others"), &words);
        }
        refused(open("disk", Access::ReadWrite).await, &words);
        refused(open("passthru(disk)", Access::ReadWrite).await, &words);
        write_page(&mine).await;
        drop(mine);
        let shared = [7, 7].map(|key| disk.claim(Claim::WriteShared(key), "pair").unwrap());
        refused(disk.claim(Claim::WriteShared(8), "others"), &["in use by pair"]);
        drop(shared);
        write_page(&disk.claim(Claim::WriteOne, "others").unwrap()).await;
    });
}

#[test]
fn two_who_open_one_device_to_write() {
    ends_clean("two_who_open_one_device_to_write", async || {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        register("disk", Ram::new(1 << 20).unwrap()).unwrap();
        for name in ["disk".to_owned(), format!("file:{}", file.path().display()), "ram:1M".to_owned()] {
            let one = open(&name, Access::ReadWrite).await.unwrap();
            write_page(&one).await;
            let words = ["is open for writing elsewhere: drop that descriptor first, or open it read-only"];
            refused(open(&name, Access::ReadWrite).await, &words);
            let elsewhere = name.clone();
            call_on(Core::nth(1).unwrap(), async move || {
                refused(open(&elsewhere, Access::ReadWrite).await, &words);
                open(&elsewhere, Access::ReadOnly)
                    .await
                    .unwrap()
                    .channel()
                    .unwrap()
                    .read(0..8)
                    .await
                    .unwrap();
            })
            .await
            .unwrap();
            write_page(&one).await;
            drop(one);
            write_page(&open(&name, Access::ReadWrite).await.unwrap()).await;
        }
    });
}

/// One byte too few or too many, and buffers that begin anywhere, which are no mistake.
#[test]
fn lengths_that_are_no_blocks() {
    ends_clean("lengths_that_are_no_blocks", async || {
        let disk = open("ram:1M,block=4K", Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        let buf = |len: usize| channel.try_alloc(len).unwrap();
        let blocks = ["it must be whole blocks of 4096 bytes, at least one"];
        for len in [0, 1, 512, PAGE - 1, PAGE + 1] {
            refused(channel.write(0, buf(len)).await, &blocks);
            refused(channel.write_from(0, &vec![0; len]).await, &blocks);
            refused(channel.write_vectored(0, vec![buf(len).freeze()]).await, &blocks);
            refused(channel.compare(0, buf(len)).await, &blocks);
            refused(channel.compare_and_write(0, buf(PAGE), buf(len)).await, &blocks);
            let exactly = ["the range takes 4096 bytes"];
            refused(channel.compare_and_write(0, buf(len), buf(PAGE)).await, &exactly);
            refused(channel.read_into(0..1, buf(len)).await, &exactly);
            refused(channel.read_to(0..1, &mut vec![0; len]).await, &exactly);
        }
        for at in [1, 7, 511] {
            let mut whole = buf(PAGE + at);
            drop(whole.split_to(at));
            whole.fill(at as u8);
            channel.write(3, whole).await.unwrap();
            let mut whole = buf(PAGE + at);
            drop(whole.split_to(at));
            let read = channel.read_into(3..4, whole).await.unwrap();
            assert!(read.iter().all(|byte| *byte == at as u8));
        }
    });
}

/// Whatever takes blocks, asked for those that no device has.
#[test]
fn ranges_at_the_end_of_all_numbers() {
    ends_clean("ranges_at_the_end_of_all_numbers", async || {
        for name in ["ram:1M", "passthru(null:1M)", "stripe(ram:1M,ram:1M)", "zoned:zone=64K(ram:1M)"] {
            let disk = open(name, Access::ReadWrite).await.unwrap();
            let channel = disk.channel().unwrap();
            let words = ["the device has blocks 0.."];
            for range in [u64::MAX - 1..u64::MAX, 0..u64::MAX, u64::MAX - 8..u64::MAX] {
                refused(channel.read(range.clone()).await, &words);
                refused(channel.read_into(range.clone(), channel.try_alloc(512).unwrap()).await, &words);
                refused(channel.read_to(range.clone(), &mut [0; 512]).await, &words);
                refused(channel.write_zeroes(range.clone()).await, &words);
                refused(channel.unmap(range.clone()).await, &words);
                refused(channel.copy(range.clone(), 0).await, &words);
                refused(channel.lend(range.clone(), Populate::Nothing).await, &words);
                refused(disk.quiesce_range(range.clone()).await, &words);
            }
            for lba in [u64::MAX, u64::MAX - 1, u64::MAX - 7] {
                let page = || channel.try_alloc(PAGE).unwrap();
                let words = ["blocks "];
                refused(channel.write(lba, page()).await, &words);
                refused(channel.write_from(lba, &[0; PAGE]).await, &words);
                refused(channel.write_vectored(lba, vec![page().freeze()]).await, &words);
                refused(channel.compare(lba, page()).await, &words);
                refused(channel.compare_and_write(lba, page(), page()).await, &words);
                refused(channel.copy(0..8, lba).await, &words);
                refused(channel.read(lba..u64::MAX).await, &words);
                refused(channel.zone_append(lba, page()).await, &[]);
                refused(channel.zone_manage(lba, bdev::ZoneAction::Reset).await, &[]);
                refused(channel.seek_data(lba).await, &[]);
            }
            refused(Part::new(disk.clone(), 0..u64::MAX), &words);
            channel.read(0..1).await.unwrap();
        }
    });
}

#[test]
fn names_that_clash() {
    ends_clean("names_that_clash", async || {
        let disk = disk("disk").await;
        bdev::add_alias("disk", "other").unwrap();
        let taken = ["\"disk\" cannot be registered: the name is taken: unregister that device"];
        refused(register("disk", Ram::new(1 << 20).unwrap()), &taken);
        refused(bdev::create("disk", "passthru(ram:1M)").await, &taken);
        let known = ["\"other\" cannot be registered", "\"disk\" is known by that"];
        refused(register("other", Ram::new(1 << 20).unwrap()), &known);
        let ram = open("ram:1M", Access::ReadOnly).await.unwrap();
        refused(register(ram.name(), Null::new(1 << 20).unwrap()), &["is open: close it first"]);
        drop(ram);
        write_page(&open("other", Access::ReadWrite).await.unwrap()).await;
        // It is free at once, though somebody still has what it stood for.
        drop(unregister("disk").unwrap());
        register("disk", Ram::new(1 << 20).unwrap()).unwrap();
        write_page(&open("disk", Access::ReadWrite).await.unwrap()).await;
        refused(disk.channel(), &["the block device was removed"]);
    });
}

/// Fails or panics in one of its steps, with a buffer in its hands.
struct Examiner(&'static str);

impl Module for Examiner {
    fn name(&self) -> &'static str {
        self.0
    }
    fn examine_config(&self, _disk: &Descriptor) -> bdev::Result<()> {
        if self.0 == "early" { Err(Error::NoSpace) } else { Ok(()) }
    }
    async fn examine_disk(&self, disk: Descriptor) -> bdev::Result<()> {
        let _head = disk.channel()?.read(0..8).await?;
        match self.0 {
            "late" => Err(Error::Media),
            "panics" => panic!("a table that nobody understands"),
            _ => Ok(()),
        }
    }
}

#[test]
fn modules_that_fail_to_examine() {
    ends_clean("modules_that_fail_to_examine", async || {
        for name in ["early", "late", "panics", "good"] {
            bdev::add_module(Examiner(name)).await.unwrap();
        }
        let disk = disk("disk").await;
        bdev::examined().await;
        let info = bdev::info("disk").unwrap();
        let said = |name: &str| {
            let of = info.examined.iter().find(|said| said.module == name).expect("it was asked");
            of.failure.clone().unwrap_or_default()
        };
        for (name, says) in [
            ("early", "no space left"),
            ("late", "the medium failed"),
            ("panics", "it panicked: a table that nobody understands"),
        ] {
            assert!(said(name).contains(says), "{name}: {}", said(name));
        }
        assert_eq!(said("good"), "");
        refused(bdev::examine("disk").await, &["cannot examine \"disk\": "]);
        drop(disk);
        write_page(&open("disk", Access::ReadWrite).await.unwrap()).await;
    });
}

#[test]
fn a_base_that_goes_from_below_a_stack() {
    ends_clean("a_base_that_goes_from_below_a_stack", async || {
        for over in
            ["passthru(base)", "stripe(ram:1M,base)", "verify(delay:1ms(base))", "concat(base,ram:1M)"]
        {
            register("base", Ram::new(1 << 20).unwrap()).unwrap();
            let top = open(over, Access::ReadOnly).await.unwrap();
            let mut events = top.events();
            let channel = top.channel().unwrap();
            channel.read(0..8).await.unwrap();
            let load: Vec<_> = (0..32)
                .map(|_| {
                    let channel = channel.clone();
                    spawn_local(async move {
                        loop {
                            channel.read(0..8).await?;
                            yield_now().await;
                        }
                    })
                })
                .collect();
            yield_now().await;
            drop(unregister("base").unwrap());
            for task in load {
                let ended: bdev::Result<()> = task.await.unwrap();
                refused(ended, &["the block device was removed"]);
            }
            assert_eq!(events.next().await, Some(bdev::Event::Removed), "{over}");
            refused(top.channel(), &["the block device was removed"]);
            refused(open("base", Access::ReadOnly).await, &["no block device is named \"base\""]);
        }
    });
}

/// More reads than there are buffers wait in their order; only who asks for what can never be is refused.
#[test]
fn a_pool_without_a_buffer_left() {
    let pages = DmaConfig::new().own(0).reserve(64 << 10).huge_pages(HugePages::Never);
    ends_clean_on(cores_unpinned(2).buffers(pages), "a_pool_without_a_buffer_left", async || {
        let disk = open("ram:1M", Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        let mut held: Vec<_> = (0..16).map(|_| channel.try_alloc(PAGE).unwrap()).collect();
        refused(channel.try_alloc(PAGE), &["buffer"]);
        refused(channel.read(0..2048).await.map(drop), &["1048576 bytes"]);
        let ended = Rc::new(RefCell::new(Vec::new()));
        let read = |number: u64, channel: Channel| {
            let ended = ended.clone();
            spawn_local(async move {
                let buf = channel.read(number * 8..number * 8 + 8).await?;
                ended.borrow_mut().push(number);
                yield_now().await;
                drop(buf);
                Ok::<_, Error>(())
            })
        };
        let reads: Vec<_> = (0..64).map(|number| read(number, channel.clone())).collect();
        while DmaPool::local().stats().waiting < 64 {
            yield_now().await;
        }
        assert!(ended.borrow().is_empty());
        drop(held.pop());
        for read in reads {
            read.await.unwrap().unwrap();
        }
        assert!(ended.borrow().iter().copied().eq(0..64), "{:?}", ended.borrow());
        // Who does not want to wait any longer leaves no gap.
        let one = channel.try_alloc(PAGE).unwrap();
        let given_up = read(0, channel.clone());
        let last = read(1, channel.clone());
        while DmaPool::local().stats().waiting < 2 {
            yield_now().await;
        }
        given_up.abort();
        drop(one);
        last.await.unwrap().unwrap();
    });
}

#[test]
fn limits_of_zero() {
    ends_clean("limits_of_zero", async || {
        let disk = open("ram:1M", Access::ReadWrite).await.unwrap();
        let (zero, none) = (Some(0), Limits::NONE);
        for limits in [
            Limits { iops: zero, ..none },
            Limits { read_iops: zero, ..none },
            Limits { write_iops: zero, ..none },
            Limits { bytes: zero, ..none },
            Limits { read_bytes: zero, ..none },
            Limits { write_bytes: zero, iops: Some(10), ..none },
        ] {
            refused(disk.set_limits(limits), &["of 0 cannot be a limit: give at least", "None for no limit"]);
            assert_eq!(disk.limits(), none, "what is refused changes nothing");
        }
        refused(disk.set_limits(Limits { bytes: Some(511), ..none }), &["bytes of 511", "at least 512"]);
        write_page(&disk).await;
    });
}
