//! The arguments of one module in a spec: taken by key until none is left.

use std::ops::Range;

use super::{Fault, Value};

/// What stands between a kind's colon and its parenthesis.
#[derive(Debug)]
pub(in crate::bdev::modules) struct Args<'t> {
    pub(super) list: Vec<Arg<'t>>,
    /// The kind's own word: where arguments are missed.
    pub(super) kind_at: Range<usize>,
}

/// `key=value`, or a bare value.
#[derive(Debug)]
pub(super) struct Arg<'t> {
    pub(super) key: Option<&'t str>,
    pub(super) value: Value<'t>,
    pub(super) at: Range<usize>,
}

impl<'t> Args<'t> {
    /// Takes the value that stands without a key.
    pub(in crate::bdev::modules) fn bare(&mut self) -> Option<Value<'t>> {
        self.take(|arg| arg.key.is_none()).map(|arg| arg.value)
    }

    /// Takes the value of `key`.
    pub(in crate::bdev::modules) fn get(&mut self, key: &str) -> Option<Value<'t>> {
        self.take(|arg| arg.key == Some(key)).map(|arg| arg.value)
    }

    /// An argument is missing.
    pub(in crate::bdev::modules) fn missing(&self, reason: impl Into<String>) -> Fault {
        Fault::new(self.kind_at.clone(), reason)
    }

    fn take(&mut self, is_it: impl Fn(&Arg<'t>) -> bool) -> Option<Arg<'t>> {
        let index = self.list.iter().position(is_it)?;
        Some(self.list.remove(index))
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self, form: &str) -> Result<(), Fault> {
        let Some(left) = self.list.into_iter().next() else { return Ok(()) };
        let what = match left.key {
            Some(key) => format!("{key:?} has no place here, or stands twice"),
            None => format!("{:?} has no place here", left.value.text()),
        };
        Err(Fault::new(left.at, format!("{what}: write {form}")))
    }
}
