//! The structure that the compiler does not check: layers, headers, where `unsafe` stands, no orphans, nothing undone.
//!
//! Each rule is a test that lists what breaks it as `file:line`; what a rule allows is a table at the top. The rules are
//! explained in CONTRIBUTING.md, the layers in ARCHITECTURE.md.

#[path = "tidy/source.rs"]
mod source;

use source::{Source, is_word};
use std::collections::{HashMap, HashSet};

/// The rooms of the library and the floor each stands on. Code names rooms on its own floor or below.
const FLOORS: &[(&str, usize)] = &[
    ("sys", 0),
    ("inbox", 1),
    ("task", 2),
    ("error", 7),
    ("inflight", 3),
    ("metrics", 3),
    ("reactor", 3),
    ("sync", 3),
    ("thread", 3),
    ("unblock", 4),
    ("time", 3),
    ("nvme", 4),
    ("uring", 4),
    ("bdev", 5),
    ("fs", 5),
    ("io", 5),
    ("signal", 5),
    ("bdev::modules", 6),
    ("net", 6),
    ("target", 6),
    ("app", 7),
    ("rpc", 7),
];

/// Where `unsafe` may stand, a file or a folder, and what for.
const UNSAFE: &[(&str, &str)] = &[
    ("benches/harness/memory.rs", "an allocator that counts"),
    ("benches/net.rs", "a ring written by hand, to hold ours against"),
    ("benches/peers/src/bin/limits.rs", "the time stamp counter is read by an instruction"),
    ("benches/peers/src/bin/glommio.rs", "a listener is adopted by its descriptor"),
    ("benches/peers/src/echo/client.rs", "entries with pointers that the kernel follows"),
    ("benches/peers/src/bin/limits/", "entries with pointers that the kernel follows"),
    ("benches/peers/src/memory.rs", "an allocator that counts"),
    ("benches/uring.rs", "a ring written by hand, to hold ours against"),
    ("benches/uring/kernel.rs", "rings written by hand"),
    ("src/app/signal.rs", "a signal handler, which must be async-signal-safe"),
    ("src/bdev/modules/uring/discard.rs", "an ioctl that points to a range"),
    ("src/bdev/modules/ram/store.rs", "memory that all cores copy to and from"),
    ("src/bdev/slots.rs", "futures of erased types in reused slots"),
    ("src/inbox/event.rs", "closures stored inline, their type erased"),
    ("src/inbox/ring.rs", "slots claimed by sequence number"),
    ("src/inflight/parcel.rs", "values of an erased type in inline bytes"),
    ("src/nvme/passthru/entry.rs", "commands with pointers that the kernel follows"),
    ("src/nvme/passthru/kernel.rs", "ioctls that point to commands"),
    ("src/nvme/pcie/bar.rs", "registers of a device, mapped"),
    ("src/nvme/pcie/ioctl.rs", "operations of vfio that point to structures"),
    ("src/nvme/pcie/iommufd.rs", "operations of iommufd that point to structures"),
    ("src/nvme/soft/memory.rs", "a device in software, which reads and writes where commands point"),
    ("src/reactor/context.rs", "the current core behind a thread-local pointer"),
    ("src/reactor/critical.rs", "a function pointer that went through an atomic one"),
    ("src/reactor/outbox.rs", "events point to counters that the runtime keeps"),
    ("src/sync/mpsc/", "queue slots claimed and published by position"),
    ("src/sync/oneshot/cell.rs", "both sides share one allocation that the last of them frees"),
    ("src/sync/spsc/ring.rs", "slots handed from side to side by position"),
    ("src/sys/dma/", "mapped memory, and slices of it that devices write"),
    ("src/sys/hostile.rs", "a waker that says when it is cloned"),
    ("src/sys/waker_slot.rs", "a waker in a cell that a state word guards"),
    ("src/task/", "one allocation per task, reached by counted pointers"),
    ("src/time/tsc.rs", "the time stamp counter is read by an instruction"),
    ("src/uring/", "entries with pointers that the kernel follows"),
    ("tests/app_process.rs", "a filter of system calls, as a sandbox has it"),
    ("tests/io_drops/buffers.rs", "maps and protects the memory of buffers"),
    ("tests/rules.rs", "a signal handler, for the rule about them"),
    ("tests/task_memory.rs", "an allocator that counts"),
];

