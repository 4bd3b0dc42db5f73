//! What every kind of block device promises, checked as an author outside of the crate would: `cargo test --features testing conformance`.
//!
//! The module of `examples/my_module.rs` is checked as well.

#[path = "../examples/my_module.rs"]
#[allow(dead_code, reason = "its main is for the example")]
mod my_module;

use my_module::Inverted;
use reactor::bdev::{self, Access, Bdev, Done, Geometry, Io, Op, Submit, conformance};

/// One spec of each kind, and stacks that are higher. A kind without a line here fails the test below.
const SPECS: &[&str] = &[
    "null:16M",
    "ram:16M",
    "ram:4M,block=4K",
    "ram:1M,md=16",
    "ram:1M,md=8,form=interleaved",
    "ram:1M,md=8,pi=1",
    "ram:1M,md=8,pi=2,form=interleaved",
    "ram:2M,block=4K,md=64,pi=3,form=interleaved,app=7",
    "ram:2M,block=4K,md=16,pi=1,pi_first=true,app=7",
    "ram:1M,md=128,pi=1,pi_first=true,form=interleaved",
    "passthru(ram:16M)",
    "delay:avg=1us,p99=10us(ram:16M)",
    "error:read=media,skip=1000000(ram:16M)",
    "part:blocks=7..20000(ram:16M)",
    "concat(ram:5M,ram:512,ram:5M)",
    "stripe:chunk=4K(ram:8M,ram:8M)",
    "mirror(ram:16M,ram:17M,error(ram:16M))",
    "verify(ram:16M)",
    "verify:pi=true(ram:16M)",
    "verify:pi=true(ram:1M,md=8,pi=1,form=interleaved)",
    "zoned:zone=1M(ram:16M)",
    "passthru(zoned:zone=1M,max_open=2,max_active=3,empty=true(ram:16M))",
    "delay:0(error(passthru(ram:1M,md=8,pi=1,form=interleaved)))",
    "part:blocks=7..2000(ram:1M,md=8,pi=1)",
    "part:blocks=7..1500(part:blocks=3..2000(ram:1M,md=16,pi=2,form=interleaved))",
    "mirror(ram:1M,md=8,pi=1,form=interleaved,ram:1M,md=8,pi=1,form=interleaved)",
    "mirror(ram:1M,md=8,pi=1,ram:1M)",
    "concat(ram:64K,md=8,form=interleaved,ram:1M,md=8,form=interleaved)",
    "stripe:chunk=4K(ram:512K,md=8,form=interleaved,ram:512K,md=8,form=interleaved)",
    "stripe:chunk=4K(ram:512K,md=8,pi=1,ram:512K,md=8,pi=2)",
    "zoned:zone=128K(ram:2M,md=8,pi=1)",
    "passthru(stripe:4K(concat(ram:3M,null:1M,ram:4M),part:0..9000(delay:0(ram:8M))))",
];

#[test]
fn conformance_of_every_kind_by_its_spec() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(16 << 20).expect("room for 16 MiB");
    let on_a_file = ["file:", "poll:"].map(|kind| format!("{kind}{}", file.path().display()));
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), std::array::from_fn::<u8, 64, _>(|i| i as u8)).expect("room for a key");
    let encrypted =
        cfg!(feature = "crypt").then(|| format!("crypt:key_file={}(ram:16M)", key.path().display()));
    let disk = tempfile::NamedTempFile::new().expect("a file");
    let partition = partition(disk.path());
    let made = on_a_file.iter().chain(&encrypted).chain(&partition).map(String::as_str);
    let specs: Vec<_> = SPECS.iter().copied().chain(made).collect();
    // A controller on the bus, which a machine need not have: below, and in `guest`.
    for kind in bdev::kinds().filter(|kind| !["nvme", "ng"].contains(&kind.name())) {
        let is_of_it = |spec: &&&str| spec.split([':', '(']).next() == Some(kind.name());
        assert!(specs.iter().any(|spec| is_of_it(&spec)), "no spec of the kind {}", kind.name());
    }
    // A stack that keeps part of what is written keeps nothing.
    specs.into_iter().for_each(conformance::check_spec);
}

/// The spec of a partition of 16 MiB on a disk that is made at `path`.
#[cfg(feature = "gpt")]
fn partition(path: &std::path::Path) -> Option<String> {
    use gpt::{GptConfig, disk::LogicalBlockSize, partition_types};
    let mut image = std::io::Cursor::new(vec![0; 20 << 20]);
    let config = GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let mut table = config.create_from_device(&mut image, None).expect("a table");
    table.add_partition("data", 16 << 20, partition_types::LINUX_FS, 0, None).expect("room for 16 MiB");
    table.write().expect("room for the table");
    std::fs::write(path, image.into_inner()).expect("room for 20 MiB");
    Some(format!("gpt:label=data(file:{})", path.display()))
}

#[cfg(not(feature = "gpt"))]
fn partition(_path: &std::path::Path) -> Option<String> {
    None
}

/// Every form of blocks is in `nvme_bdev`.
#[cfg(feature = "nvme")]
#[test]
fn conformance_of_a_namespace_of_a_controller() {
    use reactor::bdev::modules::Nvme;
    use reactor::nvme::{Config, Controller, soft::SoftController};
    reactor::LocalExecutor::new().expect("a core").block_on(async {
        let device = SoftController::default();
        let stepped = device.clone();
        let _works = reactor::Poller::register("a device", move || stepped.step());
        let controller = Controller::attach(device, Config::default()).await.expect("it comes up");
        let nvme = Nvme::attach("nvme0", controller).await.expect("its namespace is a device");
        let disk = bdev::open("nvme0n1", Access::ReadWrite).await.expect("it is registered");
        conformance::check(&disk).await;
        drop(disk);
        for removal in nvme.detach() {
            removal.await;
        }
    });
}

#[test]
fn conformance_of_a_module_of_ones_own() {
    conformance::check_bdev(async || Inverted {
        base: bdev::open("ram:8M", Access::ReadWrite).await.expect("a RAM disk"),
    });
}

/// What the documentation says of it.
#[test]
fn conformance_takes_a_module_of_less_than_60_lines() {
    let example = include_str!("../examples/my_module.rs");
    let (module, _) = example.split_once("#[reactor::main]").expect("its main stands behind the module");
    assert!(module.lines().filter(|line| !line.starts_with("//!")).count() < 60);
}

/// Answers everything, and keeps what was written for itself.
struct Keeps;

impl Bdev for Keeps {
    type Channel = Self;
    fn module(&self) -> &'static str {
        "keeps"
    }
    fn geometry(&self) -> Geometry {
        Geometry::new(512, 32 << 10).with_keeps_data(false)
    }
    fn channel(&self, _access: Access) -> bdev::Result<Self> {
        Ok(Self)
    }
}

impl Submit for Keeps {
    async fn submit(&self, mut io: Io) -> Done {
        if io.op() == Op::Write && io.lba() == 9 {
            std::mem::forget(io.take_data());
        }
        io.done(Ok(()))
    }
}

#[test]
#[should_panic(expected = "buffers did not come back to the pool")]
fn conformance_is_denied_to_a_module_that_keeps_buffers() {
    conformance::check_bdev(async || Keeps);
}
