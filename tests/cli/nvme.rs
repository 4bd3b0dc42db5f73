//! `reactor nvme`, on a controller of software where there must be one.

use crate::command::{number, reactor, two_cores};

/// The keys that are promised.
#[test]
fn what_a_controller_says_is_read_by_scripts() {
    let it = reactor("nvme identify soft --json").json();
    assert_eq!((&it["target"], &it["controller"]["mn"]), (&"soft".into(), &"software controller".into()));
    assert_eq!(it["controller"]["cntrltype"], 1);
    let namespace = &it["namespaces"][0];
    assert_eq!((number(namespace, "/nsid"), number(namespace, "/nsze")), (1.0, 2048.0));
    assert_eq!(number(namespace, "/nsze_bytes"), f64::from(1 << 20));
    assert_eq!(namespace["lbafs"][0]["is_in_use"], true);
    assert_eq!(reactor("nvme identify soft --ns 1 --json").json(), it);
    let shown = reactor("nvme identify soft").exits(0).stdout();
    assert!(shown.contains("Model Number") && shown.contains("2,048 (1 MiB)"), "{shown}");
}

#[test]
fn health_is_read_by_scripts() {
    let it = reactor("nvme smart soft --errors --json").json();
    for key in [
        "temperature_celsius",
        "available_spare",
        "percentage_used",
        "data_units_read_bytes",
        "power_on_hours",
    ] {
        assert!(it["smart"][key].is_number(), "{key} in {it}");
    }
    assert!(it["errors"].is_array() && it["firmware"]["afi_running"].is_number(), "{it}");
    let shown = reactor("nvme smart soft").exits(0).stdout();
    assert!(shown.contains("Critical Warning") && shown.contains("°C"), "{shown}");
}

/// Every kind of work, on every core, with the keys of `reactor perf`.
#[test]
fn queues_are_measured() {
    let (cores, count) = two_cores();
    for rw in ["read", "write", "randread", "randwrite", "randrw", "verify"] {
        let report =
            reactor(&format!("nvme perf soft --rw {rw} --bs 8k --qd 4 --cores {cores} --time 0.1 --json"))
                .json();
        let jobs = report["jobs"].as_array().expect("an array");
        assert_eq!((jobs.len(), &jobs[0]["bdev"]), (count, &"soft".into()), "{report}");
        // Each job has its share, but what it comes to is a matter of the machine.
        assert!(
            number(&report, "/total/iops") > 0.0 && number(&report, "/total/errors") == 0.0,
            "{rw}: {report}"
        );
        assert!(
            jobs.iter().all(|job| number(job, "/lat_us/p50") <= number(job, "/lat_us/max")),
            "{rw}: {report}"
        );
    }
}

/// What is refused, and what to do instead.
#[test]
fn refusals_say_what_to_do() {
    for (line, words) in [
        ("nvme identify", "<TARGET>"),
        ("nvme identify nvme0", "0000:00:04.0"),
        ("nvme identify soft --raw --json", "--json"),
        ("nvme identify soft --ns 0", "1..="),
        ("nvme perf soft --bs 100", "512 bytes"),
        ("nvme perf soft --bs 2M", "give less"),
        ("nvme perf soft soft", "listed twice"),
        ("nvme perf soft --rwmixread 5", "--rw randrw"),
        ("nvme smart soft --ns 1", "--ns"),
        ("nvme", "identify"),
    ] {
        reactor(line).refuses(2, &[words]);
    }
    for (line, words) in [
        ("nvme identify soft --ns 7", "no active namespace 7"),
        ("nvme perf soft --ns 7", "no active namespace 7"),
        ("nvme identify /dev/null", "/dev/null is "),
        ("nvme perf /dev/nvme99", "there is no /dev/nvme99"),
        ("nvme identify ffff:ff:1f.7", "no PCI device at ffff:ff:1f.7"),
    ] {
        reactor(line).refuses(1, &[words]);
    }
}

/// As machines go, it may have none: then that is said, and is no failure.
#[test]
fn controllers_are_listed() {
    let it = reactor("nvme list --json").json();
    let controllers = it["controllers"].as_array().expect("a list").len();
    let shown = reactor("nvme list").exits(0).stdout();
    assert_eq!(shown.contains("no NVMe function"), controllers == 0, "{shown}");
}
