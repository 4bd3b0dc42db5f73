//! Devices before a run: opened, of a shape that fits what was asked for, and filled where reads would find nothing.

use super::pattern::Pass;
use super::{Disk, Source, must_fit, reads_what_was_there};
use crate::args::{Perf, Rw};
use crate::failure::{Failure, chain};
use crate::{in_use, note};
use reactor::bdev::modules::{KernelNamespace, NvmeDisk, Uring};
use reactor::bdev::{self, Access, Channel, Descriptor};
use reactor::sys::dma::DmaBuf;
use rustix::fs::SeekFrom;
use std::cell::Cell;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The RAM disk of a run without devices.
pub(super) const RAM_DEFAULT: &str = "ram:64M";
const SCRATCH_BYTES: usize = 64 << 20;
const FILL_BYTES: usize = 1 << 20;
/// In flight at a time.
const FILLS: usize = 16;
/// What devices are filled with.
const FILL: Pass = Pass { seed: 0, number: 0 };

/// A device and what the user calls it.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) device: Descriptor,
}

/// Makes the devices that the file at `path` lists.
pub(super) async fn load(path: &Path) -> Result<(), Failure> {
    let text = fs::read_to_string(path)
        .map_err(|e| Failure::Usage(format!("--config {}: it cannot be read: {e}", path.display())))?;
    let refused = |e: bdev::Error| Failure::Usage(format!("--config {}: {}", path.display(), chain(&e)));
    bdev::load(&text).await.map(drop).map_err(refused)
}

/// What makes the device `name`: the spec of one that was listed, or the name itself.
fn spec_of(name: &str) -> String {
    bdev::info(name).ok().and_then(|info| info.spec).unwrap_or_else(|| name.to_owned())
}

impl Source for Opened {
    type Disk = Channel;

    async fn disk(&self) -> Result<Channel, Failure> {
        self.device.channel().map_err(|e| Failure::at(&self.name, &e))
    }
}

impl Disk for Channel {
    fn block_bytes(&self) -> u32 {
        self.geometry().block_size
    }

    fn block_count(&self) -> u64 {
        self.geometry().block_count
    }

    #[inline(always)]
    fn read(
        &self,
        blocks: Range<u64>,
        buf: DmaBuf,
    ) -> impl Future<Output = Result<DmaBuf, impl Error + 'static>> {
        self.read_into(blocks, buf)
    }

    #[inline(always)]
    fn write(&self, lba: u64, buf: DmaBuf) -> impl Future<Output = Result<(), impl Error + 'static>> {
        Channel::write(self, lba, buf)
    }
}

/// Opens and prepares `names` for what `args` asks for, on the cores of this runtime.
pub(super) async fn open(args: &Perf, names: &[String]) -> Result<Vec<Opened>, Failure> {
    let mut devices: Vec<Opened> = Vec::new();
    must_have_memory(names)?;
    for name in names {
        let access =
            if args.load.rw.writes() || is_memory(name) { Access::ReadWrite } else { Access::ReadOnly };
        must_exist(name)?;
        let device = bdev::open(name, access).await.map_err(|e| refused(name, &e))?;
        // However it was spelled, it has one name.
        if devices.iter().any(|other| other.device.name() == device.name()) {
            return Err(listed_twice(name));
        }
        must_suit(args, name, &device)?;
        devices.push(Opened { name: name.clone(), device });
    }
    if args.load.rw.writes() {
        must_be_free().await?;
    }
    if !reads_what_was_there(args.load.rw) {
        return Ok(devices);
    }
    // Only when all are known to be good.
    for Opened { name, device } in &devices {
        if is_memory(name) {
            if let Err(e) = fill(device).await {
                // Such as one that is made to err.
                note(&format!(
                    "note: {name} could not be filled before: {}. Reads of what was never written are faster than others",
                    chain(&e)
                ));
            }
        } else if path_of(name).is_some_and(|path| has_holes(path).unwrap_or(false)) {
            note(&format!(
                "note: {name} has parts that were never written, and reads of them do not reach the disk: write all of it first"
            ));
        }
    }
    Ok(devices)
}

