//! What shall go wrong and when: [`Injection`], the rule that it becomes, and what a spec says of it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::bdev::modules::spec::{Args, Fault};
use crate::bdev::{Error, Io, Op};

/// What shall go wrong, and when: every time, unless said otherwise.
#[derive(Debug, Clone)]
#[must_use = "give it to `Faulty::inject`"]
pub struct Injection {
    what: What,
    on: Option<Op>,
    within: Option<Range<u64>>,
    skip: u64,
    every: u64,
    times: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Fail(Failure),
    Corrupt,
    Lose,
    Misdirect,
    Stall,
}

/// How an I/O fails without having reached the device below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// [`Error::Media`].
    Media,
    /// [`Error::Io`] with the system's EIO.
    Io,
    /// [`Error::NoSpace`].
    NoSpace,
    /// [`Error::Removed`].
    Removed,
    /// [`Error::Aborted`].
    Aborted,
}

impl Failure {
    #[cold]
    pub(super) fn error(self) -> Error {
        match self {
            Self::Media => Error::Media,
            Self::Io => Error::Io(rustix::io::Errno::IO.into()),
            Self::NoSpace => Error::NoSpace,
            Self::Removed => Error::Removed,
            Self::Aborted => Error::Aborted,
        }
    }
}

impl Injection {
    /// I/O is answered with an error and does not reach the device below.
    pub const fn fail(failure: Failure) -> Self {
        Self::of(What::Fail(failure))
    }

    /// The first byte that is read or written is inverted on its way. Other operations are left alone, whatever [`on`](Self::on) says.
    pub const fn corrupt() -> Self {
        Self::of(What::Corrupt)
    }

    /// A write is answered with success and does not reach the device below. Other operations are left alone.
    pub const fn lose() -> Self {
        Self::of(What::Lose)
    }

    /// A write goes to as many blocks behind those that it was meant for, or before them at the end of the device, and is answered as if
    /// nothing had been. Other operations are left alone.
    pub const fn misdirect() -> Self {
        Self::of(What::Misdirect)
    }

    /// I/O is held, until [`Faulty::release`](super::Faulty::release) lets it go on or its caller gives it up.
    pub const fn stall() -> Self {
        Self::of(What::Stall)
    }

    const fn of(what: What) -> Self {
        Self { what, on: None, within: None, skip: 0, every: 1, times: u64::MAX }
    }

    /// Only for this operation.
    pub const fn on(mut self, op: Op) -> Self {
        self.on = Some(op);
        self
    }

    /// Only for I/O that touches one of these blocks.
    pub fn within(mut self, blocks: Range<u64>) -> Self {
        self.within = Some(blocks);
        self
    }

    /// Leaves the first `count` that it would meet alone.
    pub const fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Only one in so many: the first of each `count`.
    ///
    /// # Panics
    /// If that is zero.
    pub const fn every(mut self, count: u64) -> Self {
        assert!(count > 0, "every how many? give at least one");
        self.every = count;
        self
    }

    /// So many times, on all cores together, and never again.
    pub const fn times(mut self, count: u64) -> Self {
        self.times = count;
        self
    }
}

/// An injection at work.
#[derive(Debug)]
pub(super) struct Rule {
    injection: Injection,
    /// I/Os that were of its kind, on all cores.
    met: AtomicU64,
    hits: AtomicU64,
}

impl Rule {
    pub(super) fn new(injection: Injection) -> Self {
        Self { injection, met: AtomicU64::new(0), hits: AtomicU64::new(0) }
    }

    pub(super) fn what(&self) -> What {
        self.injection.what
    }

    /// How many I/Os have gone wrong by it.
    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Relaxed)
    }

    /// Whether `io` goes wrong by this rule.
    pub(super) fn strikes(&self, io: &Io) -> bool {
        let Injection { what, on, within, skip, every, times } = &self.injection;
        let carries_data = matches!(io.op(), Op::Read | Op::Write);
        let touches = |blocks: &Range<u64>| io.lba() < blocks.end && blocks.start < io.lba() + io.blocks();
        if on.is_some_and(|op| op != io.op())
            || within.as_ref().is_some_and(|blocks| !touches(blocks))
            || (matches!(what, What::Corrupt) && !carries_data)
            || (matches!(what, What::Lose | What::Misdirect) && io.op() != Op::Write)
        {
            return false;
        }
        // Relaxed: each I/O gets a number of its own, in whatever order.
        let Some(number) = self.met.fetch_add(1, Relaxed).checked_sub(*skip) else { return false };
        let is_hit = number % every == 0 && number / every < *times;
        if is_hit {
            self.hits.fetch_add(1, Relaxed);
        }
        is_hit
    }
}

