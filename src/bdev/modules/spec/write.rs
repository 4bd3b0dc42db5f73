//! Specs of devices that are there: the way back from `parse`.

use std::borrow::Cow;
use std::time::Duration;

use super::kind::Kind;
use crate::bdev::{Descriptor, registry};

impl Descriptor {
    /// How the device stands in the spec of one above it: by its name if it is registered, or by a spec of its own. None if it has
    /// neither. For [`Bdev::spec`](crate::bdev::Bdev::spec).
    #[must_use]
    pub fn spec_as_base(&self) -> Option<String> {
        if registry::is_registered(self.device()) {
            return Some(quoted(self.name()).into_owned());
        }
        self.device().bdev.spec()
    }
}

/// `head(BASE,BASE)`.
pub(in crate::bdev::modules) fn spec_over<'d>(
    head: impl Into<String>,
    bases: impl IntoIterator<Item = &'d Descriptor>,
) -> Option<String> {
    let bases: Vec<_> = bases.into_iter().map(Descriptor::spec_as_base).collect::<Option<_>>()?;
    Some(format!("{}({})", head.into(), bases.join(",")))
}

/// `text` such that it is read as one word, wherever a name, a path or a value may stand.
pub(in crate::bdev::modules) fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) && Kind::find(text).is_none() {
        return text.into();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")).into()
}

/// Bytes as a spec has them, the shortest way.
pub(in crate::bdev::modules) fn size(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let unit = units.iter().find(|(shift, _)| bytes != 0 && bytes.trailing_zeros() >= *shift);
    unit.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// A time as a spec has it, to the nanosecond.
pub(in crate::bdev::modules) fn time(time: Duration) -> String {
    let ns = time.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let unit = units.iter().find(|(unit_ns, _)| ns != 0 && ns % unit_ns == 0);
    unit.map_or_else(|| format!("{ns}ns"), |(unit_ns, unit)| format!("{}{unit}", ns / unit_ns))
}
