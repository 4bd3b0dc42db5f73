//! Bounded fuzzing: controllers that say any bytes of themselves and their namespaces, and answer any command with anything.
//!
//! What is promised: no panic, no overflow, an end within so many turns, no buffer lost. Some seconds, or longer:
//! `REACTOR_NVME_FUZZ=100 cargo test --release --all-features --lib nvme::tests::hostile` runs a hundred times the cases.

use super::*;
use crate::nvme::soft::{SoftNamespace, SoftZones};
use crate::nvme::spec::{
    AdminOpcode, Command, Completion, IdentifyWhat, IoOpcode, LogPage, ReportFilter, ZoneAction,
};
use crate::nvme::{Error, IoOptions, Payload};
use crate::time::timeout;
use proptest::prelude::*;

/// So many cases, or as many times more as the environment says.
pub(super) fn cases(count: u32) -> ProptestConfig {
    let times = std::env::var("REACTOR_NVME_FUZZ").ok().and_then(|times| times.parse::<u32>().ok());
    ProptestConfig::with_cases(count.saturating_mul(times.unwrap_or(1)))
}

/// How long anything may take: a thousand turns.
const PATIENCE: Duration = Duration::from_secs(1);

/// What becomes of an answer.
#[derive(Clone, Debug)]
enum Lie {
    /// All bytes are others.
    Noise(u64),
    /// Some are.
    Change(Vec<(usize, u8)>),
    /// So many of them come.
    Short(usize),
    /// All are this.
    Fill(u8),
}

impl Lie {
    fn tell(&self, answer: &mut Vec<u8>) {
        match self {
            Self::Noise(seed) => {
                let mut state = seed | 1;
                for byte in answer {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    *byte = (state >> 56) as u8;
                }
            }
            Self::Change(changes) => changes.iter().for_each(|&(at, to)| {
                let len = answer.len();
                answer[at % len] = to;
            }),
            Self::Short(bytes) => answer.truncate(bytes & !3),
            Self::Fill(byte) => answer.fill(*byte),
        }
    }
}

fn lies() -> impl Strategy<Value = Lie> {
    let byte = || prop_oneof![Just(0_u8), Just(1), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()];
    // Where the fields are that matter: the first few hundred bytes, and what a controller says of its commands and zones.
    let place = prop_oneof![0..136_usize, 256..344_usize, 512..544_usize, 2816..2832_usize, 0..4096_usize];
    prop_oneof![
        1 => any::<u64>().prop_map(Lie::Noise),
        6 => prop::collection::vec((place, byte()), 1..12).prop_map(Lie::Change),
        2 => (0..4096_usize).prop_map(Lie::Short),
        1 => byte().prop_map(Lie::Fill),
    ]
}

/// Which answers are lies: a number for each kind.
fn kind(command: &Command) -> usize {
    let zones = IoOpcode(command.opcode()) == IoOpcode::ZONE_MANAGEMENT_RECEIVE;
    match AdminOpcode(command.opcode()) {
        _ if zones => 0,
        AdminOpcode::IDENTIFY => match command.identify_what() {
            IdentifyWhat::CONTROLLER => 1,
            IdentifyWhat::NAMESPACE => 2,
            IdentifyWhat::ACTIVE_NAMESPACES => 3,
            IdentifyWhat::NAMESPACE_IDS => 4,
            IdentifyWhat::NAMESPACE_OF_SET => 5,
            IdentifyWhat::CONTROLLER_OF_SET => 6,
            _ => 7,
        },
        AdminOpcode::GET_LOG_PAGE => 8,
        // A report of reservations has the number of no admin command.
        _ => 9,
    }
}

/// A plain namespace, a protected one and one with zones.
fn device() -> SoftController {
    let device = SoftController::new(SoftConfig { is_strict: true, ..SoftConfig::default() });
    let protected = SoftNamespace { metadata_bytes: 8, protection: 1, ..SoftNamespace::new(256, 12) };
    device.add_namespace(protected);
    let zones = SoftZones { open_max: 3, active_max: 4, ..SoftZones::new(32) };
    device.add_namespace(SoftNamespace { zones: Some(zones), ..SoftNamespace::new(256, 9) });
    device
}

/// Asks for all there is, and does all that can be done, whatever comes of it. True if the controller is closed in the end.
async fn explore(device: SoftController) -> bool {
    let config = Config { admin_timeout: PATIENCE, ..entries(8) };
    let Ok(controller) = Controller::attach(device, config).await else { return false };
    _ = format!("{controller:?} {:?}", controller.identity());
    let listed = controller.namespaces().await.unwrap_or_default();
    for id in listed.into_iter().take(2).chain(1..=3) {
        let Ok(namespace) = controller.namespace(id).await else { continue };
        _ = format!("{namespace:?} {:?} {:?}", namespace.names(), namespace.limits());
        let Ok(pair) = controller.queue_pair().await else { continue };
        // What is never answered is left to the controller, until that is closed.
        _ = timeout(PATIENCE, use_all(&Channel::new(namespace, pair))).await;
    }
    for page in [LogPage::SMART, LogPage::ANA, LogPage::ERROR, LogPage::CHANGED_ZONES] {
        let log = Command::get_log_page(page, 0, 0, 4096);
        _ = controller.admin(log, Payload::from(buffer(4096, 0))).await;
    }
    controller.close().await.is_ok()
}

