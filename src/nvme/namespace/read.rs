//! Asking a controller what a namespace is.

use super::super::Error;
use super::super::queue::Origin;
use super::super::spec::{
    Command, ExtendedFormat, IdentifyController, IdentifyNamespace, IdentifyNvmController,
    IdentifyNvmNamespace, IdentifyWhat, IdentifyZonedController, IdentifyZonedNamespace, NamespaceId,
    NamespaceIds,
};
use super::known::{Place, Question};
use super::{Format, Inner, Names, Namespace, NamespaceLimits, Zones};
use crate::sys::dma::DmaBuf;
use std::sync::atomic::AtomicU64;
use zerocopy::{FromBytes, FromZeros, Immutable, KnownLayout};

/// CSI: the command sets that are known here (Base 2.0 §5.17.2.3).
const NVM: u8 = 0;
const ZONED: u8 = 2;

/// More zones than any disk has: a report of them takes 64 bytes each.
const ZONES_MAX: u64 = 1 << 22;

impl Namespace {
    /// Asks what the namespace of this identifier is. `identify` has the controller answer one Identify with a page.
    ///
    /// # Errors
    /// [`Error::NoNamespace`] if it is not active, [`Error::Unsupported`] if it is none for this driver, [`Error::NamespaceGone`] if it is
    /// formatted at this moment, and what `identify` says. What a
    /// controller refuses to tell beyond the namespace itself is taken as not told.
    pub(in super::super) async fn read(
        origin: Origin,
        id: u32,
        controller: &IdentifyController,
        identify: impl AsyncFn(Command) -> Result<DmaBuf, Error>,
    ) -> Result<Self, Error> {
        let place = Place::new(controller, id);
        let question = Question::begin(place.clone());
        let page = identify(Command::identify(IdentifyWhat::NAMESPACE, id)).await?;
        let identity = IdentifyNamespace::read_from_bytes(&page).expect("it is a page");
        if !identity.is_active() {
            return Err(Error::NoNamespace(id));
        }
        let (names, set) =
            names(&identity, ask(&identify, Command::identify(IdentifyWhat::NAMESPACE_IDS, id)).await?);
        let of_set = |what, id, set| ask(&identify, Command::identify_of_set(what, id, set));
        let mut extended = [ExtendedFormat::default(); 64];
        if identity.protection.kind() != 0 {
            let page = of_set(IdentifyWhat::NAMESPACE_OF_SET, id, NVM).await?;
            extended = told::<IdentifyNvmNamespace>(page).formats;
        }
        let format = Format::of(&identity, &extended)?;
        let nvm: IdentifyNvmController = told(of_set(IdentifyWhat::CONTROLLER_OF_SET, 0, NVM).await?);
        let mut zones = None;
        let mut zoned = IdentifyZonedController::new_zeroed();
        match set {
            NVM => {}
            ZONED => {
                let page =
                    identify(Command::identify_of_set(IdentifyWhat::NAMESPACE_OF_SET, id, ZONED)).await?;
                zones = Some(zones_of(&identity, &told(Some(page)))?);
                zoned = told(of_set(IdentifyWhat::CONTROLLER_OF_SET, 0, ZONED).await?);
            }
            _ => return Err(Error::Unsupported("its command set is neither NVM nor that of zones")),
        }
        let limits = NamespaceLimits::of(controller, &identity, &nvm, &zoned, format.block_size);
        question.end(Inner {
            origin,
            place,
            id,
            size: AtomicU64::new(identity.size.get()),
            format,
            limits,
            // Some controllers have Copy for namespaces which then take none of any length (MSSRL and MCL are 0).
            commands: controller.io.with_copy(
                controller.io.copy() && identity.copy_range_max.get() > 0 && identity.copy_max.get() > 0,
            ),
            has_fused: controller.fused.compare_and_write(),
            names,
            zones,
            identity: Box::new(identity),
        })
    }
}

/// The answer; none if the controller has none.
async fn ask(
    identify: &impl AsyncFn(Command) -> Result<DmaBuf, Error>,
    command: Command,
) -> Result<Option<DmaBuf>, Error> {
    match identify(command).await {
        Ok(page) => Ok(Some(page)),
        Err(Error::Status(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a page says; what was not told is zeroes.
fn told<T: FromBytes + KnownLayout + Immutable>(page: Option<DmaBuf>) -> T {
    page.map_or_else(T::new_zeroed, |page| T::read_from_bytes(&page).expect("it is a page"))
}

/// What it is called, and its command set.
fn names(identity: &IdentifyNamespace, list: Option<DmaBuf>) -> (Names, u8) {
    let mut names = Names { nguid: Some(identity.nguid), eui64: Some(identity.eui64), uuid: None };
    let mut set = NVM;
    for name in list.as_ref().into_iter().flat_map(|list| NamespaceIds::new(list)) {
        match name {
            NamespaceId::Eui64(id) => names.eui64 = Some(id),
            NamespaceId::Nguid(id) => names.nguid = Some(id),
            NamespaceId::Uuid(id) => names.uuid = Some(id),
            NamespaceId::CommandSet(csi) => set = csi,
            NamespaceId::Other(..) => {}
        }
    }
    names.nguid = names.nguid.filter(|id| id.iter().any(|&byte| byte != 0));
    names.eui64 = names.eui64.filter(|id| id.iter().any(|&byte| byte != 0));
    names.uuid = names.uuid.filter(|id| id.iter().any(|&byte| byte != 0));
    (names, set)
}

fn zones_of(identity: &IdentifyNamespace, zoned: &IdentifyZonedNamespace) -> Result<Zones, Error> {
    let index = identity.format.index(usize::from(identity.formats_max) + 1);
    let blocks = zoned.formats[index].zone_blocks.get();
    if blocks == 0 {
        return Err(Error::Unsupported("its zones have no blocks"));
    }
    if identity.size.get() / blocks > ZONES_MAX {
        return Err(Error::Unsupported("it has more zones than any disk"));
    }
    // Less one, and all ones is no limit.
    let limit = |told: u32| told.checked_add(1);
    Ok(Zones {
        blocks,
        open_max: limit(zoned.open_max.get()),
        active_max: limit(zoned.active_max.get()),
        reads_cross: zoned.options.reads_across_zones(),
        extension_bytes: u32::from(zoned.formats[index].extension) * 64,
    })
}
