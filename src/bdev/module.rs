//! What a module is: [`Bdev`], a device that cores share, and [`Submit`], its channel on one core.
//!
//! Users write [`Submit::submit`] as an `async fn`. The layer calls it through the private twins below, which forget
//! the module's types: [`AnyBdev`] and [`AnySubmit`]. The futures live in `slots`.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::mem;
use std::ops::Deref;
use std::task::Context;
use std::time::Duration;

use super::slots::{Running, Slots};
use super::{Access, Descriptor, DeviceRef, Done, Event, Geometry, Io, Op, Result, Timing};

/// A block device as a module makes it, shared by all cores.
///
/// ```
/// use reactor::bdev::{self, Access, Bdev, Done, Geometry, Io, Op, Submit};
///
/// /// Swallows writes, reads as it likes.
/// struct Hole;
/// struct HoleChannel;
///
/// impl Bdev for Hole {
///     type Channel = HoleChannel;
///     fn module(&self) -> &'static str {
///         "hole"
///     }
///     fn geometry(&self) -> Geometry {
///         Geometry::new(512, 1 << 20).with_keeps_data(false)
///     }
///     fn supports(&self, op: Op) -> bool {
///         matches!(op, Op::Read | Op::Write | Op::Flush | Op::Unmap)
///     }
///     fn channel(&self, _access: Access) -> bdev::Result<HoleChannel> {
///         Ok(HoleChannel)
///     }
/// }
///
/// impl Submit for HoleChannel {
///     async fn submit(&self, io: Io) -> Done {
///         match io.op() {
///             Op::Read | Op::Write | Op::Flush | Op::Unmap => io.done(Ok(())),
///             _ => io.unsupported(),
///         }
///     }
/// }
///
/// bdev::register("hole0", Hole)?;
/// # bdev::unregister("hole0")?;
/// # Ok::<(), bdev::Error>(())
/// ```
pub trait Bdev: Send + Sync + 'static {
    /// What one core submits to.
    type Channel: Submit;

    /// The kind of device, such as `"ram"`.
    fn module(&self) -> &'static str;

    /// Its shape, asked when it is registered and, unless [`base_changed`](Self::base_changed) says otherwise, when a device below
    /// was resized; only the number of blocks may change.
    fn geometry(&self) -> Geometry;

    /// Whether it does `op` itself, asked for each when a channel is made. Reads and writes are taken for granted unless this says
    /// otherwise; what it denies never reaches it: the layer does that by reads and writes where it can, such as comparing, and refuses
    /// it otherwise. A stacked module that adds nothing to an operation says what
    /// [the device below](Descriptor::supports) says.
    fn supports(&self, op: Op) -> bool {
        matches!(op, Op::Read | Op::Write | Op::Flush)
    }

    /// A descriptor is about to be opened; the place to say early that `access` is impossible.
    ///
    /// Unless implemented, a device is written to only if all of its [`bases`](Self::bases) were opened for writing.
    ///
    /// # Errors
    /// Whatever keeps it from being opened.
    fn opening(&self, access: Access) -> Result<()> {
        self.bases().iter().try_for_each(|base| base.allows(access))
    }

    /// Makes the calling core's channel for a descriptor opened with `access`, on the descriptor's first use there.
    ///
    /// # Errors
    /// Whatever keeps this core from using the device.
    fn channel(&self, access: Access) -> Result<Self::Channel>;

    /// The layer has made a device of this: called once, before anybody can open it. `device` is for a module that will have
    /// to say that it has grown, or is gone.
    fn attached(&self, device: DeviceRef) {
        let _ = device;
    }

    /// The devices that this one stands on, asked after [`attached`](Self::attached) and whenever somebody wants to
    /// [know](super::Info::bases). What happens to those named first is told to [`base_changed`](Self::base_changed).
    fn bases(&self) -> Vec<Descriptor> {
        Vec::new()
    }

    /// A spec that makes such a device again, with the settings that it has now: what [`config`](super::config) writes and
    /// [`Info::spec`](super::Info::spec) tells. A base stands in it as its own [`spec_as_base`](Descriptor::spec_as_base).
    ///
    /// None, unless implemented: the device cannot be made from a spec.
    fn spec(&self) -> Option<String> {
        None
    }

    /// The device is being removed: no I/O reaches it any more, and what is in flight may finish within the time returned. What
    /// has not is then ended with [`Error::Removed`](super::Error::Removed), and a module that answers it later is not heard.
    ///
    /// Five seconds unless implemented. Zero is for a device that is known to answer nothing any more.
    fn removing(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// What is measured of the time that I/O takes, unless somebody [says otherwise](Descriptor::set_timing). Nothing, unless
    /// implemented. [`Timing::Totals`] is in place for a device that leaves the machine's memory: who asks tomorrow what was slow
    /// today finds it measured, for two readings of a clock beside what the device takes.
    fn timing(&self) -> Timing {
        Timing::Off
    }

    /// Something has happened to the `base`-th of [`bases`](Self::bases); `device` is this one. Called on the thread that made
    /// it happen, before that goes on: no place to wait in.
    ///
    /// Unless implemented, a stacked device goes with its base, asks its own [`geometry`](Self::geometry) again when the base
    /// was resized, and hands on what the medium wants.
    fn base_changed(&self, base: usize, event: &Event, device: &DeviceRef) {
        let _ = base;
        match event {
            Event::Removed => drop(device.remove()),
            // What cannot be, such as no blocks, leaves the device as it was: its I/O then fails below.
            Event::Resized(_) => drop(device.resize(self.geometry().block_count)),
            Event::MediaManaged(media) => device.media_managed(media.clone()),
        }
    }
}

