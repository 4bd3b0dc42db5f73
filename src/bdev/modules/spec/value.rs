//! What stands behind a colon or an equals sign in a spec: sizes, times, numbers, ranges of blocks.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use super::Fault;

/// One value, and where in the spec it stands.
#[derive(Debug, Clone)]
pub(in crate::bdev::modules) struct Value<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) at: Range<usize>,
}

impl<'t> Value<'t> {
    /// The value as written, without its quotes.
    pub(in crate::bdev::modules) fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong with it.
    pub(in crate::bdev::modules) fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault::new(self.at.clone(), reason)
    }

    /// Bytes, as [`parse_size`] reads them.
    pub(in crate::bdev::modules) fn size(&self) -> Result<u64, Fault> {
        parse_size(&self.text).map_err(|reason| self.fault(reason))
    }

    /// A number that is not negative.
    pub(in crate::bdev::modules) fn number(&self) -> Result<u64, Fault> {
        let wrong = |_| self.fault(format!("{:?} is no number: write one such as 3", self.text));
        self.text.parse().map_err(wrong)
    }

    /// A time such as `100us`.
    pub(in crate::bdev::modules) fn duration(&self) -> Result<Duration, Fault> {
        parse_duration(&self.text).map_err(|reason| self.fault(reason))
    }

    /// Blocks such as `0..2048`, half-open.
    pub(in crate::bdev::modules) fn blocks(&self) -> Result<Range<u64>, Fault> {
        let ends = self.text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
        match ends {
            Some(range) if range.start < range.end => Ok(range),
            Some(_) => Err(self.fault(format!("{:?} is empty: the end lies behind the start", self.text))),
            None => {
                Err(self.fault(format!("{:?} is no range of blocks: write one such as 0..2048", self.text)))
            }
        }
    }

    /// The choice that the value names.
    pub(in crate::bdev::modules) fn choice<T: Clone>(&self, choices: &[(&str, T)]) -> Result<T, Fault> {
        match choices.iter().find(|(name, _)| *name == self.text) {
            Some((_, choice)) => Ok(choice.clone()),
            None => {
                let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                Err(self.fault(format!("{:?} is none of {}", self.text, names.join(", "))))
            }
        }
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
    let (number, suffix) = split_number(text);
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
    if number.is_empty() {
        return Err(format!("{text:?} is no size: write a number first, such as 64M"));
    }
    let too_large = || format!("{text:?} is too large: sizes end below 8 EiB");
    let number: u64 = number.parse().map_err(|_| too_large())?;
    number.checked_mul(1 << shift).filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or_else(too_large)
}

/// A time from a number with `ns`, `us`, `ms` or `s`; without a unit only zero.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_number(text);
    let wrong = || format!("{text:?} is no time: write a number with ns, us, ms or s, such as 100us");
    let unit_ns = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "" if number == "0" => 1,
        _ => return Err(wrong()),
    };
    if number.is_empty() {
        return Err(wrong());
    }
    let ns = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ns));
    ns.map(Duration::from_nanos).ok_or_else(|| format!("{text:?} is too long: times end at 584 years"))
}

/// The digits that `text` begins with, and the rest.
fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

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
    fn times_take_a_unit() {
        for (text, ns) in [
            ("0", 0),
            ("7ns", 7),
            ("100us", 100_000),
            ("3µs", 3_000),
            ("1ms", 1_000_000),
            ("2s", 2_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(ns)), "{text}");
        }
        for text in
            ["", "1", "us", "-1us", "1.5ms", "1 ms", "1parsec", "99999999999999999999us", "999999999999s"]
        {
            let e = parse_duration(text).unwrap_err();
            assert!(e.contains("such as 100us") || e.contains("too long"), "{text}: {e}");
        }
    }
}
