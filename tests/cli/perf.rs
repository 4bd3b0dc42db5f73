//! `reactor perf`.

use crate::command::{interrupted, number, reactor, two_cores};
use rustix::fs::OFlags;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

/// Every key that is promised, for every kind of work.
#[test]
fn the_report_has_what_scripts_read() {
    for rw in ["read", "write", "randread", "randwrite", "randrw", "verify"] {
        let report = reactor(&format!("perf ram:4M --rw {rw} --bs 8k --qd 4 --time 0.1 --json")).json();
        let jobs = report["jobs"].as_array().expect("an array");
        assert_eq!(jobs.len(), 1);
        let job = &jobs[0];
        assert_eq!(job["bdev"], "ram:4M");
        let iops = number(job, "/iops");
        assert!(iops > 0.0, "{rw}: {report}");
        let mib_per_s = number(job, "/mib_per_s");
        assert!((mib_per_s - iops * 8192.0 / 1_048_576.0).abs() <= 0.2, "{rw}: {report}");
        let [avg, p50, p99, p999, max] =
            ["avg", "p50", "p99", "p999", "max"].map(|key| number(job, &format!("/lat_us/{key}")));
        assert!(avg > 0.0 && p50 <= p99 && p99 <= p999 && p999 <= max, "{rw}: {report}");
        assert_eq!((number(job, "/errors"), number(&report, "/total/errors")), (0.0, 0.0), "{rw}");
        assert_eq!(number(&report, "/total/iops"), iops);
    }
}

#[test]
fn every_device_runs_on_every_core() {
    let (cores, count) = two_cores();
    let report = reactor(&format!("perf null ram:1M --cores {cores} --time 0.1 --json")).json();
    let jobs = report["jobs"].as_array().expect("an array");
    let seen: Vec<_> = jobs.iter().map(|job| format!("{} {}", job["bdev"], job["core"])).collect();
    let expected: Vec<_> = ["null", "ram:1M"]
        .iter()
        .flat_map(|bdev| cores.split(',').map(move |core| format!("{bdev:?} {core}")))
        .collect();
    assert_eq!((seen, jobs.len()), (expected, 2 * count));
    let sum: f64 = jobs.iter().map(|job| number(job, "/iops")).sum();
    assert!((number(&report, "/total/iops") - sum).abs() <= 1.0, "{report}");
}

/// What the project is shown with: no device, no arguments.
#[test]
fn without_devices_a_ram_disk_and_a_temporary_file_run() {
    let table = reactor("perf --time 0.2").exits(0).stdout();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[0].contains("IOPS") && lines[0].contains("p99.9"), "{table}");
    assert!(lines[1].starts_with("ram:64M"), "{table}");
    assert!(lines[2].starts_with("file:") && lines[3].starts_with("total"), "{table}");
    let file =
        lines[2].split_whitespace().next().and_then(|name| name.strip_prefix("file:")).expect("a name");
    assert!(!fs::exists(file).expect("a readable directory"), "{file} was left behind");
}

#[test]
fn a_file_verifies_from_its_first_block_to_its_last() {
    let (cores, _) = two_cores();
    let file = tempfile::NamedTempFile::new().expect("a file");
    // One window per core, and a window that was begun is always done: so all of it is, however slow the machine.
    file.as_file().set_len(256 << 10).expect("a size");
    let name = file.path().display();
    let line = format!("perf file:{name} --rw verify --qd 8 --time 0.2 --cores {cores} --json");
    let report = reactor(&line).json();
    assert_eq!(number(&report, "/total/errors"), 0.0);
    let content = fs::read(file.path()).expect("readable");
    assert!(
        content.chunks(512).all(|block| block.iter().any(|byte| *byte != 0)),
        "a block was never written"
    );
}

/// A mirror one of whose members fails to read, and then to write for good: nobody notices. If it lied instead, `verify` would.
#[test]
fn a_mirror_verifies_while_a_member_errs() {
    let files = [0; 2].map(|_| tempfile::NamedTempFile::new().expect("a file"));
    files.iter().for_each(|file| file.as_file().set_len(256 << 10).expect("a size"));
    let [one, other] = files.each_ref().map(|file| file.path().display());
    let run = |errs: &str| {
        let mirror = format!("mirror(file:{one},error:{errs}(file:{other}))");
        reactor(&format!("perf {mirror} --rw verify --qd 8 --time 0.2 --json"))
    };
    for errs in ["read=media,every=3", "write=io_error,skip=20"] {
        let report = run(errs).exits(0).json();
        assert_eq!(number(&report, "/total/errors"), 0.0, "{errs}");
        let whole = fs::read(files[0].path()).expect("readable");
        assert!(whole.chunks(512).all(|block| block.iter().any(|byte| *byte != 0)), "{errs}");
    }
    let lied = run("read=corrupt,skip=5").exits(1);
    assert!(lied.stderr().contains("block"), "{}", lied.stderr());
}

