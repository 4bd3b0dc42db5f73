//! What a channel is made of, and what every I/O asks of it: whether it may be, and a request to be in.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Context;

use crate::bdev::accounts::Account;
use crate::bdev::device::Device;
use crate::bdev::error::LengthExpected;
use crate::bdev::gate::Gate;
use crate::bdev::module::Submitter;
use crate::bdev::op::OpSet;
use crate::bdev::request::{Buffer, Request, Segments};
use crate::bdev::slots::{Running, Slots};
use crate::bdev::split::Spare;
use crate::bdev::submitting::Way;
use crate::bdev::traffic::Traffic;
use crate::bdev::visit::Present;
use crate::bdev::{Access, Descriptor, Done, Error, Geometry, Io, Op, Result, emulate};
use crate::sys::dma::DmaPool;
use crate::time::Clock;

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
    pub(in crate::bdev) account: Account,
    pub(in crate::bdev) pool: DmaPool,
    pub(in crate::bdev) device: Arc<Device>,
    /// What the module does itself. It may turn out not to.
    pub(in crate::bdev) supported: Cell<OpSet>,
    /// What can be asked of it, the layer's help included.
    doable: OpSet,
    /// Where the layer carries out what the module does not.
    here: Slots,
    /// What misaligned buffers and emulated operations are read into.
    pub(in crate::bdev) detours: OnceCell<DmaPool>,
    pub(in crate::bdev) clock: Clock,
    /// Where I/O waits for the limits of the device. Made with the first that is limited.
    pub(in crate::bdev) gate: OnceCell<Rc<Gate>>,
    me: Weak<Inner>,
    pub(in crate::bdev) is_writable: bool,
    /// Also keeps the device, and the claim on it.
    pub(in crate::bdev) descriptor: Descriptor,
    /// The watches of `overdue` that look at it, by address.
    pub(in crate::bdev) watched_by: RefCell<BTreeSet<usize>>,
    pub(in crate::bdev) present: Present,
}

impl Inner {
    pub(super) fn new(descriptor: &Descriptor) -> Result<Rc<Self>> {
        let device = descriptor.device().clone();
        // First: a module that makes a channel here is visited from then on.
        let (present, clock) = Present::enter(&device)?;
        let (geometry, submitter) = (descriptor.geometry(), device.bdev.channel(descriptor.access())?);
        Ok(Rc::new_cyclic(|me| Self {
            submitter,
            geometry,
            spare_windows: Spare::default(),
            traffic: Traffic::default(),
            long_way: Slots::default(),
            shape: u64::from(geometry.block_size) << 32 | u64::from(geometry.buffer_align),
            account: Account::open(&device),
            pool: DmaPool::local(),
            supported: Cell::new(OpSet::of(|op| device.bdev.supports(op))),
            doable: OpSet::of(|op| descriptor.supports(op)),
            here: Slots::default(),
            detours: OnceCell::new(),
            clock,
            gate: OnceCell::new(),
            me: me.clone(),
            device,
            is_writable: descriptor.access() == Access::ReadWrite,
            descriptor: descriptor.clone(),
            watched_by: RefCell::default(),
            present,
        }))
    }

