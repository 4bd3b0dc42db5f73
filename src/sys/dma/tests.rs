//! What a pool promises, on one thread and across threads.

use super::shared::CLASSES;
use super::supply::{GROW_MIN, class_of};
use super::{ALIGN, AllocError, DmaPool, DmaStats, PageBytes};

#[test]
fn every_length_gets_the_smallest_class_that_holds_it() {
    for (len, class) in [(0, 0), (1, 0), (4096, 0), (4097, 1), (8192, 1), (8193, 2), (16384, 2), (16385, 3)] {
        assert_eq!(class_of(len), class, "{len}");
    }
    assert_eq!(class_of(4 << 20), CLASSES - 1);
    assert_eq!(class_of((4 << 20) + 1), CLASSES);
}

#[test]
fn a_dropped_buffer_is_the_next_one_handed_out() {
    let pool = DmaPool::new();
    let first = pool.try_alloc(4096).unwrap().as_ptr();
    for _ in 0..100 {
        assert_eq!(pool.try_alloc(4096).unwrap().as_ptr(), first);
    }
    assert_eq!(pool.stats().mapped_bytes, GROW_MIN);
}

#[test]
fn fresh_buffers_of_every_size_are_aligned_zeroed_and_apart() {
    let pool = DmaPool::new();
    let mut held = Vec::new();
    for len in [0, 1, 512, 4096, 4097, 100_000, 1 << 20, 4 << 20, (4 << 20) + 1, 20 << 20] {
        let mut buf = pool.try_alloc(len).unwrap();
        assert_eq!(buf.len(), len);
        assert_eq!(buf.as_ptr().addr() % ALIGN, 0);
        assert!(buf.iter().all(|b| *b == 0));
        buf.fill(held.len() as u8 + 1);
        held.push(buf);
    }
    for (i, buf) in held.iter().enumerate() {
        assert!(buf.iter().all(|b| *b == i as u8 + 1));
    }
    assert_eq!(pool.stats().in_use, held.len());
    drop(held);
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn a_pool_at_its_limit_says_dry_until_a_buffer_is_dropped() {
    let pool = DmaPool::with_limit(10 * 4096);
    let mut held: Vec<_> = (0..10).map(|_| pool.try_alloc(4096).unwrap()).collect();
    let e = pool.try_alloc(1).unwrap_err();
    assert!(e.is_dry());
    assert!(e.to_string().contains("set_limit"), "{e}");
    held.pop();
    assert!(pool.try_alloc(1).is_ok());
    assert!(pool.try_alloc(8192).unwrap_err().is_dry());
    assert_eq!(pool.stats().refused, 2);
}

#[test]
fn at_the_limit_a_larger_idle_buffer_serves() {
    let pool = DmaPool::with_limit(64 << 10);
    drop(pool.try_alloc(64 << 10).unwrap());
    assert!(pool.try_alloc(100).is_ok());
}

#[test]
fn large_buffers_count_against_the_limit_only_while_they_live() {
    let pool = DmaPool::with_limit(8 << 20);
    for _ in 0..10 {
        let held = pool.try_alloc(5 << 20).unwrap();
        assert!(pool.try_alloc(5 << 20).unwrap_err().is_dry());
        drop(held);
    }
    assert!(matches!(pool.try_alloc(usize::MAX), Err(AllocError::TooLong { .. })));
    assert!(matches!(pool.try_alloc(1 << 31), Err(AllocError::TooLong { .. })));
}

#[test]
fn buffers_dropped_on_another_thread_come_home() {
    let pool = DmaPool::with_limit(16 * 4096);
    for _ in 0..10 {
        let bufs: Vec<_> = (0..16).map(|_| pool.try_alloc(4096).unwrap()).collect();
        std::thread::spawn(move || drop(bufs)).join().unwrap();
    }
    let bytes = 16 * 4096;
    assert_eq!(
        pool.stats(),
        DmaStats {
            mapped_bytes: bytes,
            pages: PageBytes { plain: bytes, ..PageBytes::default() },
            peak_bytes: bytes,
            limit_bytes: bytes,
            allocated: 160,
            returned_remotely: 160,
            ..DmaStats::default()
        }
    );
}

#[test]
fn buffers_outlive_their_pool_and_their_thread() {
    let (mut small, large) = std::thread::spawn(|| {
        let pool = DmaPool::new();
        let early = pool.try_alloc(4096).unwrap();
        let bufs = (pool.try_alloc(4096).unwrap(), pool.try_alloc(5 << 20).unwrap());
        drop(pool);
        drop(early);
        bufs
    })
    .join()
    .unwrap();
    small.fill(7);
    assert_eq!(large[large.len() - 1], 0);
    drop(large);
    assert!(small.iter().all(|b| *b == 7));
}
