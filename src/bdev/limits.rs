//! How much of a device may be used in a second: [`Limits`], SPDK's QoS.
//!
//! Kept by `limiter`, which all cores share; who waits for it does so in the `gate` of his channel.

use std::fmt;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

use super::channel::Inner;
use super::limiter::Limiter;
use super::{Descriptor, Error, Result, parse_size};

/// At most so many I/Os, and so many bytes, in a second, over all cores and descriptors of a device: see
/// [`Descriptor::set_limits`]. `None` is no limit.
///
/// Written as text they are `name=value` with commas between: `iops`, `read_iops`, `write_iops` in I/Os per second, with `k` or `M`
/// for thousands and millions; `mib`, `read_mib`, `write_mib` in MiB per second; or `bytes`, `read_bytes`, `write_bytes` with `K`, `M`
/// or `G` for powers of 1024.
///
/// ```
/// use reactor::bdev::Limits;
///
/// let limits = Limits { iops: Some(10_000), write_bytes: Some(100 << 20), ..Limits::NONE };
/// assert_eq!("iops=10k,write_mib=100".parse(), Ok(limits));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Reads and writes.
    pub iops: Option<u64>,
    /// Reads.
    pub read_iops: Option<u64>,
    /// Writes.
    pub write_iops: Option<u64>,
    /// Bytes read and written.
    pub bytes: Option<u64>,
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub write_bytes: Option<u64>,
}

/// What a limit on I/Os may be: one in a nanosecond is more than any device does.
const IOPS_MOST: u64 = 1_000_000_000;
/// What a limit on bytes may be at most, 1 TB in a second; at least it is a block.
const BYTES_MOST: u64 = 1_000_000_000_000;

impl Limits {
    /// No limits.
    pub const NONE: Self = Self {
        iops: None,
        read_iops: None,
        write_iops: None,
        bytes: None,
        read_bytes: None,
        write_bytes: None,
    };

    /// Each with its name, I/Os before bytes; of either all, reads, writes.
    pub(super) fn each(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("iops", self.iops),
            ("read_iops", self.read_iops),
            ("write_iops", self.write_iops),
            ("bytes", self.bytes),
            ("read_bytes", self.read_bytes),
            ("write_bytes", self.write_bytes),
        ]
    }

    fn check(&self, block_size: u32) -> Result<()> {
        for (at, (limit, given)) in self.each().into_iter().enumerate() {
            let (least, most) = if at < 3 { (1, IOPS_MOST) } else { (block_size.into(), BYTES_MOST) };
            match given {
                Some(given) if !(least..=most).contains(&given) => {
                    return Err(Error::BadLimit { limit, given, least, most });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Descriptor {
    /// Limits how much of the device is used in a second, over all cores, runtimes and descriptors, in the place of what limits
    /// there were; [`Limits::NONE`] lifts them. SPDK's `spdk_bdev_set_qos_rate_limits`.
    ///
    /// It may be called while I/O flows, on any thread, through a descriptor of any access, and takes effect on each core with that
    /// core's next turn: who waits goes by the new limits. They last until the device goes.
    ///
    /// What exceeds a limit waits before it begins, reads and writes each in order of arrival on their core; cores take turns. A
    /// future that is dropped there gives its place back. The rate is even: nothing is saved up but the last millisecond, and up to
    /// 100 ms that a core was late to let in who waited. An I/O of any length may pass, and what it is too long for is made up for
    /// by those after it.
    ///
    /// Reads and compares count as reads; writes, compare-and-writes, zone appends as writes; NVMe commands with data as what they
    /// are. What moves no data through the core is not limited: flushes, unmaps, write-zeroes, copies, resets, seeks, zone
    /// management. An I/O that the layer splits counts once, as its caller asked for it; where devices stack, each limits
    /// what enters it.
    ///
    /// ```
    /// use reactor::bdev::{self, Access, Limits};
    ///
    /// # reactor::LocalExecutor::new().unwrap().block_on(async {
    /// let disk = bdev::open("ram:1M", Access::ReadWrite).await?;
    /// disk.set_limits(Limits { iops: Some(10_000), ..Limits::NONE })?;
    /// disk.channel()?.read(0..8).await?;
    ///
    /// let refused = disk.set_limits(Limits { iops: Some(0), ..Limits::NONE }).unwrap_err();
    /// assert!(refused.to_string().contains("at least 1"), "{refused}");
    /// # Ok::<(), bdev::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::BadLimit`] for what would stop all I/O, or limits nothing; [`Error::Removed`].
    pub fn set_limits(&self, limits: Limits) -> Result<()> {
        limits.check(self.geometry().block_size)?;
        let limiter = (limits != Limits::NONE).then(|| Arc::new(Limiter::new(limits)));
        self.device().set_limiter(limiter)?;
        self.device()
            .visit(|_core| |channels: Vec<Rc<Inner>>| channels.iter().for_each(|inner| inner.renew_limits()));
        Ok(())
    }

    /// The limits as they are.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.device().limiter().map_or(Limits::NONE, |limiter| limiter.limits())
    }
}

impl FromStr for Limits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut limits = Self::NONE;
        for part in text.split(',') {
            let Some((name, value)) = part.split_once('=') else {
                return Err(format!("{part:?} is no limit: write it like iops=10k or write_mib=100"));
            };
            let (limit, value) = match name {
                "iops" => (&mut limits.iops, parse_count(value)?),
                "read_iops" => (&mut limits.read_iops, parse_count(value)?),
                "write_iops" => (&mut limits.write_iops, parse_count(value)?),
                "mib" => (&mut limits.bytes, parse_mib(value)?),
                "read_mib" => (&mut limits.read_bytes, parse_mib(value)?),
                "write_mib" => (&mut limits.write_bytes, parse_mib(value)?),
                "bytes" => (&mut limits.bytes, parse_size(value)?),
                "read_bytes" => (&mut limits.read_bytes, parse_size(value)?),
                "write_bytes" => (&mut limits.write_bytes, parse_size(value)?),
                _ => {
                    return Err(format!(
                        "there is no limit {name:?}: write iops, mib or bytes, or one of them with read_ or write_ before it"
                    ));
                }
            };
            if limit.replace(value).is_some() {
                return Err(format!("{name} is given twice, or in two units: give it once"));
            }
            // Of a device nothing is known here: it judges bytes once more.
            if value == 0 {
                return Err(format!("{name}=0 would stop all I/O: give at least 1, or leave it out"));
            }
        }
        Ok(limits)
    }
}

/// A number of I/Os.
fn parse_count(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'M') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| format!("{text:?} is no number of I/Os: write 500, 10k or 2M"))
}