/// A disk is pulled, put back and rebuilt, and both grow, while one of them errs: every block is what was written, and in the end
/// both disks hold the same.
#[test]
fn a_mirror_verifies_while_a_member_goes_comes_back_and_both_grow() {
    let files = [0; 2].map(|_| tempfile::NamedTempFile::new().expect("a file"));
    files.iter().for_each(|file| file.as_file().set_len(256 << 10).expect("a size"));
    let [one, other] = files.each_ref().map(|file| file.path().display());
    let config = tempfile::NamedTempFile::new().expect("a file");
    let lines = format!(
        "left = file:{one}\nright = file:{other}\npair = mirror(left,error:read=media,every=7(right))\n"
    );
    fs::write(config.path(), lines).expect("room for a few lines");
    let stack = format!("mirror(file:{one},error:read=media,every=7(file:{other}))");
    for (load, left, right) in [
        (stack, format!("file:{one}"), format!("file:{other}")),
        (format!("--config {} pair", config.path().display()), "left".into(), "right".into()),
    ] {
        files.iter().for_each(|file| file.as_file().set_len(256 << 10).expect("a size"));
        let line = format!(
            "perf {load} --rw verify --qd 8 --time 1 --json --at 0.1:remove={right} --at 0.3:return={right} \
             --at 0.6:resize={left},1M --at 0.7:resize={right},1M"
        );
        let run = reactor(&line).exits(0);
        let report = serde_json::from_str(&run.stdout()).expect("a report");
        assert_eq!(number(&report, "/total/errors"), 0.0, "{report}");
        let notes = run.stderr();
        let words =
            ["was removed", "came back, error:", "is in sync", "has 1048576 bytes", "has 1048576 bytes"];
        let mut rest = &notes[..];
        for word in words {
            let at =
                rest.find(word).unwrap_or_else(|| panic!("{word:?} is not, or not in order, in\n{notes}"));
            rest = &rest[at + word.len()..];
        }
        let [one, other] = files.each_ref().map(|file| fs::read(file.path()).expect("readable"));
        assert!(one == other && one.len() == 1 << 20, "the members differ");
    }
}

#[test]
fn what_cannot_happen_is_refused_before_anything_does() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(64 << 10).expect("a size");
    let name = format!("file:{}", file.path().display());
    let at = |at: &str| reactor(&format!("perf {name} --time 0.5 --at {at}"));
    at("0.5").refuses(2, &["--at", "SECONDS:remove=DEVICE"]);
    at(&format!("3:remove={name}")).refuses(2, &["is over after 0.5 s"]);
    at("0.1:remove=ram:1M").refuses(2, &["nothing that is measured stands on it"]);
    at("0.1:remove=disk0").refuses(2, &["no block device is named"]);
    at(&format!("0.1:return={name}")).refuses(2, &["remove it before"]);
    at(&format!("0.1:resize={name},1k")).refuses(2, &["has 65536 bytes: give as many or more"]);
    reactor("perf ram:1M --time 0.5 --at 0.1:resize=ram:1M,2M").refuses(2, &["only files can be resized"]);
    // What nothing stands in for fails with it.
    let run = at(&format!("0.1:remove={name}")).exits(1);
    assert!(run.stderr().contains("was removed"), "{}", run.stderr());
}

/// Memory that was never written is one page of zeroes: what stands on it would be measured too fast.
#[test]
fn memory_below_other_devices_is_filled_before_it_is_read() {
    let note = |device: &str| reactor(&format!("perf {device} --rw randread --time 0.1")).exits(0).stderr();
    assert_eq!(note("mirror(ram:1M,delay:1us(ram:1M))"), "");
    assert!(note("error:write=io_error(ram:1M)").contains("could not be filled before"));
    // By its name, too.
    let file = tempfile::NamedTempFile::new().expect("a file");
    let lines = "left0 = ram:1M\nnear0 = passthru(left0)\nbad0 = error:write=io_error(near0)\n";
    fs::write(file.path(), lines).expect("room for a few lines");
    assert!(note(&format!("--config {} bad0", file.path().display())).contains("could not be filled before"));
}

/// Ctrl-C in the middle: the hour is over, and its report is whole.
#[test]
fn an_interrupted_measurement_is_reported() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(64 << 10).expect("a size");
    let has_begun = || fs::read(file.path()).expect("readable").iter().any(|byte| *byte != 0);
    let line = format!("perf file:{} --rw write --qd 1 --time 3600 --json", file.path().display());
    let report = interrupted(&line, has_begun).json();
    assert!(number(&report, "/total/iops") > 0.0, "{report}");
    assert_eq!(number(&report, "/total/errors"), 0.0);
}