async fn use_all(disk: &Disk) {
    let (size, block) = (disk.namespace().size(), disk.namespace().block_size() as usize);
    let format = disk.namespace().format();
    let stride = block + if format.is_extended { format.metadata_size as usize } else { 0 };
    for (lba, blocks) in [(0, 1), (7, 3), (size / 2, 9), (size.saturating_sub(2), 2), (u64::MAX - 1, 2)] {
        if stride * blocks > 1 << 20 {
            continue;
        }
        let bytes = || buffer(stride * blocks, 7);
        _ = disk.write(lba, bytes().freeze()).await;
        _ = disk.read(lba, bytes()).await;
        let apart =
            || Payload::from(bytes()).with_metadata(buffer(format.metadata_size.max(4) as usize * blocks, 1));
        _ = disk.write_with(lba, apart(), IoOptions::new().checked(true, true, true)).await;
        _ = disk.read_with(lba, apart(), IoOptions::new()).await;
        let made = IoOptions::new().protected();
        _ = disk.read_with(lba, Payload::from(buffer(block * blocks, 0)), made).await;
        _ = disk.compare(lba, bytes().freeze(), IoOptions::new()).await;
        let blocks = lba..lba.saturating_add(blocks as u64);
        _ = disk.write_zeroes(blocks.clone()).await;
        _ = disk.verify(blocks.clone(), IoOptions::new()).await;
        _ = disk.deallocate(blocks.clone()).await;
        _ = disk.copy(&[blocks], 3).await;
    }
    _ = disk.flush().await;
    _ = disk.zones(0..size, ReportFilter::ALL).await;
    _ = disk.zone_append(0, buffer(stride.min(1 << 20), 0), IoOptions::new()).await;
    _ = disk.zone_manage_all(ZoneAction::RESET).await;
    _ = disk.reservations().await;
    _ = disk.raw(Command::read(1, 0, 4), Payload::from(buffer(2048, 0))).await;
}

fn explored(device: &SoftController) {
    let explored = device.clone();
    in_virtual_time(device, async move {
        let before = DmaPool::local().stats().in_use;
        let is_closed = explore(explored).await;
        turns().await;
        assert!(!is_closed || DmaPool::local().stats().in_use == before, "buffers are lost");
    });
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn a_controller_may_say_anything(told in prop::collection::vec((0..10_usize, lies()), 1..5)) {
        let device = device();
        device.tamper(move |command, answer| {
            told.iter().filter(|(of, _)| *of == kind(command)).for_each(|(_, lie)| {
                if !answer.is_empty() {
                    lie.tell(answer);
                }
            });
        });
        explored(&device);
    }

    #[test]
    fn a_controller_may_answer_anything(
        wrong in prop::collection::vec((0..400_u32, 0..5_u8, any::<u32>()), 1..24),
    ) {
        let device = device();
        let mut count = 0;
        device.tamper(|_, _| {});
        device.tamper_completions(move |_, completion: &mut Completion| {
            count += 1;
            for &(_, what, value) in wrong.iter().filter(|&&(at, ..)| at == count) {
                match what {
                    0 => completion.cid.set(value as u16),
                    1 => completion.sq_head.set(value as u16),
                    2 => completion.status_phase.set(value as u16),
                    3 => completion.sq_id.set(value as u16),
                    _ => completion.result.set(value),
                }
            }
        });
        explored(&device);
    }
}

/// A report that never comes to its end is given up, however many zones the namespace says it has.
#[test]
fn zones_without_end_are_refused() {
    let device = device();
    device.tamper(|command, answer| {
        if kind(command) == 2 && command.nsid() == 3 {
            answer[..8].copy_from_slice(&(1_u64 << 62).to_le_bytes());
        }
        if kind(command) == 5 && command.nsid() == 3 {
            answer[2816..3840]
                .chunks_exact_mut(16)
                .for_each(|format| format[..8].copy_from_slice(&1_u64.to_le_bytes()));
        }
        if kind(command) == 0 {
            let first = command.start_lba();
            answer[..8].fill(0xff);
            for (start, zone) in (first..).zip(answer[64..].chunks_exact_mut(64)) {
                zone[16..24].copy_from_slice(&start.to_le_bytes());
            }
        }
    });
    let liar = device.clone();
    in_virtual_time(&device, async move {
        let controller = Controller::attach(liar, entries(8)).await.unwrap();
        let pair = controller.queue_pair().await.unwrap();
        let found = match controller.namespace(3).await {
            Ok(namespace) => {
                let size = namespace.size();
                Channel::new(namespace, pair).zones(0..size, ReportFilter::ALL).await.map(drop)
            }
            Err(error) => Err(error),
        };
        assert!(matches!(found, Err(Error::Unsupported(_))), "{found:?}");
    });
}
