//! NVMe commands to a controller of software, which writes to buffers as a device does: whenever it likes, and past all protection but
//! that of the process. Each core has two: one works by itself, the other does what it is told of when it is told to.

use super::Kind;
use crate::buffers::LENT;
use crate::stage::{Stage, Started, When};
use futures::FutureExt;
use futures::future::{LocalBoxFuture, Shared};
use reactor::nvme::soft::{SoftConfig, SoftController, SoftNamespace, SoftZones};
use reactor::nvme::spec::{
    AcquireAction, Command, DatasetAttributes, RegisterAction, ReleaseAction, ReportFilter, ReservationType,
    ZoneAction,
};
use reactor::nvme::{Channel, Config, Controller, Error, IoOptions, Payload, QueuePair};
use reactor::sys::dma::{DmaBuf, DmaPool};
use reactor::{Poller, spawn_local};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Both controllers of a core.
#[derive(Clone)]
pub struct Bays {
    busy: Bay,
    waiting: Bay,
}

#[derive(Clone)]
struct Bay {
    device: SoftController,
    channels: Shared<LocalBoxFuture<'static, Rc<Channels>>>,
}

type Namespace = Channel<QueuePair<SoftController>>;

struct Channels {
    plain: Namespace,
    zoned: Namespace,
}

impl Bays {
    fn new() -> Self {
        Self { busy: Bay::new(true), waiting: Bay::new(false) }
    }
}

impl Bay {
    fn new(is_busy: bool) -> Self {
        let device = SoftController::new(SoftConfig::default());
        let mut zoned = SoftNamespace::new(1 << 12, 9);
        zoned.zones = Some(SoftZones::new(1 << 10));
        let zoned = device.add_namespace(zoned);
        let works = Rc::new(Cell::new(true));
        let poller = Poller::register("a device", {
            let (device, works) = (device.clone(), works.clone());
            move || if works.get() { device.step() } else { 0 }
        });
        // To the end of the core: what was given up is still to be answered.
        std::mem::forget(poller);
        let attached = {
            let device = device.clone();
            async move {
                let mut config = Config::default();
                config.end_patience = Duration::ZERO;
                let controller = Controller::attach(device, config).await.unwrap();
                let queue = controller.queue_pair().await.unwrap();
                let channel = async |id| Channel::new(controller.namespace(id).await.unwrap(), queue.clone());
                let channels = Channels { plain: channel(1).await, zoned: channel(zoned).await };
                works.set(is_busy);
                Rc::new(channels)
            }
        };
        let channels = attached.boxed_local().shared();
        // Whatever becomes of those who wait for it.
        let ready = channels.clone();
        spawn_local(async move { drop(ready.await) }).detach();
        Self { device, channels }
    }
}

fn start(
    stage: &Stage,
    when: When,
    io: impl AsyncFnOnce(Rc<Channels>) -> Result<(), Error> + 'static,
) -> Option<Started> {
    let bays = stage.bays.get_or_init(Bays::new);
    let bay = if when == When::Now { bays.busy.clone() } else { bays.waiting.clone() };
    let device = bay.device.clone();
    let peer = move || {
        if when == When::Later {
            device.step();
        }
    };
    Started::new(Box::new(peer), async move {
        match io(bay.channels.await).await {
            // What the controller makes of it beside others does not matter.
            Ok(()) | Err(Error::Status(_)) => {}
            Err(refused) => panic!("{refused}"),
        }
    })
}

fn page() -> DmaBuf {
    let mut page = DmaPool::local().try_alloc(4096).unwrap();
    page.fill(LENT);
    page
}

fn pages() -> Vec<DmaBuf> {
    vec![page(), page()]
}

const PLAIN: IoOptions = IoOptions::new();

/// Kinds on a channel of either namespace.
macro_rules! on_channel {
    ($($name:literal: |$channels:ident| $call:expr;)*) => {
        vec![$(Kind {
            name: concat!("nvme/channel/", $name),
            start: |stage, when| start(stage, when, async |$channels| $call.await),
        }),*]
    };
}

pub fn all() -> Vec<Kind> {
    let mut all = data();
    all.extend(others());
    all
}

fn data() -> Vec<Kind> {
    on_channel! {
        "mod read": |on| async { on.plain.read(0, page()).await.0 };
        "mod write": |on| on.plain.write(8, page().freeze());
        "mod flush": |on| on.plain.flush();
        "data read_with": |on| async { on.plain.read_with(16, pages().into(), PLAIN).await.0 };
        "data write_with": |on| async { on.plain.write_with(32, page().freeze().into(), PLAIN).await.0 };
        "data read_vectored": |on| async { on.plain.read_vectored(48, pages()).await.0 };
        "data write_vectored": |on| on.plain.write_vectored(64, pages().into_iter().map(DmaBuf::freeze).collect());
        "data compare": |on| on.plain.compare(80, page().freeze(), PLAIN);
        "fused compare_and_write": |on| on.plain.compare_and_write(96, page().freeze(), page().freeze(), PLAIN);
        "raw raw": |on| async {
            let (answer, _) = on.plain.raw(Command::read(1, 0, 8), Payload::from(page())).await;
            answer.and_then(|answer| answer.ok()).map(drop)
        };
        // More than the controller takes at a time.
        "mod read, split": |on| async {
            let whole = DmaPool::local().try_alloc(2 * on.plain.transfer_max().min(1 << 18) as usize).unwrap();
            on.plain.read(0, whole).await.0
        };
    }
}

fn others() -> Vec<Kind> {
    on_channel! {
        "ranges write_zeroes": |on| on.plain.write_zeroes(0..8);
        "ranges write_zeroes_with": |on| on.plain.write_zeroes_with(0..8, PLAIN);
        "ranges verify": |on| on.plain.verify(0..8, PLAIN);
        "ranges write_uncorrectable": |on| on.plain.write_uncorrectable(112..113);
        "ranges deallocate": |on| on.plain.deallocate(0..8);
        "ranges dataset_management": |on| async {
            let ranges = [0..8, 16..24];
            on.plain.dataset_management(&ranges, DatasetAttributes::default().with_deallocates(true)).await
        };
        "ranges copy": |on| async { on.plain.copy(&[0..8, 16..24], 128).await };
        "reservations reservation_register": |on| on.plain.reservation_register(RegisterAction::Register, None, 5, None);
        "reservations reservation_acquire": |on|
            on.plain.reservation_acquire(AcquireAction::Acquire, ReservationType::WRITE_EXCLUSIVE, 5, 0);
        "reservations reservation_release": |on|
            on.plain.reservation_release(ReleaseAction::Release, ReservationType::WRITE_EXCLUSIVE, 5);
        "reservations reservations": |on| async { on.plain.reservations().await.map(drop) };
        "zones zones": |on| async { on.zoned.zones(0..4096, ReportFilter::ALL).await.map(drop) };
        "zones zone_append": |on| async { on.zoned.zone_append(0, page().freeze(), PLAIN).await.map(drop) };
        "zones zone_manage": |on| on.zoned.zone_manage(0, ZoneAction::RESET);
        "zones zone_manage_all": |on| on.zoned.zone_manage_all(ZoneAction::CLOSE);
    }
}
