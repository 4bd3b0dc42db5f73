//! `reactor nvme identify`: what a controller says of itself and of its namespaces.
//!
//! Asks with Identify alone, so that nothing changes. What a controller of an older version does not know is left out.

use super::args;
use super::controller;
use super::field::{self, Section, Value};
use super::namespace::{self, Pages};
use super::target::{Admin, Attached};
use crate::failure::Failure;
use crate::report;
use reactor::nvme::Error;
use reactor::nvme::spec::{
    Command, IdentifyController, IdentifyNamespace, IdentifyWhat, IdentifyZonedNamespace, NamespaceList,
    StatusCode,
};
use std::io::{IsTerminal, Write, stdout};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of whatever Identify answers.
const PAGE: usize = 4096;
/// More than any controller has: a hostile one could go on for four thousand million.
const NAMESPACES_MAX: usize = 1 << 16;
/// The command set of zoned namespaces.
const ZONED: u8 = 2;

/// What was asked.
pub(super) struct Answers {
    pub(super) controller: Box<IdentifyController>,
    pub(super) namespaces: Vec<Pages>,
    /// Bytes of the smallest page, the unit of its transfers.
    pub(super) page_min: u64,
}

pub(crate) fn main(args: &args::Identify) -> Result<(), Failure> {
    if args.raw && stdout().is_terminal() {
        return Err(Failure::Usage(
            "--raw writes bytes that are no text: send them to a file or to xxd".into(),
        ));
    }
    let answers = super::target::run(&args.target, async |it: &Attached| {
        let only = args.ns.or(it.namespace());
        ask(it, only, !args.raw || only.is_some()).await
    })?;
    if args.raw {
        return raw(&answers);
    }
    let (sections, value) = describe(&args.target.to_string(), &answers);
    crate::print(&if args.json { report::json(&value) } else { field::sections(&sections) })
}

/// The page of the namespace that was asked for, or of the controller.
fn raw(answers: &Answers) -> Result<(), Failure> {
    let page = match answers.namespaces.first() {
        Some(namespace) => namespace.identity.as_bytes(),
        None => answers.controller.as_bytes(),
    };
    stdout().write_all(page).map_err(|e| Failure::at("cannot write the page", &e))
}

/// Asks about the controller, and about this namespace, or all that are active.
pub(super) async fn ask(
    it: &impl Admin,
    only: Option<u32>,
    with_namespaces: bool,
) -> Result<Answers, Failure> {
    let page = identify(it, Command::identify(IdentifyWhat::CONTROLLER, 0)).await;
    let page = page.map_err(|e| Failure::at("cannot identify the controller", &e))?;
    let controller = IdentifyController::read_from_bytes(&page).expect("it is a page");
    let mut namespaces = Vec::new();
    if with_namespaces {
        let ids = match only {
            Some(id) => vec![id],
            None => active(it).await.map_err(|e| Failure::at("cannot list the namespaces", &e))?,
        };
        for id in ids {
            let pages = pages(it, id).await;
            let pages = pages.map_err(|e| Failure::at(format!("cannot identify namespace {id}"), &e))?;
            namespaces.push(pages);
        }
    }
    if let (Some(id), Some(Pages { identity, .. })) = (only, namespaces.first()) {
        if !identity.is_active() {
            return Err(Failure::Run(format!(
                "there is no active namespace {id}: leave --ns out to see those that there are"
            )));
        }
    }
    Ok(Answers { controller: Box::new(controller), namespaces, page_min: it.page_min() })
}

async fn identify(it: &impl Admin, command: Command) -> Result<Vec<u8>, Error> {
    it.ask(command, PAGE).await
}

/// The identifiers of the active namespaces, in order.
async fn active(it: &impl Admin) -> Result<Vec<u32>, Error> {
    let mut ids: Vec<u32> = Vec::new();
    loop {
        let after = ids.last().copied().unwrap_or(0);
        let page = identify(it, Command::identify(IdentifyWhat::ACTIVE_NAMESPACES, after)).await?;
        let list = NamespaceList::ref_from_bytes(&page).expect("it is a page");
        // Of a list that does not count upwards, what does: it would go round for ever.
        let rising = list.iter().scan(after, |last, id| (id > std::mem::replace(last, id)).then_some(id));
        let before = ids.len();
        ids.extend(rising);
        if ids.len() > NAMESPACES_MAX {
            return Err(Error::Unsupported("it lists more than 65,536 namespaces: name one with --ns"));
        }
        if ids.len() - before < list.raw.len() || ids.last().is_none_or(|id| *id >= u32::MAX - 1) {
            return Ok(ids);
        }
    }
}

async fn pages(it: &impl Admin, id: u32) -> Result<Pages, Error> {
    let page = identify(it, Command::identify(IdentifyWhat::NAMESPACE, id)).await?;
    let identity = IdentifyNamespace::read_from_bytes(&page).expect("it is a page");
    let names = optional(identify(it, Command::identify(IdentifyWhat::NAMESPACE_IDS, id)).await)?;
    let set = names.as_deref().and_then(Pages::command_set);
    let zoned = match set {
        Some(ZONED) => {
            let command = Command::identify_of_set(IdentifyWhat::NAMESPACE_OF_SET, id, ZONED);
            optional(identify(it, command).await)?
        }
        _ => None,
    };
    let zoned =
        zoned.map(|page| Box::new(IdentifyZonedNamespace::read_from_bytes(&page).expect("it is a page")));
    Ok(Pages { id, identity: Box::new(identity), names, zoned })
}

/// None where a controller does not know what it was asked.
pub(super) fn optional(answer: Result<Vec<u8>, Error>) -> Result<Option<Vec<u8>>, Error> {
    match answer {
        Ok(page) => Ok(Some(page)),
        Err(Error::Status(status))
            if matches!(
                status.code(),
                StatusCode::INVALID_FIELD
                    | StatusCode::INVALID_OPCODE
                    | StatusCode::INVALID_LOG_PAGE
                    | StatusCode::INVALID_NAMESPACE
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// For people, and for programs.
pub(super) fn describe(target: &str, answers: &Answers) -> (Vec<Section>, Value) {
    let mut sections = controller::sections(&answers.controller, answers.page_min);
    let object = field::object(sections.iter().flat_map(|section| &section.fields));
    let (states, list) = controller::power_states(&answers.controller);
    sections.push(states);
    let mut namespaces = Vec::new();
    for pages in &answers.namespaces {
        let (more, object) = namespace::describe(pages);
        sections.extend(more);
        namespaces.push(object);
    }
    let value = Value::Object(vec![
        ("target".into(), target.into()),
        ("controller".into(), Value::Object(object)),
        ("power_states".into(), list),
        ("namespaces".into(), Value::List(namespaces)),
    ]);
    (sections, value)
}
