//! What the layer hands through without doing it itself: metadata, zones, NVMe commands, and errors with the name of who refused.

use std::sync::{Arc, Mutex};

use super::*;
use crate::sys::dma::DmaBuf;

const ZONE: u64 = 64;
const METADATA: usize = 8;

#[derive(Default)]
struct Content {
    data: Vec<u8>,
    metadata: Vec<u8>,
    /// How many blocks of each zone are written.
    written: Vec<u64>,
}

/// Keeps data and metadata in memory, and can what no other module can yet.
#[derive(Clone)]
struct Typed {
    content: Arc<Mutex<Content>>,
    shape: Geometry,
}

impl Typed {
    fn new(shape: Geometry) -> Self {
        let blocks = shape.block_count as usize;
        let content = Content {
            data: vec![0; shape.len_bytes() as usize],
            metadata: vec![0; blocks * METADATA],
            written: vec![0; blocks.div_ceil(ZONE as usize)],
        };
        Self { content: Arc::new(Mutex::new(content)), shape }
    }

    fn zone(&self, number: u64, written: u64) -> Zone {
        let state = match written {
            0 => ZoneState::Empty,
            ZONE => ZoneState::Full,
            _ => ZoneState::ImplicitlyOpen,
        };
        Zone { start: number * ZONE, capacity: ZONE, write_pointer: number * ZONE + written, state }
    }
}

impl Bdev for Typed {
    type Channel = Self;
    fn module(&self) -> &'static str {
        "typed"
    }
    fn geometry(&self) -> Geometry {
        self.shape
    }
    fn supports(&self, op: Op) -> bool {
        match op {
            Op::ZoneReport | Op::ZoneAppend | Op::ZoneManage => self.shape.zones.is_some(),
            Op::Read | Op::Write | Op::Flush | Op::NvmeIo => true,
            _ => false,
        }
    }
    fn channel(&self, _access: Access) -> Result<Self> {
        Ok(self.clone())
    }
}

impl Submit for Typed {
    async fn submit(&self, mut io: Io) -> Done {
        let size = self.shape.block_size as usize;
        let mut content = self.content.lock().unwrap();
        if io.op() == Op::ZoneAppend {
            let zone = (io.lba() / ZONE) as usize;
            let place = io.lba() + content.written[zone];
            if content.written[zone] + io.blocks() > ZONE {
                return io.done(Err(Error::NoSpace));
            }
            content.written[zone] += io.blocks();
            content.data[place as usize * size..][..io.blocks() as usize * size].copy_from_slice(&io.data());
            io.set_value(place);
            return io.done(Ok(()));
        }
        let (at, len) = (io.lba() as usize, io.blocks() as usize);
        match io.op() {
            Op::Read => {
                io.read_buf().copy_from_slice(&content.data[at * size..][..len * size]);
                if let Some(mut aside) = io.take_metadata_buf() {
                    aside.copy_from_slice(&content.metadata[at * METADATA..][..len * METADATA]);
                    io.put_metadata_buf(aside);
                }
            }
            Op::Write => {
                content.data[at * size..][..len * size].copy_from_slice(&io.take_data());
                if let Some(aside) = io.take_metadata() {
                    content.metadata[at * METADATA..][..len * METADATA].copy_from_slice(&aside);
                }
            }
            Op::Flush => {}
            Op::ZoneReport => {
                let range = io.range();
                let zones = range.start / ZONE..range.end.div_ceil(ZONE);
                let mut list = io.take_zones();
                list.extend(zones.map(|zone| self.zone(zone, content.written[zone as usize])));
                io.put_zones(list);
            }
            Op::ZoneManage => {
                assert_eq!(io.blocks(), ZONE);
                let zone = (io.lba() / ZONE) as usize;
                match io.zone_action() {
                    ZoneAction::Reset => content.written[zone] = 0,
                    ZoneAction::Finish => content.written[zone] = ZONE,
                    _ => {}
                }
            }
            Op::NvmeIo => {
                let command = io.nvme_command();
                match command.opcode() {
                    // Reads answer their own command dword, in every byte.
                    0x02 => {
                        let mut buf: DmaBuf = io.take_read_buf();
                        buf.fill(command.dword(10) as u8);
                        io.put_read_buf(buf);
                        io.set_nvme_answer(7 << 32 | 1, 0);
                    }
                    0x01 => {
                        let sum = io.take_data().iter().map(|byte| u64::from(*byte)).sum();
                        io.set_nvme_answer(sum, 0);
                    }
                    // Invalid Command Opcode.
                    _ => io.set_nvme_answer(0, 0x001),
                }
            }
            _ => return io.unsupported(),
        }
        io.done(Ok(()))
    }
}

/// Hands on whatever it is given.
struct Through(Descriptor);
struct ThroughChannel(Channel);

impl Bdev for Through {
    type Channel = ThroughChannel;
    fn module(&self) -> &'static str {
        "through"
    }
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn supports(&self, op: Op) -> bool {
        self.0.supports(op)
    }
    fn channel(&self, _access: Access) -> Result<ThroughChannel> {
        Ok(ThroughChannel(self.0.channel()?))
    }
}

impl Submit for ThroughChannel {
    async fn submit(&self, io: Io) -> Done {
        self.0.submit(io).await
    }
}

fn open(bdev: impl Bdev) -> Descriptor {
    open_private("typed", bdev, Access::ReadWrite).unwrap()
}

fn shape() -> Geometry {
    Geometry::new(512, 32 * ZONE)
}

const SEPARATE: Option<Metadata> = Some(Metadata::separate(METADATA as u32));