/// Whether `name` stands for memory of this process and nothing else: RAM disks, and what stands on them.
fn is_memory(name: &str) -> bool {
    // With those of the devices that they name.
    let mut specs = vec![spec_of(name)];
    let registered: Vec<_> = bdev::list().into_iter().filter(|device| device.is_registered).collect();
    let mut at = 0;
    while at < specs.len() {
        for device in &registered {
            let is_named = specs[at].split(['(', ',', ')']).any(|word| word == device.name);
            let spec = device.spec.clone().filter(|spec| is_named && !specs.contains(spec));
            specs.extend(spec);
        }
        at += 1;
    }
    let is_on_disk =
        |spec: &String| ["file:", "poll:", "nvme:", "ng:"].iter().any(|kind| spec.contains(kind));
    specs.iter().any(|spec| ram_sizes(spec).next().is_some()) && !specs.iter().any(is_on_disk)
}

/// The sizes of the RAM disks that `name` makes, as written.
fn ram_sizes(name: &str) -> impl Iterator<Item = &str> {
    let is_begun = |at: usize| at == 0 || name[..at].ends_with(['(', ',']);
    let places = name.match_indices("ram:").filter(move |(at, _)| is_begun(*at));
    places.map(|(at, word)| {
        let rest = &name[at + word.len()..];
        rest.split([',', ')']).next().unwrap_or(rest)
    })
}

/// The file that `name` stands for.
fn path_of(name: &str) -> Option<&str> {
    name.strip_prefix("file:").or_else(|| name.strip_prefix("poll:")).filter(|path| !path.is_empty())
}

/// Whether a file has a hole before its end, or space that was set aside and never written.
fn has_holes(path: &str) -> std::io::Result<bool> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    Ok(metadata.is_file() && rustix::fs::seek(&file, SeekFrom::Hole(0))? < metadata.len())
}

/// What is open to be written, however far below it lies.
async fn must_be_free() -> Result<(), Failure> {
    for device in bdev::list().into_iter().filter(|device| device.writers > 0) {
        let disk = bdev::open(&device.name, Access::ReadOnly).await.map_err(|e| refused(&device.name, &e))?;
        let of_file = disk.module_as().map(|file: &Uring| file.path().to_owned());
        let of_namespace = || disk.module_as().and_then(NvmeDisk::<KernelNamespace>::disk_path);
        if let Some(path) = of_file.or_else(of_namespace) {
            in_use::must_be_free(&device.name, &path)?;
        }
    }
    Ok(())
}

/// RAM disks take their memory as they are written: the kernel would end the process in the midst of that.
fn must_have_memory(names: &[String]) -> Result<(), Failure> {
    let Some(available) = memory_available() else { return Ok(()) };
    let mut wanted = 0_u64;
    for name in names {
        let spec = spec_of(name);
        let sizes = ram_sizes(&spec).filter_map(|size| bdev::parse_size(size).ok());
        wanted = sizes.fold(wanted, u64::saturating_add);
        if wanted > available {
            return Err(Failure::Run(format!(
                "{name}: there is not enough memory, this machine has {} MiB available: give less",
                available >> 20
            )));
        }
    }
    Ok(())
}

/// Bytes that could be used without swapping, by the kernel's estimate; none where it gives none.
fn memory_available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

fn must_exist(name: &str) -> Result<(), Failure> {
    let Some(path) = path_of(name) else { return Ok(()) };
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
        // Within a stack.
        bdev::Error::NotFound { name: missing } if !missing.is_empty() && missing != name => {
            Failure::Usage(format!("{name}: {}", chain(error)))
        }
        bdev::Error::NotFound { .. } => {
            let meant = if Path::new(name).exists() {
                format!("file:{name} for that file, or ")
            } else {
                String::new()
            };
            Failure::Usage(format!(
                "no block device is named {name:?}: write {meant}null, null:SIZE, ram:SIZE, file:PATH or poll:PATH, or another that `reactor help perf` lists, or give --config a file that names it"
            ))
        }
        bdev::Error::BadSpec { .. } => Failure::Usage(chain(error)),
        // Nobody else in this process has devices open.
        bdev::Error::Busy { .. } => listed_twice(name),
        bdev::Error::ReadOnly { .. } => Failure::Run(format!(
            "{name} cannot be written: give this user the right to, or measure --rw read or randread"
        )),
        bdev::Error::BadGeometry { .. } | bdev::Error::OutOfRange { .. } | bdev::Error::EmptyRange { .. } => {
            Failure::Usage(format!("{name}: {}", chain(error)))
        }
        _ => Failure::at(name, error),
    }
}