/// Where the thread may sleep, and why that is no test that waits.
const SLEEPS: &[(&str, &str)] = &[
    ("src/nvme/pcie/device.rs", "opening blocks, and a controller tells nobody that it is disabled"),
    ("src/time/tsc.rs", "two readings some time apart give the counter its rate"),
];

/// Programs that trybuild compiles one by one: no module names them, and what they do wrong is the point.
const PROGRAMS: &[&str] = &["tests/macros/", "tests/rules/"];

const LINES_MAX: usize = 400;
const LONG: &str = "//! Over 400 lines because ";

/// Machine paths and places outside of the project. Written in two halves, so as not to find themselves.
const FOREIGN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/tm", "p/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("sha", "red/"),
];

/// Notes to come back. Written in two halves likewise.
const UNDONE: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

#[test]
fn imports_point_down() {
    report("a room may only name rooms on its own floor or below", upward(&source::all()));
}

#[test]
fn every_file_says_what_stands_in_it() {
    let bare = rust(&source::all())
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.place(0))
        .collect();
    report("a file opens with `//!` and one sentence that says what stands in it", bare);
}

#[test]
fn unsafe_stays_in_the_listed_modules() {
    let found = rust(&source::all())
        .filter(|file| !UNSAFE.iter().any(|(place, _)| file.path.starts_with(place)))
        .filter_map(|file| file.words("unsafe").next().map(|at| file.place(at)))
        .collect();
    report(
        "`unsafe` stands in the modules listed in tests/tidy.rs: find a safe way, or add a line with a reason",
        found,
    );
}

#[test]
fn long_files_say_why() {
    let long = rust(&source::all())
        .filter(|file| file.text.lines().count() > LINES_MAX)
        .filter(|file| {
            !file.text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.starts_with(LONG))
        })
        .map(|file| format!("{}: {} lines", file.path, file.text.lines().count()))
        .collect();
    report(
        &format!("over {LINES_MAX} lines: look for the second concept, or say why in the header: `{LONG}…`"),
        long,
    );
}

#[test]
fn no_file_is_an_orphan() {
    report("no `mod` leads here from a crate's root", orphans(&source::all()));
}

#[test]
fn nothing_is_left_undone() {
    let mut found = Vec::new();
    for file in &source::all() {
        let notes = UNDONE.iter().flat_map(|word| file.text.match_indices(word).map(|(at, _)| at));
        let holes = ["todo!", "unimplemented!"]
            .into_iter()
            .flat_map(|word| file.code.match_indices(word).map(|(at, _)| at));
        found.extend(notes.chain(holes).map(|at| file.place(at)));
    }
    report("do it, or leave it out", found);
}

#[test]
fn no_test_waits_by_sleeping() {
    let mut found = Vec::new();
    for file in
        rust(&source::all()).filter(|file| !SLEEPS.iter().any(|(place, _)| file.path.starts_with(place)))
    {
        let tested = file.path.starts_with("src/") || file.path.starts_with("tests/");
        let calls =
            ["thread::sleep", "thread::{sleep"].into_iter().flat_map(|call| file.code.match_indices(call));
        found.extend(calls.filter(|_| tested).map(|(at, _)| file.place(at)));
    }
    report("step the turn or the virtual clock, wait for an event: a sleep is too long and too short", found);
}

#[test]
fn the_project_knows_no_machine() {
    let mut found = Vec::new();
    for file in &source::all() {
        for word in FOREIGN {
            found.extend(file.text.match_indices(word).map(|(at, _)| format!("{}: {word}", file.place(at))));
        }
    }
    report("paths of one machine: take std::env::temp_dir, mktemp or an argument", found);
}

fn report(rule: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{rule}:\n  {}\n", found.join("\n  "));
}

/// The `.rs` files, without the programs that are meant to be wrong.
fn rust(files: &[Source]) -> impl Iterator<Item = &Source> {
    files.iter().filter(|file| file.is_rust() && !PROGRAMS.iter().any(|place| file.path.starts_with(place)))
}

