//! A spec that was read and found good: what it will make, and the making.

use futures::future::BoxFuture;

use super::Fault;
use super::kind::{Make, Plan};
use super::parse::{self, Item};
use crate::bdev::module::AnyBdev;
use crate::bdev::registry::{self, Place};
use crate::bdev::{Access, Descriptor, Error, Result};

/// A device whose spec was read and found good, and nothing made yet.
pub(super) enum Planned {
    Registered(String),
    Made {
        /// A device has one name, however it is spelled.
        name: String,
        is_shared: bool,
        make: Make,
        bases: Vec<Planned>,
    },
}

impl Planned {
    /// What `spec` describes; none if it does not begin like one.
    pub(super) fn from_spec(spec: &str) -> Result<Option<Self>> {
        let planned = parse::parse(spec).and_then(|item| item.map(Self::of).transpose());
        planned.map_err(|fault| fault.into_error(spec))
    }

    pub(super) fn of(item: Item<'_>) -> Result<Self, Fault> {
        let (kind, mut args, args_text, bases) = match item {
            // Whatever it is called here, it is one device.
            Item::Name(name) => {
                return Ok(Self::Registered(registry::name_of(&name).unwrap_or_else(|| name.into_owned())));
            }
            Item::Made { kind, args, args_text, bases } => (kind, args, args_text, bases),
        };
        let Plan { name, is_shared, make } = (kind.plan)(&mut args)?;
        args.finish(kind.form)?;
        let bases: Vec<_> = bases.into_iter().map(Self::of).collect::<Result<_, Fault>>()?;
        let mut name = name.unwrap_or_else(|| format!("{}{args_text}", kind.name));
        if !bases.is_empty() {
            let below: Vec<_> = bases.iter().map(Self::name).collect();
            name = format!("{name}({})", below.join(","));
        }
        Ok(Self::Made { name, is_shared, make, bases })
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Registered(name) | Self::Made { name, .. } => name,
        }
    }

    /// The name by which everybody knows the device, because it stands for something outside of this process.
    pub(super) fn shared_name(&self) -> Option<&str> {
        match self {
            Self::Made { name, is_shared: true, .. } => Some(name),
            _ => None,
        }
    }

    /// Opens the device, its bases first. Only one that others can find is looked for before it is made.
    pub(super) fn open(self, access: Access, is_top: bool) -> BoxFuture<'static, Result<Descriptor>> {
        Box::pin(async move {
            let (name, is_shared) = match &self {
                Self::Registered(name) => {
                    let opened = registry::open_known(name, access);
                    return opened.unwrap_or_else(|| Err(Error::NotFound { name: name.clone() }));
                }
                Self::Made { name, is_shared, .. } => (name.clone(), *is_shared),
            };
            if !is_top && !is_shared {
                return registry::open_unnamed(name, self.make(access).await?, access);
            }
            loop {
                match registry::place_for(&name)? {
                    Place::There(device) => return Descriptor::open(device, access),
                    Place::Wait(over) => over.wait().await,
                    Place::Free(reservation) => {
                        return registry::open_transient(reservation, self.make(access).await?, access);
                    }
                }
            }
        })
    }

    /// Makes the device anew, over its bases.
    pub(super) async fn make(self, access: Access) -> Result<Box<dyn AnyBdev>> {
        let (make, bases) = match self {
            Self::Registered(name) => return Err(Error::NotFound { name }),
            Self::Made { make, bases, .. } => (make, bases),
        };
        let mut opened = Vec::with_capacity(bases.len());
        for base in bases {
            opened.push(base.open(access, false).await?);
        }
        make(opened, access).await
    }
}
