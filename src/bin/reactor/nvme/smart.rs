//! `reactor nvme smart`: how a controller is: health, firmware, errors.

use super::args;
use super::field::{self, Section, Value};
use super::health;
use super::identify::optional;
use super::target::{Admin, Attached};
use crate::failure::Failure;
use crate::report;
use reactor::nvme::spec::{
    ALL_NAMESPACES, Command, ErrorLogEntry, FirmwareLog, IdentifyController, IdentifyWhat, LogPage, SmartLog,
};
use zerocopy::FromBytes;

/// Bytes of a log that one command reads: no more than every controller transfers.
const STEP: usize = 4096;

/// What was asked.
pub(super) struct Answers {
    pub(super) smart: SmartLog,
    pub(super) firmware: Option<FirmwareLog>,
    pub(super) errors: Option<Vec<ErrorLogEntry>>,
}

pub(crate) fn main(args: &args::Smart) -> Result<(), Failure> {
    let answers = super::target::run(&args.target, async |it: &Attached| ask(it, args.errors).await)?;
    let (sections, value) = describe(&args.target.to_string(), &answers);
    crate::print(&if args.json { report::json(&value) } else { field::sections(&sections) })
}

pub(super) async fn ask(it: &impl Admin, with_errors: bool) -> Result<Answers, Failure> {
    let smart = read(it, LogPage::SMART, ALL_NAMESPACES, size_of::<SmartLog>()).await?;
    let smart = smart.ok_or_else(|| Failure::Run("the controller has no SMART / Health log".into()))?;
    let smart = SmartLog::read_from_bytes(&smart).expect("it is as long as was asked");
    let firmware = read(it, LogPage::FIRMWARE, ALL_NAMESPACES, size_of::<FirmwareLog>()).await?;
    let firmware =
        firmware.map(|log| FirmwareLog::read_from_bytes(&log).expect("it is as long as was asked"));
    let mut errors = None;
    if with_errors {
        let page = it.ask(Command::identify(IdentifyWhat::CONTROLLER, 0), 4096).await;
        let page = page.map_err(|e| Failure::at("cannot identify the controller", &e))?;
        let controller = IdentifyController::ref_from_bytes(&page).expect("it is a page");
        let bytes = (usize::from(controller.error_entries) + 1) * size_of::<ErrorLogEntry>();
        // Without offsets, what is behind the first step cannot be had.
        let bytes = if controller.logs.offsets() { bytes } else { bytes.min(STEP) };
        let log = read(it, LogPage::ERROR, ALL_NAMESPACES, bytes).await?.unwrap_or_default();
        errors = Some(<[ErrorLogEntry]>::ref_from_bytes(&log).expect("a number of entries").to_vec());
    }
    Ok(Answers { smart, firmware, errors })
}

/// A log, unless the controller does not have it. Its events are kept for whoever waits for them.
async fn read(it: &impl Admin, log: LogPage, nsid: u32, bytes: usize) -> Result<Option<Vec<u8>>, Failure> {
    let mut answer = Vec::with_capacity(bytes);
    while answer.len() < bytes {
        let step = (bytes - answer.len()).min(STEP);
        let command = Command::get_log_page(log, nsid, answer.len() as u64, step as u32).retaining_event();
        match optional(it.ask(command, step).await)
            .map_err(|e| Failure::at(format!("cannot read the {log} log"), &e))?
        {
            Some(part) => answer.extend(part),
            None if answer.is_empty() => return Ok(None),
            None => break,
        }
    }
    Ok(Some(answer))
}

/// For people, and for programs.
pub(super) fn describe(target: &str, answers: &Answers) -> (Vec<Section>, Value) {
    let mut sections = health::smart(&answers.smart);
    let object = field::object(sections.iter().flat_map(|section| &section.fields));
    let mut members = vec![("target".to_owned(), target.into()), ("smart".into(), Value::Object(object))];
    let firmware = answers.firmware.as_ref().map(health::firmware);
    let errors = answers.errors.as_ref().map(|entries| health::errors(entries));
    for (key, part) in [("firmware", firmware), ("errors", errors)] {
        if let Some((section, value)) = part {
            sections.push(section);
            members.push((key.into(), value));
        }
    }
    (sections, Value::Object(members))
}