/// Places where a room names a room on a floor above it, or one that has no floor.
fn upward(files: &[Source]) -> Vec<String> {
    let doors = files.iter().find(|file| file.path == "src/lib.rs").map(re_exports).unwrap_or_default();
    let floor = |room: &str| FLOORS.iter().find(|(name, _)| *name == room).map(|&(_, floor)| floor);
    let mut found = Vec::new();
    for file in rust(files) {
        let Some(path) = file.path.strip_prefix("src/") else { continue };
        let inside = |room: &str| path.starts_with(&format!("{}/", room.replace("::", "/")));
        let own = path.split(['/', '.']).next().unwrap_or_default();
        // The library's door and the programs name what they like.
        if own == "lib" || own == "bin" {
            continue;
        }
        let own = if inside("bdev::modules") { "bdev::modules" } else { own };
        let Some(own_floor) = floor(own) else {
            found.push(format!("{}: room `{own}` has no floor yet, add it to tests/tidy.rs", file.path));
            continue;
        };
        for (at, name) in crate_paths(file) {
            let room = doors.get(&name).cloned().unwrap_or(name);
            match floor(&room) {
                Some(above) if above > own_floor => {
                    found.push(format!("{}: {own} names {room}", file.place(at)))
                }
                Some(_) => {}
                None => found
                    .push(format!("{}: `{room}` has no floor yet, add it to tests/tidy.rs", file.place(at))),
            }
        }
    }
    found
}

/// What follows `crate::` in the code, each branch of a group on its own, with its offset.
fn crate_paths(file: &Source) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for start in file.words("crate") {
        let Some(rest) = file.code[start..].strip_prefix("crate::") else { continue };
        match rest.strip_prefix('{') {
            Some(group) => paths.extend(branches(group).into_iter().map(|branch| (start, room_of(branch)))),
            None => paths.push((start, room_of(rest))),
        }
    }
    paths
}

/// The branches of a `use` group up to its closing brace, commas of inner groups left alone.
fn branches(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut branches) = (0, 0, Vec::new());
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b'}' | b',' if depth == 0 => {
                branches.push(group[from..at].trim());
                from = at + 1;
                if byte == b'}' {
                    break;
                }
            }
            _ => {}
        }
    }
    branches.retain(|branch| !branch.is_empty());
    branches
}

/// The first name of a path, or its first two where these are a room of their own.
fn room_of(path: &str) -> String {
    let mut names =
        path.split("::").map(|name| name.bytes().take_while(|&byte| is_word(byte)).map(char::from).collect());
    let first: String = names.next().unwrap_or_default();
    let two = format!("{first}::{}", names.next().unwrap_or_default() as String);
    if FLOORS.iter().any(|(room, _)| *room == two) { two } else { first }
}

/// Which room each name comes from that `src/lib.rs` lets out of the door.
fn re_exports(lib: &Source) -> HashMap<String, String> {
    let mut doors = HashMap::new();
    for at in lib.words("use") {
        let statement = lib.code[at + 3..].split(';').next().unwrap_or_default().trim();
        let statement = statement.trim_start_matches("self::").trim_start_matches("crate::");
        let Some((room, names)) = statement.split_once("::") else { continue };
        let names = names.split(|mark: char| !mark.is_ascii_alphanumeric() && mark != '_');
        doors.extend(names.filter(|name| !name.is_empty()).map(|name| (name.to_string(), room.to_string())));
    }
    // Names of another crate's, such as the macros, are no rooms.
    doors.retain(|_, room| FLOORS.iter().any(|(name, _)| name == room));
    doors
}

/// Files that no `mod` reaches from the root of a crate.
fn orphans(files: &[Source]) -> Vec<String> {
    let manifests: Vec<&Source> = files.iter().filter(|file| file.path.ends_with("Cargo.toml")).collect();
    let by_path: HashMap<&str, &Source> = rust(files).map(|file| (file.path.as_str(), file)).collect();
    let is_root = |path: &str| is_root(path, &manifests);
    let mut queue: Vec<String> =
        by_path.keys().filter(|path| is_root(path)).map(|path| path.to_string()).collect();
    let mut reached = HashSet::new();
    while let Some(path) = queue.pop() {
        let Some(file) = by_path.get(path.as_str()) else { continue };
        if reached.insert(path) {
            queue.extend(modules(file, is_root(&file.path)));
        }
    }
    let mut orphans: Vec<String> =
        by_path.into_keys().filter(|path| !reached.contains(*path)).map(String::from).collect();
    orphans.sort();
    orphans
}

