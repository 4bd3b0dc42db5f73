//! What a device is to be known by: [`Names`].

use std::fmt;

use uuid::Uuid;

use crate::bdev::{Error, Result};

/// A name, and whatever else [`open`](crate::bdev::open) shall find the device by.
///
/// A string is a name alone. No two devices share a name, an alias or a UUID, nor is one device's name another's alias.
///
/// ```
/// use reactor::bdev::{self, Access, Names, modules::Ram};
/// use uuid::Uuid;
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let id = Uuid::from_u128(0x67e55044_10b1_426f_9247_bb680e5fe0c8);
/// bdev::register(Names::new("disk7").with_alias("scratch").with_uuid(id), Ram::new(1 << 20)?)?;
/// for name in ["disk7", "scratch", "67e55044-10b1-426f-9247-bb680e5fe0c8"] {
///     assert_eq!(bdev::open(name, Access::ReadOnly).await?.name(), "disk7");
/// }
/// # bdev::unregister("disk7")?;
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) uuid: Option<Uuid>,
}

impl Names {
    /// A name alone.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: canonical(name.into()), aliases: Vec::new(), uuid: None }
    }

    /// The same with another name to be found by. Given twice it counts once.
    #[must_use]
    pub fn with_alias(mut self, alias: impl Into<String>) -> Self {
        let alias = canonical(alias.into());
        if alias != self.name && !self.aliases.contains(&alias) {
            self.aliases.push(alias);
        }
        self
    }

    /// The same with a UUID, which is the device's wherever and under whatever name it appears.
    ///
    /// Devices have none unless it is given: an identity that is made up anew at each start is none.
    #[must_use]
    pub fn with_uuid(self, uuid: Uuid) -> Self {
        Self { uuid: Some(uuid), ..self }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The other names.
    #[must_use]
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// The UUID, if there is one.
    #[must_use]
    pub fn uuid(&self) -> Option<Uuid> {
        self.uuid
    }

    /// All that is not the name, as the registry knows it.
    pub(super) fn others(&self) -> impl Iterator<Item = String> + '_ {
        let uuid = self.uuid.map(|uuid| uuid.hyphenated().to_string());
        // A name may be the UUID in words.
        self.aliases
            .iter()
            .cloned()
            .chain(uuid.filter(|uuid| *uuid != self.name && !self.aliases.contains(uuid)))
    }

    pub(super) fn validate(&self) -> Result<()> {
        [&self.name].into_iter().chain(&self.aliases).try_for_each(|name| validate(name))?;
        if self.uuid.is_some_and(|uuid| uuid.is_nil()) {
            let name = self.name.clone();
            return Err(Error::BadName {
                name,
                reason: "the nil UUID is nobody's: give another, or none".to_owned(),
            });
        }
        Ok(())
    }
}

pub(super) fn validate(name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "a name has at least one character"
    } else if name.chars().any(char::is_control) {
        "a name has no control characters, such as the end of a line"
    } else {
        return Ok(());
    };
    Err(Error::BadName { name: name.to_owned(), reason: reason.to_owned() })
}

/// A UUID is the same in capitals; all else is as it is.
pub(super) fn canonical(name: String) -> String {
    match Uuid::try_parse(&name) {
        Ok(uuid) if name.len() == uuid::fmt::Hyphenated::LENGTH => uuid.hyphenated().to_string(),
        _ => name,
    }
}

impl<N: Into<String>> From<N> for Names {
    fn from(name: N) -> Self {
        Self::new(name)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, aliases, uuid } = self;
        f.debug_struct("Names").field("name", name).field("aliases", aliases).field("uuid", uuid).finish()
    }
}
