//! What takes more than one command, or none of the namespace's: reports of zones, comparing and writing as one, transfers that must stay
//! in order, resets, and commands for the controller. Seldom, and so each is a box of its own.

use std::ops::Range;

use super::Source;
use super::channel::{NvmeChannel, outcome};
use super::failure::Failure;
use super::request::{Home, Repeat, carried, command_of};
use crate::bdev::{Done, Io, Op, Zone, ZoneState};
use crate::nvme::spec::{self, Command, ReportFilter, StatusCode, ZoneDescriptor, ZoneReport};
use crate::nvme::{Error, Payload};
use crate::sys::dma::DmaPool;

/// Bytes of a report of zones: of 63 at a time. No controller transfers less.
const REPORT: usize = 4096;

impl<S: Source> NvmeChannel<S> {
    pub(super) async fn take_steps(&self, mut io: Io) -> Done {
        let result = match io.op() {
            Op::Read => self.read_in_order(&mut io).await,
            Op::Write => self.write_in_order(&mut io).await,
            Op::ZoneReport => {
                let mut zones = io.take_zones();
                let reported = self.report(io.range(), &mut zones).await;
                io.put_zones(zones);
                reported
            }
            Op::CompareAndWrite => self.compare_and_write(&mut io).await,
            Op::Reset => self.reset().await,
            Op::NvmeAdmin => self.admin(&mut io).await,
            _ => return io.unsupported(),
        };
        match result {
            Ok(()) => io.done(Ok(())),
            Err(failure) => self.explain(io, failure).await,
        }
    }

    /// The next blocks of `blocks` that one command takes.
    fn piece(&self, blocks: &Range<u64>) -> u64 {
        let shape = &self.disk.shape;
        let zone = shape.geometry.zones.map_or(u64::MAX, |zones| zones.blocks);
        (blocks.end - blocks.start).min(shape.blocks_max).min(zone - blocks.start % zone)
    }

    fn bytes(&self, blocks: u64) -> usize {
        blocks as usize * self.disk.shape.geometry.block_size as usize
    }

    async fn read_in_order(&self, io: &mut Io) -> Result<(), Failure> {
        let mut blocks = io.range();
        let mut rest = io.take_read_buf();
        let mut filled = rest.split_to(0);
        let mut result = Ok(());
        while !blocks.is_empty() && result.is_ok() {
            let piece = self.piece(&blocks);
            let command =
                self.disk.shape.protected(Command::read(self.disk.shape.nsid, blocks.start, piece as u32));
            let part = rest.split_to(self.bytes(piece)).into();
            let (answer, payload) = self.carry(command, part, Repeat::Freely).await;
            result = answer.map(drop);
            // A part that the device has kept is missing from the whole.
            let Some(Ok(joined)) = payload.into_buf().map(|part| filled.unsplit(part)) else { return result };
            filled = joined;
            blocks.start += piece;
        }
        if let Ok(whole) = filled.unsplit(rest) {
            io.put_read_buf(whole);
        }
        result
    }

    /// One after the other: a zone is written where the write before has come to.
    async fn write_in_order(&self, io: &mut Io) -> Result<(), Failure> {
        let mut blocks = io.range();
        let data = io.data();
        let mut at = 0;
        while !blocks.is_empty() {
            let piece = self.piece(&blocks);
            let command =
                self.disk.shape.protected(Command::write(self.disk.shape.nsid, blocks.start, piece as u32));
            let part = data.slice(at..at + self.bytes(piece)).into();
            self.carry(command, part, Repeat::IfUndone).await.0?;
            at += self.bytes(piece);
            blocks.start += piece;
        }
        Ok(())
    }