fn parse_mib(text: &str) -> Result<u64, String> {
    let number = text.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << 20));
    number
        .ok_or_else(|| format!("{text:?} is no number of MiB: write 100, or use bytes=512K for parts of one"))
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (name, value) in self.each() {
            if let Some(value) = value {
                write!(f, "{comma}{name}={value}")?;
                comma = ",";
            }
        }
        if comma.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written() {
        let all = Limits {
            iops: Some(1),
            read_iops: Some(2_000),
            write_iops: Some(3_000_000),
            bytes: Some(4 << 20),
            read_bytes: Some(5 << 10),
            write_bytes: Some(6),
        };
        assert_eq!("iops=1,read_iops=2k,write_iops=3M,mib=4,read_bytes=5K,write_bytes=6".parse(), Ok(all));
        assert_eq!(all.to_string().parse(), Ok(all));
        assert_eq!(Limits::NONE.to_string(), "none");
    }

    #[test]
    fn what_is_no_limit_says_what_to_write() {
        for (text, hint) in [
            ("", "like iops=10k"),
            ("iops", "like iops=10k"),
            ("iops=", "500, 10k or 2M"),
            ("iops=-1", "500, 10k or 2M"),
            ("iops=99999999999999M", "500, 10k or 2M"),
            ("iops=0", "at least 1"),
            ("write_mib=0", "at least 1"),
            ("mib=1.5", "bytes=512K"),
            ("bytes=many", "such as 64M"),
            ("speed=1", "iops, mib or bytes"),
            ("mib=1,bytes=1", "give it once"),
        ] {
            let refusal = text.parse::<Limits>().unwrap_err();
            assert!(refusal.contains(hint), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_limit_is_between_one_unit_and_what_no_device_does() {
        let of = |iops, bytes| Limits { read_iops: iops, write_bytes: bytes, ..Limits::NONE }.check(4096);
        for good in [(None, None), (Some(1), Some(4096)), (Some(IOPS_MOST), Some(BYTES_MOST))] {
            of(good.0, good.1).unwrap();
        }
        for (iops, bytes, said) in [
            (Some(0), None, "read_iops of 0 cannot be a limit: give at least 1 and"),
            (Some(u64::MAX), None, "at most 1000000000,"),
            (None, Some(0), "write_bytes of 0 cannot be a limit: give at least 4096 and"),
            (None, Some(4095), "at least 4096"),
            (None, Some(BYTES_MOST + 1), "at most 1000000000000,"),
        ] {
            let refusal = of(iops, bytes).unwrap_err().to_string();
            assert!(refusal.contains(said), "{refusal}");
            assert!(
                refusal.ends_with("None for no limit, or quiesce the device to stop its I/O"),
                "{refusal}"
            );
        }
    }
}
