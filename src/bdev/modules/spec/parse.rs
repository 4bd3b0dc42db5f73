//! The grammar of specs: text into a tree, without a look at any device.
//!
//! ```text
//! spec  = kind [":" args] ["(" spec {"," spec} ")"]
//!       | name                      a device that somebody registered, in quotes if need be
//! args  = arg {"," key "=" value}   what follows a comma is an argument if it begins with a key, and the next spec if not
//! arg   = key "=" value | value
//! ```
//!
//! A `file` or `poll` has a path in place of arguments. By itself it takes all that follows; in a stack it ends at the first `)` or
//! `,`. In quotes it may hold anything, `\"` and `\\` included.

use std::borrow::Cow;
use std::ops::Range;

use super::args::Arg;
use super::kind::{Bases, KINDS, Kind};
use super::{Args, Fault, Value};

/// Stacks higher than this are a mistake.
const DEPTH_MAX: usize = 32;

/// One device of a spec.
#[derive(Debug)]
pub(super) enum Item<'t> {
    /// Registered by somebody.
    Name(Cow<'t, str>),
    /// To be made.
    Made { kind: &'static Kind, args: Args<'t>, args_text: &'t str, bases: Vec<Item<'t>> },
}

/// The tree that `text` describes; none if it does not begin like a spec.
pub(super) fn parse(text: &str) -> Result<Option<Item<'_>>, Fault> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let head = parser.head();
    let is_call = parser.peek() == Some('(');
    parser.at = 0;
    if Kind::find(head).is_none() && (head.is_empty() || !is_call) {
        return Ok(None);
    }
    let item = parser.item()?;
    match parser.peek() {
        None => Ok(Some(item)),
        Some(_) => Err(Fault::new(parser.at..text.len(), "nothing may follow here")),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.at += wanted.len_utf8();
        }
        is_there
    }

    /// All up to the first of `ends`.
    fn until(&mut self, ends: &[char]) -> &'t str {
        let rest = self.rest();
        let text = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += text.len();
        text
    }

    fn head(&mut self) -> &'t str {
        self.until(&[':', '(', ')', ',', '"'])
    }

    fn item(&mut self) -> Result<Item<'t>, Fault> {
        if self.peek() == Some('"') {
            return Ok(Item::Name(self.quoted()?));
        }
        let start = self.at;
        let head = self.head();
        let at = start..self.at;
        let Some(kind) = Kind::find(head) else { return self.name(head, at) };
        let args_at = self.at;
        let mut args = Args { list: Vec::new(), kind_at: at.clone() };
        if self.eat(':') {
            if kind.takes_path {
                args.list.push(self.path()?);
            } else {
                self.args(&mut args.list)?;
            }
        }
        let args_text = &self.text[args_at..self.at];
        let bases = self.bases(kind, at)?;
        Ok(Item::Made { kind, args, args_text, bases })
    }

    /// What begins with `head`, which is no kind.
    fn name(&mut self, head: &'t str, at: Range<usize>) -> Result<Item<'t>, Fault> {
        if self.peek() == Some('(') {
            let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
            return Err(Fault::new(
                at,
                format!("{head:?} is no kind of block device: there are {}", names.join(", ")),
            ));
        }
        self.until(&['(', ')', ',', '"']);
        let name = &self.text[at.start..self.at];
        if name.is_empty() {
            return Err(Fault::new(at, "a block device is missing: write one such as ram:64M"));
        }
        Ok(Item::Name(name.into()))
    }

    fn args(&mut self, list: &mut Vec<Arg<'t>>) -> Result<(), Fault> {
        loop {
            let start = self.at;
            let key = self.key();
            let from = self.at;
            let text = match self.peek() {
                Some('"') => self.quoted()?,
                _ => self.until(&[',', '(', ')', '"']).into(),
            };
            list.push(Arg { key, value: Value { text, at: from..self.at }, at: start..self.at });
            // By itself, a comma can only lead to another argument, be it a wrong one.
            let goes_on = self.depth == 0 || self.key_after_comma();
            if !goes_on || !self.eat(',') {
                return Ok(());
            }
        }
    }

    /// Eats `key=`, if that is what comes.
    fn key(&mut self) -> Option<&'t str> {
        let rest = self.rest();
        let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let is_key = len > 0 && rest[len..].starts_with('=');
        is_key.then(|| {
            self.at += len + 1;
            &rest[..len]
        })
    }

    fn key_after_comma(&self) -> bool {
        let mut ahead = Parser { at: self.at, ..*self };
        ahead.eat(',') && ahead.key().is_some()
    }

    fn path(&mut self) -> Result<Arg<'t>, Fault> {
        let start = self.at;
        let text = match self.peek() {
            Some('"') => self.quoted()?,
            _ if self.depth == 0 => self.until(&[]).into(),
            _ => self.until(&[',', ')']).into(),
        };
        let at = start..self.at;
        Ok(Arg { key: None, value: Value { text, at: at.clone() }, at })
    }

    /// What stands in quotes.
    fn quoted(&mut self) -> Result<Cow<'t, str>, Fault> {
        let start = self.at;
        let Some((text, len)) = unquote(self.rest()) else {
            return Err(Fault::new(start..self.text.len(), "the quote is not closed"));
        };
        self.at += len;
        Ok(text.into())
    }

    /// The devices in parentheses that `kind`, which stands at `at`, is to stand on.
    fn bases(&mut self, kind: &Kind, at: Range<usize>) -> Result<Vec<Item<'t>>, Fault> {
        let open = self.at;
        let mut bases = Vec::new();
        let mut second = None;
        if self.eat('(') {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(Fault::new(
                    at,
                    format!("more than {DEPTH_MAX} devices on each other are a mistake"),
                ));
            }
            loop {
                let start = self.at;
                bases.push(self.item()?);
                if bases.len() == 2 {
                    second = Some(start..self.at);
                }
                if !self.eat(',') {
                    break;
                }
            }
            if !self.eat(')') {
                let reason = match self.peek() {
                    None => {
                        format!("a parenthesis is not closed: write ) behind the devices of {}", kind.name)
                    }
                    Some(_) => "a comma or a closing parenthesis is missing here".to_owned(),
                };
                return Err(Fault::new(self.at..self.text.len(), reason));
            }
            self.depth -= 1;
        }
        match (kind.bases, bases.len(), second) {
            (Bases::None, 1.., _) => Err(Fault::new(
                open..self.at,
                format!("{} stands on no other device: write {}", kind.name, kind.form),
            )),
            (Bases::One | Bases::Many, 0, _) => {
                Err(Fault::new(at, format!("{} stands on other devices: write {}", kind.name, kind.form)))
            }
            (Bases::One, _, Some(second)) => {
                Err(Fault::new(second, format!("{} stands on one device: write {}", kind.name, kind.form)))
            }
            _ => Ok(bases),
        }
    }
}

/// What stands between the quotes that `text` begins with, and how many bytes that takes with them; none if they are not closed.
pub(super) fn unquote(text: &str) -> Option<(String, usize)> {
    let mut inside = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((inside, at + 1)),
            '\\' => inside.extend(chars.next().map(|(_, c)| c)),
            c => inside.push(c),
        }
    }
    None
}