/// Holes are read at the speed of memory: whoever takes that for the disk is told.
#[test]
fn reads_of_what_was_never_written_are_pointed_out() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let name = format!("file:{}", file.path().display());
    let note = |rw: &str| {
        let run = reactor(&format!("perf {name} --rw {rw} --time 0.1")).exits(0);
        assert!(run.stdout().contains("total"));
        run.stderr()
    };
    file.as_file().set_len(64 << 10).expect("a size");
    assert!(note("randread").starts_with(&format!("note: {name} has parts that were never written")));
    // It is whole from here on.
    assert_eq!(note("verify"), "");
    file.as_file().sync_all().expect("a disk");
    assert_eq!(note("read"), "");
}

/// A loop device, as root, that somebody has claimed as a mount does.
#[test]
fn a_disk_in_use_is_not_overwritten() {
    struct Loop(String);
    impl Drop for Loop {
        fn drop(&mut self) {
            let _ = Command::new("losetup").args(["--detach", &self.0]).status();
        }
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(1 << 20).expect("a size");
    let made = Command::new("losetup").args(["--find", "--show"]).arg(file.path()).output();
    let Some(made) = made.ok().filter(|made| made.status.success()) else {
        return println!("no loop device here: not root, or no losetup");
    };
    let disk = Loop(String::from_utf8(made.stdout).expect("a path").trim().to_owned());
    // First, as a child of another test keeps a copy of the claim until it executes.
    reactor(&format!("perf file:{} --rw write --time 0.1", disk.0)).exits(0);
    let claim = fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::EXCL.bits() as i32)
        .open(&disk.0)
        .expect("free");
    for rw in ["write", "randwrite", "randrw", "verify"] {
        let line = format!("perf file:{} --rw {rw} --time 0.1", disk.0);
        reactor(&line).refuses(1, &["is in use, mounted for example"]);
    }
    // Also where it lies below others.
    for stack in ["passthru(file:DISK)", "stripe(ram:1M,delay:0(poll:DISK))"] {
        let line = format!("perf {} --rw write --time 0.1", stack.replace("DISK", &disk.0));
        reactor(&line).refuses(1, &["is in use, mounted for example"]);
    }
    reactor(&format!("perf file:{} --rw read --time 0.1", disk.0)).exits(0);
    drop(claim);
}

#[test]
fn a_ram_disk_beyond_the_memory_is_refused() {
    reactor("perf ram:1M ram:4000000T --time 0.1")
        .refuses(1, &["error: ram:4000000T: there is not enough memory", "MiB available"]);
}

#[test]
fn a_file_that_is_named_as_a_file_is_told_how_to_be_written() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().display().to_string();
    reactor(&format!("perf {path}")).refuses(2, &["no block device is named", &format!("write file:{path}")]);
}

#[test]
fn a_file_that_is_missing_says_how_to_make_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("disk");
    let words = ["there is no such file", &format!("truncate -s 1G {}", path.display())];
    reactor(&format!("perf file:{} --time 0.1", path.display())).refuses(1, &words);
    assert!(!path.exists());
}

#[test]
fn directories_and_empty_files_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let name = format!("file:{}", directory.path().display());
    reactor(&format!("perf {name} --time 0.1")).refuses(1, &["error: file:", "directory"]);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let name = format!("file:{}", file.path().display());
    reactor(&format!("perf {name} --time 0.1")).refuses(2, &["error: file:", "truncate -s"]);
}

#[test]
fn what_makes_no_sense_is_refused_with_code_2() {
    reactor("perf --rw rand").refuses(2, &["randread", "verify"]);
    reactor("perf --qd 0").refuses(2, &["--qd", "1..=65536"]);
    reactor("perf --bs 4z").refuses(2, &["--bs", "4z", "such as 64M"]);
    reactor("perf --cores 1-0").refuses(2, &["runs downwards"]);
    reactor("perf --time soon").refuses(2, &["0.5"]);
    reactor("perf null --rwmixread 70").refuses(2, &["--rw randrw"]);
    reactor("perf null null").refuses(2, &["listed twice"]);
    for rw in ["read", "write"] {
        reactor(&format!("perf null null:1T --rw {rw}")).refuses(2, &["null:1T", "listed twice"]);
    }
    reactor("perf ram").refuses(2, &["ram:64M"]);
    reactor("perf disk0").refuses(2, &["no block device is named", "file:PATH"]);
    reactor("perf null --bs 1000 --time 0.1").refuses(2, &["512", "multiple"]);
    reactor("perf ram:64k --bs 128k --time 0.1").refuses(2, &["give less"]);
    reactor("perf null --rw verify --time 0.1").refuses(2, &["keeps nothing", "ram:SIZE"]);
}

