//! What the caller is told of a failure, where the device has more to say: the block that differs, the tag that is wrong, the zone's state.

use super::Source;
use super::channel::NvmeChannel;
use super::failure::{Failure, is_of_protection, is_of_zone};
use super::request::Repeat;
use crate::bdev::{Done, Error, Io, Metadata, Op, Protector, Result};
use crate::nvme::spec::{Command, Status, StatusCode};
use crate::sys::dma::{DmaBytes, DmaPool};

impl<S: Source> NvmeChannel<S> {
    /// Answers `io`, which has its buffers back, with what became of it.
    pub(super) async fn explain(&self, mut io: Io, failure: Failure) -> Done {
        let shape = &self.disk.shape;
        let status = match failure {
            Failure::Status(status) => status,
            _ => Status::SUCCESS,
        };
        if io.op() == Op::NvmeIo && !status.is_success() {
            // The caller's to read.
            io.set_nvme_answer(0, status.bits());
            return io.done(Ok(()));
        }
        let found = match status.code() {
            StatusCode::COMPARE_FAILURE if io.op() == Op::Compare => {
                let data = io.take_data();
                self.difference(io.lba(), &data).await
            }
            StatusCode::COMPARE_FAILURE if io.op() == Op::CompareAndWrite => {
                let expected = io.expected();
                self.difference(io.lba(), &expected).await
            }
            _ if is_of_protection(status) => self.wrong_tag(&mut io),
            _ if is_of_zone(status) => self.zone_state(&io, status).await,
            _ => None,
        };
        let error = found.unwrap_or_else(|| {
            let device = self.disk.device();
            let name = device.as_ref().map_or("the device", |device| device.name());
            failure.into_error(io.op(), io.range(), name, shape.geometry.block_count)
        });
        io.done(Err(error))
    }

    /// The first block that is not what it was compared with, unless all are by now.
    async fn difference(&self, lba: u64, wanted: &DmaBytes) -> Option<Error> {
        let shape = &self.disk.shape;
        let size = shape.geometry.block_size as usize;
        let buf = DmaPool::local().alloc(wanted.len()).await.ok()?;
        let command = shape.protected(Command::read(shape.nsid, lba, (wanted.len() / size) as u32));
        let (answer, payload) = self.carry(command, buf.into(), Repeat::Freely).await;
        answer.ok()?;
        let found = payload.into_buf()?;
        let at = found.chunks(size).zip(wanted.chunks(size)).position(|(found, wanted)| found != wanted)?;
        Some(Error::Miscompare { lba: lba + at as u64 })
    }

    /// The tag that the controller has found wrong, as far as what was written or read shows it.
    fn wrong_tag(&self, io: &mut Io) -> Option<Error> {
        let geometry = &self.disk.shape.geometry;
        let protector = geometry.protector()?;
        let lba = io.lba();
        let is_separate = geometry.metadata.is_some_and(|metadata: Metadata| !metadata.interleaved);
        let check = |protector: &Protector, data: &[u8], beside: Option<&[u8]>| -> Result<()> {
            match (is_separate, beside) {
                (false, _) => protector.check(lba, data),
                (true, Some(beside)) => protector.check_beside(lba, data, beside),
                (true, None) => Ok(()),
            }
        };
        io.place()?;
        match io.op() {
            Op::Read => {
                let data = io.take_read_buf();
                let beside = io.take_metadata_buf();
                let found = check(&protector, &data, beside.as_deref()).err();
                io.put_read_buf(data);
                beside.into_iter().for_each(|beside| io.put_metadata_buf(beside));
                found
            }
            Op::Write | Op::Compare => {
                let data = io.data();
                let beside = io.take_metadata();
                check(&protector, &data, beside.as_deref()).err()
            }
            _ => None,
        }
    }

    /// The zone that has refused, as it is now.
    async fn zone_state(&self, io: &Io, status: Status) -> Option<Error> {
        let mut zones = Vec::new();
        let lba = io.lba();
        // Boxed: a report may fail, and is not explained then.
        Box::pin(self.report(lba..lba + 1, &mut zones)).await.ok()?;
        let zone = zones.first()?;
        let reason = match status.code() {
            StatusCode::ZONE_BOUNDARY => "no read or write goes from one zone on to the next",
            StatusCode::ZONE_FULL => "it is full: reset it first",
            StatusCode::ZONE_READ_ONLY => "it can be read only",
            StatusCode::ZONE_OFFLINE => "it is out of use for good",
            StatusCode::INVALID_ZONE_WRITE => "a write goes to the write pointer, or is an append",
            StatusCode::TOO_MANY_ACTIVE_ZONES => "too many zones are active: finish or reset one first",
            StatusCode::TOO_MANY_OPEN_ZONES => "too many zones are open: close or finish one first",
            _ => "its state does not allow that",
        };
        Some(Error::Zone { start: zone.start, write_pointer: zone.write_pointer, state: zone.state, reason })
    }
}
