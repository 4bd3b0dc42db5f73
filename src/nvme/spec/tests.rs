//! Any bytes are looked at without harm, and what is written is read again.

use super::register::{head_doorbell, tail_doorbell};
use super::*;
use proptest::prelude::*;
use std::fmt::Debug;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a device may answer to anything that is a page long.
fn pages() -> impl Strategy<Value = Vec<u8>> {
    let uniform = any::<u8>().prop_map(|byte| vec![byte; 4096]);
    prop_oneof![prop::collection::vec(any::<u8>(), 4096), uniform]
}

/// Looks at the start of `page` as a `T`, prints it, and finds the same bytes in it.
fn look<T: FromBytes + IntoBytes + Immutable + KnownLayout + Debug>(page: &[u8]) -> &T {
    let (value, _) = T::ref_from_prefix(page).unwrap();
    assert!(!format!("{value:?}").is_empty());
    assert_eq!(value.as_bytes(), &page[..size_of::<T>()]);
    value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_hostile_controller_is_described_without_panic(page in pages()) {
        let it: &IdentifyController = look(&page);
        for text in [it.serial(), it.model(), it.firmware(), it.subsystem()] {
            prop_assert!(text.chars().all(|c| c == '\u{fffd}' || (' '..='~').contains(&c)), "{text:?}");
        }
        for page_min in [0, 4096, u64::MAX] {
            prop_assert!(it.transfer_bytes_max(page_min).is_none_or(|bytes| bytes >= page_min));
        }
        prop_assert!(it.power_states.iter().all(|state| state.power_uw() <= 655_350_000));
        look::<IdentifyNvmController>(&page);
        look::<IdentifyZonedController>(&page);
    }

    #[test]
    fn a_hostile_namespace_is_described_without_panic(page in pages()) {
        let it: &IdentifyNamespace = look(&page);
        if let Some(bytes) = it.current_format().and_then(LbaFormat::block_bytes) {
            prop_assert!(bytes.is_power_of_two() && bytes >= 512);
        }
        look::<IdentifyNvmNamespace>(&page);
        look::<IdentifyZonedNamespace>(&page);
        look::<IdentifyNamespaceIndependent>(&page);
    }

    #[test]
    fn hostile_lists_and_logs_end(page in pages(), len in 0..4096_usize) {
        prop_assert!(look::<NamespaceList>(&page).iter().count() <= 1024);
        prop_assert!(look::<ControllerList>(&page).iter().count() <= 2047);
        look::<CommandSetVector>(&page);
        look::<CommandEffectsLog>(&page);
        prop_assert!(look::<ChangedZones>(&page).zones().is_none_or(|zones| zones.count() <= 511));
        look::<SmartLog>(&page).celsius();
        look::<ErrorLogEntry>(&page).status().to_string();
        let firmware: &FirmwareLog = look(&page);
        for slot in 0..=u8::MAX {
            prop_assert!(firmware.revision(slot).is_none() || (1..=7).contains(&slot));
        }
        // Answers that are shorter than they say.
        let short = &page[..len];
        let printed: Vec<_> = NamespaceIds::new(short).map(|id| format!("{id:?}")).collect();
        prop_assert!(printed.len() <= len / 5);
        let groups: Vec<_> = AnaGroups::new(short).collect();
        let bytes: usize = groups.iter().map(|group| 32 + 4 * group.namespaces.len()).sum();
        prop_assert!(bytes <= len);
        if let Some(report) = ZoneReport::parse(short) {
            prop_assert!(report.zones.len() as u64 <= report.count);
            report.zones.iter().for_each(|zone| _ = zone.state().to_string());
        }
        if let Some((head, controllers)) = ReservationStatus::parse(short) {
            prop_assert!(controllers.len() <= head.registered.get().into());
        }
    }

    #[test]
    fn any_entry_is_read(bytes: [u8; 64], word: u32) {
        let command: &Command = look(&bytes);
        let _ = (command.block_count(), command.range_count(), command.log_page(), command.queue_size());
        let _ = (command.identify_what().to_string(), command.feature().to_string(), command.sgl());
        let completion: &Completion = look(&bytes);
        let status = completion.status();
        prop_assert_eq!(completion.with_status(status, completion.phase()), *completion);
        prop_assert_eq!(status.is_retryable(), !status.is_success() && !status.dnr());
        prop_assert!(!status.to_string().is_empty());
        let _ = (AsyncEvent::from_bits(word).event(), AsyncEvent::from_bits(word).log_page().to_string());
        MemoryBufferSize::from_bits(word).unit_bytes();
        Capabilities::from_bits(u64::from_le_bytes(bytes[..8].try_into().unwrap())).queue_entries_max();
    }

    #[test]
    fn commands_of_blocks_say_what_they_were_told(nsid: u32, lba: u64, blocks in 1..=65_536_u32) {
        for make in [Command::read, Command::write, Command::compare, Command::write_zeroes, Command::verify,
            Command::write_uncorrectable, Command::zone_append]
        {
            let control = make(nsid, lba, blocks).io_control().with_forced(true);
            let command = Command::read_from_bytes(make(nsid, lba, blocks).with_io_control(control).as_bytes()).unwrap();
            prop_assert_eq!((command.nsid(), command.start_lba(), command.block_count()), (nsid, lba, blocks));
            prop_assert!(command.io_control().is_forced());
        }
    }

    #[test]
    fn each_set_bit_is_a_flag_or_unknown(word: u16) {
        let support = IoSupport::from_bits(word);
        let named: u64 = support.flags().map(|flag| 1 << flag.bit).sum();
        prop_assert_eq!((named | support.unknown(), named & support.unknown()), (word.into(), 0));
        prop_assert!(IoSupport::FLAGS.iter().all(|flag| flag.about.ends_with('.')));
        // What belongs to a number is not unknown, nor a flag.
        let updates = FirmwareUpdates::from_bits(word as u8);
        prop_assert_eq!((updates.unknown(), updates.flags().count() as u32), (u64::from(word) & 0xc0, (word & 0x31).count_ones()));
    }

    #[test]
    fn logs_are_asked_for_by_offset_and_length(offset: u64, dwords in 1..=u32::MAX / 4) {
        let command = Command::get_log_page(LogPage::ANA, 0, offset, dwords * 4).retaining_event();
        prop_assert_eq!(command.log_page(), (LogPage::ANA, offset, u64::from(dwords) * 4));
    }

    #[test]
    fn queues_are_made_as_large_as_asked(qid: u16, entries in 2..=65_536_u32, cqid: u16) {
        let flags = SubmissionQueueFlags::default().with_contiguous(true).with_cqid(cqid.into());
        let command = Command::create_sq(qid, entries, flags);
        let size = command.queue_size();
        prop_assert_eq!((size.qid(), size.qsize() + 1), (qid.into(), entries));
        prop_assert_eq!(command.cdw(11), u32::from(cqid) << 16 | 1);
        prop_assert_eq!(Command::create_cq(qid, entries, CompletionQueueFlags::default()).queue_size(), size);
    }

    #[test]
    fn a_status_keeps_what_it_is_made_of(code in 0..0x800_u16, dnr: bool, more: bool, delay in 0..4_u16, phase: bool) {
        let status = Status::of(StatusCode(code)).with_dnr(dnr).with_more(more).with_retry_delay(delay);
        let read = Completion::default().with_status(status, phase);
        prop_assert_eq!((read.status(), read.phase()), (status, phase));
        prop_assert_eq!((status.code().0, status.dnr(), status.more(), status.retry_delay()), (code, dnr, more, delay));
    }

    #[test]
    fn an_sgl_descriptor_is_found_where_it_was_put(address: u64, length: u32) {
        let descriptor = SglDescriptor::new(SglDescriptor::LAST_SEGMENT, address, length);
        let command = Command::read(1, 0, 1).with_sgl(descriptor);
        prop_assert_eq!(command.sgl(), Some(descriptor));
        prop_assert_eq!(&command.as_bytes()[24..40], descriptor.as_bytes());
        prop_assert_eq!(Command::read(1, 0, 1).with_prp(address, 0).sgl(), None);
    }
}

