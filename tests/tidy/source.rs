//! The project's files as the rules see them: text, code without comments and strings, and paths.

use std::fs;
use std::path::{Path, PathBuf};

/// Not ours, or not yet: build output and scratch.
const SKIPPED: [&str; 3] = ["target", ".git", "wip"];

/// One text file of the project.
pub struct Source {
    /// From the project's root, with `/`.
    pub path: String,
    pub text: String,
    /// As long as `text`, with spaces for what is in comments, strings and characters. Only for `.rs` files.
    pub code: String,
}

impl Source {
    /// A file that is not on disk, for testing the rules themselves.
    pub fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { code_of(text) } else { String::new() };
        Self { path: path.into(), text: text.into(), code }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// `path:line` of the byte at `offset`.
    pub fn place(&self, offset: usize) -> String {
        format!(
            "{}:{}",
            self.path,
            self.text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count() + 1
        )
    }

    /// Where `word` stands in the code as a word of its own.
    pub fn words(&self, word: &str) -> impl Iterator<Item = usize> {
        let edge = |byte: Option<&u8>| byte.is_none_or(|&byte| !is_word(byte));
        let bytes = self.code.as_bytes();
        self.code
            .match_indices(word)
            .map(|(at, _)| at)
            .filter(move |&at| (at == 0 || edge(bytes.get(at - 1))) && edge(bytes.get(at + word.len())))
    }
}

/// Every text file of the project, in order of path.
pub fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path: PathBuf = entry.expect("a readable entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
            if SKIPPED.contains(&name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path =
                    path.strip_prefix(root).expect("below the root").to_str().expect("a path in UTF-8");
                sources.push(Source::new(path, &text));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// `text` with spaces in place of comments, strings and characters, byte for byte, lines kept.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    while let Some(rest) = bytes.get(code.len()..).filter(|rest| !rest.is_empty()) {
        match hidden(rest, code.last().is_some_and(|&byte| is_word(byte))) {
            0 => code.push(rest[0]),
            length => {
                code.extend(rest[..length].iter().map(|&byte| if byte == b'\n' { b'\n' } else { b' ' }))
            }
        }
    }
    String::from_utf8(code).expect("what is not ASCII is hidden or copied whole")
}

/// The length of the comment, string or character that `rest` begins with, 0 if it begins with code.
fn hidden(rest: &[u8], after_word: bool) -> usize {
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => quoted(rest, b'"'),
        [b'r', b'"' | b'#', ..] if !after_word => raw_string(rest),
        // A character, not a lifetime: an escape, or closed after one character.
        [b'\'', b'\\', ..] => quoted(rest, b'\''),
        [b'\'', first, ..] => {
            let width = match first {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            if rest.get(1 + width) == Some(&b'\'') { 2 + width } else { 0 }
        }
        _ => 0,
    }
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0; // A raw identifier.
    }
    let end = [&b"\""[..], &vec![b'#'; hashes]].concat();
    let body = &rest[2 + hashes..];
    body.windows(end.len())
        .position(|window| window == end)
        .map_or(rest.len(), |at| 2 + hashes + at + end.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}
