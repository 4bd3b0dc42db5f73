//! The strings that make a block device: `ram:64M`, `file:PATH`, `delay:100us(ram:64M)`.
//!
//! Here, above the modules that it makes, stands [`open`]: names that nobody registered are read as specs. `parse` knows the
//! grammar, `kind` the table of modules, `args` and `value` what stands behind a colon, `planned` how a
//! device is made of all that. The other way, from devices to text, go `write` and `config`.

mod args;
mod config;
mod kind;
mod parse;
mod planned;
#[cfg(all(test, not(loom)))]
mod tests;
mod value;
mod write;

pub(super) use args::Args;
pub use config::{config, load};
pub use kind::Kind;
pub(super) use kind::{Bases, Plan};
pub(super) use value::Value;
pub use value::parse_size;
pub(super) use write::{quoted, size, spec_over, time};

use std::ops::Range;

use crate::bdev::{Access, Descriptor, DeviceRef, Error, Names, Result, registry};
use planned::Planned;

/// Opens the device registered as `name`, or makes one if `name` is a spec.
///
/// | spec | device |
/// |---|---|
/// | `null:1G` | answers at once and keeps nothing; 1 TiB unless told otherwise |
/// | `ram:64M` | memory, zeroed; gone with its last descriptor; also `block=4K`, `md=8` bytes beside each block, in `form=separate` or `interleaved`, with protection information of type `pi=1`, 2 or 3 (`pi_first=true`, `app=N`) |
/// | `file:PATH` | a file or a block device, through io_uring |
/// | `poll:PATH` | the same, its completions polled for where it can; its name is that of `file:PATH` |
/// | `nvme:0000:00:04.0,ns=1` | a namespace of an NVMe controller that vfio-pci has, by its only one if none is named; also `path=ADDRESS` for other controllers that have it, and `policy=active_passive` or `round_robin` (feature `nvme`) |
/// | `ng:/dev/ng0n1` | a namespace of a controller that the kernel drives, by its commands through io_uring; with `poll=true` its completions are polled for (feature `nvme`) |
/// | `passthru(SPEC)` | hands everything on |
/// | `delay:avg=100us,p99=1ms(SPEC)` | answers later than what lies below by that time; also `read_avg`, `write_p999` and the like |
/// | `error:read=io_error,count=3(SPEC)` | goes wrong as told: OPERATION or `all`, and `media`, `io_error`, `no_space`, `removed`, `aborted`, `corrupt`, `lost`, `misdirected` or `stall`; also `blocks=A..B`, `skip=N`, `every=N` |
/// | `part:blocks=0..2048(SPEC)` | a range of the blocks of another |
/// | `gpt:1(SPEC)` | a partition of another, by its number or GUID, or by `label=NAME` (feature `gpt`) |
/// | `concat(SPEC,SPEC)` | several devices behind each other as one |
/// | `stripe:chunk=64K(SPEC,SPEC)` | chunks dealt out to several devices in turn (RAID 0); of 64 KiB unless told otherwise |
/// | `mirror(SPEC,SPEC)` | the same blocks on two to four devices (RAID 1); also `stale=N` for one to be rebuilt first |
/// | `crypt:key_file=PATH(SPEC)` | AES-XTS over another, with a key of 32 or 64 raw bytes (feature `crypt`) |
/// | `verify(SPEC)` | holds every read to a checksum of what was written; with `pi=true` it says what kind of damage it is |
/// | `zoned:zone=64M(SPEC)` | zones, to be written from start to end; also `max_open=N`, `max_active=N`, `empty=true` |
///
/// SPEC stands for any of these, or for the name of a registered device: `delay:100us(ram:64M)` is a RAM disk that takes its time,
/// `passthru(disk0)` a layer over the device known as `disk0`. Arguments stand behind the colon, separated by commas. A path in a
/// stack ends at the first comma or closing parenthesis, and so does a name; in quotes either may hold any character, with `\"` and
/// `\\` for those two: `passthru(file:"a, b")`.
///
/// Sizes are bytes, or take K, M, G or T for powers of 1024. Times take ns, us, ms or s.
///
/// The spec is the device's name while somebody has it open: opening it again meanwhile opens the same device. What lies below
/// another is that device's own, except for files and registered devices, which are one device wherever they are named.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::BadSpec`], which points at the place; [`Error::Busy`] if it, or what lies below it, is open for
/// writing; what the device says.
pub async fn open(name: &str, access: Access) -> Result<Descriptor> {
    if let Some(opened) = registry::open_known(name, access) {
        return opened;
    }
    match Planned::from_spec(name)? {
        Some(planned) => planned.open(access, true).await,
        None => Err(Error::NotFound { name: name.to_owned() }),
    }
}

