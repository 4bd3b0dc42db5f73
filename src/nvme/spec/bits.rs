//! Words of bits, whichever they are: which flags have names, and which are set.

/// A word of named bits, such as [`IoSupport`](super::IoSupport), to be shown to people.
///
/// ```
/// use reactor::nvme::spec::{Bits, IoSupport};
/// let support = IoSupport::from_bits(0x8005);
/// let names: Vec<_> = support.flags().map(|flag| flag.name).collect();
/// assert_eq!(names, ["compare", "dataset_management"]);
/// assert_eq!(support.unknown(), 0x8000);
/// ```
pub trait Bits: Copy {
    /// Those that have names.
    const FLAGS: &'static [Flag];
    /// The bits that have names, or belong to a number that has one.
    const KNOWN: u64;

    /// All of it, as a number.
    fn number(self) -> u64;

    /// The flags that are set.
    fn flags(self) -> impl Iterator<Item = &'static Flag> {
        Self::FLAGS.iter().filter(move |flag| self.number() >> flag.bit & 1 == 1)
    }

    /// What is set and has no name here: a later edition's, or nonsense.
    fn unknown(self) -> u64 {
        self.number() & !Self::KNOWN
    }
}

/// A bit that has a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Flag {
    /// Where it is, from 0.
    pub bit: u32,
    /// The name of its accessor.
    pub name: &'static str,
    /// What it says when it is set, as the accessor's documentation has it.
    pub about: &'static str,
}