/// Buffers beyond the pool's limit are a matter of the machine, and known before anything is written.
#[test]
fn more_buffers_than_there_is_memory_for_are_refused_with_code_1() {
    reactor("perf null --qd 65536 --bs 64M --time 0.1")
        .refuses(1, &["error: null: ", "pool", "lower --qd or --bs"]);
}

#[test]
fn help_teaches() {
    let help = reactor("perf --help").exits(0).stdout();
    let words =
        ["Examples:", "OVERWRITES", "truncate -s 1G", "latency", "MiB/s", "--rwmixread", "Possible values"];
    let keys = ["jobs", "bdev", "core", "iops", "mib_per_s", "lat_us", "p999", "errors", "total"];
    let keys = keys.map(|key| format!("{key:?}"));
    for word in words.into_iter().chain(["poll:PATH", "Ctrl-C"]).chain(keys.iter().map(String::as_str)) {
        assert!(help.contains(word), "{word:?} is not in\n{help}");
    }
    assert!(help.contains("\n  A RAM disk that "), "what is said of devices stands with them:\n{help}");
    let help = reactor("--help").exits(0).stdout();
    for word in ["Examples:", "Exit codes", "events", "perf"] {
        assert!(help.contains(word), "{word:?} is not in\n{help}");
    }
    reactor("").refuses(2, &["Usage:"]);
}

#[test]
fn a_stack_is_measured_like_any_device() {
    let report =
        reactor("perf delay:avg=100us(stripe:4K(ram:1M,ram:1M)) --qd 1 --bs 8k --time 0.2 --json").json();
    assert!(number(&report, "/total/iops") > 0.0, "{report}");
    assert!(number(&report["jobs"][0], "/lat_us/avg") >= 100.0, "{report}");
    assert_eq!(number(&report, "/total/errors"), 0.0);
}

#[test]
fn a_stack_that_goes_wrong_is_counted() {
    let run = reactor("perf error:read=media,count=7(ram:1M) --time 0.1 --json").exits(1);
    let report = serde_json::from_str(&run.stdout()).expect("a report all the same");
    assert!(number(&report, "/total/errors") > 0.0, "{report}");
}

#[test]
fn a_bad_stack_is_pointed_at() {
    let words = ["at \"100parsecs(ram:1M)\"", "such as 100us"];
    reactor("perf delay:avg=100parsecs(ram:1M)").refuses(2, &words);
    reactor("perf dellay(ram:1M)").refuses(2, &["no kind of block device", "delay"]);
    reactor("perf passthru(disk0)").refuses(2, &["passthru(disk0): no block device is named \"disk0\""]);
    reactor("perf mirror(ram:1M").refuses(2, &["at its end: a parenthesis is not closed"]);
    reactor("perf part:blocks=0..4096(ram:1M)").refuses(2, &["blocks 0..4096 reach past the end", "0..2048"]);
}

#[test]
fn help_names_every_kind_of_device() {
    let help = reactor("help perf").exits(0).stdout();
    for kind in reactor::bdev::kinds() {
        assert!(help.contains(kind.form()), "{}", kind.form());
    }
    // What follows the list is indented as one piece.
    assert!(help.contains("\n  A RAM disk"), "{help}");
}

#[test]
fn devices_of_a_configuration_are_measured_by_their_names() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().display();
    let lines = "# two disks\nleft0 = ram:1M\nright0 alias=right = ram:1M\n\ntwo0 = stripe:chunk=4K(left0,right)\nlone0 = ram:1M\n";
    fs::write(file.path(), lines).expect("room for a few lines");
    for rw in ["verify", "randread"] {
        let report = reactor(&format!("perf --config {path} two0 lone0 --rw {rw} --time 0.1 --json")).json();
        assert_eq!(
            (&report["jobs"][0]["bdev"], &report["jobs"][1]["bdev"]),
            (&"two0".into(), &"lone0".into())
        );
        assert!(number(&report, "/total/iops") > 0.0 && number(&report, "/total/errors") == 0.0, "{report}");
    }
    fs::write(file.path(), "left0 = ram:1M\nleft0 = ram:2M\n").expect("room for a few lines");
    reactor(&format!("perf --config {path} left0")).refuses(2, &["--config", "line 2", "the name is taken"]);
    reactor("perf --config none.conf left0").refuses(2, &["--config none.conf", "cannot be read"]);
}
