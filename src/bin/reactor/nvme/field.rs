//! What a report is made of: fields, each with what the controller says, and what that means.
//!
//! People read sections of aligned lines, programs one JSON object with a key for each field. Whatever a controller says, it is shown: what
//! makes no sense stays a number.

use crate::report::thousands;
use reactor::nvme::spec::Bits;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt::Write;

/// Columns that a report for people has, where its words allow.
const WIDTH: usize = 120;

/// What programs read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Yes(bool),
    Number(u128),
    Signed(i64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// One line of a section, and one key of an object; more with what follows from it.
#[derive(Clone, Debug)]
pub(super) struct Field {
    key: &'static str,
    name: &'static str,
    value: Value,
    text: String,
    derived: Vec<(String, Value)>,
}

/// Fields under a title, and behind them a table, or neither.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) fields: Vec<Field>,
    pub(super) table: Option<String>,
}

/// A number as it is.
pub(super) fn number(key: &'static str, name: &'static str, number: impl Into<u128>) -> Field {
    let number = number.into();
    Field::new(key, name, Value::Number(number), thousands(&number.to_string()))
}

/// A number of so many digits to the base of 16.
pub(super) fn hex(key: &'static str, name: &'static str, number: impl Into<u128>, digits: usize) -> Field {
    let number = number.into();
    Field::new(key, name, Value::Number(number), format!("0x{number:0digits$x}"))
}

/// Words; none where there are no words.
pub(super) fn text(key: &'static str, name: &'static str, text: String) -> Field {
    match text.is_empty() {
        true => Field::new(key, name, Value::None, "-".into()),
        false => Field::new(key, name, Value::Text(text.clone()), text),
    }
}

/// A word of bits: the number, the names of its flags under `KEY_flags`, and what they say.
pub(super) fn flags(key: &'static str, name: &'static str, word: impl Bits) -> Field {
    let about = word.flags().map(|flag| flag.about.trim_end_matches('.').to_owned());
    let unknown = (0..u64::BITS).filter(|bit| word.unknown() >> bit & 1 == 1);
    let said: Vec<_> = about.chain(unknown.map(|bit| format!("bit {bit}, which has no name"))).collect();
    let names = word.flags().map(|flag| Value::Text(flag.name.into())).collect();
    let mut field = hex(key, name, word.number(), 0).and("flags", Value::List(names));
    if !said.is_empty() {
        _ = write!(field.text, ": {}", said.join("; "));
    }
    field
}

impl Field {
    pub(super) fn new(key: &'static str, name: &'static str, value: Value, text: String) -> Self {
        Self { key, name, value, text, derived: Vec::new() }
    }

    /// What the number means to people.
    pub(super) fn meaning(mut self, words: impl AsRef<str>) -> Self {
        if !words.as_ref().is_empty() {
            _ = write!(self.text, " ({})", words.as_ref());
        }
        self
    }

    /// People read this instead of the number.
    pub(super) fn shown(self, text: String) -> Self {
        Self { text, ..self }
    }

    /// What follows from it, under `KEY_suffix`.
    pub(super) fn and(mut self, suffix: &str, value: impl Into<Value>) -> Self {
        self.derived.push((format!("{}_{suffix}", self.key), value.into()));
        self
    }
}

impl Section {
    pub(super) fn new(title: impl Into<String>, fields: impl Into<Vec<Field>>) -> Self {
        Self { title: title.into(), fields: fields.into(), table: None }
    }
}

/// One object of all fields.
pub(super) fn object<'f>(fields: impl IntoIterator<Item = &'f Field>) -> Vec<(String, Value)> {
    let mut members = Vec::new();
    for field in fields {
        members.push((field.key.to_owned(), field.value.clone()));
        members.extend(field.derived.iter().cloned());
    }
    members
}

/// The sections for people, their columns aligned.
pub(super) fn sections(sections: &[Section]) -> String {
    let fields = || sections.iter().flat_map(|section| &section.fields);
    let widest = |of: fn(&Field) -> &str| fields().map(|field| of(field).chars().count()).max().unwrap_or(0);
    let (keys, names) = (widest(|field| field.key), widest(|field| field.name));
    let mut parts = Vec::new();
    for Section { title, fields, table } in sections {
        let mut part = title.clone();
        for Field { key, name, text, .. } in fields {
            let indent = keys + names + 6;
            let text = wrapped(text, WIDTH.saturating_sub(indent).max(24), indent);
            _ = write!(part, "\n  {key:keys$}  {name:names$}  {text}");
        }
        for line in table.iter().flat_map(|table| table.lines()) {
            _ = write!(part, "\n  {line}");
        }
        parts.push(part);
    }
    parts.join("\n\n")
}

/// `text` in lines of at most `width`, all but the first behind `indent` spaces.
fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let (mut lines, mut room) = (String::new(), width);
    for word in text.split(' ') {
        let len = word.chars().count();
        if !lines.is_empty() && len + 1 > room {
            _ = write!(lines, "\n{:indent$}", "");
            room = width;
        } else if !lines.is_empty() {
            lines.push(' ');
            room -= 1;
        }
        lines += word;
        room = room.saturating_sub(len);
    }
    lines
}

/// Bytes in the unit that reads best.
pub(super) fn size(bytes: u128) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let of = |at: usize| (10 * (at + 1), units[at]);
    match (0..units.len()).rev().map(of).find(|(shift, _)| bytes >> shift > 0) {
        None => format!("{bytes} bytes"),
        Some((shift, unit)) if bytes.trailing_zeros() >= shift as u32 => {
            format!("{} {unit}", thousands(&(bytes >> shift).to_string()))
        }
        Some((shift, unit)) => format!("{:.2} {unit}", bytes as f64 / (1_u128 << shift) as f64),
    }
}

/// `count` of what is called so when there is one.
pub(super) fn counted(count: impl Into<u128>, one: &str) -> String {
    match count.into() {
        1 => format!("1 {one}"),
        count => format!("{} {one}s", thousands(&count.to_string())),
    }
}

/// Bytes as digits, first byte first.
pub(super) fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Degrees Celsius of what specifications tell in kelvin; 0 is not told.
pub(super) fn celsius(kelvin: u16) -> Option<i64> {
    (kelvin != 0).then(|| i64::from(kelvin) - 273)
}

impl From<u128> for Value {
    fn from(number: u128) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Signed(number)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Yes(yes)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => to.serialize_none(),
            Self::Yes(yes) => to.serialize_bool(*yes),
            Self::Number(number) => to.serialize_u128(*number),
            Self::Signed(number) => to.serialize_i64(*number),
            Self::Text(text) => to.serialize_str(text),
            Self::List(list) => to.collect_seq(list),
            Self::Object(members) => {
                let mut map = to.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}
