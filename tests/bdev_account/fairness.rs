//! Whatever comes when, on however many cores: never more than the limit, and never much less while there is demand.

use super::{Cores, PAGE, page_blocks};
use proptest::prelude::*;
use reactor::bdev::Limits;
use reactor::time::{Instant, sleep};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const US: Duration = Duration::from_micros(1);
/// The limit, in pages of a second.
const RATE: u64 = 10_000;

#[derive(Debug, Clone)]
struct Task {
    core: usize,
    /// Microseconds before each I/O, and pages that it has.
    ios: Vec<(u64, u64)>,
}

fn task() -> impl Strategy<Value = Task> {
    let io = (prop_oneof![2 => Just(0), 1 => 0..5_000_u64], 1..5_u64);
    (0..3_usize, prop::collection::vec(io, 1..40)).prop_map(|(core, ios)| Task { core, ios })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// In no window of time is there more than its length at the limit, what may be saved up, and what each core may have in its
    /// turn and was late with.
    #[test]
    fn no_window_has_more_than_its_share(tasks in prop::collection::vec(task(), 1..16), step_us in 1..400_u64) {
        let cores = Cores::new(3);
        let disk = cores.open("null");
        disk.set_limits(Limits { bytes: Some(RATE * PAGE), ..Limits::NONE }).unwrap();
        let done: Rc<RefCell<Vec<(Instant, u64)>>> = Rc::default();
        let count: usize = tasks.iter().map(|task| task.ios.len()).sum();
        for Task { core, ios } in tasks {
            let (disk, done) = (disk.clone(), done.clone());
            cores.start(core, async move {
                let channel = disk.channel().unwrap();
                for (gap, pages) in ios {
                    sleep(US * gap as u32).await;
                    channel.read(0..pages * page_blocks(&channel)).await.unwrap();
                    done.borrow_mut().push((Instant::now(), pages));
                }
            });
        }
        let step = US * step_us as u32;
        while done.borrow().len() < count {
            cores.pass(step, step);
        }
        let done = done.borrow();
        // Saved up; late by a step; three cores with a turn of an I/O of four pages each, the last of them under way.
        let slack = 10 + (RATE * step_us).div_ceil(1_000_000) + 3 * 4 + 4;
        for (at, (from, _)) in done.iter().enumerate() {
            let mut pages = 0;
            for (to, more) in &done[at..] {
                pages += more;
                let most = (*to - *from).as_micros() as u64 * RATE / 1_000_000 + slack;
                prop_assert!(pages <= most, "{pages} pages in {:?}, not {most}", *to - *from);
            }
        }
    }

    /// With more to do than the limit allows, it is used to 95 % at least, whatever the lengths and the steps of time are.
    #[test]
    fn demand_is_met_to_95_percent(
        lens in prop::collection::vec(1..33_u64, 1..20),
        depth in 1..40_usize,
        busy_cores in 1..4_usize,
        step_us in 1..1_000_u64,
    ) {
        let cores = Cores::new(busy_cores);
        let disk = cores.open("null");
        disk.set_limits(Limits { bytes: Some(RATE * PAGE), ..Limits::NONE }).unwrap();
        for number in 0..depth.max(busy_cores) {
            let (disk, lens) = (disk.clone(), lens.clone());
            cores.start(number % busy_cores, async move {
                let channel = disk.channel().unwrap();
                for len in lens.iter().cycle() {
                    channel.read(0..len * page_blocks(&channel)).await.unwrap();
                }
            });
        }
        let time = Duration::from_millis(500);
        cores.pass(time, US * step_us as u32);
        let pages = disk.stats().read_bytes / PAGE;
        let exact = cores.clock.now_us() * RATE / 1_000_000;
        prop_assert!(pages * 100 >= exact * 95, "{pages} of {exact} pages");
        prop_assert!(pages <= exact + 10 + 33 * (busy_cores as u64 + 1), "{pages} of {exact} pages");
    }
}
