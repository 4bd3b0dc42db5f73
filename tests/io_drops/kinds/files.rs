//! What is in files: reading, writing, space, and files as a whole.

use super::{Kind, kinds, with_folder};
use crate::stage::{Started, When};
use reactor::fs::{self, Advice, File, OpenOptions};

/// More buffers than the kernel takes at once (`IOV_MAX`).
const MANY: usize = 1100;

pub fn all() -> Vec<Kind> {
    [transfers(), space(), opening()].into_iter().flatten().collect()
}

fn transfers() -> Vec<Kind> {
    with_folder! {
        "fs/transfer read_at": |f| f.file.read_at(f.buf(64), 0);
        "fs/transfer read_at, misaligned": |f| f.direct.read_at(f.buf(64), 1);
        "fs/transfer write_at": |f| f.file.write_at(f.buf(64), 0);
        "fs/transfer read_exact_at": |f| f.file.read_exact_at(f.buf(1 << 16), 0);
        "fs/transfer write_all_at": |f| f.file.write_all_at(f.buf(64), 0);
        "fs/vectored read_vectored_at": |f| f.file.read_vectored_at(f.list(2, 64), 0);
        "fs/vectored write_vectored_at": |f| f.file.write_vectored_at(f.list(2, 64), 0);
        "fs/vectored read_exact_vectored_at": |f| f.file.read_exact_vectored_at(f.list(MANY, 8), 0);
        "fs/vectored write_all_vectored_at": |f| f.file.write_all_vectored_at(f.list(MANY, 8), 0);
        "fs/whole write": |f| fs::write(f.at("new"), f.buf(64));
        "fs/whole read": |f| fs::read(f.at("file"));
        "fs/whole read_to_string": |f| fs::read_to_string(f.at("file"));
        "fs/copy copy": |f| fs::copy(f.at("file"), f.at("new"));
        "fs/copy copy, by buffer": |f| fs::copy("/proc/self/status", f.at("new"));
        "fs/copy copy, with a hole": |f| async move {
            f.file.punch_hole(0..4096).await?;
            fs::copy(f.at("file"), f.at("new")).await
        };
        "fs/copy copy, to a pipe": |f| async move {
            let (_reader, pipe) = rustix::pipe::pipe()?;
            f.file.copy_range_to(0..20, &File::from_std(pipe)?, 0).await
        };
        "fs/copy copy_range_to": |f| f.file.copy_range_to(0..20, &f.file, 4096);
    }
}

fn space() -> Vec<Kind> {
    with_folder! {
        "fs/file sync_all": |f| f.direct.sync_all();
        "fs/file sync_data": |f| f.direct.sync_data();
        "fs/file sync_range": |f| f.direct.sync_range(0..8192);
        "fs/file write_back": |f| f.direct.write_back(0..8192);
        "fs/space allocate": |f| f.file.allocate(0..8192);
        "fs/space reserve": |f| f.file.reserve(0..8192);
        "fs/space punch_hole": |f| f.file.punch_hole(0..4096);
        "fs/space zero_range": |f| f.file.zero_range(0..4096);
        "fs/space collapse_range": |f| f.file.collapse_range(0..4096);
        "fs/space insert_range": |f| f.file.insert_range(0..4096);
        "fs/space advise": |f| f.file.advise(0..4096, Advice::WillNeed);
        "fs/space advise, beyond one operation": |f| f.file.advise(0..1 << 33, Advice::Sequential);
        "fs/space set_len": |f| f.file.set_len(5);
    }
}

fn opening() -> Vec<Kind> {
    let mut kinds = with_folder! {
        "fs/file open": |f| File::open(f.at("file"));
        "fs/file create": |f| File::create(f.at("new"));
        "fs/file close": |f| File::from_std(std::fs::File::open(f.at("file")).unwrap()).unwrap().close();
        "fs/options open": |f| OpenOptions::new().write(true).create(true).open(f.at("new"));
    };
    kinds.extend(kinds! {
        "fs/options open, of a pipe with a name": |s, when| {
            let (path, peer) = s.fifo(when);
            Started::new(peer, async move {
                let mut options = OpenOptions::new();
                drop(options.write(true).create(true).read(when == When::Now).open(path).await);
            })
        };
    });
    kinds
}
