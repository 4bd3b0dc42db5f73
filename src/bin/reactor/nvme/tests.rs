//! What is said of pages that are known, and that nothing is too strange to be shown.

use super::field::{self, Value, size};
use super::identify::{self, Answers};
use super::namespace::Pages;
use super::smart;
use super::target::{Admin, Target};
use crate::report;
use proptest::prelude::*;
use reactor::nvme::Error;
use reactor::nvme::spec::{
    AdminOpcode, AdminSupport, Command, ErrorLogEntry, FirmwareLog, IdentifyController, IdentifyNamespace,
    IdentifyWhat, IdentifyZonedNamespace, LogSupport, MultiPath, NamespaceList, SmartLog, Status, StatusCode,
    Version,
};
use serde_json::Value as Json;
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use zerocopy::{FromBytes, IntoBytes};

/// What a future yields that waits for nothing.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// A controller that answers by rote.
struct Rote<F> {
    answer: F,
    asked: RefCell<Vec<Command>>,
}

impl<F: Fn(&Command, usize) -> Result<Vec<u8>, StatusCode>> Rote<F> {
    fn new(answer: F) -> Self {
        Self { answer, asked: RefCell::default() }
    }
}

impl<F: Fn(&Command, usize) -> Result<Vec<u8>, StatusCode>> Admin for Rote<F> {
    async fn ask(&self, command: Command, bytes: usize) -> Result<Vec<u8>, Error> {
        self.asked.borrow_mut().push(command);
        (self.answer)(&command, bytes).map_err(|code| Error::Status(Status::of(code)))
    }
}

fn json(value: &Value) -> Json {
    serde_json::from_str(&report::json(value)).expect("JSON")
}

fn controller() -> IdentifyController {
    let mut it = IdentifyController::default();
    it.vendor.set(0x1b36);
    it.serial_bytes[..5].copy_from_slice(b"disk0");
    it.model_bytes[..4].copy_from_slice(b"QEMU");
    it.version = Version::new(1, 4, 0);
    it.oui = [0x54, 0x52, 0x00];
    it.transfer_max = 7;
    it.aborts_max = 3;
    it.admin = AdminSupport::from_bits(0x8006);
    it.multi_path = MultiPath::from_bits(2);
    it.warning_temperature.set(343);
    it.capacity.set(u128::from(u64::MAX) + 1);
    it.shutdown_us.set(1_500_000);
    it.power_states[0].power.set(2500);
    it.power_states[0].entry_us.set(16);
    it
}

fn namespace() -> IdentifyNamespace {
    let mut it = IdentifyNamespace::default();
    it.size.set(0x20000);
    it.capacity.set(0x20000);
    it.formats_max = 1;
    it.formats[0].data_shift = 9;
    it.formats[1].data_shift = 12;
    it.formats[1].metadata_bytes.set(8);
    it.nguid = [0xab; 16];
    it.io_boundary.set(8);
    it
}