/// Whether cargo builds this file as a crate of its own: by its place in its package, or because the manifest says so.
fn is_root(path: &str, manifests: &[&Source]) -> bool {
    let inside = |manifest: &&&Source| path.strip_prefix(manifest.path.trim_end_matches("Cargo.toml"));
    let Some(package) =
        manifests.iter().filter(|manifest| inside(manifest).is_some()).max_by_key(|it| it.path.len())
    else {
        return false;
    };
    let path = inside(&package).unwrap_or(path);
    match path.split('/').collect::<Vec<_>>()[..] {
        ["build.rs"] | ["src", "lib.rs" | "main.rs"] => true,
        ["src", "bin", _] | ["src", "bin", _, "main.rs"] => true,
        ["tests" | "examples" | "benches", _] | ["tests" | "examples" | "benches", _, "main.rs"] => true,
        _ => package.text.contains(&format!("path = \"{path}\"")),
    }
}

/// The files that the `mod name;` in `file` may mean.
fn modules(file: &Source, is_root: bool) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let stem = name.trim_end_matches(".rs");
    let below = if is_root || stem == "mod" { folder.to_string() } else { format!("{folder}/{stem}") };
    let mut found = Vec::new();
    for at in file.words("mod") {
        let Some((module, _)) = file.code[at + 3..].split_once(';') else { continue };
        let module = module.trim();
        if !module.bytes().all(is_word) {
            continue; // A `{` comes first: the module is inline.
        }
        match attribute_path(file, at) {
            Some(path) => found.push(format!("{folder}/{path}")),
            None => found.extend([format!("{below}/{module}.rs"), format!("{below}/{module}/mod.rs")]),
        }
    }
    found
}

/// The `name.rs` of a `#[path = "name.rs"]` just before the `mod` at `at`.
fn attribute_path(file: &Source, at: usize) -> Option<&str> {
    let attributes = file.code[..at].rfind([';', '}']).map_or(0, |end| end + 1);
    let path = file.code[attributes..at].find("#[path")? + attributes;
    file.text[path..at].split('"').nth(1)
}

/// The rules see what they should, shown on files made for it.
#[test]
fn the_rules_bite() {
    let lib =
        Source::new("src/lib.rs", "//! x\nmod sys; pub use bdev::{Geometry, self}; pub use reactor::Core;");
    let sys = "//! x\nuse crate::{sys::sync, time::{Clock, Sleep}};\n// crate::app\nconst A: &str = \"crate::app\";\nfn f() { crate::Geometry; crate::Core; }";
    let module = Source::new("src/bdev/modules/ram.rs", "use crate::bdev::modules::null; use crate::rpc;");
    let bdev = Source::new(
        "src/bdev/mod.rs",
        "mod a; #[path = \"z.rs\"] mod b; use crate::bdev::modules; use crate::cellar;",
    );
    let manifest = Source::new("Cargo.toml", "");
    let files = [
        manifest,
        lib,
        Source::new("src/sys/mod.rs", sys),
        module,
        bdev,
        Source::new("src/bdev/a/mod.rs", ""),
    ];
    assert_eq!(
        upward(&files),
        [
            "src/sys/mod.rs:2: sys names time",
            "src/sys/mod.rs:5: sys names bdev",
            "src/sys/mod.rs:5: sys names reactor",
            "src/bdev/modules/ram.rs:1: bdev::modules names rpc",
            "src/bdev/mod.rs:1: bdev names bdev::modules",
            "src/bdev/mod.rs:1: `cellar` has no floor yet, add it to tests/tidy.rs",
        ]
    );
    assert_eq!(orphans(&files), ["src/bdev/a/mod.rs", "src/bdev/mod.rs", "src/bdev/modules/ram.rs"]);

    let code = Source::new(
        "src/a.rs",
        "let a: &'a str = r#\"unsafe \"#; /* /* */ unsafe */ '\\''; 'ü'; \"\\\" unsafe\"; unsafe {}",
    );
    assert_eq!(code.words("unsafe").count(), 1);
}
