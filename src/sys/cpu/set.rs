//! A set of CPUs: parsed from a list or mask, printed as the canonical list, checked against the machine.
//!
//! The grammar stands in [`list`](super::list); what the machine has comes from [`online`] and [`allowed`].

use super::{ListError, allowed, list, online};
use std::fmt;
use std::io;
use std::str::FromStr;

/// At least one CPU, each once, in ascending order.
///
/// A string names CPUs; a number counts them: `"2"` is CPU 2 alone, `2` the first two CPUs this process may run on.
///
/// ```
/// use reactor::sys::cpu::CpuSet;
///
/// let cores: CpuSet = "0-3,8".parse()?;
/// assert_eq!(cores, "0x10f".parse()?);
/// assert_eq!(cores, "[0-3, 8]".parse()?);
/// assert_eq!(cores.to_string(), "0-3,8");
/// assert_eq!(cores.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 8]);
/// # Ok::<(), reactor::sys::cpu::ListError>(())
/// ```
///
/// # Invariants
/// Ascending, without repetition, not empty, nothing above [`CPU_MAX`](super::CPU_MAX).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CpuSet(Box<[usize]>);

/// Why a set of cores cannot be used on this machine. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text does not parse.
    #[error(transparent)]
    List(#[from] ListError),
    /// More cores were asked for than this process may run on.
    #[error("{asked} cores asked for, but this process may run on {}, namely {allowed}: ask for fewer", allowed.len())]
    TooMany {
        /// How many were asked for.
        asked: usize,
        /// What there is.
        allowed: CpuSet,
    },
    /// A core that this machine does not have, or that is offline.
    #[error("core {cpu} is not online on this machine, which has cores {online}: choose among these")]
    NotOnline {
        /// The core asked for.
        cpu: usize,
        /// What there is.
        online: CpuSet,
    },
    /// A core that exists but that a container, `taskset` or cpuset keeps this process from.
    #[error(
        "core {cpu} exists but this process is confined to {allowed}: choose among these, or widen its cpuset"
    )]
    NotAllowed {
        /// The core asked for.
        cpu: usize,
        /// What there is.
        allowed: CpuSet,
    },
    /// The machine could not be asked.
    #[error(
        "cannot read which cores there are; check that /proc and /sys are mounted, and raise `ulimit -n` if it says too \
         many open files: {0}"
    )]
    Unknown(#[source] io::Error),
}

impl CpuSet {
    /// The first `count` CPUs that this process may run on.
    ///
    /// # Errors
    /// [`ListError::Empty`] for none, [`Error::TooMany`] for more than there are, [`Error::Unknown`] if the kernel does
    /// not say.
    pub fn first(count: usize) -> Result<Self, Error> {
        let allowed = allowed().map_err(Error::Unknown)?;
        match allowed.0.get(..count) {
            None => Err(Error::TooMany { asked: count, allowed }),
            Some([]) => Err(ListError::Empty.into()),
            Some(cpus) => Ok(Self(cpus.into())),
        }
    }

    /// This set again, if every CPU in it is online and this process may run there.
    ///
    /// # Errors
    /// [`Error::NotOnline`], [`Error::NotAllowed`] or [`Error::Unknown`].
    pub fn available(self) -> Result<Self, Error> {
        let allowed = allowed().map_err(Error::Unknown)?;
        if self.iter().all(|cpu| allowed.contains(cpu)) {
            return Ok(self);
        }
        self.within(online().map_err(Error::Unknown)?, allowed)
    }

    /// [`available`](Self::available) on a machine that has `online` and lends us `allowed`.
    fn within(self, online: Self, allowed: Self) -> Result<Self, Error> {
        if let Some(cpu) = self.iter().find(|&cpu| !online.contains(cpu)) {
            return Err(Error::NotOnline { cpu, online });
        }
        if let Some(cpu) = self.iter().find(|&cpu| !allowed.contains(cpu)) {
            return Err(Error::NotAllowed { cpu, allowed });
        }
        Ok(self)
    }

    /// Only for what is ascending and not empty already; `None` otherwise.
    pub(super) fn from_ascending(cpus: Vec<usize>) -> Option<Self> {
        (!cpus.is_empty() && cpus.is_sorted_by(|a, b| a < b)).then(|| Self(cpus.into()))
    }

    /// How many CPUs.
    #[expect(clippy::len_without_is_empty, reason = "a set of CPUs is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `cpu` is one of them.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.binary_search(&cpu).is_ok()
    }

    /// The CPUs in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = usize> + DoubleEndedIterator + Clone + '_ {
        self.0.iter().copied()
    }
}

impl FromStr for CpuSet {
    type Err = ListError;

    /// Reads a list (`0-3,8`, with or without SPDK's brackets) or a mask (`0x10f`). Whether the machine has these CPUs
    /// is for [`available`](Self::available) to say.
    fn from_str(text: &str) -> Result<Self, ListError> {
        list::parse(text).map(|cpus| Self(cpus.into()))
    }
}

impl TryFrom<&str> for CpuSet {
    type Error = Error;

    /// The CPUs that the list or mask names, if they are [`available`](Self::available).
    fn try_from(text: &str) -> Result<Self, Error> {
        text.parse::<Self>()?.available()
    }
}

impl TryFrom<usize> for CpuSet {
    type Error = Error;

