//! The strings that make a block device: `null`, `null:1G`, `ram:64M`, `file:PATH`.
//!
//! Read by `registry::open` for names that nobody registered.

use std::path::PathBuf;

use super::module::AnyBdev;
use super::modules::{Null, Ram, Uring};
use super::{Access, Error, Result};

/// What a null device is as large as when nobody says.
const NULL_BYTES: u64 = 1 << 40;

/// A device to make.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Spec {
    Null { bytes: u64 },
    Ram { bytes: u64 },
    File { path: PathBuf },
}

impl Spec {
    /// The device that `text` describes; none if it does not begin like a spec.
    ///
    /// # Errors
    /// [`Error::BadSpec`], which says what to write.
    pub(super) fn parse(text: &str) -> Result<Option<Self>> {
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
            ("file", Some(path)) if !path.is_empty() => Self::File { path: path.into() },
            ("file", _) => return Err(bad("name the file, such as file:/tmp/disk".to_owned())),
            _ => return Ok(None),
        }))
    }

    /// The name that the device goes by.
    pub(super) fn canonical_name(&self) -> Result<String> {
        Ok(match self {
            Self::Null { bytes } => format!("null:{bytes}"),
            Self::Ram { bytes } => format!("ram:{bytes}"),
            Self::File { path } => {
                let whole = path.canonicalize().map_err(|source| Error::Os {
                    context: format!("cannot find {}; create it first, with its size", path.display()),
                    source,
                })?;
                format!("file:{}", whole.display())
            }
        })
    }

    /// Makes the device.
    pub(super) fn make(&self, access: Access) -> Result<Box<dyn AnyBdev>> {
        Ok(match self {
            Self::Null { bytes } => Box::new(Null::new(*bytes)?),
            Self::Ram { bytes } => Box::new(Ram::new(*bytes)?),
            Self::File { path } => Box::new(Uring::open(path, access)?),
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
        _ => return Err(format!("{text:?} is no size: write bytes, or a number with K, M, G or T, such as 64M")),
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

    #[test]
    fn sizes_take_suffixes_of_either_case() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("4k", 4096), ("4KiB", 4096), ("64M", 64 << 20), ("1g", 1 << 30), ("2TB", 2 << 40)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_what_to_write() {
        for text in ["", "M", "-1", "1.5G", "64 M", "64MM", "1x", "99999999999999999999", "9000000000G", "8388608T"] {
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
        assert_eq!(parse("file:/a:b"), Some(Spec::File { path: "/a:b".into() }));
        for name in ["", "nvme0n1", "rams", "nullify:1"] {
            assert_eq!(parse(name), None, "{name}");
        }
        for bad in ["ram", "ram:", "ram:x", "null:", "file", "file:"] {
            assert!(matches!(Spec::parse(bad), Err(Error::BadSpec { .. })), "{bad}");
        }
    }
}
