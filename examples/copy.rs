//! Copies a file, with a progress bar where there is a terminal.
//!
//! `cargo run --example copy FROM TO`; without arguments it copies a temporary file of 64 MiB and compares.

use indicatif::{ProgressBar, ProgressStyle};
use reactor::{
    Result,
    fs::{self, File},
};
use std::path::{Path, PathBuf};

/// Bytes between two looks at the bar.
const STEP: u64 = 16 << 20;

async fn copy(from: &Path, to: &Path) -> Result<u64> {
    let source = File::open(from).await?;
    let target = File::create(to).await?;
    let len = source.metadata().await?.len();
    let style = "{bar:40} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} to go";
    let bar = ProgressBar::new(len).with_style(ProgressStyle::with_template(style).expect("a template"));
    let mut done = 0;
    loop {
        // The copying is done beside this core, which is free meanwhile.
        let count = source.copy_range_to(done..done + STEP, &target, done).await?;
        done += count;
        bar.set_position(done);
        if count < STEP {
            break;
        }
    }
    target.sync_all().await?;
    target.close().await?;
    bar.finish();
    Ok(done)
}

#[reactor::main]
async fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match &arguments[..] {
        [from, to] => println!("{} bytes copied", copy(from, to).await?),
        [] => {
            let dir = std::env::temp_dir().join(format!("reactor-copy-{}", std::process::id()));
            fs::create_dir(&dir).await?;
            let (from, to) = (dir.join("from"), dir.join("to"));
            let bytes: Vec<u8> = (0..64 << 20).map(|n: u32| (n % 251) as u8).collect();
            fs::write(&from, bytes.clone()).await?;
            let copied = copy(&from, &to).await;
            let is_same = fs::read(&to).await.is_ok_and(|read| read == bytes);
            fs::remove_dir_all(&dir).await?;
            println!("{} bytes copied", copied?);
            assert!(is_same);
        }
        _ => {
            eprintln!("usage: copy FROM TO");
            std::process::exit(2);
        }
    }
    Ok(())
}
