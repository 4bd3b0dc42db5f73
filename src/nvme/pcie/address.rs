//! Where a function is on the machine's PCI buses.

use super::Error;
use std::fmt;
use std::str::FromStr;

/// The address of a PCI function, as `lspci -D` writes it: domain, bus, device and function, in hexadecimal.
///
/// ```
/// use reactor::nvme::pcie::Address;
///
/// let address: Address = "04:1f.7".parse()?;
/// assert_eq!(address.to_string(), "0000:04:1f.7", "without a domain it is the first");
/// # Ok::<(), reactor::nvme::pcie::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl FromStr for Address {
    type Err = Error;

    /// # Errors
    /// [`Error::BadAddress`].
    fn from_str(given: &str) -> Result<Self, Error> {
        parse(given).ok_or_else(|| Error::BadAddress(given.to_owned()))
    }
}

fn parse(given: &str) -> Option<Address> {
    let (front, function) = given.rsplit_once('.')?;
    let (front, device) = front.rsplit_once(':')?;
    let (domain, bus) = front.rsplit_once(':').unwrap_or(("0", front));
    // Domains of bridges that hold others, as Intel's VMD, have more than four digits.
    let address = Address {
        domain: hexadecimal(domain, 8)?,
        bus: hexadecimal(bus, 2)?.try_into().ok()?,
        device: hexadecimal(device, 2)?.try_into().ok()?,
        function: hexadecimal(function, 1)?.try_into().ok()?,
    };
    (address.device < 32 && address.function < 8).then_some(address)
}

fn hexadecimal(digits: &str, at_most: usize) -> Option<u32> {
    let is_one =
        (1..=at_most).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_one.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read_as_the_same(domain: u32, bus: u8, device in 0..32_u8, function in 0..8_u8) {
            let address = Address { domain, bus, device, function };
            prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
        }

        #[test]
        fn nonsense_is_refused_and_named(given in "[0-9a-g:.+ -]{0,14}") {
            match given.parse::<Address>() {
                Ok(address) => {
                    let short = given.split(['.', ':']).map(|part| part.trim_start_matches('0').to_lowercase());
                    let long = address.to_string();
                    let long = long.split(['.', ':']).map(|part| part.trim_start_matches('0'));
                    prop_assert!(long.rev().zip(short.rev()).all(|(ours, theirs)| ours == theirs));
                }
                Err(error) => {
                    let says = error.to_string();
                    prop_assert!(says.contains(&format!("{given:?}")), "{}", says);
                }
            }
        }
    }

    #[test]
    fn what_is_none() {
        for given in [
            "",
            "nvme0",
            "/dev/nvme0",
            "0000:00:04",
            "0000:00:20.0",
            "00:04.8",
            "1:2:3:4.0",
            "00:+4.0",
            "00:04.",
            "000:04.0",
        ] {
            assert!(matches!(given.parse::<Address>(), Err(Error::BadAddress(_))), "{given}");
        }
    }
}
