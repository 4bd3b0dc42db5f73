//! scratch
use std::cell::*;
use std::future::*;
use std::rc::Rc;
use std::task::*;
use std::time::Instant;
fn main() -> Result<(), reactor::Error> {
    let what = std::env::args().nth(1).unwrap_or("all".into());
    let n: u32 = std::env::args().nth(2).map_or(2_000_000, |s| s.parse().unwrap());
    let reps = if n < 1_000_000 { 1 } else { 5 };
    let ex = reactor::LocalExecutor::new()?;
    let w = what.clone();
    let is = move |s: &str| w == s || w == "all";
    let h = ex.spawn_local(async move {
        for _ in 0..reps {
            if is("spawn") {
                let t = Instant::now();
                for i in 0..n {
                    assert_eq!(reactor::spawn_local(async move { i }).await.unwrap(), i);
                }
                println!("spawn+join {:.2} ns", t.elapsed().as_nanos() as f64 / n as f64);
            }
            if is("yield") {
                let t = Instant::now();
                for _ in 0..n {
                    reactor::yield_now().await
                }
                println!("yield {:.2} ns", t.elapsed().as_nanos() as f64 / n as f64);
            }
            if is("yield100") {
                let t = Instant::now();
                let hs: Vec<_> = (0..100)
                    .map(|_| {
                        reactor::spawn_local(async move {
                            for _ in 0..n / 100 {
                                reactor::yield_now().await
                            }
                        })
                    })
                    .collect();
                for h in hs {
                    h.await.unwrap();
                }
                println!("yield100 {:.2} ns", t.elapsed().as_nanos() as f64 / n as f64);
            }
            if is("waker") {
                let a: Rc<RefCell<Option<Waker>>> = Rc::default();
                let b = a.clone();
                let other: Rc<RefCell<Option<Waker>>> = Rc::default();
                let o2 = other.clone();
                let done = Rc::new(Cell::new(false));
                let d2 = done.clone();
                let t = Instant::now();
                let h = reactor::spawn_local(async move {
                    poll_fn(|cx| {
                        *o2.borrow_mut() = Some(cx.waker().clone());
                        if d2.get() {
                            return Poll::Ready(());
                        }
                        if let Some(w) = b.borrow_mut().take() {
                            w.wake();
                        }
                        Poll::Pending
                    })
                    .await
                });
                let mut left = n;
                poll_fn(|cx| {
                    if left == 0 {
                        return Poll::Ready(());
                    }
                    left -= 1;
                    *a.borrow_mut() = Some(cx.waker().clone());
                    if let Some(w) = other.borrow_mut().take() {
                        w.wake();
                    }
                    Poll::Pending
                })
                .await;
                done.set(true);
                if let Some(w) = other.borrow_mut().take() {
                    w.wake();
                }
                h.await.unwrap();
                println!("waker ping-pong {:.2} ns per trip", t.elapsed().as_nanos() as f64 / n as f64);
            }
            if is("self") {
                let core = reactor::Core::current();
                let t = Instant::now();
                for _ in 0..n / 4 {
                    reactor::spawn_on(core, async { 1u64 }).await.unwrap();
                }
                println!("spawn_on self {:.2} ns", t.elapsed().as_nanos() as f64 / (n / 4) as f64);
            }
            if is("post") {
                fn hop(core: reactor::Core, left: u32) {
                    if left > 0 {
                        reactor::post(core, move || hop(core, left - 1)).unwrap();
                    }
                }
                let core = reactor::Core::current();
                let t = Instant::now();
                for _ in 0..8 {
                    hop(core, n / 8);
                }
                reactor::yield_now().await;
                let left = Rc::new(Cell::new(0));
                while reactor::spawn_on(core, async { 1u64 }).await.unwrap() == 1 {
                    left.set(left.get() + 1);
                    if left.get() as u32 > n / 8 {
                        break;
                    }
                }
                println!("post self {:.2} ns", t.elapsed().as_nanos() as f64 / (n + n / 8) as f64);
            }
        }
    });
    ex.block_on(h).unwrap();
    if what == "all" || what == "idle" {
        for np in [0, 1, 10, 100] {
            let ps: Vec<_> =
                ex.enter_with(|| (0..np).map(|_| reactor::Poller::register("x", || false)).collect());
            for _ in 0..reps.min(3) {
                let n = n / (np + 1);
                let t = Instant::now();
                for _ in 0..n {
                    ex.turn();
                }
                println!("idle turn {np} pollers {:.2} ns", t.elapsed().as_nanos() as f64 / n as f64);
            }
            drop(ps);
        }
    }
    Ok(())
}