/// Bytes as the specifications' figures lay them out, written by hand.
#[test]
fn commands_are_the_bytes_that_the_specifications_show() {
    let bytes = |command: Command| -> [u32; 16] { zerocopy::transmute!(command) };
    assert_eq!(
        bytes(Command::identify(IdentifyWhat::CONTROLLER, 0))[..11],
        [6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    );
    assert_eq!(bytes(Command::abort(3, 0x1234))[10], 0x1234_0003);
    assert_eq!(
        bytes(Command::dataset_management(1, 4, DatasetAttributes::default().with_deallocates(true)))[10..12],
        [3, 4]
    );
    assert_eq!(bytes(Command::get_log_page(LogPage::SMART, ALL_NAMESPACES, 0, 512))[10], 127 << 16 | 2);
    assert_eq!(
        bytes(Command::set_features(FeatureId::NUMBER_OF_QUEUES, 0, 0x3_0003, false))[10..12],
        [7, 0x3_0003]
    );
    assert_eq!(bytes(Command::write(1, 0, 1).fused(true))[0], 0x201);
    assert_eq!(bytes(Command::attach_namespace(1, true))[10], 0);
    assert_eq!(bytes(Command::attach_namespace(1, false))[10], 1);
    assert_eq!(bytes(Command::firmware_commit(2, 3))[10], 3 << 3 | 2);
    assert_eq!(bytes(Command::firmware_download(4096, 512))[10..12], [127, 1024]);
    assert_eq!(bytes(Command::zone_send(1, 5, ZoneAction::RESET, true))[13], 0x104);
    assert_eq!(bytes(Command::zone_report(1, 5, ReportFilter::EMPTY, 128))[10..14], [5, 0, 31, 0x1_0100]);
    let acquire = Command::reservation_acquire(1, AcquireAction::Preempt, ReservationType::EXCLUSIVE_ACCESS);
    assert_eq!(bytes(acquire)[10], 0x201);
    let register = Command::reservation_register(1, RegisterAction::Replace, true, Some(true));
    assert_eq!(bytes(register)[10], 3 << 30 | 1 << 3 | 2);
    assert_eq!(
        bytes(Command::format(1, FormatOptions::default().with_format_low(1).with_erase(1)))[10],
        0x201
    );
    assert_eq!(bytes(Command::copy(1, 9, 2))[10..13], [9, 0, 1]);
    assert_eq!(Command::copy(1, 9, 2).range_count(), 2);
}

#[test]
fn registers_are_where_pcie_has_them() {
    let strides =
        [Capabilities::default(), Capabilities::default().with_dstrd(2)].map(Capabilities::doorbell_stride);
    assert_eq!(strides, [4, 16]);
    assert_eq!([tail_doorbell(0, 4), head_doorbell(0, 4), tail_doorbell(3, 4)], [0x1000, 0x1004, 0x1018]);
    assert_eq!(head_doorbell(1, 16), 0x1030);
    let version = Version::new(1, 4, 0);
    assert!(version.is_at_least(1, 4) && version.is_at_least(1, 3) && !version.is_at_least(2, 0));
    assert_eq!(version.to_string(), "1.4.0");
    assert!(ControllerStatus::from_bits(u32::MAX).is_gone() && !ControllerStatus::from_bits(1).is_gone());
    assert_eq!(Configuration::default().with_enabled(true).with_iosqes(6).with_iocqes(4).bits(), 0x46_0001);
    assert_eq!(AdminQueueAttributes::default().with_asqs(31).with_acqs(63).bits(), 0x3f_001f);
}

#[test]
fn a_format_beyond_the_list_is_none() {
    let mut namespace = IdentifyNamespace::default();
    namespace.formats_max = 1;
    namespace.formats[1].data_shift = 12;
    namespace.format = FormatIndex::default().with_low(1);
    assert_eq!(namespace.current_format().unwrap().block_bytes(), Some(4096));
    namespace.format = FormatIndex::default().with_low(2);
    assert_eq!(namespace.current_format(), None);
    assert_eq!(LbaFormat { data_shift: 32, ..Default::default() }.block_bytes(), None);
}

#[test]
fn every_status_code_has_one_name() {
    let mut names: Vec<_> = (0..0x800).filter_map(|code| StatusCode(code).name()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), count > 100), (count, true));
    assert_eq!(Status::of(StatusCode(0x7c0)).to_string(), "Vendor status 0xc0 (0x07c0)");
}

#[test]
#[should_panic(expected = "too large for the field low")]
fn a_value_that_does_not_fit_is_refused() {
    let _ = FormatIndex::default().with_low(16);
}
