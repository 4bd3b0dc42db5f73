//! scratch
use std::time::Instant;
use std::rc::Rc; use std::cell::*; use std::task::*; use std::future::*;
fn main() -> Result<(), reactor::Error> {
    let ex = reactor::LocalExecutor::new()?;
    let n = 2_000_000u32;
    let h = ex.spawn_local(async move {
    for _ in 0..3 {
        let t = Instant::now();
        for i in 0..n { assert_eq!(reactor::spawn_local(async move { i }).await.unwrap(), i); }
        println!("spawn+join {:.2} ns", t.elapsed().as_nanos() as f64 / n as f64);
        let t = Instant::now();
        for _ in 0..n { reactor::yield_now().await }
        println!("yield {:.2} ns", t.elapsed().as_nanos() as f64 / n as f64);
        // waker ping pong
        let a: Rc<RefCell<Option<Waker>>> = Rc::default(); let b = a.clone();
        let other: Rc<RefCell<Option<Waker>>> = Rc::default(); let o2 = other.clone();
        let done = Rc::new(Cell::new(false)); let d2 = done.clone();
        let t = Instant::now();
        let h = reactor::spawn_local(async move {
            poll_fn(|cx| { *o2.borrow_mut() = Some(cx.waker().clone()); if d2.get() { return Poll::Ready(()) } if let Some(w) = b.borrow_mut().take() { w.wake(); } Poll::Pending }).await
        });
        let mut left = n;
        poll_fn(|cx| { if left == 0 { return Poll::Ready(()) } left -= 1; *a.borrow_mut() = Some(cx.waker().clone()); if let Some(w) = other.borrow_mut().take() { w.wake(); } Poll::Pending }).await;
        done.set(true); if let Some(w) = other.borrow_mut().take() { w.wake(); }
        h.await.unwrap();
        println!("waker ping-pong {:.2} ns per trip", t.elapsed().as_nanos() as f64 / n as f64);
        let core = reactor::Core::current();
        let t = Instant::now();
        for _ in 0..n/4 { reactor::spawn_on(core, async { 1u64 }).await.unwrap(); }
        println!("spawn_on self {:.2} ns", t.elapsed().as_nanos() as f64 / (n/4) as f64);
    }
    });
    ex.block_on(h).unwrap();
    for _ in 0..3 {
    let t = Instant::now();
    for _ in 0..n { ex.turn(); }
    println!("idle turn via turn() {:.2} ns", t.elapsed().as_nanos() as f64 / n as f64);
    }
    for np in [1, 10, 100, 1000] { 
        let ps: Vec<_> = ex.enter_with(|| (0..np).map(|_| reactor::Poller::register("x", || false)).collect());
        let n = n / np;
        let t = Instant::now();
        for _ in 0..n { ex.turn(); }
        println!("idle turn {np} pollers {:.2} ns", t.elapsed().as_nanos() as f64 / n as f64);
        drop(ps);
    }
    Ok(())
}
