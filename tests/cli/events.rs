//! `reactor events`.

use crate::command::{number, reactor, two_cores};

#[test]
fn every_core_has_its_part_in_the_sum() {
    let (cores, count) = two_cores();
    for in_flight in [1, 100] {
        let line =
            format!("events --cores {cores} --time 0.2 --in-flight {in_flight} --mode adaptive --json");
        let report = reactor(&line).json();
        let rows = report["cores"].as_array().expect("an array");
        assert_eq!(rows.len(), count);
        let sum: f64 = rows.iter().map(|row| number(row, "/events_per_s")).sum();
        let total = number(&report, "/events_per_s");
        assert!(total > 0.0 && (total - sum).abs() <= total * 1e-6, "{report}");
        let ids: Vec<_> = rows.iter().map(|row| number(row, "/core").to_string()).collect();
        assert_eq!(ids.join(","), cores);
    }
}

#[test]
fn the_table_has_a_row_per_core_and_a_total() {
    let (cores, count) = two_cores();
    let table = reactor(&format!("events --cores {cores} --time 0.1")).exits(0).stdout();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), count + 2, "{table}");
    assert!(lines[0].contains("events/s") && lines[count + 1].contains("total"), "{table}");
}

#[test]
fn what_makes_no_sense_is_refused_with_code_2() {
    reactor("events --cores 5000").refuses(2, &["5000", "out of range"]);
    reactor("events --cores 1023").refuses(2, &["core 1023 is not online"]);
    reactor("events --cores 0,0").refuses(2, &["listed twice"]);
    reactor("events --cores zero").refuses(2, &["neither a core nor a range"]);
    reactor("events --in-flight 0").refuses(2, &["--in-flight", "1.."]);
    reactor("events --time 0").refuses(2, &["more than 0"]);
    reactor("events --time -1").refuses(2, &["more than 0"]);
    reactor("event").refuses(2, &["events"]);
}
