//! Requests of any length and form, against a model; and what becomes of them in pieces.

use super::*;
use crate::nvme::soft::{Fault, SoftNamespace};
use crate::nvme::spec::{Status, StatusCode};
use crate::nvme::{Error, IoOptions, Payload};
use crate::spawn_local;
use proptest::prelude::*;
use std::rc::Rc;

/// A channel to a namespace of this kind, beside the first.
async fn disk_like(
    device: &SoftController,
    controller: &Controller<SoftController>,
    like: SoftNamespace,
) -> Disk {
    let id = device.add_namespace(like);
    Channel::new(controller.namespace(id).await.unwrap(), controller.queue_pair().await.unwrap())
}

#[derive(Clone, Debug)]
struct Step {
    what: What,
    lba: u64,
    blocks: u64,
    seed: u8,
    /// Where the data is cut into buffers, in doublewords or blocks.
    cuts: Vec<u64>,
    /// How far into its page each buffer begins, in doublewords.
    skip: usize,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum What {
    Read,
    Write,
    Compare,
    Zero,
    Deallocate,
}

#[derive(Clone, Debug)]
struct Kind {
    shift: u8,
    metadata: u16,
    is_extended: bool,
    boundary: u16,
    transfer_max: u8,
    has_sgl: bool,
}

const BLOCKS: u64 = 300;

fn kinds() -> impl Strategy<Value = Kind> {
    let boundary = prop_oneof![Just(0_u16), Just(8), Just(24)];
    let metadata = prop_oneof![3 => Just(0_u16), 1 => Just(8), 1 => Just(16)];
    (9..=12_u8, metadata, any::<bool>(), boundary, 0..4_u8, any::<bool>()).prop_map(
        |(shift, metadata, is_extended, boundary, transfer_max, has_sgl)| Kind {
            shift,
            metadata,
            is_extended,
            boundary,
            // One block with its metadata has to fit.
            transfer_max: if metadata > 0 && transfer_max > 0 { transfer_max + 1 } else { transfer_max },
            has_sgl,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        3 => Just(What::Read), 3 => Just(What::Write), 1 => Just(What::Compare),
        1 => Just(What::Zero), 1 => Just(What::Deallocate)
    ];
    let blocks = prop_oneof![1..20_u64, 1..BLOCKS];
    let cuts = prop::collection::vec(0..1_u64 << 20, 0..5);
    let skip = prop_oneof![2 => Just(0_usize), 1 => 0..1024_usize];
    let one = (what, 0..BLOCKS, blocks, any::<u8>(), cuts, skip);
    let one = one.prop_map(|(what, lba, blocks, seed, cuts, skip)| Step {
        what,
        lba,
        blocks: blocks.min(BLOCKS - lba),
        seed,
        cuts,
        skip,
    });
    prop::collection::vec(one, 1..16)
}

/// Bytes that differ from place to place, so that parts that change places are noticed.
fn pattern(len: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// The namespace as it should be: the blocks as their buffers have them, and metadata apart.
struct Model {
    stride: usize,
    apart: usize,
    data: Vec<u8>,
    metadata: Vec<u8>,
}

impl Step {
    /// The lengths of the buffers: whole blocks, where data cannot be in pieces of any length.
    fn lens(&self, len: usize, unit: usize) -> Vec<usize> {
        let mut ends: Vec<usize> = self.cuts.iter().map(|&cut| cut as usize * unit % len).collect();
        ends.extend([0, len]);
        ends.sort_unstable();
        ends.dedup();
        ends.windows(2).map(|ends| ends[1] - ends[0]).collect()
    }

    fn buffers(&self, bytes: &[u8], unit: usize) -> Vec<DmaBuf> {
        let mut rest = bytes;
        let lens = self.lens(bytes.len(), unit).into_iter();
        lens.map(|len| {
            let (some, others) = rest.split_at(len);
            rest = others;
            let mut buf = buffer(len + self.skip * 4, 0);
            drop(buf.split_to(self.skip * 4));
            buf.copy_from_slice(some);
            buf
        })
        .collect()
    }

    async fn take(&self, disk: &Disk, kind: &Kind, model: &mut Model) {
        let blocks = self.lba as usize..(self.lba + self.blocks) as usize;
        let of_data = blocks.start * model.stride..blocks.end * model.stride;
        let of_metadata = blocks.start * model.apart..blocks.end * model.apart;
        let unit = if kind.has_sgl { 4 } else { model.stride };
        let options = IoOptions::new();
        let with = |payload: Payload, metadata: &[u8]| match metadata.len() {
            0 => payload,
            len => {
                let mut buf = buffer(len, 0);
                buf.copy_from_slice(metadata);
                payload.with_metadata(buf)
            }
        };
        match self.what {
            What::Read => {
                let bufs = self.buffers(&vec![0xee; of_data.len()], unit);
                let places: Vec<_> = bufs.iter().map(|buf| (buf.as_ptr(), buf.len())).collect();
                let payload = with(bufs.into(), &vec![0xee; of_metadata.len()]);
                let (read, payload) = disk.read_with(self.lba, payload, options).await;
                read.unwrap();
                let (bufs, metadata) = payload.into_bufs_and_metadata();
                let back: Vec<_> = bufs.iter().map(|buf| (buf.as_ptr(), buf.len())).collect();
                assert_eq!(back, places, "the same buffers");
                assert!(bufs.concat_bytes() == model.data[of_data], "{self:?}");
                assert!(metadata.as_deref().unwrap_or(&[]) == &model.metadata[of_metadata], "{self:?}");
            }
            What::Write => {
                let data = pattern(of_data.len(), self.seed);
                let metadata = pattern(of_metadata.len(), !self.seed);
                let frozen: Vec<_> = self.buffers(&data, unit).into_iter().map(DmaBuf::freeze).collect();
                let (written, _) = disk.write_with(self.lba, with(frozen.into(), &metadata), options).await;
                written.unwrap();
                model.data[of_data].copy_from_slice(&data);
                model.metadata[of_metadata].copy_from_slice(&metadata);
            }
            What::Compare => {
                let mut data = model.data[of_data].to_vec();
                let at = usize::from(self.seed) * 77 % data.len();
                let is_same = self.seed % 2 == 0;
                data[at] ^= u8::from(!is_same);
                let payload = with(self.buffers(&data, unit).into(), &model.metadata[of_metadata]);
                match disk.compare(self.lba, payload, options).await {
                    Ok(()) => assert!(is_same, "{self:?}"),
                    Err(Error::Status(status)) => {
                        assert_eq!((is_same, status.code()), (false, StatusCode::COMPARE_FAILURE))
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            What::Zero | What::Deallocate => {
                let range = self.lba..self.lba + self.blocks;
                match self.what {
                    What::Zero => disk.write_zeroes(range).await.unwrap(),
                    _ => disk.deallocate(range).await.unwrap(),
                }
                model.data[of_data].fill(0);
                model.metadata[of_metadata].fill(0);
            }
        }
    }
}

trait Concat {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl Concat for Vec<DmaBuf> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|buf| buf.iter().copied()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn requests_of_any_form_do_what_they_say(kind in kinds(), steps in steps()) {
        let soft = SoftConfig { transfer_max: kind.transfer_max, has_sgl: kind.has_sgl, ..SoftConfig::default() };
        on_a_core(soft, entries(8), async |device, controller, _works| {
            let mut like = SoftNamespace::new(BLOCKS, kind.shift);
            (like.metadata_bytes, like.is_extended) = (kind.metadata, kind.is_extended);
            like.io_boundary = kind.boundary;
            let disk = disk_like(&device, &controller, like).await;
            let metadata = usize::from(kind.metadata);
            let (inside, apart) = if kind.is_extended { (metadata, 0) } else { (0, metadata) };
            let stride = (1 << kind.shift) + inside;
            let count = BLOCKS as usize;
            let mut model = Model { stride, apart, data: vec![0; count * stride], metadata: vec![0; count * apart] };
            let before = DmaPool::local().stats().in_use;
            for step in &steps {
                step.take(&disk, &kind, &mut model).await;
            }
            assert_eq!(DmaPool::local().stats().in_use, before);
        });
    }
}

/// 8 KiB a command.
fn small() -> SoftConfig {
    SoftConfig { transfer_max: 1, ..SoftConfig::default() }
}

#[test]
fn a_long_request_is_in_pieces_that_are_on_their_way_together() {
    on_a_core(small(), Config::default(), async |device, controller, works| {
        let disk = Rc::new(disk_of(&controller).await);
        turns().await;
        drop(works);
        let submitted = || disk.queue().counters().submitted;
        let before = submitted();
        let buf = buffer(1 << 20, 0xee);
        let place = buf.as_ptr();
        let read = spawn_local({
            let disk = disk.clone();
            async move { disk.read(0, buf).await }
        });
        turns().await;
        assert_eq!(submitted() - before, 32, "as many at a time");
        assert_eq!(device.step(), 32);
        let _works = super::works(&device);
        let (read, buf) = read.await.unwrap();
        read.unwrap();
        assert_eq!((buf.as_ptr(), buf.len(), submitted() - before), (place, 1 << 20, 128));
        assert!(buf.iter().all(|&byte| byte == 0));
    });
}

#[test]
fn no_command_crosses_the_boundary() {
    for (boundary, commands) in [(0, 1), (8, 4), (24, 2)] {
        on_a_core(SoftConfig::default(), Config::default(), async |device, controller, _works| {
            let mut like = SoftNamespace::new(64, 9);
            like.io_boundary = boundary;
            let disk = disk_like(&device, &controller, like).await;
            let before = disk.queue().counters().submitted;
            // Blocks 5 to 30.
            disk.read(5, buffer(25 * 512, 0)).await.0.unwrap();
            assert_eq!(disk.queue().counters().submitted - before, commands);
        });
    }
}

#[test]
fn the_first_error_by_block_is_told_when_all_is_answered() {
    on_a_core(small(), Config::default(), async |device, controller, _works| {
        let disk = disk_of(&controller).await;
        turns().await;
        let before = disk.queue().counters().submitted;
        device.inject(Fault::Delay(9));
        device.inject(Fault::Delay(7));
        device.inject(Fault::Fail(StatusCode::WRITE_FAULT));
        device.inject(Fault::Fail(StatusCode::INTERNAL_ERROR));
        let in_use = DmaPool::local().stats().in_use;
        let (read, buf) = disk.read(0, buffer(1 << 20, 0)).await;
        let Err(Error::Status(status)) = read else { panic!("{read:?}") };
        assert_eq!((status.code(), buf.len()), (StatusCode::WRITE_FAULT, 1 << 20));
        let done = disk.queue().counters();
        assert!(done.submitted - before <= 36, "no more begin behind an error: {done:?}");
        assert_eq!(done.submitted, done.completed, "all are answered");
        drop(buf);
        assert_eq!(DmaPool::local().stats().in_use, in_use);
    });
}

#[test]
fn a_dropped_long_request_keeps_its_buffer_until_all_is_answered() {
    on_a_core(small(), entries(8), async |device, controller, works| {
        let disk = disk_of(&controller).await;
        turns().await;
        drop(works);
        let before = DmaPool::local().stats().in_use;
        {
            let mut read = Box::pin(disk.read(0, buffer(1 << 17, 0)));
            std::future::poll_fn(|cx| {
                assert!(read.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
        // Of 16 pieces 7 are the controller's; it answers all but one.
        turns().await;
        device.inject(Fault::Delay(3));
        for _ in 0..3 {
            device.step();
            turns().await;
            assert_eq!(DmaPool::local().stats().in_use, before + 1);
        }
        device.step();
        turns().await;
        assert_eq!(DmaPool::local().stats().in_use, before);
    });
}

#[test]
fn what_a_payload_cannot_be_is_refused_with_it() {
    let soft = SoftConfig { has_sgl: false, ..SoftConfig::default() };
    on_a_core(soft, Config::default(), async |device, controller, _works| {
        let mut like = SoftNamespace::new(64, 12);
        like.metadata_bytes = 8;
        let disk = disk_like(&device, &controller, like).await;
        let options = IoOptions::new();
        let before = disk.queue().counters().submitted;
        let message = |result: Result<(), Error>| result.unwrap_err().to_string();
        let (read, _buf) = disk.read(0, buffer(4096, 0)).await;
        assert!(message(read).starts_with("0 bytes of metadata where the blocks have 8"));
        let odd = Payload::from(vec![buffer(2048, 0), buffer(2048, 0)]).with_metadata(buffer(8, 0));
        let (read, payload) = disk.read_with(0, odd, options).await;
        assert!(message(read).starts_with("the controller takes no SGLs"));
        assert_eq!(payload.into_bufs().len(), 2);
        let frozen = Payload::from(buffer(4096, 0).freeze()).with_metadata(buffer(8, 0));
        let (read, _) = disk.read_with(0, frozen, options).await;
        assert!(message(read).starts_with("the controller would write to frozen bytes"));
        let fit = || Payload::from(buffer(4096, 0)).with_metadata(buffer(8, 0));
        let (read, _) = disk.read_with(0, fit(), options.protected()).await;
        assert!(message(read).contains("no protection information"));
        assert_eq!(disk.queue().counters().submitted, before);
        disk.read_with(0, fit(), options).await.0.unwrap();
    });
}

#[test]
fn protection_is_made_checked_and_counted_on_from_piece_to_piece() {
    on_a_core(small(), Config::default(), async |device, controller, _works| {
        for (kind, first, is_extended) in [(1, 5, false), (1, 5, true), (2, 1000, false), (2, 1000, true)] {
            let mut like = SoftNamespace::new(64, 12);
            (like.metadata_bytes, like.protection, like.is_extended) = (8, kind, is_extended);
            let disk = disk_like(&device, &controller, like).await;
            let checked = IoOptions::new().checked(true, true, true).with_tags(first, 0xabcd, 0xffff);
            // The controller makes it: no metadata is brought, in either form.
            let data = pattern(8 * 4096, 3);
            let mut buf = buffer(data.len(), 0);
            buf.copy_from_slice(&data);
            disk.write_with(5, buf.into(), checked.protected()).await.0.unwrap();
            disk.verify(5..13, checked).await.unwrap();
            let (read, payload) = disk.read_with(5, buffer(data.len(), 0).into(), checked.protected()).await;
            read.unwrap();
            assert!(payload.into_buf().unwrap()[..] == data);
            // It is there: reference tags count on where a command ends, with type 1 the blocks' numbers.
            let extra = if is_extended { 8 } else { 0 };
            let payload = Payload::from(buffer(8 * (4096 + extra), 0));
            let payload = if is_extended { payload } else { payload.with_metadata(buffer(64, 0)) };
            let (read, payload) = disk.read_with(5, payload, checked).await;
            read.unwrap();
            let (bufs, metadata) = payload.into_bufs_and_metadata();
            let tuples: Vec<Vec<u8>> = match metadata {
                Some(metadata) => metadata.chunks(8).map(<[u8]>::to_vec).collect(),
                None => bufs[0].chunks(4104).map(|block| block[4096..].to_vec()).collect(),
            };
            for (tag, tuple) in (first..).zip(tuples) {
                assert_eq!((&tuple[2..4], &tuple[4..]), (&[0xab, 0xcd][..], &tag.to_be_bytes()[..]));
            }
            let other = checked.with_tags(first, 0xabce, 0xffff);
            let Err(Error::Status(status)) = disk.verify(5..13, other).await else { panic!("another tag") };
            assert_eq!(status, Status::of(StatusCode::APPLICATION_TAG_CHECK).with_dnr(true));
        }
    });
}
