//! The strings that make a block device: `null`, `null:1G`, `ram:64M`, `file:PATH`, `poll:PATH`.
//!
//! Here, above the modules that it makes, stands [`open`]: names that nobody registered are read as specs.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::{Null, Ram, Uring};
use crate::bdev::module::AnyBdev;
use crate::bdev::{Access, Descriptor, Error, Result, registry};

/// Opens the device registered as `name`, or makes one if `name` is a spec.
///
/// | spec | device |
/// |---|---|
/// | `null`, `null:1G` | answers at once and keeps nothing; 1 TiB unless told otherwise |
/// | `ram:64M` | memory, zeroed; gone with its last descriptor |
/// | `file:PATH` | a file or a block device, through io_uring |
/// | `poll:PATH` | the same, its completions [polled for](Uring::polled) where it can; its name is that of `file:PATH` |
///
/// Sizes are bytes, or take K, M, G or T for powers of 1024. The spec is the device's name while somebody has it open:
/// opening it again meanwhile opens the same device.
///
/// # Errors
/// [`Error::NotFound`], [`Error::BadSpec`]; [`Error::Busy`] if it is open for writing; what the device says.
pub async fn open(name: &str, access: Access) -> Result<Descriptor> {
    if let Some(opened) = registry::open_known(name, access) {
        return opened;
    }
    let Some(spec) = Spec::parse(name)? else {
        return Err(Error::NotFound { name: name.to_owned() });
    };
    // A device has one name, however it is spelled.
    let name = spec.canonical_name()?;
    match registry::open_known(&name, access) {
        Some(opened) => opened,
        None => registry::open_transient(name, spec.make(access)?, access),
    }
}

/// What a null device is as large as when nobody says.
const NULL_BYTES: u64 = 1 << 40;

/// A device to make.
#[derive(Debug, PartialEq, Eq)]
enum Spec {
    Null { bytes: u64 },
    Ram { bytes: u64 },
    File { path: PathBuf, is_polled: bool },
}

impl Spec {
    /// The device that `text` describes; none if it does not begin like a spec.
    ///
    /// # Errors
    /// [`Error::BadSpec`], which says what to write.
    fn parse(text: &str) -> Result<Option<Self>> {
        let (kind, rest) = match text.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (text, None),
        };
        let bad = |reason: String| Error::BadSpec { spec: text.to_owned(), reason };
        Ok(Some(match (kind, rest) {
            ("null", None) => Self::Null { bytes: NULL_BYTES },
            ("null", Some(size)) => Self::Null { bytes: parse_size(size).map_err(bad)? },
            ("ram", Some(size)) => Self::Ram { bytes: parse_size(size).map_err(bad)? },
            ("ram", None) => return Err(bad("say how large, such as ram:64M".to_owned())),
            ("file", Some(path)) if !path.is_empty() => Self::File { path: path.into(), is_polled: false },
            ("poll", Some(path)) if !path.is_empty() => Self::File { path: path.into(), is_polled: true },
            ("file" | "poll", _) => return Err(bad(format!("name the file, such as {kind}:disk.img"))),
            _ => return Ok(None),
        }))
    }

    /// The name that the device goes by.
    fn canonical_name(&self) -> Result<String> {
        Ok(match self {
            Self::Null { bytes } => format!("null:{bytes}"),
            Self::Ram { bytes } => format!("ram:{bytes}"),
            Self::File { path, .. } => {
                let whole = path.canonicalize().map_err(|source| {
                    let path = path.display();
                    let context = match source.kind() {
                        ErrorKind::NotFound => format!("cannot find {path}; create it first, with its size"),
                        _ => format!("cannot reach {path}"),
                    };
                    Error::Os { context, source }
                })?;
                format!("file:{}", whole.display())
            }
        })
    }

    /// Makes the device.
    fn make(&self, access: Access) -> Result<Box<dyn AnyBdev>> {
        Ok(match self {
            Self::Null { bytes } => Box::new(Null::new(*bytes)?),
            Self::Ram { bytes } => Box::new(Ram::new(*bytes)?),
            Self::File { path, is_polled: false } => Box::new(Uring::open(path, access)?),
            Self::File { path, is_polled: true } => Box::new(Uring::open(path, access)?.polled()),
        })
    }
}

/// Bytes from a number with an optional K, M, G or T, for powers of 1024. Case does not matter, and neither does a
/// trailing `B` or `iB`.
///
/// ```
/// assert_eq!(reactor::bdev::parse_size("64M"), Ok(64 << 20));
/// assert!(reactor::bdev::parse_size("64 parsecs").is_err());
/// ```
///
/// # Errors
/// A sentence that says what to write.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let shift = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => {
            return Err(format!(
                "{text:?} is no size: write bytes, or a number with K, M, G or T, such as 64M"
            ));
        }
    };
    if digits == 0 {
        return Err(format!("{text:?} is no size: write a number first, such as 64M"));
    }
    let too_large = || format!("{text:?} is too large: sizes end below 8 EiB");
    let number: u64 = number.parse().map_err(|_| too_large())?;
    number.checked_mul(1 << shift).filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or_else(too_large)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::LocalExecutor;
    use crate::bdev::{names, register, unregister};
    use crate::sys::dma::DmaPool;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        LocalExecutor::new().unwrap().block_on(future)
    }

    #[test]
    fn sizes_take_suffixes_of_either_case() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("4k", 4096),
            ("4KiB", 4096),
            ("64M", 64 << 20),
            ("1g", 1 << 30),
            ("2TB", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_what_to_write() {
        for text in
            ["", "M", "-1", "1.5G", "64 M", "64MM", "1x", "99999999999999999999", "9000000000G", "8388608T"]
        {
            let e = parse_size(text).unwrap_err();
            assert!(e.contains("write") || e.contains("too large"), "{text}: {e}");
        }
    }

    #[test]
    fn specs_are_told_from_names() {
        let parse = |text| Spec::parse(text).unwrap();
        assert_eq!(parse("null"), Some(Spec::Null { bytes: 1 << 40 }));
        assert_eq!(parse("null:1G"), Some(Spec::Null { bytes: 1 << 30 }));
        assert_eq!(parse("ram:64M"), Some(Spec::Ram { bytes: 64 << 20 }));
        assert_eq!(parse("file:/a:b"), Some(Spec::File { path: "/a:b".into(), is_polled: false }));
        for name in ["", "nvme0n1", "rams", "nullify:1", "pollute:1"] {
            assert_eq!(parse(name), None, "{name}");
        }
        for bad in ["ram", "ram:", "ram:x", "null:", "file", "file:", "poll", "poll:"] {
            assert!(matches!(Spec::parse(bad), Err(Error::BadSpec { .. })), "{bad}");
        }
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
}
