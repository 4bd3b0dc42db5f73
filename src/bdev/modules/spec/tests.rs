//! Specs as they are written, and what becomes of names.

use super::*;
use crate::LocalExecutor;
use crate::bdev::modules::Ram;
use crate::bdev::{names, register, unregister};
use crate::sys::dma::DmaPool;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    LocalExecutor::new().unwrap().block_on(future)
}

fn name_of(spec: &str) -> Result<Option<String>> {
    let refused = |fault: Fault| fault.into_error(spec);
    let Some(item) = parse::parse(spec).map_err(refused)? else { return Ok(None) };
    Planned::of(item).map(|planned| Some(planned.name().to_owned())).map_err(refused)
}

#[test]
fn specs_are_told_from_names() {
    for (spec, name) in [
        ("null", "null:1099511627776"),
        ("null:1G", "null:1073741824"),
        ("ram:64M", "ram:67108864"),
        ("ram:\"64M\"", "ram:67108864"),
        ("passthru(ram:64M)", "passthru(ram:67108864)"),
        ("passthru(passthru(null))", "passthru(passthru(null:1099511627776))"),
        ("passthru(disk0)", "passthru(disk0)"),
        ("passthru(nqn.2016:disk)", "passthru(nqn.2016:disk)"),
        ("passthru(\"ram:64M, once\")", "passthru(ram:64M, once)"),
    ] {
        assert_eq!(name_of(spec).unwrap().as_deref(), Some(name), "{spec}");
    }
    for name in ["", "nvme0n1", "rams", "nullify:1", "pollute:1", "\"quoted\"", ",", ")", "("] {
        assert_eq!(name_of(name).unwrap(), None, "{name}");
    }
}

/// By itself a path is all that follows; in a stack, and in quotes, it ends.
#[test]
fn paths_may_hold_what_specs_are_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["a:b", "a,b", "a(b)", "a)b", "a\"b", "a\\b", "a=b,c=d", " "];
    for name in names {
        let path = folder.path().join(name);
        std::fs::write(&path, [0; 4096]).unwrap();
        let path = path.canonicalize().unwrap();
        let whole = format!("file:{}", path.display());
        let quoted = path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
        assert_eq!(name_of(&whole).unwrap().as_deref(), Some(&*whole));
        assert_eq!(name_of(&format!("file:\"{quoted}\"")).unwrap().as_deref(), Some(&*whole));
        let stacked = format!("passthru({whole})");
        assert_eq!(name_of(&format!("passthru(file:\"{quoted}\")")).unwrap().as_deref(), Some(&*stacked));
        if !name.contains([',', ')', '"']) {
            assert_eq!(name_of(&stacked).unwrap().as_deref(), Some(&*stacked));
        }
    }
}

/// What is wrong, and the piece of the spec that the error points at.
#[test]
fn bad_specs_are_pointed_at() {
    for (spec, piece, says) in [
        ("ram", "ram", "such as ram:64M"),
        ("ram:", "", "is no size"),
        ("ram:x", "x", "is no size"),
        ("ram:64M,", "", "no place here"),
        ("ram:64M,fast", "fast", "write ram:"),
        ("ram:64M,fast=1", "fast=1", "\"fast\" has no place here"),
        ("ram:64M)", ")", "nothing may follow"),
        ("ram:64M(null)", "(null)", "stands on no other device"),
        ("null:", "", "is no size"),
        ("file", "file", "name the file"),
        ("file:", "", "name the file"),
        ("poll:\"\"", "\"\"", "name the file"),
        ("file:\"a", "\"a", "not closed"),
        ("passthru", "passthru", "write passthru("),
        ("passthru()", "", "is missing"),
        ("passthru(null", "", "not closed"),
        ("passthru(null null)", "null null", "SAME"),
        ("passthru(null))", ")", "nothing may follow"),
        ("passthru(null,null)", "null", "stands on one device"),
        ("passthru(null,)", "", "is missing"),
        ("passthru(rma:64M(null))", "(null))", "comma or a closing"),
        ("passthru(passthrough(null))", "passthrough", "there are null, ram,"),
        ("dellay(null)", "dellay", "no kind of block device"),
        ("passthru(ram:1x)", "1x", "is no size"),
        ("passthru(file:/no/such)", "SAME", "SAME"),
    ] {
        let e = name_of(spec);
        match e {
            Err(Error::BadSpec { spec: whole, at, reason }) => {
                assert_eq!(&whole[at], piece, "{spec}: {reason}");
                assert!(reason.contains(says), "{spec}: {reason}");
            }
            Ok(Some(_)) | Err(Error::Os { .. }) => assert_eq!(says, "SAME", "{spec}"),
            other => panic!("{spec}: {other:?}"),
        }
    }
    let high = "passthru(".repeat(10_000) + "null";
    assert!(name_of(&high).unwrap_err().to_string().contains("more than 32"));
    let e = name_of("passthru(ram:1x)").unwrap_err().to_string();
    assert_eq!(
        e.split(" is no size").next().unwrap(),
        "bad block device \"passthru(ram:1x)\", at \"1x)\": \"1x\""
    );
    let e = name_of("passthru(null").unwrap_err().to_string();
    assert!(e.starts_with("bad block device \"passthru(null\", at its end: "), "{e}");
}