/// Makes the device that `spec` describes and registers it as `names`, a string or [`Names`] with aliases and a UUID. It stays until
/// it is [unregistered](crate::bdev::unregister).
///
/// A file is found by its spec as well then: whoever opens `file:PATH` opens this device. What cannot be written is made for reading
/// alone.
///
/// ```
/// use reactor::bdev::{self, Access};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// bdev::create("left0", "ram:1M").await?;
/// bdev::create("right0", "ram:1M").await?;
/// bdev::create("both0", "mirror(left0,right0)").await?;
/// assert_eq!(bdev::info("both0")?.bases, ["left0", "right0"]);
/// # for name in ["both0", "left0", "right0"] { bdev::unregister(name)?; }
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`open`] and [`register`](crate::bdev::register). Nothing is registered then, and nothing if the future is dropped.
pub async fn create(names: impl Into<Names>, spec: &str) -> Result<DeviceRef> {
    let planned = || Planned::from_spec(spec)?.ok_or_else(|| no_spec(spec, 0..spec.len()));
    let first = planned()?;
    let names = names.into();
    let names = match first.shared_name() {
        Some(shared) => names.with_alias(shared),
        None => names,
    };
    let reservation = registry::Reservation::of(names)?;
    let made = match first.make(Access::ReadWrite).await {
        Err(Error::ReadOnly { .. }) => planned()?.make(Access::ReadOnly).await,
        made => made,
    };
    registry::add(reservation, made?)
}

fn no_spec(spec: &str, at: Range<usize>) -> Error {
    let reason = "what is to be made? write a spec such as ram:64M or file:PATH".to_owned();
    Error::BadSpec { spec: spec.to_owned(), at, reason }
}

/// Every kind of device that [`open`] makes from a spec.
///
/// ```
/// for kind in reactor::bdev::kinds() {
///     println!("{:30} {}", kind.form(), kind.about());
/// }
/// ```
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    kind::KINDS.iter().copied()
}

/// What is wrong with a spec.
#[derive(Debug)]
pub(super) enum Fault {
    /// It cannot be read, there.
    Text { at: Range<usize>, reason: String },
    /// What it names cannot be.
    Other(Error),
}

impl Fault {
    pub(super) fn new(at: Range<usize>, reason: impl Into<String>) -> Self {
        Self::Text { at, reason: reason.into() }
    }

    fn into_error(self, spec: &str) -> Error {
        match self {
            Self::Text { at, reason } => Error::BadSpec { spec: spec.to_owned(), at, reason },
            Self::Other(e) => e,
        }
    }
}

impl From<Error> for Fault {
    fn from(e: Error) -> Self {
        Self::Other(e)
    }
}

/// For the tests of modules: each spec is refused, and the error points at that piece of it.
#[cfg(all(test, not(loom)))]
pub(super) fn assert_points_at(cases: &[(&str, &str)]) {
    for (spec, piece) in cases {
        let refused = |fault: Fault| fault.into_error(spec);
        let planned = parse::parse(spec)
            .map_err(refused)
            .map(|item| item.map(|item| Planned::of(item).map_err(refused)));
        match planned {
            Err(Error::BadSpec { at, .. }) | Ok(Some(Err(Error::BadSpec { at, .. }))) => {
                assert_eq!(&spec[at], *piece, "{spec}");
            }
            _ => panic!("{spec} was not refused"),
        }
    }
}