/// A module's channel: the data path of one device on one core.
///
/// The I/O that arrives is within the device, of whole blocks, with a buffer of their length where the device can reach it, and neither
/// larger nor crossing more than the [`Geometry`] allows. Reads and writes come with one buffer unless the geometry asks for
/// [lists](Geometry::max_segments). What else operations carry is tabled at [`Io`].
pub trait Submit: 'static {
    /// Carries `io` out and answers it with [`Io::done`].
    ///
    /// Many run at a time on one channel. The future may be dropped at any await: then the caller has gone, and `io`
    /// with it, unless it was moved elsewhere. A buffer that a device still uses must then stay with the driver.
    fn submit(&self, io: Io) -> impl Future<Output = Done>;

    /// Whether a device still works on what was given up: on I/O whose future was dropped. Who
    /// [quiesces](Descriptor::quiesce) the device asks in every turn until this says no.
    ///
    /// Never, unless implemented. A module on top of others speaks for itself: its [`bases`](Bdev::bases) are asked too.
    fn is_lingering(&self) -> bool {
        false
    }
}

/// [`Bdev`] with its channel type forgotten.
pub(super) trait AnyBdev: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn module(&self) -> &'static str;
    fn geometry(&self) -> Geometry;
    fn supports(&self, op: Op) -> bool;
    fn opening(&self, access: Access) -> Result<()>;
    fn channel(&self, access: Access) -> Result<Submitter>;
    fn attached(&self, device: DeviceRef);
    fn bases(&self) -> Vec<Descriptor>;
    fn spec(&self) -> Option<String>;
    fn removing(&self) -> Duration;
    fn timing(&self) -> Timing;
    fn base_changed(&self, base: usize, event: &Event, device: &DeviceRef);
}

impl<B: Bdev> AnyBdev for B {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn module(&self) -> &'static str {
        Bdev::module(self)
    }
    fn geometry(&self) -> Geometry {
        Bdev::geometry(self)
    }
    fn supports(&self, op: Op) -> bool {
        Bdev::supports(self, op)
    }
    fn opening(&self, access: Access) -> Result<()> {
        Bdev::opening(self, access)
    }
    fn channel(&self, access: Access) -> Result<Submitter> {
        Ok(Submitter::new(Bdev::channel(self, access)?))
    }
    fn attached(&self, device: DeviceRef) {
        Bdev::attached(self, device);
    }
    fn bases(&self) -> Vec<Descriptor> {
        Bdev::bases(self)
    }
    fn spec(&self) -> Option<String> {
        Bdev::spec(self)
    }
    fn removing(&self) -> Duration {
        Bdev::removing(self)
    }
    fn timing(&self) -> Timing {
        Bdev::timing(self)
    }
    fn base_changed(&self, base: usize, event: &Event, device: &DeviceRef) {
        Bdev::base_changed(self, base, event, device);
    }
}

/// [`Submit`] with its type forgotten: one indirect call per I/O.
pub(super) trait AnySubmit {
    /// Starts `io`: `Ok` if it was answered at once.
    fn start<'s>(&'s self, io: Io, cx: &mut Context<'_>) -> Result<Done, Running<'s>>;
    /// Futures that were started and not dropped.
    fn live(&self) -> usize;
    fn is_lingering(&self) -> bool;
}

struct Twin<S> {
    // Nothing lives in the slots any more when this is dropped: see `Submitter`.
    slots: Slots,
    submit: S,
}

impl<S: Submit> AnySubmit for Twin<S> {
    #[inline]
    fn start<'s>(&'s self, io: Io, cx: &mut Context<'_>) -> Result<Done, Running<'s>> {
        self.slots.run(|| self.submit.submit(io), cx)
    }

    fn live(&self) -> usize {
        self.slots.live()
    }

    fn is_lingering(&self) -> bool {
        self.submit.is_lingering()
    }
}

/// A module's channel object on the heap.
///
/// A future that was forgotten (`mem::forget`) still borrows the module: then both are left in memory for good, since
/// what is pinned must not be freed undropped.
pub(super) struct Submitter(
    /// None only while it is dropped.
    Option<Box<dyn AnySubmit>>,
);

impl Submitter {
    fn new<S: Submit>(submit: S) -> Self {
        Self(Some(Box::new(Twin { slots: Slots::default(), submit })))
    }
}

impl Deref for Submitter {
    type Target = dyn AnySubmit;
    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        self.0.as_deref().expect("it is there until it is dropped")
    }
}

impl Drop for Submitter {
    fn drop(&mut self) {
        if self.live() > 0 {
            mem::forget(self.0.take());
        }
    }
}

impl fmt::Debug for Submitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitter").field("live", &self.live()).finish()
    }
}