    /// The [`first`](Self::first) `count` CPUs.
    fn try_from(count: usize) -> Result<Self, Error> {
        Self::first(count)
    }
}

impl fmt::Display for CpuSet {
    /// The canonical list: ascending, neighbours as ranges.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.0.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [cpu] => write!(f, "{comma}{cpu}")?,
                [] => unreachable!("chunk_by yields no empty run"),
            }
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::CPU_MAX;
    use super::*;
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    fn set(text: &str) -> CpuSet {
        text.parse().expect("a good list")
    }

    fn refusal(text: &str) -> String {
        text.parse::<CpuSet>().expect_err("a bad list").to_string()
    }

    proptest! {
        /// What is printed parses back to the same set, as a list, in brackets and as a mask.
        #[test]
        fn list_and_mask_round_trip(cpus in btree_set(0..=CPU_MAX, 1..40)) {
            let set = CpuSet::from_ascending(cpus.iter().copied().collect()).expect("ascending");
            let list = set.to_string();
            prop_assert_eq!(&list.parse::<CpuSet>(), &Ok(set.clone()));
            prop_assert_eq!(&format!(" [ {} ]\n", list).parse::<CpuSet>(), &Ok(set.clone()));

            let mut digits = vec![0_u32; CPU_MAX / 4 + 1];
            for cpu in &cpus {
                digits[CPU_MAX / 4 - cpu / 4] |= 1 << (cpu % 4);
            }
            let mask: String = digits.iter().map(|&digit| char::from_digit(digit, 16).expect("a nibble")).collect();
            prop_assert_eq!(&format!("0x{}", mask).parse::<CpuSet>(), &Ok(set));
        }

        /// Order of writing does not matter, and nothing is lost between pieces.
        #[test]
        fn pieces_come_in_any_order(cpus in Just((0..20).collect::<Vec<usize>>()).prop_shuffle()) {
            let list = cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
            prop_assert_eq!(set(&list), set("0-19"));
        }

        /// Any text is either understood or refused: never a panic.
        #[test]
        fn any_text_is_answered(text in "[-0-9a-fxX,\\[\\] ]{0,12}|\\PC{0,8}") {
            let _ = text.parse::<CpuSet>();
        }
    }

    #[test]
    fn refusals_name_the_piece_and_say_what_to_write() {
        let empty = "no cores given: name at least one, as in \"0-3,8\" or the mask \"0x10f\"";
        for text in ["", "  ", "[]", "[ ]", "0x0", "0x000"] {
            assert_eq!(refusal(text), empty, "{text:?}");
        }
        for (text, piece) in [
            ("a", "a"),
            ("0,,1", ""),
            ("0,", ""),
            ("1-", "1-"),
            ("-1", "-1"),
            ("+1", "+1"),
            ("0-2-4", "0-2-4"),
            ("1.5", "1.5"),
        ] {
            assert!(
                refusal(text).starts_with(&format!("\"{piece}\" is neither a core nor a range")),
                "{text:?}"
            );
        }
        assert_eq!(refusal("0,3-1"), "range \"3-1\" runs downwards: write \"1-3\"");
        assert_eq!(
            refusal("0,2,1-3"),
            "core 2 is listed twice, the second time by \"1-3\": name each core once"
        );
        assert_eq!(refusal("1024"), "core \"1024\" is out of range: core numbers end at 1023");
        assert!(refusal("99999999999999999999999").contains("is out of range"));
        assert!(refusal(&format!("0x1{}", "0".repeat(256))).contains("is out of range"));
        for mask in ["0x", "0xzz", "0x-1", "0x1,2", "0x1_0"] {
            assert!(refusal(mask).starts_with(&format!("\"{mask}\" is not a core mask")), "{mask:?}");
        }
        for text in ["[0-3", "0-3]", "["] {
            assert!(refusal(text).contains("a bracket without its partner"), "{text:?}");
        }
    }

    #[test]
    fn a_core_the_machine_lacks_is_told_from_one_we_may_not_use() {
        let (online, allowed) = (set("0-3"), set("0-1"));
        let within =
            |text| set(text).within(online.clone(), allowed.clone()).map_err(|error| error.to_string());
        assert_eq!(within("1"), Ok(set("1")));
        assert_eq!(
            within("0,2,9"),
            Err("core 9 is not online on this machine, which has cores 0-3: choose among these".into())
        );
        assert_eq!(
            within("0-2"),
            Err("core 2 exists but this process is confined to 0-1: choose among these, or widen its cpuset"
                .into())
        );
    }

    #[test]
    fn a_number_counts_the_cores_we_may_use() {
        let allowed = allowed().expect("affinity is readable");
        let all = allowed.len();
        assert_eq!(CpuSet::try_from(all).expect("all of them"), allowed);
        assert_eq!(CpuSet::try_from(1).expect("one").iter().next(), allowed.iter().next());
        assert!(matches!(CpuSet::try_from(0), Err(Error::List(ListError::Empty))));
        let refusal = CpuSet::try_from(all + 1).expect_err("more than there are").to_string();
        assert!(
            refusal.starts_with(&format!("{} cores asked for, but this process may run on {all}", all + 1)),
            "{refusal}"
        );
        assert!(matches!(CpuSet::try_from("1023"), Err(Error::NotOnline { cpu: 1023, .. })));
    }
}
