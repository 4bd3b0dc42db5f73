//! No operation without a kind: the functions that the sources have are held against the kinds, and against the table of those that
//! need none.

use super::kinds::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where operations are made: folders and files below `src/`.
const PLACES: &[&str] = &["bdev/channel", "fs", "io", "net", "signal", "uring"];

/// One more where there are controllers of software.
#[cfg(all(feature = "nvme", feature = "testing"))]
const NVME: &[&str] = &["nvme/channel"];
#[cfg(not(all(feature = "nvme", feature = "testing")))]
const NVME: &[&str] = &[];

/// Files whose functions are all looked at, as they belong to public traits; elsewhere only `pub` ones and those of polled traits.
const TRAITS: &[&str] = &["io/read", "io/write", "uring/link"];

/// What needs no kind: file, functions, reason. With `*` for all functions of a file that make no future or stream.
const NONE: &[(&str, &str, &str)] = &[
    ("bdev/channel/data", "alloc", "takes memory, does no I/O"),
    ("bdev/channel/data", "*", "answers from what is known"),
    ("bdev/channel/lend", "*", "answers from what is known"),
    ("bdev/channel/mod", "submit", "what the others are made of"),
    ("bdev/channel/mod", "*", "answers from what is known"),
    (
        "bdev/channel/metadata",
        "read_with_metadata write_with_metadata",
        "no file has it; bdev/op_tests gives them up",
    ),
    ("bdev/channel/passthrough", "nvme_admin nvme_io", "no file takes them; bdev/op_tests gives them up"),
    ("bdev/channel/zones", "zones zone_append zone_manage", "no file has them; bdev/op_tests gives them up"),
    ("fs/alignment", "*", "compares numbers"),
    ("fs/file", "*", "one call that does not wait"),
    ("fs/metadata", "*", "answers from what was asked before"),
    ("fs/options", "*", "takes note"),
    ("fs/read_dir", "*", "answers from what was read"),
    ("io/adapter", "*", "moves bytes in memory"),
    ("io/futures_io", "poll_write_vectored", "as poll_write, the bytes being copied alike"),
    ("io/hyper/executor", "*", "starts tasks"),
    ("io/hyper/stream", "*", "the adapter's functions that io/futures_io calls as well"),
    ("io/hyper/timer", "*", "time, no I/O"),
    ("io/tokio_io", "*", "the adapter's functions that io/futures_io calls as well"),
    (
        "io/write",
        "flush shutdown",
        "ready at once on sockets; io/futures_io poll_flush and poll_close use them",
    ),
    ("net/incoming", "poll_accept", "private: what poll_next does for each kind of socket"),
    ("net/options", "*", "takes note"),
    ("net/split", "*", "gives away no operation"),
    ("net/stream", "*", "one call that does not wait"),
    ("net/tcp", "*", "one call that does not wait"),
    ("net/udp", "*", "one call that does not wait"),
    ("net/unix/address", "*", "a value"),
    ("net/unix/datagram", "*", "one call that does not wait"),
    ("net/unix/seqpacket", "*", "one call that does not wait"),
    ("net/unix/stream", "*", "one call that does not wait"),
    ("nvme/channel/mod", "*", "answers from what is known"),
    ("nvme/channel/options", "*", "takes note"),
    (
        "nvme/channel/zones",
        "zone_extend",
        "no zone of the software's has an extension; what else it is made of is zone_manage",
    ),
    ("signal/mod", "*", "one call that does not wait"),
    ("uring/fd", "*", "one call that does not wait"),
    ("uring/features", "*", "a value"),
    ("uring/link", "*", "what a chain asks of its parts"),
    ("uring/ops/recv", "poll_first", "private: a step of recv_stream"),
    ("uring/probe", "*", "answers from what was asked before"),
    ("uring/provided", "*", "memory; what is received into it is uring/ops/recv recv_stream"),
    ("uring/ring", "*", "one call that does not wait"),
    ("uring/slice", "*", "a part of a buffer"),
    ("uring/stream", "poll_next", "each stream of uring/ops"),
];

/// Fails if a function has no kind and no reason, or a kind or a reason no function.
pub fn check(kinds: &[Kind]) {
    let functions = functions();
    let kinds: BTreeSet<&str> =
        kinds.iter().map(|kind| kind.name.split(',').next().expect("the first part")).collect();
    let is_excused = |file: &str, name: &str, waits: bool| {
        NONE.iter().any(|&(place, names, _)| {
            place == file && (names.split(' ').any(|excused| excused == name) || names == "*" && !waits)
        })
    };
    let missing: Vec<String> = functions
        .iter()
        .filter(|&((file, name), &waits)| {
            !kinds.contains(&*format!("{file} {name}")) && !is_excused(file, name, waits)
        })
        .map(|((file, name), _)| format!("src/{file}.rs: {name}"))
        .collect();
    assert!(
        missing.is_empty(),
        "add a kind to tests/io_drops/kinds, or a reason to {}, for\n  {}",
        file!(),
        missing.join("\n  ")
    );
    let has = |file: &str, name: &str| functions.contains_key(&(file.to_owned(), name.to_owned()));
    for kind in kinds {
        let (file, name) = kind.split_once(' ').expect("file and function");
        assert!(has(file, name), "the kind `{kind}` is of no function");
    }
    for (file, names, _) in
        NONE.iter().filter(|(file, names, _)| *names != "*" && !(NVME.is_empty() && file.starts_with("nvme")))
    {
        assert!(
            names.split(' ').all(|name| has(file, name)),
            "{file}: the reason for `{names}` is of no function"
        );
    }
}

/// Each function by its file and name, and whether it says that it makes a future or a stream.
fn functions() -> BTreeMap<(String, String), bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut paths: Vec<PathBuf> = PLACES.iter().chain(NVME).map(|place| root.join(place)).collect();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            paths.extend(entries.filter(|path| !path.ends_with("tests") && !path.ends_with("tests.rs")));
            continue;
        }
        let file = path.strip_prefix(&root).unwrap().with_extension("");
        let file = file.to_str().expect("a path in UTF-8");
        let text = fs::read_to_string(&path).unwrap();
        // What the unit tests of a file define stands at its end.
        let code = text.split("#[cfg(all(test").next().expect("the first part");
        for (at, line) in
            code.lines().scan(0, |at, line| Some((std::mem::replace(at, *at + line.len() + 1), line)))
        {
            let Some(name) = name(line, TRAITS.contains(&file)) else { continue };
            let signature = code[at..].split(['{', ';']).next().expect("the first part");
            let waits = ["async fn", "Future<", "Link<", "Stream", "Incoming", "Answers"];
            let waits = waits.iter().any(|word| signature.contains(word));
            *found.entry((file.to_owned(), name.to_owned())).or_default() |= waits;
        }
    }
    found
}

/// The name of the function that the line begins, if it is to be looked at.
fn name(line: &str, of_trait: bool) -> Option<&str> {
    let (public, rest) = match line.trim_start().strip_prefix("pub ") {
        Some(rest) => (true, rest),
        None => (false, line.trim_start()),
    };
    let rest = rest.trim_start_matches("const ").trim_start_matches("unsafe ").trim_start_matches("async ");
    let name = rest.strip_prefix("fn ")?.split(['(', '<']).next()?;
    (public || of_trait || name.starts_with("poll_")).then_some(name)
}
