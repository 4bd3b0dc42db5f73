//! Sampling how many I/Os are in flight.

use super::{Cores, Load, MS, load};
use reactor::bdev::Error;
use std::time::Duration;

/// Depths of several cores are added up, and idle times count for the mean alone.
#[test]
fn samples_see_all_cores() {
    let cores = Cores::new(2);
    let disk = cores.open("delay:100ms(null)");
    assert_eq!(disk.queue_depth(), None);
    cores.on(0, async { disk.sample_queue_depth(Some(MS)).unwrap() });
    cores.pass(10 * MS, MS);
    let idle = disk.queue_depth().unwrap();
    assert_eq!((idle.period, idle.samples, idle.current, idle.max), (MS, 10, 0, 0));
    assert_eq!((idle.mean, idle.busy, idle.weighted), (0.0, Duration::ZERO, Duration::ZERO));

    load(&cores, 0, &disk, Load::Reads, 3);
    load(&cores, 1, &disk, Load::Writes, 2);
    cores.pass(10 * MS, MS);
    let busy = disk.queue_depth().unwrap();
    assert_eq!((busy.samples, busy.current, busy.max, busy.mean), (20, 5, 5, 2.5));
    assert_eq!((busy.busy, busy.weighted), (10 * MS, 50 * MS));
}

/// It begins anew with each period, ends with none, and a core that is late takes no samples of the past.
#[test]
fn sampling_is_switched_and_late_samples_are_few() {
    let cores = Cores::new(1);
    let disk = cores.open("delay:100ms(null)");
    load(&cores, 0, &disk, Load::Reads, 4);
    cores.on(0, async { disk.sample_queue_depth(Some(MS)).unwrap() });
    cores.settle();
    cores.pass(20 * MS, 10 * MS);
    let late = disk.queue_depth().unwrap();
    assert_eq!((late.samples, late.busy, late.weighted), (2, 20 * MS, 80 * MS));

    cores.on(0, async { disk.sample_queue_depth(Some(2 * MS)).unwrap() });
    cores.pass(10 * MS, MS);
    let depth = disk.queue_depth().unwrap();
    assert_eq!((depth.period, depth.samples), (2 * MS, 5), "the former does not go on");
    disk.sample_queue_depth(None).unwrap();
    cores.pass(10 * MS, MS);
    assert_eq!(disk.queue_depth(), None);
}

#[test]
fn a_period_that_makes_no_sense_is_refused() {
    let cores = Cores::new(1);
    let disk = cores.open("null");
    for given in [Duration::ZERO, Duration::from_nanos(9_999)] {
        let refused = cores.on(0, async { disk.sample_queue_depth(Some(given)).unwrap_err() });
        let text = refused.to_string();
        assert!(
            matches!(refused, Error::BadPeriod { .. }) && text.contains("at least 10µs, or None"),
            "{text}"
        );
    }
    // On a thread that turns no core there is nobody to do it.
    let refused = disk.sample_queue_depth(Some(MS)).unwrap_err();
    assert!(matches!(refused, Error::NotOnReactor(_)), "{refused}");
    disk.sample_queue_depth(None).unwrap();
    assert_eq!(disk.queue_depth(), None);
}

/// Sampling keeps neither the device nor the core that it runs on from ending.
#[test]
fn sampling_keeps_nothing_alive() {
    let cores = Cores::new(1);
    cores.on(0, async {
        reactor::bdev::register("sampled", reactor::bdev::modules::Null::new(1 << 30).unwrap()).unwrap();
        let disk = reactor::bdev::open("sampled", reactor::bdev::Access::ReadOnly).await.unwrap();
        disk.sample_queue_depth(Some(MS)).unwrap();
    });
    cores.pass(3 * MS, MS);
    let removal = reactor::bdev::unregister("sampled").unwrap();
    cores.settle();
    assert!(removal.is_over());
    cores.pass(3 * MS, MS);
    assert_eq!(cores.cores[0].stats().live_tasks, 0);
}
