//! The grammar of core lists: `0-3,8`, `[0-3]` and the mask `0x10f`.
//!
//! It knows no machine, only text. `macros/src/cores.rs` is a link to this file, so that `#[reactor::main]` refuses at
//! compile time exactly what `CpuSet` would refuse at start-up.

/// The highest core number that a list may name: what the kernel's fixed-size affinity mask holds.
pub const CPU_MAX: usize = 1023;

/// Why a core list does not parse. Each message names the offending piece and says what to write.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// No core is named.
    #[error("no cores given: name at least one, as in \"0-3,8\" or the mask \"0x10f\"")]
    Empty,
    /// A piece between commas is neither a number nor a range.
    #[error(
        "\"{piece}\" is neither a core nor a range of cores: write a list as \"0-3,8\" or a mask as \"0x10f\""
    )]
    NotACore {
        /// The piece as written.
        piece: String,
    },
    /// A range whose end lies below its start.
    #[error("range \"{first}-{last}\" runs downwards: write \"{last}-{first}\"")]
    Descending {
        /// The start as written.
        first: usize,
        /// The end as written.
        last: usize,
    },
    /// The same core in two pieces, or twice in one list.
    #[error("core {cpu} is listed twice, the second time by \"{piece}\": name each core once")]
    Twice {
        /// The core named again.
        cpu: usize,
        /// The piece that names it again.
        piece: String,
    },
    /// A core number beyond [`CPU_MAX`].
    #[error("core \"{piece}\" is out of range: core numbers end at {CPU_MAX}")]
    TooLarge {
        /// The number or mask as written.
        piece: String,
    },
    /// `0x` followed by something other than hexadecimal digits.
    #[error(
        "\"{piece}\" is not a core mask: write hexadecimal digits after 0x, as in \"0x10f\" for cores 0-3 and 8"
    )]
    BadMask {
        /// The mask as written.
        piece: String,
    },
    /// An opening bracket without its partner, or the reverse.
    #[error("\"{text}\" has a bracket without its partner: write \"[0-3]\" or \"0-3\"")]
    Bracket {
        /// The list as written.
        text: String,
    },
}

/// Reads a list or a mask into ascending core numbers, at least one.
pub(crate) fn parse(text: &str) -> Result<Vec<usize>, ListError> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return parse_mask(text, digits);
    }
    let list = match (text.strip_prefix('['), text.ends_with(']')) {
        (Some(inner), true) => inner[..inner.len() - 1].trim(),
        (None, false) => text,
        _ => return Err(ListError::Bracket { text: text.into() }),
    };
    if list.is_empty() {
        return Err(ListError::Empty);
    }
    let mut cpus = Vec::new();
    for piece in list.split(',').map(str::trim) {
        let (first, last) = parse_range(piece)?;
        for cpu in first..=last {
            match cpus.binary_search(&cpu) {
                Ok(_) => return Err(ListError::Twice { cpu, piece: piece.into() }),
                Err(place) => cpus.insert(place, cpu),
            }
        }
    }
    Ok(cpus)
}

/// `8` as `(8, 8)`, `0-3` as `(0, 3)`.
fn parse_range(piece: &str) -> Result<(usize, usize), ListError> {
    let Some((first, last)) = piece.split_once('-') else {
        let cpu = parse_number(piece, piece)?;
        return Ok((cpu, cpu));
    };
    let (first, last) = (parse_number(first, piece)?, parse_number(last, piece)?);
    if last < first {
        return Err(ListError::Descending { first, last });
    }
    Ok((first, last))
}

/// Decimal digits and nothing else: `str::parse` alone would take a sign too.
fn parse_number(number: &str, piece: &str) -> Result<usize, ListError> {
    let number = number.trim();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ListError::NotACore { piece: piece.into() });
    }
    // Digits that do not fit a usize are a number too: one that is too large.
    match number.parse() {
        Ok(cpu) if cpu <= CPU_MAX => Ok(cpu),
        _ => Err(ListError::TooLarge { piece: number.into() }),
    }
}

/// One bit per core, the lowest bit last, as wide as it needs to be.
fn parse_mask(mask: &str, digits: &str) -> Result<Vec<usize>, ListError> {
    let mut cpus = Vec::new();
    for (place, digit) in digits.chars().rev().enumerate() {
        let Some(bits) = digit.to_digit(16) else {
            return Err(ListError::BadMask { piece: mask.into() });
        };
        cpus.extend((0..4).filter(|bit| bits & (1 << bit) != 0).map(|bit| place * 4 + bit));
    }
    match cpus.last() {
        _ if digits.is_empty() => Err(ListError::BadMask { piece: mask.into() }),
        None => Err(ListError::Empty),
        Some(&cpu) if cpu > CPU_MAX => Err(ListError::TooLarge { piece: mask.into() }),
        Some(_) => Ok(cpus),
    }
}
