//! Modules that stand on others: what each waits for itself, between what it asks of the devices below.

use super::Kind;
use crate::buffers::LENT;
use crate::stage::{Stage, Started, When};
use reactor::bdev::{self, Access, Channel};
use std::path::PathBuf;

/// Reads, writes and zeroes through a stack on files of two pages, of which `{0}` is the folder.
macro_rules! on_stack {
    ($($name:literal $spec:literal $when:ident;)*) => {
        [$([
            Kind { name: concat!("bdev/channel/data read, ", $name), start: |s, when| on(s, when, When::$when, $spec, read) },
            Kind { name: concat!("bdev/channel/data write, ", $name), start: |s, when| on(s, when, When::$when, $spec, write) },
            Kind { name: concat!("bdev/channel/blocks write_zeroes, ", $name), start: |s, when| on(s, when, When::$when, $spec, zero) },
            Kind { name: concat!("bdev/channel/blocks flush, ", $name), start: |s, when| on(s, when, When::$when, $spec, flush) },
        ]),*]
        .into_iter()
        .flatten()
        .collect()
    };
}

pub fn all() -> Vec<Kind> {
    let mut all: Vec<Kind> = on_stack! {
        "passthru" "passthru(file:{0}/a)" Now;
        "part" "part:blocks=0..1(file:{0}/a)" Now;
        "concat" "concat(file:{0}/a,file:{0}/b)" Now;
        "stripe" "stripe:chunk=4K(file:{0}/a,file:{0}/b)" Now;
        "mirror" "mirror(file:{0}/a,file:{0}/b)" Now;
        "mirror, degraded" "mirror(file:{0}/a,error:all=io_error(file:{0}/b))" Now;
        "mirror, of which one hangs" "mirror(error:all=stall(file:{0}/a),error:all=stall(file:{0}/b))" Never;
        "verify" "verify(file:{0}/a)" Now;
        "zoned" "zoned:zone=8K(file:{0}/a)" Now;
        "delay" "delay:avg=20us(file:{0}/a)" Now;
        "error, corrupts" "error:all=corrupt(file:{0}/a)" Now;
        "error, stalls" "error:all=stall(file:{0}/a)" Never;
    };
    if cfg!(feature = "crypt") {
        let crypt: Vec<Kind> = on_stack! { "crypt" "crypt:key_file={0}/key(file:{0}/a)" Now; };
        all.extend(crypt);
    }
    all
}

async fn read(channel: Channel) {
    let _ = channel.read(0..channel.geometry().block_count).await;
}

async fn write(channel: Channel) {
    let data = channel.alloc(8192).await.unwrap();
    let _ = channel.write(0, data).await;
}

async fn zero(channel: Channel) {
    let _ = channel.write_zeroes(0..channel.geometry().block_count).await;
}

async fn flush(channel: Channel) {
    let _ = channel.flush().await;
}

fn on<F>(s: &Stage, when: When, is_answered: When, spec: &str, io: F) -> Option<Started>
where
    F: AsyncFnOnce(Channel) + 'static,
{
    if when != is_answered {
        return None;
    }
    let folder = s.fresh();
    let spec = spec.replace("{0}", folder.to_str().expect("a path in UTF-8"));
    Started::new(Box::new(|| ()), start(folder, spec, io))
}

async fn start(folder: PathBuf, spec: String, io: impl AsyncFnOnce(Channel)) {
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["a", "b"] {
        std::fs::write(folder.join(file), [LENT; 8192]).unwrap();
    }
    std::fs::write(folder.join("key"), std::array::from_fn::<u8, 64, _>(|at| at as u8)).unwrap();
    let disk = bdev::open(&spec, Access::ReadWrite).await.unwrap();
    io(disk.channel().unwrap()).await;
}