fn answers() -> Answers {
    let names = vec![4, 1, 0, 0, 0, 3, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    let pages = Pages { id: 7, identity: Box::new(namespace()), names: Some(names), zoned: None };
    Answers { controller: Box::new(controller()), namespaces: vec![pages], page_min: 4096 }
}

/// The field of a report that has this key, in one line.
#[track_caller]
fn line(report: &str, key: &str) -> String {
    let mut lines = report.lines().skip_while(|line| line.split_whitespace().next() != Some(key));
    let first = lines.next().unwrap_or_else(|| panic!("no {key} in\n{report}"));
    let rest = lines.take_while(|line| line.starts_with(&" ".repeat(24))).map(str::trim_start);
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join(" ")
}

#[test]
fn fields_are_said_with_what_they_mean() {
    let shown = field::sections(&identify::describe("soft", &answers()).0);
    for (key, words) in [
        ("sn", "Serial Number"),
        ("sn", "disk0"),
        ("fr", "-"),
        ("vid", "0x1b36"),
        ("ieee", "0x005254"),
        ("ver", "0x010400 (1.4.0)"),
        ("mdts", "7 (512 KiB)"),
        ("acl", "3 (4 commands)"),
        ("oacs", "0x8006: Format NVM; Firmware Commit and Image Download; bit 15, which has no name"),
        ("cmic", "0x2: The subsystem may have several controllers"),
        ("wctemp", "70 °C"),
        ("cctemp", "not reported"),
        ("tnvmcap", "18,446,744,073,709,551,616 (16 EiB)"),
        ("rtd3e", "1,500,000 (1.5 s)"),
        ("nsze", "131,072 (64 MiB)"),
        ("flbas", "0x00 (blocks of 512 bytes)"),
        ("noiob", "8 (8 blocks)"),
        ("nguid", &"ab".repeat(16)),
        ("uuid", "01020304-0506-0708-090a-0b0c0d0e0f10"),
    ] {
        assert!(line(&shown, key).contains(words), "{words:?}: {}", line(&shown, key));
    }
    assert!(shown.contains("\n\nNamespace 7: formats"), "{shown}");
    let longest = shown.lines().map(|line| line.chars().count()).max();
    assert!(longest.is_some_and(|columns| columns <= 130), "{shown}");
}

#[test]
fn keys_are_the_specifications_abbreviations() {
    let it = json(&identify::describe("soft", &answers()).1);
    assert_eq!(it["target"], "soft");
    let of_controller = &it["controller"];
    for (key, value) in
        [("vid", 0x1b36), ("mdts", 7), ("mdts_bytes", 512 << 10), ("wctemp_celsius", 70), ("ieee", 0x5254)]
    {
        assert_eq!(of_controller[key], value, "{key}");
    }
    assert_eq!(of_controller["oacs_flags"], serde_json::json!(["format", "firmware"]));
    assert_eq!((&of_controller["fr"], &of_controller["cctemp_celsius"]), (&Json::Null, &Json::Null));
    let namespace = &it["namespaces"][0];
    assert_eq!((&namespace["nsid"], &namespace["nsze_bytes"]), (&7.into(), &(64 << 20).into()));
    assert_eq!(
        namespace["lbafs"][1],
        serde_json::json!({
            "ms": 8, "lbads": 12, "rp": 0, "block_bytes": 4096, "is_in_use": false
        })
    );
    assert_eq!(it["power_states"][0]["power_uw"], 25_000_000);
    // No number is cut, however large.
    assert!(
        report::json(&identify::describe("soft", &answers()).1).contains("\"tnvmcap\":18446744073709551616,")
    );
}

/// `--help` promises the keys of health in full.
#[test]
fn the_help_names_the_keys_of_the_health_log() {
    let mut log = SmartLog::default();
    log.temperature.set(300);
    log.sensors[0].set(301);
    log.data_read.set(3);
    log.spare = 5;
    log.spare_threshold = 10;
    let mut error = ErrorLogEntry::default();
    error.number.set(9);
    error.status_phase.set(0x4080 << 1);
    let mut slots = FirmwareLog::default();
    slots.active = 0x21;
    slots.revisions[0] = *b"1.0     ";
    let answers = smart::Answers { smart: log, firmware: Some(slots), errors: Some(vec![error; 40]) };
    let (sections, value) = smart::describe("soft", &answers);
    let (shown, it) = (field::sections(&sections), json(&value));
    let mut line = <crate::args::CommandLine as clap::CommandFactory>::command();
    let help = line
        .find_subcommand_mut("nvme")
        .and_then(|nvme| nvme.find_subcommand_mut("smart"))
        .map(|it| it.render_long_help());
    let help = help.expect("a subcommand").to_string();
    for part in [&it["smart"], &it["firmware"], &it["errors"][0]] {
        for key in part.as_object().expect("an object").keys() {
            assert!(help.contains(&format!("\"{key}\"")), "{key} is not in the help");
        }
    }
    assert_eq!(
        (&it["smart"]["temperature_celsius"], &it["smart"]["data_units_read_bytes"]),
        (&27.into(), &1_536_000.into())
    );
    assert_eq!((&it["firmware"]["afi_running"], &it["firmware"]["afi_next"]), (&1.into(), &2.into()));
    assert_eq!(it["errors"][39]["status_text"], "LBA Out of Range (0x4080, do not retry)");
    for words in [
        "27 °C",
        "5 % (below its threshold)",
        "1.46 MiB",
        "32 of 40",
        "slot 1 runs; after the next reset: 2",
        "LBA Out of Range",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn sizes_read_easily() {
    for (bytes, text) in [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1536, "1.50 KiB"),
        (1 << 20, "1 MiB"),
        (3 << 60, "3 EiB"),
        (5000 << 60, "5,000 EiB"),
    ] {
        assert_eq!(size(bytes), text);
    }
    assert!(size(u128::MAX).ends_with(" EiB"));
}

#[test]
fn targets_are_told_apart_and_nonsense_is_explained() {
    for target in ["0000:00:04.0", "/dev/nvme0", "/dev/ng0n1"] {
        assert_eq!(target.parse::<Target>().expect("a target").to_string(), target);
    }
    assert_eq!("00:04.0".parse::<Target>().expect("without a domain").to_string(), "0000:00:04.0");
    for (given, words) in
        [("nvme0", "reactor nvme list"), ("", "0000:00:04.0"), ("0000:00:44.0", "PCI address")]
    {
        let refused = given.parse::<Target>().expect_err("no target");
        assert!(refused.contains(words), "{given}: {refused}");
    }
}

/// A page of what a device may answer.
fn pages() -> impl Strategy<Value = Vec<u8>> {
    let uniform = any::<u8>().prop_map(|byte| vec![byte; 4096]);
    prop_oneof![prop::collection::vec(any::<u8>(), 4096), uniform]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_pages_are_described(first in pages(), second in pages(), third in pages(), id: u32, page_min: u64) {
        let zoned = IdentifyZonedNamespace::read_from_bytes(&third).expect("a page");
        let pages = Pages {
            id,
            identity: Box::new(IdentifyNamespace::read_from_bytes(&second).expect("a page")),
            names: Some(third),
            zoned: Some(Box::new(zoned)),
        };
        let controller = Box::new(IdentifyController::read_from_bytes(&first).expect("a page"));
        let (sections, value) = identify::describe("soft", &Answers { controller, namespaces: vec![pages], page_min });
        prop_assert!(json(&value)["controller"]["vid"].is_u64());
        is_printable(&field::sections(&sections))?;
    }

    #[test]
    fn any_logs_are_described(first in pages(), second in pages(), entries in 0..64_usize) {
        let errors = <[ErrorLogEntry]>::ref_from_bytes(&second[..64 * entries]).expect("entries").to_vec();
        let (smart, _) = SmartLog::read_from_prefix(&first).expect("a page");
        let (_, firmware) = FirmwareLog::read_from_suffix(&first).expect("a page");
        let answers = smart::Answers { smart, firmware: Some(firmware), errors: Some(errors) };
        let (sections, value) = smart::describe("soft", &answers);
        prop_assert!(json(&value)["smart"]["temperature"].is_u64());
        is_printable(&field::sections(&sections))?;
    }

    /// Whatever it answers, the questions end, and no more than one page is believed of a list that goes round.
    #[test]
    fn asking_ends(first in pages(), second in pages()) {
        let rote = Rote::new(|command: &Command, _| match command.identify_what() {
            IdentifyWhat::ACTIVE_NAMESPACES => Ok(first.clone()),
            _ => Ok(second.clone()),
        });
        let answers = now(identify::ask(&rote, None, true)).expect("all was answered");
        prop_assert!(answers.namespaces.len() <= 1024);
        prop_assert!(answers.namespaces.windows(2).all(|pair| pair[0].id < pair[1].id));
        let rote = Rote::new(|_: &Command, bytes| Ok(second[..bytes].to_vec()));
        prop_assert!(now(smart::ask(&rote, true)).is_ok());
    }
}

/// A hostile device does not speak to the terminal.
fn is_printable(text: &str) -> Result<(), TestCaseError> {
    let bad = text.chars().find(|mark| mark.is_control() && *mark != '\n');
    prop_assert!(bad.is_none(), "{bad:?} in {text}");
    Ok(())
}

#[test]
fn what_an_old_controller_does_not_know_is_left_out() {
    let rote = Rote::new(|command: &Command, bytes| match command.identify_what() {
        IdentifyWhat::CONTROLLER => Ok(controller().as_bytes().to_vec()),
        IdentifyWhat::NAMESPACE => Ok(namespace().as_bytes().to_vec()),
        IdentifyWhat::ACTIVE_NAMESPACES => {
            let mut list = NamespaceList::default();
            list.raw[..2].copy_from_slice(&[2.into(), 5.into()]);
            Ok(list.as_bytes()[..bytes].to_vec())
        }
        _ => Err(StatusCode::INVALID_FIELD),
    });
    let answers = now(identify::ask(&rote, None, true)).expect("it identifies");
    let ids: Vec<_> = answers.namespaces.iter().map(|pages| (pages.id, pages.names.is_some())).collect();
    assert_eq!(ids, [(2, false), (5, false)]);
    // What was not told is no error; what failed is.
    let broken = Rote::new(|_: &Command, _| Err(StatusCode::INTERNAL_ERROR));
    assert!(now(identify::ask(&broken, None, true)).is_err());
}

/// Without offsets a controller would answer its first page for each that follows.
#[test]
fn a_log_is_read_by_offsets_where_there_are_any() {
    for (has_offsets, commands) in
        [(false, vec![(0, 4096)]), (true, vec![(0, 4096), (4096, 4096), (8192, 4096), (12288, 4096)])]
    {
        let rote = Rote::new(|command: &Command, bytes| match AdminOpcode(command.opcode()) {
            AdminOpcode::IDENTIFY => {
                let mut it = controller();
                it.error_entries = 255;
                it.logs = LogSupport::default().with_offsets(has_offsets);
                Ok(it.as_bytes().to_vec())
            }
            _ => Ok(vec![0; bytes]),
        });
        now(smart::ask(&rote, true)).expect("it has all logs");
        let asked = rote.asked.borrow();
        let logs = asked.iter().filter(|command| AdminOpcode(command.opcode()) == AdminOpcode::GET_LOG_PAGE);
        let logs: Vec<_> = logs.map(|command| command.log_page()).collect();
        let errors: Vec<_> = logs[2..].iter().map(|&(_, offset, bytes)| (offset, bytes)).collect();
        assert_eq!(errors, commands);
        assert!(
            asked
                .iter()
                .filter(|command| command.opcode() == 2)
                .all(|command| command.cdw(10) >> 15 & 1 == 1)
        );
    }
}