fn listed_twice(name: &str) -> Failure {
    Failure::Usage(format!(
        "{name} is a device that is listed twice: name each device once, and raise --qd for more in flight"
    ))
}

/// Whether `args` can be done on `device`.
fn must_suit(args: &Perf, name: &str, device: &Descriptor) -> Result<(), Failure> {
    let geometry = device.geometry();
    let usage = |message| Err(Failure::Usage(message));
    if geometry.metadata.is_some_and(|metadata| metadata.interleaved && metadata.protection.is_some()) {
        return usage(format!(
            "{name} has protection information within its blocks, which who writes them must make, and perf makes none: give it \
             form=separate"
        ));
    }
    must_fit(&args.load, name, geometry.block_size, geometry.block_count)?;
    if args.load.rw == Rw::Verify && !geometry.keeps_data {
        return usage(format!(
            "{name} keeps nothing, so --rw verify cannot succeed: give it ram:SIZE or file:PATH"
        ));
    }
    Ok(())
}

/// Writes to every block: memory that was never written is one page of zeroes to the kernel, and reads far too fast. Several at a
/// time, for what delays them.
async fn fill(device: &Descriptor) -> bdev::Result<()> {
    let channel = device.channel()?;
    let geometry = channel.geometry();
    let block_size = geometry.block_size as usize;
    let step = (FILL_BYTES / block_size).max(1) as u64;
    let next = Cell::new(0);
    let write_some = async || {
        loop {
            let at = next.get();
            let blocks = step.min(geometry.block_count - at);
            if blocks == 0 {
                return Ok(());
            }
            next.set(at + blocks);
            let mut data = channel.alloc(blocks as usize * block_size).await?;
            FILL.fill(&mut data, at, block_size);
            channel.write(at, data).await?;
        }
    };
    futures::future::try_join_all((0..FILLS).map(|_| write_some())).await.map(drop)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Root may write whatever it likes, so that only a test without a file says this everywhere.
    #[test]
    fn refusals_speak_of_the_command_line() {
        let said = |error: bdev::Error| match refused("file:disk.img", &error) {
            Failure::Usage(text) => format!("usage: {text}"),
            Failure::Run(text) => text,
        };
        let read_only = said(bdev::Error::ReadOnly { name: "/disk.img".into() });
        assert!(
            read_only.starts_with("file:disk.img cannot be written: ") && read_only.contains("--rw"),
            "{read_only}"
        );
        let busy = said(bdev::Error::Busy { name: "file:/disk.img".into(), by: None });
        assert!(busy.starts_with("usage: file:disk.img is a device that is listed twice"), "{busy}");
        let unknown = said(bdev::Error::NotFound { name: "file:disk.img".into() });
        assert!(unknown.contains("write null, null:SIZE, ram:SIZE, file:PATH or poll:PATH, or"), "{unknown}");
        let within = match refused("passthru(disk0)", &bdev::Error::NotFound { name: "disk0".into() }) {
            Failure::Usage(text) | Failure::Run(text) => text,
        };
        assert!(within.starts_with("passthru(disk0): no block device is named \"disk0\""), "{within}");
    }

    #[test]
    fn what_is_memory_is_known_by_its_name() {
        for (name, sizes) in [
            ("ram:64M", &["64M"][..]),
            ("mirror(ram:1M,delay:1ms(ram:2M))", &["1M", "2M"]),
            ("part:blocks=0..8(ram:1M,bs=4096)", &["1M"]),
        ] {
            assert!(ram_sizes(name).eq(sizes.iter().copied()) && is_memory(name), "{name}");
        }
        for name in ["null", "file:/ram:1M", "file:x,ram:1M", "mirror(ram:1M,file:x)", "mydram:1", "ram"] {
            assert!(!is_memory(name), "{name}");
        }
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(memory_available().is_none_or(|bytes| bytes > 1 << 20));
        assert_eq!(must_have_memory(&["null".into(), "ram:4k".into(), "ram:x".into()]), Ok(()));
        assert!(must_have_memory(&["mirror(ram:4k,ram:2000000T)".into()]).is_err());
    }
}
