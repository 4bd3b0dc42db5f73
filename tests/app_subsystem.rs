//! Subsystems: what starts before `main` and ends after it.

mod support;

use reactor::app::Builder;
use support::{Log, cores_unpinned};

use reactor::app::Subsystem;

struct Part {
    name: &'static str,
    needs: &'static [&'static str],
    log: Log,
    fails: bool,
}

impl Subsystem for Part {
    fn name(&self) -> &'static str {
        self.name
    }

    fn depends_on(&self) -> &[&'static str] {
        self.needs
    }

    async fn init(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        reactor::yield_now().await;
        self.log.add(format!("+{}", self.name));
        if self.fails { Err("it was told to".into()) } else { Ok(()) }
    }

    async fn fini(&mut self) {
        reactor::yield_now().await;
        self.log.add(format!("-{}", self.name));
    }
}

fn part(log: &Log, name: &'static str, needs: &'static [&'static str]) -> Part {
    Part { name, needs, log: log.clone(), fails: false }
}

#[test]
fn they_start_in_order_and_end_in_reverse() {
    let log = Log::default();
    cores_unpinned(1)
        .subsystem(part(&log, "target", &["bdev", "net"]))
        .subsystem(part(&log, "bdev", &["memory"]))
        .subsystem(part(&log, "net", &[]))
        .subsystem(part(&log, "memory", &[]))
        .run(async || log.add("main"))
        .unwrap();
    let order = ["+net", "+memory", "+bdev", "+target", "main", "-target", "-bdev", "-memory", "-net"];
    assert_eq!(log.lines(), order);
}

#[test]
fn if_one_fails_those_before_it_end_and_main_does_not_start() {
    let log = Log::default();
    let bad = Part { fails: true, ..part(&log, "b", &["a"]) };
    let error = cores_unpinned(1)
        .subsystem(part(&log, "a", &[]))
        .subsystem(bad)
        .subsystem(part(&log, "c", &["b"]))
        .run(async || log.add("main"))
        .unwrap_err();
    assert_eq!(error.to_string(), "subsystem `b` did not start: it was told to");
    assert_eq!(log.lines(), ["+a", "+b", "-a"]);
}

#[test]
fn an_order_that_cannot_be_is_refused() {
    let log = Log::default();
    let refusal = |parts: Vec<Part>| {
        let builder = parts.into_iter().fold(cores_unpinned(1), Builder::subsystem);
        builder.run(async || ()).unwrap_err().to_string()
    };
    let circle = vec![part(&log, "a", &["b"]), part(&log, "b", &["a"])];
    assert_eq!(refusal(circle), "subsystem `a` depends on `b`, and in the end on itself");
    let missing = vec![part(&log, "a", &["z"])];
    assert_eq!(refusal(missing), "subsystem `a` depends on `z`, which was not added");
    let twice = vec![part(&log, "a", &[]), part(&log, "a", &[])];
    assert_eq!(refusal(twice), "subsystem `a` was added twice");
    assert!(log.lines().is_empty());
}
