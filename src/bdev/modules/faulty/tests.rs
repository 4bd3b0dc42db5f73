//! What goes wrong goes wrong as told, and nothing else does.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use super::super::spec::assert_points_at;
use super::*;
use crate::LocalExecutor;
use crate::bdev::{Error, conformance, open};
use crate::sys::dma::DmaPool;

#[test]
fn conforms() {
    conformance::check_spec("error(ram:16M)");
}

fn with(spec: &str, test: impl AsyncFnOnce(&Faulty, Channel)) {
    LocalExecutor::new().unwrap().block_on(async {
        let in_use = DmaPool::local().stats().in_use;
        let disk = open(spec, Access::ReadWrite).await.unwrap();
        test(disk.module_as().unwrap(), disk.channel().unwrap()).await;
        assert_eq!(DmaPool::local().stats().in_use, in_use, "a buffer leaked");
    });
}

#[test]
fn failures_come_for_their_operation_and_as_often_as_told() {
    with("error:read=io_error,flush=media,count=2(ram:1M)", async |faulty, channel| {
        for _ in 0..2 {
            assert!(matches!(channel.read(0..1).await, Err(Error::Io(_))));
            assert!(matches!(channel.flush().await, Err(Error::Media)));
            channel.write(0, channel.try_alloc(512).unwrap()).await.unwrap();
        }
        channel.read(0..1).await.unwrap();
        channel.flush().await.unwrap();
        assert_eq!(faulty.hits(), 4);
    });
}

#[test]
fn places_and_intervals_are_kept() {
    with("error:all=no_space,blocks=8..16,skip=1,every=3,count=2(ram:1M)", async |faulty, channel| {
        let mut failed = Vec::new();
        for number in 0..10 {
            channel.read(0..8).await.unwrap();
            channel.read(16..24).await.unwrap();
            if let Err(e) = channel.read(15..17).await {
                assert!(matches!(e, Error::NoSpace));
                failed.push(number);
            }
        }
        assert_eq!((failed, faulty.hits()), (vec![1, 4], 2));
        faulty.clear();
        assert_eq!(faulty.hits(), 0);
    });
}

#[test]
fn what_is_corrupted_differs_by_its_first_byte_and_only_there() {
    with("error(ram:1M)", async |faulty, channel| {
        let mut data = channel.try_alloc(1024).unwrap();
        data.fill(7);
        let data = data.freeze();
        let differs = async || {
            let read = channel.read(0..2).await.unwrap();
            assert!(read[1..].iter().all(|b| *b == 7));
            read[0] == !7
        };
        faulty.inject(Injection::corrupt().on(Op::Write).times(1));
        channel.write(0, data.clone()).await.unwrap();
        assert!(data.iter().all(|b| *b == 7), "the caller's data was changed");
        assert!(differs().await);
        channel.write(0, data.clone()).await.unwrap();
        assert!(!differs().await);
        faulty.inject(Injection::corrupt().times(1));
        channel.flush().await.unwrap();
        assert!(differs().await, "a flush counted");
        assert!(!differs().await);
    });
}

/// The device below has what was there before, or has it elsewhere; at its end there is room before only.
#[test]
fn writes_are_lost_or_go_astray_and_are_answered_as_if_nothing_had_been() {
    with("error(ram:8K)", async |faulty, channel| {
        let write = async |lba, byte| {
            let mut data = channel.try_alloc(1024).unwrap();
            data.fill(byte);
            channel.write(lba, data).await.unwrap();
        };
        let content = async || {
            let read = channel.read(0..16).await.unwrap();
            read.chunks(512).map(|block| block[0]).collect::<Vec<_>>()
        };
        faulty.inject(Injection::lose().times(1));
        channel.flush().await.unwrap();
        channel.read(0..1).await.unwrap();
        write(2, 1).await;
        assert_eq!(content().await, [0; 16]);
        faulty.inject(Injection::misdirect().times(2));
        write(2, 2).await;
        write(14, 3).await;
        write(6, 4).await;
        assert_eq!(content().await, [0, 0, 0, 0, 2, 2, 4, 4, 0, 0, 0, 0, 3, 3, 0, 0]);
    });
}

#[test]
fn stalled_io_waits_until_it_is_released_or_given_up() {
    with("error:read=stall(ram:1M)", async |faulty, channel| {
        let mut cx = Context::from_waker(Waker::noop());
        let mut held = pin!(channel.read(0..1));
        assert!(held.as_mut().poll(&mut cx).is_pending());
        {
            let mut given_up = pin!(channel.read(0..1));
            assert!(given_up.as_mut().poll(&mut cx).is_pending());
            assert_eq!(faulty.stalled(), 2);
        }
        assert_eq!(faulty.stalled(), 1);
        faulty.clear();
        channel.read(0..1).await.unwrap();
        assert!(held.as_mut().poll(&mut cx).is_pending());
        faulty.release();
        held.await.unwrap();
        assert_eq!(faulty.stalled(), 0);
    });
}

#[test]
fn counts_hold_on_all_cores_together() {
    LocalExecutor::new().unwrap().block_on(async {
        let disk = open("error:read=media,count=100(ram:2M)", Access::ReadWrite).await.unwrap();
        let failures = || {
            let disk = disk.clone();
            std::thread::spawn(move || {
                LocalExecutor::new().unwrap().block_on(async move {
                    let channel = disk.channel().unwrap();
                    let mut failures = 0;
                    for _ in 0..200 {
                        failures += u32::from(channel.read(0..1).await.is_err());
                    }
                    failures
                })
            })
        };
        let threads = [failures(), failures()];
        assert_eq!(threads.map(|thread| thread.join().unwrap()).iter().sum::<u32>(), 100);
    });
}

#[test]
fn what_cannot_go_wrong_is_pointed_at() {
    assert_points_at(&[
        ("error:read=fire(null)", "fire"),
        ("error:reed=media(null)", "reed=media"),
        ("error:read=media,every=0(null)", "0"),
        ("error:read=media,count=x(null)", "x"),
        ("error:read=media,blocks=3..3(null)", "3..3"),
        ("error:count=3(null)", "error"),
    ]);
}