#[test]
fn metadata_of_its_own_passes_through_stacks_and_splits() {
    block_on(async {
        for (most, align) in [(0, 1), (5, 1), (5, 512), (0, 512)] {
            let shape = shape().with_metadata(SEPARATE).with_max_io_blocks(most).with_buffer_align(align);
            conformance::check(&open(Typed::new(shape))).await;
            let stack = open(Through(open(Through(open(Typed::new(shape))))));
            conformance::check(&stack).await;
            // Data that begins anywhere.
            let channel = stack.channel().unwrap();
            let mut data = channel.try_alloc(512 * 20 + 3).unwrap();
            data.iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
            let mut aside = channel.try_alloc(20 * METADATA).unwrap();
            aside.iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
            let (data, aside) = (data.freeze().slice(3..), aside.freeze());
            channel.write_with_metadata(4, data.clone(), aside.clone()).await.unwrap();
            let (got, beside) = channel.read_with_metadata(4..24).await.unwrap();
            assert!(got[..] == data[..] && beside[..] == aside[..], "{most} {align}");
        }
    });
}

#[test]
fn metadata_within_the_blocks_travels_with_them() {
    block_on(async {
        let within = Metadata::interleaved(8);
        let shape = Geometry::new(520, 1024).with_metadata(Some(within)).with_max_io_blocks(7);
        assert_eq!((shape.data_size(), shape.len_bytes()), (512, 520 * 1024));
        conformance::check(&open(Typed::new(shape))).await;
    });
}

#[test]
fn zones_are_reported_appended_to_and_managed_through_a_stack() {
    block_on(async {
        let zones = ZoneShape { blocks: ZONE, max_append_blocks: 4, ..ZoneShape::default() };
        let typed = Typed::new(shape().with_zones(Some(zones)).with_buffer_align(512));
        let disk = open(Through(open(typed)));
        let channel = disk.channel().unwrap();
        channel.zone_manage(ZONE, ZoneAction::Reset).await.unwrap();
        let mut data = channel.try_alloc(3 * 512).unwrap();
        data.fill(4);
        let data = data.freeze();
        assert_eq!(channel.zone_append(ZONE, data.slice(..1024)).await.unwrap(), ZONE);
        // Where the device cannot reach it.
        assert_eq!(channel.zone_append(ZONE, data.slice(8..520)).await.unwrap(), ZONE + 2);
        assert!(channel.read(ZONE..ZONE + 3).await.unwrap().iter().all(|byte| *byte == 4));
        let zone = channel.zones(ZONE..ZONE + 1).await.unwrap()[0];
        assert_eq!((zone.write_pointer, zone.state), (ZONE + 3, ZoneState::ImplicitlyOpen));
        channel.zone_manage(ZONE, ZoneAction::Finish).await.unwrap();
        assert!(matches!(channel.zone_append(ZONE, data.slice(..512)).await, Err(Error::NoSpace)));
        let e = channel.zone_append(ZONE + 1, data.slice(..512)).await.unwrap_err();
        assert_eq!(e.to_string(), "block 65 begins no zone: they begin at multiples of 64");
        let long = channel.try_alloc(5 * 512).unwrap();
        assert!(matches!(channel.zone_append(0, long).await, Err(Error::BadLength { .. })));
    });
}

#[test]
fn nvme_commands_go_down_and_their_answers_come_up() {
    block_on(async {
        let disk = open(Through(open(Typed::new(shape().with_buffer_align(512)))));
        let channel = disk.channel().unwrap();
        for offset in [0, 8] {
            let mut buf = channel.try_alloc(1024 + offset).unwrap();
            let _front = buf.split_to(offset);
            let command = NvmeCommand::new(0x02).with_dword(10, 0x5a);
            let answer = channel.nvme_io(command, NvmeData::Read(buf)).await.unwrap();
            assert_eq!((answer.result, answer.status), (7 << 32 | 1, 0));
            let data = answer.data.unwrap();
            assert!(data.len() == 1024 && data.iter().all(|byte| *byte == 0x5a));

            let mut data = channel.try_alloc(1024 + offset).unwrap();
            data.fill(2);
            let data = data.freeze().slice(offset..);
            let answer = channel.nvme_io(NvmeCommand::new(0x01), NvmeData::Write(data)).await.unwrap();
            assert_eq!((answer.result, answer.status, answer.data.is_none()), (2048, 0, true));
        }
        let answer = channel.nvme_io(NvmeCommand::new(0xff), NvmeData::None).await.unwrap();
        assert_eq!(answer.status, 1);
        // What came of it before is not in the next answer.
        let answer = channel
            .nvme_io(NvmeCommand::new(0x01), NvmeData::Write(channel.try_alloc(8).unwrap().freeze()))
            .await;
        assert_eq!(answer.unwrap().status, 0);
    });
}

#[test]
fn who_cannot_is_named_however_deep_it_lies() {
    block_on(async {
        let stack = open(Through(open(Through(ram(1 << 20)))));
        let channel = stack.channel().unwrap();
        let e = channel.nvme_admin(NvmeCommand::new(0), NvmeData::None).await.unwrap_err();
        assert_eq!(e.to_string(), "this block device (through) cannot pass nvme admin commands on");
        // It says that it can; the one below does not.
        let boasts = open(Boasts(ram(1 << 20), &NEVER));
        let e = open(Through(boasts)).channel().unwrap().seek_data(0).await.unwrap_err();
        assert!(matches!(e, Error::Unsupported { op: Op::SeekData, module: "boasts" }), "{e}");
    });
}

static NEVER: AtomicUsize = AtomicUsize::new(0);