/// The table in the documentation of `open` is that of the kinds.
#[test]
fn every_kind_stands_in_the_documentation() {
    let text = include_str!("mod.rs");
    for kind in kinds() {
        let row = format!("/// | `{}` | {} |", kind.form(), kind.about());
        assert!(text.contains(&row), "missing: {row}");
    }
}

#[test]
fn what_lies_below_is_its_own_or_has_one_name() {
    block_on(async {
        let [a, b] = [open("passthru(ram:1M)", Access::ReadWrite), open("ram:1M", Access::ReadWrite)];
        let (a, b) = (a.await.unwrap(), b.await.unwrap());
        let mut data = DmaPool::local().try_alloc(512).unwrap();
        data.fill(9);
        a.channel().unwrap().write(0, data).await.unwrap();
        assert_eq!(b.channel().unwrap().read(0..1).await.unwrap()[0], 0, "another disk");
        let again = open("passthru(ram:1024K)", Access::ReadOnly).await.unwrap();
        assert_eq!(again.channel().unwrap().read(0..1).await.unwrap()[0], 9, "the same stack");

        register("below0", Ram::new(1 << 20).unwrap()).unwrap();
        let stack = open("passthru(below0)", Access::ReadWrite).await.unwrap();
        assert!(matches!(open("below0", Access::ReadWrite).await, Err(Error::Busy { .. })));
        drop(stack);
        open("below0", Access::ReadWrite).await.unwrap();
        unregister("below0").unwrap();
        assert!(matches!(open("passthru(below0)", Access::ReadOnly).await, Err(Error::NotFound { .. })));
    });
}

/// Otherwise a writer would find at its first write that what lies below was opened for readers.
#[test]
fn a_stack_opened_for_reading_is_not_opened_for_writing_meanwhile() {
    block_on(async {
        let reader = open("passthru(ram:2M)", Access::ReadOnly).await.unwrap();
        assert!(matches!(open("passthru(ram:2M)", Access::ReadWrite).await, Err(Error::ReadOnly { .. })));
        drop(reader);
        open("passthru(ram:2M)", Access::ReadWrite).await.unwrap();
    });
}

#[test]
fn names_are_found_taken_and_freed() {
    block_on(async {
        register("names0", Ram::new(1 << 20).unwrap()).unwrap();
        assert!(names().contains(&"names0".to_owned()));
        assert!(matches!(register("names0", Ram::new(512).unwrap()), Err(Error::BadName { .. })));
        assert!(matches!(register("", Ram::new(512).unwrap()), Err(Error::BadName { .. })));
        let disk = open("names0", Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        unregister("names0").unwrap();
        assert!(matches!(unregister("names0"), Err(Error::NotFound { .. })));
        assert!(matches!(open("names0", Access::ReadOnly).await, Err(Error::NotFound { .. })));
        assert!(matches!(channel.read(0..1).await, Err(Error::Removed)));
        assert!(matches!(channel.flush().await, Err(Error::Removed)));
        drop(channel);
        assert!(matches!(disk.channel(), Err(Error::Removed)));
    });
}

#[test]
fn a_spec_names_one_device_while_it_is_open() {
    block_on(async {
        let writer = open("ram:3M", Access::ReadWrite).await.unwrap();
        let mut data = DmaPool::local().try_alloc(512).unwrap();
        data.fill(9);
        writer.channel().unwrap().write(0, data).await.unwrap();
        let reader = open("ram:3072K", Access::ReadOnly).await.unwrap();
        assert_eq!(reader.channel().unwrap().read(0..1).await.unwrap()[0], 9);
        drop((writer, reader));
        assert!(!names().iter().any(|name| name.starts_with("ram:3145728")));
        let again = open("ram:3M", Access::ReadOnly).await.unwrap();
        assert_eq!(again.channel().unwrap().read(0..1).await.unwrap()[0], 0, "a new disk");
    });
}

#[test]
fn the_claim_ends_with_the_last_clone_and_channel() {
    block_on(async {
        register("claim0", Ram::new(1 << 20).unwrap()).unwrap();
        let busy = async || matches!(open("claim0", Access::ReadWrite).await, Err(Error::Busy { .. }));
        let first = open("claim0", Access::ReadWrite).await.unwrap();
        let clone = first.clone();
        let channel = clone.channel().unwrap();
        drop(first);
        assert!(busy().await);
        drop(clone);
        assert!(busy().await);
        drop(channel);
        assert!(!busy().await);
        unregister("claim0").unwrap();
    });
}