/// What a spec calls operations besides `all`, and failures.
const OPS: [(&str, Op); 14] = [
    ("read", Op::Read),
    ("write", Op::Write),
    ("flush", Op::Flush),
    ("write_zeroes", Op::WriteZeroes),
    ("unmap", Op::Unmap),
    ("compare", Op::Compare),
    ("compare_and_write", Op::CompareAndWrite),
    ("copy", Op::Copy),
    ("reset", Op::Reset),
    ("seek_data", Op::SeekData),
    ("seek_hole", Op::SeekHole),
    ("zone_report", Op::ZoneReport),
    ("zone_append", Op::ZoneAppend),
    ("zone_manage", Op::ZoneManage),
];

const WHATS: [(&str, What); 9] = [
    ("media", What::Fail(Failure::Media)),
    ("io_error", What::Fail(Failure::Io)),
    ("no_space", What::Fail(Failure::NoSpace)),
    ("removed", What::Fail(Failure::Removed)),
    ("aborted", What::Fail(Failure::Aborted)),
    ("corrupt", What::Corrupt),
    ("lost", What::Lose),
    ("misdirected", What::Misdirect),
    ("stall", What::Stall),
];

/// `read=media,write=stall`, and what is said of all of them: `count=3,skip=10,every=2,blocks=0..8`.
pub(super) fn parse(args: &mut Args<'_>) -> Result<Vec<Injection>, Fault> {
    let mut injections = Vec::new();
    if let Some(value) = args.get("all") {
        injections.push(Injection::of(value.choice(&WHATS)?));
    }
    for (name, op) in OPS {
        if let Some(value) = args.get(name) {
            injections.push(Injection::of(value.choice(&WHATS)?).on(op));
        }
    }
    let number = |args: &mut Args<'_>, key, least| {
        let value = args.get(key)?;
        Some(value.number().and_then(|number| match number {
            number if number >= least => Ok(number),
            _ => Err(value.fault(format!("{key} is at least {least}"))),
        }))
    };
    let skip = number(args, "skip", 0).transpose()?;
    let every = number(args, "every", 1).transpose()?;
    let count = number(args, "count", 0).transpose()?;
    let within = args.get("blocks").map(|blocks| blocks.blocks()).transpose()?;
    for injection in &mut injections {
        injection.skip = skip.unwrap_or(injection.skip);
        injection.every = every.unwrap_or(injection.every);
        injection.times = count.unwrap_or(injection.times);
        injection.within = within.clone();
    }
    let says_when = skip.is_some() || every.is_some() || count.is_some() || within.is_some();
    if says_when && injections.is_empty() {
        return Err(args.missing("say what goes wrong, such as read=media"));
    }
    Ok(injections)
}

/// The way back: what stands between the kind and its parenthesis, each count from its beginning. None if one spec cannot say it all:
/// if the rules differ in when they strike, or two are about one operation.
pub(super) fn spec(rules: &[Arc<Rule>]) -> Option<String> {
    let Some(Injection { within, skip, every, times, .. }) = rules.first().map(|rule| &rule.injection) else {
        return Some(String::new());
    };
    let mut words = Vec::new();
    for (at, Injection { what, on, within: w, skip: s, every: e, times: t }) in
        rules.iter().map(|rule| &rule.injection).enumerate()
    {
        // What is said of all operations is read first, and so counts first.
        let is_again = rules[..at].iter().any(|other| other.injection.on == *on);
        if (w, s, e, t) != (within, skip, every, times) || is_again || (on.is_none() && at > 0) {
            return None;
        }
        let key = match on {
            None => "all",
            Some(op) => OPS.iter().find(|(_, known)| known == op)?.0,
        };
        words.push(format!("{key}={}", WHATS.iter().find(|(_, known)| known == what)?.0));
    }
    let counts = [("skip", *skip, 0), ("every", *every, 1), ("count", *times, u64::MAX)];
    words
        .extend(counts.iter().filter(|(_, it, usual)| it != usual).map(|(key, it, _)| format!("{key}={it}")));
    words.extend(within.as_ref().map(|blocks| format!("blocks={}..{}", blocks.start, blocks.end)));
    Some(format!(":{}", words.join(",")))
}
