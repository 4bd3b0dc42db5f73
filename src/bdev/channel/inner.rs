//! What a channel is made of, and what every I/O asks of it: whether it may be, and a request to be in.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::bdev::descriptor::Descriptor;
use crate::bdev::device::Device;
use crate::bdev::error::LengthExpected;
use crate::bdev::module::Submitter;
use crate::bdev::op::OpSet;
use crate::bdev::request::Request;
use crate::bdev::slots::Slots;
use crate::bdev::split::Spare;
use crate::bdev::stats::Counters;
use crate::bdev::traffic::Traffic;
use crate::bdev::visit::Present;
use crate::bdev::{Access, Error, Geometry, Io, Op, Result};
use crate::sys::dma::DmaPool;

/// The channel itself, alive while somebody on its core has it.
pub(in crate::bdev) struct Inner {
    pub(in crate::bdev) submitter: Submitter,
    /// Its number of blocks is that of the beginning: ask the device.
    pub(in crate::bdev) geometry: Geometry,
    pub(in crate::bdev) spare_windows: Spare,
    pub(in crate::bdev) traffic: Traffic,
    /// Where I/Os of a module above are that do not go on whole and at once.
    pub(in crate::bdev) long_way: Slots,
    /// What a buffer that was checked here fits: see `Request::fits`.
    shape: u64,
    pub(in crate::bdev) counters: Counters,
    pub(in crate::bdev) pool: DmaPool,
    pub(in crate::bdev) device: Arc<Device>,
    /// What the module does itself.
    pub(in crate::bdev) supported: OpSet,
    pub(in crate::bdev) is_writable: bool,
    /// Also keeps the device, and the claim on it.
    pub(in crate::bdev) descriptor: Descriptor,
    /// The watches of `overdue` that look at it, by address.
    pub(in crate::bdev) watched_by: RefCell<BTreeSet<usize>>,
    _present: Present,
}

impl Inner {
    pub(in crate::bdev) fn new(descriptor: &Descriptor) -> Result<Self> {
        let device = descriptor.device().clone();
        // First: a module that makes a channel here is visited from then on.
        let present = Present::enter(&device)?;
        let geometry = descriptor.geometry();
        Ok(Self {
            submitter: device.bdev.channel(descriptor.access())?,
            geometry,
            spare_windows: Spare::default(),
            traffic: Traffic::default(),
            long_way: Slots::default(),
            shape: u64::from(geometry.block_size) << 32 | u64::from(geometry.buffer_align),
            counters: Counters::default(),
            pool: DmaPool::local(),
            supported: OpSet::of(|op| device.bdev.supports(op)),
            device,
            is_writable: descriptor.access() == Access::ReadWrite,
            descriptor: descriptor.clone(),
            watched_by: RefCell::default(),
            _present: present,
        })
    }

    #[inline(always)]
    pub(super) fn takes_whole(&self, op: Op, lba: u64, blocks: u64) -> bool {
        !op.has_range() || self.geometry.takes_whole(op, lba, blocks)
    }

    /// Whether the caller may do `op` on `range`, and how many blocks that is.
    #[inline(always)]
    pub(super) fn check(&self, op: Op, range: &Range<u64>) -> Result<u64> {
        let blocks = Geometry::check(range, self.device.block_count())?;
        if op != Op::Read {
            self.check_other(op)?;
        }
        Ok(blocks)
    }

    /// What a read need not be asked.
    #[inline]
    pub(super) fn check_other(&self, op: Op) -> Result<()> {
        if op.is_change() && !self.is_writable {
            return Err(Error::ReadOnly { name: self.name().to_owned() });
        }
        if op != Op::Write && !self.supported.has(op) {
            return Err(Error::Unsupported { op, module: self.module() });
        }
        Ok(())
    }

    /// Whether `buf` holds `blocks` and starts where the device can reach it.
    #[inline(always)]
    pub(super) fn check_buffer(&self, blocks: u64, address: usize, len: usize) -> Result<()> {
        let align = self.geometry.buffer_align;
        let offset = address as u32 & (align - 1);
        if len as u64 != blocks * u64::from(self.geometry.block_size) {
            let bytes = blocks * u64::from(self.geometry.block_size);
            return Err(Error::BadLength { len, expected: LengthExpected::Exactly(bytes) });
        }
        if offset != 0 {
            return Err(Error::Misaligned { align, offset });
        }
        Ok(())
    }

    /// What `check` and `check_buffer` say of an I/O from a module above.
    #[inline(always)]
    pub(super) fn check_io(&self, io: &Io) -> Result<()> {
        let request = io.request();
        if !request.op().has_range() {
            return Ok(());
        }
        let (start, blocks) = (request.lba.get(), request.blocks());
        self.check(request.op(), &(start..start.saturating_add(blocks)))?;
        if request.fits.get() == self.shape { Ok(()) } else { self.check_fit(io) }
    }

    /// The buffer came from above, where another shape was asked for, or a module has changed it.
    #[inline(never)]
    fn check_fit(&self, io: &Io) -> Result<()> {
        if let Some((address, len)) = io.place() {
            self.check_buffer(io.blocks(), address, len)?;
        }
        io.request().fits.set(self.shape);
        Ok(())
    }

    /// Notes that the buffer of `request`, if it has one, was checked here.
    #[inline(always)]
    pub(in crate::bdev) fn note_checked(&self, request: &Request) {
        request.fits.set(self.shape);
    }

    /// Whether the module, or one that it stands on, still works on what was given up here.
    pub(in crate::bdev) fn is_lingering(&self) -> bool {
        let lingers_below = || {
            let below = self.device.bdev.bases();
            below.iter().any(|base| super::known(base.id()).is_some_and(|channel| channel.is_lingering()))
        };
        self.submitter.is_lingering() || lingers_below()
    }

    /// Bytes in `blocks` of this device, which has them.
    #[inline(always)]
    pub(in crate::bdev) fn bytes(&self, blocks: u64) -> usize {
        (blocks * u64::from(self.geometry.block_size)) as usize
    }

    /// What is said if a module answers a read with success and without its buffer.
    #[cold]
    pub(super) fn lost_buffer(&self) -> Error {
        let context = format!("{}: a read was answered without its buffer", self.name());
        Error::Os { context, source: std::io::Error::other("a defect of the module") }
    }

    pub(in crate::bdev) fn name(&self) -> &str {
        self.descriptor.name()
    }

    pub(in crate::bdev) fn module(&self) -> &'static str {
        self.device.bdev.module()
    }
}
