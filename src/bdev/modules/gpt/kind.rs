//! One partition of a disk, by a spec.

use std::fmt;

use uuid::Uuid;

use super::{Partition, partitions};
use crate::bdev::modules::part::Origin;
use crate::bdev::modules::spec::{Bases, Kind, Plan};
use crate::bdev::{Error, Result};

pub(in crate::bdev::modules) const KIND: Kind = Kind::new(
    "gpt",
    "gpt:1(SPEC)",
    "a partition of another, by its number or GUID, or by `label=NAME` (feature `gpt`)",
    Bases::One,
    |args| {
        let wanted = match (args.get("label"), args.bare()) {
            (Some(label), _) => Wanted::Label(label.text().to_owned()),
            (None, Some(value)) => match (value.text().parse(), Uuid::try_parse(value.text())) {
                (Ok(number), _) => Wanted::Number(number),
                (_, Ok(id)) => Wanted::Id(id),
                _ => return Err(value.fault("neither a number nor a GUID: for a name write label=NAME")),
            },
            _ => return Err(args.missing("say which partition, such as gpt:1 or gpt:label=boot")),
        };
        Ok(Plan::reading_one(async move |disk| {
            let found = partitions(&disk).await?;
            let partition = wanted.among(&found, disk.name())?;
            Ok(partition.part(&disk)?.with_origin(Origin::Table(partition.id)))
        }))
    },
);

/// Which partition is meant.
enum Wanted {
    Number(u32),
    Id(Uuid),
    Label(String),
}

impl Wanted {
    fn is(&self, partition: &Partition) -> bool {
        match self {
            Self::Number(number) => partition.number == *number,
            Self::Id(id) => partition.id == *id,
            Self::Label(label) => partition.name == *label,
        }
    }

    /// The only one of `found`, on `disk`, that is meant.
    fn among<'f>(&self, found: &'f [Partition], disk: &str) -> Result<&'f Partition> {
        let mut meant = found.iter().filter(|partition| self.is(partition));
        let reason = match (meant.next(), meant.next()) {
            (Some(one), None) => return Ok(one),
            (Some(one), Some(other)) => {
                format!("{} and {} are both called that: give the number", one.number, other.number)
            }
            _ if found.is_empty() => "its table is empty".to_owned(),
            _ => {
                let all =
                    found.iter().map(|found| format!("{} ({:?}, {})", found.number, found.name, found.id));
                format!("there are {}", all.collect::<Vec<_>>().join(", "))
            }
        };
        Err(Error::NoPartition { name: disk.to_owned(), wanted: self.to_string(), reason })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Id(id) => id.fmt(f),
            Self::Label(label) => write!(f, "{label:?}"),
        }
    }
}
