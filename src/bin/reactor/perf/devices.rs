//! Devices before a run: opened, of a shape that fits what was asked for, and filled where reads would find nothing.

use super::pattern::Pass;
use super::reads_what_was_there;
use crate::args::{Perf, Rw};
use crate::failure::{Failure, chain};
use reactor::bdev::{self, Access, Descriptor};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The RAM disk of a run without devices.
pub(super) const RAM_DEFAULT: &str = "ram:64M";
const SCRATCH_BYTES: usize = 64 << 20;
const FILL_BYTES: usize = 1 << 20;
/// What devices are filled with.
const FILL: Pass = Pass { seed: 0, number: 0 };

/// A device and what the user calls it.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) device: Descriptor,
}

/// Opens and prepares `names` for what `args` asks for, on the cores of this runtime.
pub(super) async fn open(args: &Perf, names: &[String]) -> Result<Vec<Opened>, Failure> {
    let cores = reactor::cores().len();
    let mut devices = Vec::new();
    for name in names {
        let is_ram = name.starts_with("ram:");
        let access = if args.rw.writes() || is_ram { Access::ReadWrite } else { Access::ReadOnly };
        must_exist(name)?;
        let device = bdev::open(name, access).await.map_err(|e| refused(name, &e))?;
        must_fit(args, name, &device, cores)?;
        devices.push(Opened { name: name.clone(), device });
    }
    // Only when all are known to be good.
    for Opened { name, device } in &devices {
        if device.module() == "ram" && reads_what_was_there(args.rw) {
            fill(device).await.map_err(|e| Failure::at(name, &e))?;
        }
    }
    Ok(devices)
}

fn must_exist(name: &str) -> Result<(), Failure> {
    let Some(path) = name.strip_prefix("file:").filter(|path| !path.is_empty()) else { return Ok(()) };
    match fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Err(Failure::Run(format!(
            "{name}: there is no such file: make one of the size that the device shall have, such as \
             `truncate -s 1G {path}`"
        ))),
        // Everything else is for the device to judge.
        _ => Ok(()),
    }
}

/// Names and sizes that cannot be are a matter of what was asked for, all else of the machine.
fn refused(name: &str, error: &bdev::Error) -> Failure {
    match error {
        bdev::Error::BadSpec { .. } | bdev::Error::NotFound { .. } => Failure::Usage(chain(error)),
        bdev::Error::BadGeometry { .. } => Failure::Usage(format!("{name}: {}", chain(error))),
        _ => Failure::at(name, error),
    }
}

/// Whether `args` can be done on `device`.
fn must_fit(args: &Perf, name: &str, device: &Descriptor, cores: usize) -> Result<(), Failure> {
    let geometry = device.geometry();
    let (bytes, block_size) = (args.bs as u64, u64::from(geometry.block_size));
    let units = geometry.len_bytes() / bytes;
    let usage = |message| Err(Failure::Usage(message));
    if bytes % block_size != 0 {
        return usage(format!(
            "--bs {bytes} does not fit {name}, whose blocks have {block_size} bytes: give a multiple of that"
        ));
    }
    if units == 0 {
        let len = geometry.len_bytes();
        return usage(format!("--bs {bytes} does not fit {name}, which has {len} bytes: give less"));
    }
    let needs_shares = matches!(args.rw, Rw::Read | Rw::Write | Rw::Verify);
    if needs_shares && units < cores as u64 {
        return usage(format!(
            "{name} is too small to be divided among {cores} cores: it has room for {units} I/Os of {bytes} bytes"
        ));
    }
    if args.rw == Rw::Verify && !geometry.keeps_data {
        return usage(format!(
            "{name} keeps nothing, so --rw verify cannot succeed: give it ram:SIZE or file:PATH"
        ));
    }
    Ok(())
}

/// Writes to every block: memory that was never written is one page of zeroes to the kernel, and reads far too fast.
async fn fill(device: &Descriptor) -> bdev::Result<()> {
    let channel = device.channel()?;
    let geometry = channel.geometry();
    let block_size = geometry.block_size as usize;
    let step = (FILL_BYTES / block_size).max(1) as u64;
    let mut at = 0;
    while at < geometry.block_count {
        let blocks = step.min(geometry.block_count - at);
        let mut data = channel.alloc(blocks as usize * block_size).await?;
        FILL.fill(&mut data, at, block_size);
        channel.write(at, data).await?;
        at += blocks;
    }
    Ok(())
}

/// A file for the time of a run.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes the file and fills it: the holes of a file that was never written would be read without the disk.
    pub(super) fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("reactor-perf-{}.img", std::process::id()));
        let refused = |e: std::io::Error| {
            let what = format!("cannot make the temporary file {}", path.display());
            Failure::Run(format!(
                "{what}: {e}: set TMPDIR to a directory with {} MiB free",
                SCRATCH_BYTES >> 20
            ))
        };
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(refused)?;
        // From here on dropped, and so removed, if filling fails.
        let scratch = Self(path.clone());
        fill_file(file).map_err(refused)?;
        Ok(scratch)
    }

    pub(super) fn spec(&self) -> String {
        format!("file:{}", Path::display(&self.0))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone_already = fs::remove_file(&self.0);
    }
}

fn fill_file(mut file: File) -> std::io::Result<()> {
    let mut data = vec![0; FILL_BYTES];
    for number in 0..(SCRATCH_BYTES / FILL_BYTES) as u64 {
        FILL.fill(&mut data, number, FILL_BYTES);
        file.write_all(&data)?;
    }
    // Now, so that the run does not share the disk with the writing back.
    file.sync_all()
}