    /// The zones that have blocks in `blocks`.
    pub(super) async fn report(&self, blocks: Range<u64>, zones: &mut Vec<Zone>) -> Result<(), Failure> {
        let size = self.disk.shape.geometry.zones.map_or(u64::MAX, |zones| zones.blocks);
        let mut next = blocks.start - blocks.start % size;
        while next < blocks.end {
            let mut page = DmaPool::local().alloc(REPORT).await.map_err(Error::from)?;
            page.fill(0);
            let command = Command::zone_report(self.disk.shape.nsid, next, ReportFilter::ALL, REPORT as u32);
            let (answer, payload) = self.carry(command, page.into(), Repeat::Freely).await;
            answer?;
            let page = payload.into_buf().ok_or(Error::Closed)?;
            let report = ZoneReport::parse(&page).expect("a page has room for its head");
            let before = next;
            for zone in report.zones {
                if next >= blocks.end || zone.start.get() != next {
                    break;
                }
                zones.push(zone_of(zone, size));
                next += size;
            }
            if next == before {
                return Err(
                    Error::Unsupported("its report of zones leaves some out, or is not in order").into()
                );
            }
        }
        Ok(())
    }

    /// Two commands, next to each other in the queue (Base 2.0, Fused Operations): both are sent before anything else is.
    async fn compare_and_write(&self, io: &mut Io) -> Result<(), Failure> {
        let (nsid, lba, blocks) = (self.disk.shape.nsid, io.lba(), io.blocks() as u32);
        let compare = Command::compare(nsid, lba, blocks).fused(false);
        let write = Command::write(nsid, lba, blocks).fused(true);
        let (expected, data) = (Payload::from(io.expected()), Payload::from(io.take_data()));
        let is_follower = |failure: &Failure| matches!(failure, Failure::Status(status) if status.code() == StatusCode::ABORTED_FAILED_FUSED);
        let [compared, written] = self.send_both((compare, expected), (write, data)).await?;
        match (outcome(compared), outcome(written)) {
            (Err(failure), Err(reason)) if is_follower(&failure) => Err(reason),
            (compared, written) => compared.and(written).map(drop),
        }
    }

    /// Resets the controllers of all paths. Succeeds if one of them does.
    async fn reset(&self) -> Result<(), Failure> {
        let mut result = Err(Failure::Gone);
        for controller in self.controllers() {
            match controller.source.reset().await {
                Ok(()) => result = Ok(()),
                Err(e) => result = result.or(Err(e.into())),
            }
            controller.look_soon();
        }
        result
    }

    /// For the controller of a path that is used.
    async fn admin(&self, io: &mut Io) -> Result<(), Failure> {
        let controller = self.controller().await?;
        let (answer, payload) = controller.source.admin(command_of(&io.nvme_command()), carried(io)).await;
        Home::default().put_back(io, payload);
        if self.disk.is_stale() {
            controller.look_soon();
        }
        let answer = answer?;
        io.set_nvme_answer(answer.result, answer.status.bits());
        Ok(())
    }
}

/// A zone of `size` blocks as the layer has it.
fn zone_of(zone: &ZoneDescriptor, size: u64) -> Zone {
    const CONVENTIONAL: u8 = 1;
    let (start, capacity) = (zone.start.get(), zone.capacity.get().min(size));
    let state = match zone.state() {
        _ if zone.kind == CONVENTIONAL => ZoneState::Conventional,
        spec::ZoneState::EMPTY => ZoneState::Empty,
        spec::ZoneState::IMPLICITLY_OPEN => ZoneState::ImplicitlyOpen,
        spec::ZoneState::EXPLICITLY_OPEN => ZoneState::ExplicitlyOpen,
        spec::ZoneState::CLOSED => ZoneState::Closed,
        spec::ZoneState::FULL => ZoneState::Full,
        spec::ZoneState::READ_ONLY => ZoneState::ReadOnly,
        _ => ZoneState::Offline,
    };
    // Of a zone that takes no more writes, the controller's has no meaning.
    let write_pointer = match state {
        ZoneState::Full | ZoneState::ReadOnly | ZoneState::Offline | ZoneState::Conventional => {
            start + capacity
        }
        _ => zone.write_pointer.get().clamp(start, start + capacity),
    };
    Zone { start, capacity, write_pointer, state }
}
