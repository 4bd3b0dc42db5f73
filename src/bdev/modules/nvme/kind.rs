//! One namespace, by a spec: of a controller by its address.
//!
//! What several specs say of one controller is one controller here: it is attached with the first, and let go of with the last device.

use std::io;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use futures::lock::Mutex;

use super::attached::Attached;
use super::paths::Disk;
use super::{NvmeDisk, NvmeOptions, PathPolicy, Source, of_controller};
use crate::bdev::modules::spec::{Args, Bases, Fault, Kind, Plan};
use crate::bdev::{Error, Result};
use crate::nvme::pcie::{self, Address, PcieDevice};
use crate::nvme::{self, Config, Controller};
use crate::time::{Instant, sleep};
use crate::unblock::unblock;

pub(in crate::bdev::modules) const NVME: Kind = Kind::new(
    "nvme",
    "nvme:0000:00:04.0,ns=1",
    "a namespace of an NVMe controller that vfio-pci has, by its only one if none is named; also `path=ADDRESS` for other controllers that have it, and `policy=active_passive` or `round_robin` (feature `nvme`)",
    Bases::None,
    |args| {
        let controllers = addresses(args)?;
        let nsid = namespace(args)?;
        let policy = args.get("policy").map(|value| value.choice(POLICIES)).transpose()?;
        let policy = policy.unwrap_or_default();
        let mut name = format!("nvme:{}", controllers[0]);
        nsid.iter().for_each(|nsid| name += &format!(",ns={nsid}"));
        controllers[1..].iter().for_each(|address| name += &format!(",path={address}"));
        Ok(Plan::making(name, async move || {
            let mut found: Option<Arc<Disk<Controller<PcieDevice>>>> = None;
            let mut nsid = nsid;
            for address in controllers.iter().copied() {
                let controller = by_address(address, policy).await?;
                let id = match nsid {
                    Some(id) => id,
                    None => only_namespace(address, &controller.source).await?,
                };
                nsid = Some(id);
                let disk = controller.take(id).await.map_err(|e| of_controller(&address.to_string(), e))?;
                match &found {
                    Some(first) if !Arc::ptr_eq(first, &disk) => {
                        return Err(not_the_same(controllers[0], address, id));
                    }
                    _ => found = Some(disk),
                }
            }
            Ok(NvmeDisk(found.expect("at least one address")))
        })
        .shared())
    },
);

const POLICIES: &[(&str, PathPolicy)] =
    &[("active_passive", PathPolicy::ActivePassive), ("round_robin", PathPolicy::RoundRobin)];

/// The first address, and those of further paths.
fn addresses(args: &mut Args<'_>) -> Result<Vec<Address>, Fault> {
    let missing = "name the controller by its address, such as nvme:0000:00:04.0 (`lspci -D` lists them)";
    let first = args.bare().ok_or_else(|| args.missing(missing))?;
    let mut addresses = Vec::new();
    let mut next = Some(first);
    while let Some(value) = next {
        let address = value.text().parse().map_err(|e: pcie::Error| value.fault(e.to_string()))?;
        if addresses.contains(&address) {
            return Err(value.fault("the same controller is no further path"));
        }
        addresses.push(address);
        next = args.get("path");
    }
    Ok(addresses)
}

fn namespace(args: &mut Args<'_>) -> Result<Option<u32>, Fault> {
    let Some(value) = args.get("ns") else { return Ok(None) };
    match u32::try_from(value.number()?) {
        Ok(id @ 1..=0xffff_fffe) => Ok(Some(id)),
        _ => Err(value.fault("namespaces are numbered from 1 on")),
    }
}

/// The controllers that specs have attached.
type Open = Vec<(Address, Weak<Attached<Controller<PcieDevice>>>)>;

async fn by_address(address: Address, policy: PathPolicy) -> Result<Arc<Attached<Controller<PcieDevice>>>> {
    /// Held while one is attached: who wants the same waits for it.
    static OPEN: LazyLock<Mutex<Open>> = LazyLock::new(Mutex::default);
    let mut open = OPEN.lock().await;
    open.retain(|(_, attached)| attached.strong_count() > 0);
    let known = open.iter().find(|(known, _)| *known == address);
    if let Some(attached) = known.and_then(|(_, attached)| attached.upgrade()) {
        return Ok(attached);
    }
    let controller = attach(address).await?;
    let options = NvmeOptions { policy, ..NvmeOptions::default() };
    let attached =
        Attached::new(address.to_string(), controller, options, Some(format!("nvme:{address}")), false);
    let attached = attached.await.map_err(|e| of_controller(&address.to_string(), e))?;
    open.push((address, Arc::downgrade(&attached)));
    Ok(attached)
}

/// How long a controller that is attached already is waited for.
const LETTING_GO: Duration = Duration::from_secs(2);

/// Opens the controller at `address`, on a thread beside the core as that waits for a reset, and attaches it.
pub(super) async fn attach(address: Address) -> Result<Controller<PcieDevice>> {
    let place = address.to_string();
    let os = |source| Error::Os { context: format!("the NVMe controller {address}"), source };
    let until = Instant::now() + LETTING_GO;
    loop {
        let place = place.clone();
        let device = unblock(move || PcieDevice::open(&place)).await.map_err(|e| os(io::Error::other(e)))?;
        let device = device.map_err(|e| os(io::Error::other(e)))?;
        match Controller::attach(device, Config::default()).await {
            // Who had it last may be letting it go at this moment, in the turns of its cores.
            Err(nvme::Error::Busy) if Instant::now() < until => sleep(Duration::from_millis(5)).await,
            attached => return attached.map_err(|e| of_controller(&address.to_string(), e)),
        }
    }
}

async fn only_namespace<S: Source>(address: Address, source: &S) -> Result<u32> {
    let listed = source.namespaces().await.map_err(|e| of_controller(&address.to_string(), e))?;
    let reason = match listed[..] {
        [only] => return Ok(only),
        [] => "it has no active namespace: attach one to it (`nvme attach-ns`)".to_owned(),
        _ => {
            let all: Vec<_> = listed.iter().map(u32::to_string).collect();
            format!(
                "it has the namespaces {}: say which, such as nvme:{address},ns={}",
                all.join(", "),
                all[0]
            )
        }
    };
    Err(Error::Os { context: format!("the NVMe controller {address}"), source: io::Error::other(reason) })
}

fn not_the_same(first: Address, other: Address, nsid: u32) -> Error {
    let reason = format!("namespace {nsid} of {other} is not that of {first}, or they do not share it");
    Error::Os { context: format!("a path by the NVMe controller {other}"), source: io::Error::other(reason) }
}
