//! Lists that Identify answers: namespaces, controllers, the names of a namespace.

use std::fmt;
use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U32, U64};

layout! {
    /// A Namespace List: identifiers in rising order, behind which zeroes fill it (Base 2.0 §4.4.2). A Changed Namespace List log has
    /// the same form.
    NamespaceList: 4096 {
        /// As the controller wrote them.
        0 pub raw: [U32; 1024],
    }
}

impl NamespaceList {
    /// The identifiers that it lists: up to the first zero.
    ///
    /// ```
    /// use reactor::nvme::spec::NamespaceList;
    /// let mut list = NamespaceList::default();
    /// list.raw[0].set(1);
    /// list.raw[1].set(7);
    /// assert_eq!(list.iter().collect::<Vec<_>>(), [1, 7]);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.raw.iter().map(|id| id.get()).take_while(|&id| id != 0)
    }

    /// Whether more changed than a Changed Namespace List has room for: then it says only all ones (Base 2.0 §5.16.1.5).
    pub fn is_overflow(&self) -> bool {
        self.raw[0].get() == u32::MAX
    }
}

layout! {
    /// A Controller List (Base 2.0 §4.4.1).
    ControllerList: 4096 {
        /// How many there are.
        0 pub count: U16,
        /// As the controller wrote them.
        2 pub raw: [U16; 2047],
    }
}

impl ControllerList {
    /// The identifiers that it lists: as many as it says, and as many as fit.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.raw.iter().take(self.count.get().into()).map(|id| id.get())
    }

    /// A list of one, for Namespace Attachment.
    pub fn of(controller: u16) -> Self {
        let mut list = Self { count: U16::new(1), raw: [U16::ZERO; 2047] };
        list.raw[0].set(controller);
        list
    }
}

layout! {
    /// Which combinations of command sets can be selected, CNS 1Ch (Base 2.0 §5.17.2.21).
    CommandSetVector: 4096 {
        /// Each a word of bits by CSI; zero is no combination.
        0 pub combinations: [U64; 512],
    }
}

/// One name of a namespace (Base 2.0 §5.17.2.3).
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NamespaceId<'a> {
    /// EUI64.
    Eui64([u8; 8]),
    /// NGUID.
    Nguid([u8; 16]),
    /// UUID.
    Uuid([u8; 16]),
    /// CSI: its command set: 0 is NVM, 2 zoned namespaces.
    CommandSet(u8),
    /// One of a type that is not known here, or of a length that its type has not.
    Other(u8, &'a [u8]),
}

impl fmt::Debug for NamespaceId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes): (_, &[u8]) = match self {
            Self::Eui64(id) => ("Eui64", id),
            Self::Nguid(id) => ("Nguid", id),
            Self::Uuid(id) => ("Uuid", id),
            Self::CommandSet(csi) => return write!(f, "CommandSet({csi})"),
            Self::Other(kind, id) => {
                write!(f, "Other({kind}, ")?;
                ("", id)
            }
        };
        write!(f, "{name}(")?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(if name.is_empty() { "))" } else { ")" })
    }
}

layout! {
    /// The head of one descriptor in the list.
    IdHeader: 4 {
        0 kind: u8,
        1 len: u8,
        2 reserved2: U16,
    }
}

/// The names in the answer to an Identify with CNS 03h: ends with the list, or where that makes no sense any more.
///
/// ```
/// use reactor::nvme::spec::{NamespaceId, NamespaceIds};
/// let list = [1, 8, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 4, 1, 0, 0, 2, 0, 0, 0, 0];
/// let ids: Vec<_> = NamespaceIds::new(&list).collect();
/// assert_eq!(ids, [NamespaceId::Eui64([1, 2, 3, 4, 5, 6, 7, 8]), NamespaceId::CommandSet(2)]);
/// ```
#[derive(Clone, Debug)]
pub struct NamespaceIds<'a> {
    rest: &'a [u8],
}

impl<'a> NamespaceIds<'a> {
    /// Of this answer.
    pub fn new(answer: &'a [u8]) -> Self {
        Self { rest: answer }
    }
}

impl<'a> Iterator for NamespaceIds<'a> {
    type Item = NamespaceId<'a>;

    fn next(&mut self) -> Option<NamespaceId<'a>> {
        let (head, rest) = IdHeader::read_from_prefix(self.rest).ok()?;
        let (id, rest) = rest.split_at_checked(head.len.into())?;
        if head.len == 0 {
            self.rest = &[];
            return None;
        }
        self.rest = rest;
        let known = match head.kind {
            1 => id.try_into().map(NamespaceId::Eui64),
            2 => id.try_into().map(NamespaceId::Nguid),
            3 => id.try_into().map(NamespaceId::Uuid),
            4 => id.try_into().map(|[csi]: [u8; 1]| NamespaceId::CommandSet(csi)),
            _ => return Some(NamespaceId::Other(head.kind, id)),
        };
        Some(known.unwrap_or(NamespaceId::Other(head.kind, id)))
    }
}