    /// Starts an I/O that the layer carries out itself.
    #[cold]
    pub(in crate::bdev) fn start_here(&self, io: Io, cx: &mut Context<'_>) -> Result<Done, Running<'_>> {
        let me = self.me.upgrade().expect("the caller has the channel");
        self.here.run(|| emulate::carry_out(me, io), cx)
    }

    #[inline(always)]
    pub(in crate::bdev) fn takes_whole(&self, op: Op, lba: u64, blocks: u64) -> bool {
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
        if op != Op::Write && !self.doable.has(op) {
            return Err(Error::Unsupported { op, module: self.module() });
        }
        Ok(())
    }

    /// Whether a buffer of `len` bytes holds `blocks`.
    #[inline(always)]
    pub(super) fn check_len(&self, blocks: u64, len: usize) -> Result<()> {
        let bytes = blocks * u64::from(self.geometry.block_size);
        if len as u64 != bytes {
            return Err(Error::BadLength { len, expected: LengthExpected::Exactly(bytes) });
        }
        Ok(())
    }

    /// How many blocks `len` bytes are, if they are any.
    #[inline(always)]
    pub(super) fn whole_blocks(&self, len: usize) -> Result<u64> {
        let size = self.geometry.block_size;
        let blocks = len as u64 / u64::from(size);
        if blocks == 0 || len as u64 % u64::from(size) != 0 {
            return Err(Error::BadLength { len, expected: LengthExpected::Blocks(size) });
        }
        Ok(blocks)
    }

    /// True if a buffer at `address` is where the device can reach it.
    #[inline(always)]
    pub(super) fn is_aligned(&self, address: usize) -> bool {
        address as u32 & (self.geometry.buffer_align - 1) == 0
    }

    #[inline]
    pub(in crate::bdev) fn is_misaligned(&self, buffer: &Buffer) -> bool {
        buffer.as_ref().is_some_and(|buffer| !self.is_aligned(buffer.place().0))
    }

    /// Whether `io` may be, and who carries it out.
    #[inline]
    pub(super) fn way(&self, io: &Io) -> Result<Way> {
        let (op, start, blocks) = (io.op(), io.lba(), io.blocks());
        if !op.has_range() {
            if op != Op::Flush {
                self.check_other(op)?;
            }
            return Ok(Way::Module);
        }
        self.check(op, &(start..start.saturating_add(blocks)))?;
        if !matches!(op, Op::Read | Op::Write) {
            return self.way_of_other(io);
        }
        let is_aligned = io.request().fits.get() == self.shape || self.check_fit(io)?;
        Ok(if is_aligned && self.takes_whole(op, start, blocks) { Way::Module } else { Way::Layer })
    }

    /// Whether the module takes the buffers of a read or write as they are: what came from above, where another shape was asked for,
    /// or what a module has changed.
    #[inline(never)]
    fn check_fit(&self, io: &Io) -> Result<bool> {
        let Some((address, len)) = io.place() else { return self.check_list(io) };
        self.check_len(io.blocks(), len)?;
        let is_aligned = self.is_aligned(address);
        if is_aligned {
            self.note_checked(io.request());
        }
        Ok(is_aligned)
    }

    /// Notes that the one buffer of `request`, if it has one, was checked here.
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

    /// The same for a list of buffers: whether the module takes it as it is.
    #[cold]
    fn check_list(&self, io: &Io) -> Result<bool> {
        let segments = io.request().extra.segments.take();
        let answer = self.check_segments(&segments, io.blocks());
        io.request().extra.segments.set(segments);
        answer
    }

    fn check_segments(&self, segments: &Segments, blocks: u64) -> Result<bool> {
        let mut total = 0;
        for len in segments.lens() {
            total += self.whole_blocks(len)?;
        }
        self.check_len(blocks, self.bytes(total))?;
        let most = self.geometry.max_segments as usize;
        let is_short = most > 1 && segments.lens().len() <= most;
        Ok(is_short && segments.addresses().all(|address| self.is_aligned(address)))
    }

    /// The same for what is neither a read nor a write.
    fn way_of_other(&self, io: &Io) -> Result<Way> {
        let (op, blocks, g) = (io.op(), io.blocks(), &self.geometry);
        let place = io.place();
        if let Some((_, len)) = place {
            self.check_len(blocks, len)?;
        }
        let is_native = self.supported.get().has(op);
        let is_reached = is_native && place.is_none_or(|(address, _)| self.is_aligned(address));
        let at_most = |most: u32| match most {
            0 => Ok(()),
            most if blocks <= most.into() => Ok(()),
            most => {
                let expected = LengthExpected::AtMost(self.bytes(most.into()) as u64);
                Err(Error::BadLength { len: self.bytes(blocks), expected })
            }
        };
        let is_module = match op {
            Op::CompareAndWrite => {
                self.check_len(blocks, io.expected().len())?;
                if is_native {
                    at_most(g.atomic_compare_blocks)?;
                }
                is_native
            }
            Op::Copy => {
                let from = io.copy_from();
                self.check(op, &(from..from.saturating_add(blocks)))?;
                let is_apart = from.abs_diff(io.lba()) >= blocks;
                is_native && is_apart && self.takes_whole(op, io.lba(), blocks)
            }
            Op::ZoneAppend => {
                self.check_zone(io.lba())?;
                at_most(g.zones.map_or(0, |zones| zones.max_append_blocks))?;
                is_native
            }
            Op::ZoneManage => {
                self.check_zone(io.lba())?;
                is_native
            }
            Op::SeekData | Op::SeekHole | Op::ZoneReport => is_native,
            _ => is_reached && self.takes_whole(op, io.lba(), blocks),
        };
        Ok(if is_module { Way::Module } else { Way::Layer })
    }

    fn check_zone(&self, lba: u64) -> Result<()> {
        let zone_blocks = self.geometry.zones.map_or(0, |zones| zones.blocks);
        if zone_blocks == 0 || lba % zone_blocks != 0 {
            return Err(Error::NoZone { lba, zone_blocks });
        }
        Ok(())
    }

    /// Bytes in `blocks` of this device, which has them.
    #[inline(always)]
    pub(in crate::bdev) fn bytes(&self, blocks: u64) -> usize {
        (blocks * u64::from(self.geometry.block_size)) as usize
    }

    /// What is said if a module answers a read with success and without its buffer.
    #[cold]
    pub(in crate::bdev) fn lost_buffer(&self) -> Error {
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
