//! A controller on the bus: its registers, its interrupts, and how it ends.

use super::bar::Bar;
use super::function::Sysfs;
use super::place::Place;
use super::{Address, Error, Function, ioctl};
use crate::nvme::device::Device;
use crate::nvme::spec::register::{CAP, CC, CSTS, DOORBELLS};
use crate::nvme::spec::{Capabilities, Configuration, ControllerStatus};
use crate::sys::dma::{DmaAny, DmaWords};
use crate::sys::eventfd::EventFd;
use rustix::io::{pread, pwrite};
use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;
use vfio_bindings::bindings::vfio::{
    VFIO_DEVICE_FLAGS_RESET, VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX,
    VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX, VFIO_REGION_INFO_FLAG_MMAP,
};

/// The command register in the configuration space (PCI Express Base 5.0 §7.5.1.1.3), and its bits.
const COMMAND: u64 = 4;
const MEMORY_SPACE: u16 = 1 << 1;
const BUS_MASTER: u16 = 1 << 2;
/// Revision and class code in there (§7.5.1.1.5).
const CLASS: u64 = 8;

/// Those that this process has open.
static OPEN: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());

/// A controller that vfio-pci leaves to this process.
///
/// Opening it resets the function. While it is open, devices see all memory of buffer pools, which stays in memory for that. The last
/// drop gives it back to the kernel, which resets it again.
pub struct PcieDevice(Arc<Inner>);

struct Inner {
    function: Function,
    bar: Bar,
    file: OwnedFd,
    /// Where its configuration space is in `file`.
    config: u64,
    can_reset: bool,
    /// Signalled when the kernel wants the device back, as it is being removed.
    request: EventFd,
    /// It has been kept from memory for good.
    ended: OnceLock<()>,
    /// What its interrupts signal, from when somebody asks.
    events: OnceLock<Vec<EventFd>>,
    is_claimed: AtomicBool,
    /// Goes last: until then the device is ours, and sees memory.
    _place: Place,
}

impl PcieDevice {
    /// Opens the controller at `address`, which is written as `0000:00:04.0`. While it is open here, it is the same again: only one
    /// [`Controller`](crate::nvme::Controller) at a time can be attached to it.
    ///
    /// The kernel takes some tenths of a second to reset it, and the calling thread waits: on a core that has other work meanwhile, call
    /// this through [`unblock`](crate::app::unblock).
    ///
    /// ```no_run
    /// use reactor::nvme::{Config, Controller, pcie::PcieDevice};
    ///
    /// # reactor::LocalExecutor::new()?.block_on(async {
    /// let controller = Controller::attach(PcieDevice::open("0000:00:04.0")?, Config::default()).await?;
    /// println!("{}", controller.identity().model());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// # Ok::<(), reactor::Error>(())
    /// ```
    ///
    /// # Errors
    /// What is missing, and what to do for it: see [`Error`].
    pub fn open(address: &str) -> Result<Self, Error> {
        let address: Address = address.parse()?;
        // Within the lock, so that two who open it have the same.
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter().filter_map(Weak::upgrade).find(|known| known.function.address == address);
        if let Some(known) = known {
            return Ok(Self(known));
        }
        let inner = Arc::new(Inner::open(address)?);
        open.retain(|device| device.strong_count() > 0);
        open.push(Arc::downgrade(&inner));
        Ok(Self(inner))
    }

    /// What the kernel says of it.
    pub fn function(&self) -> &Function {
        &self.0.function
    }
}

impl Inner {
    fn open(address: Address) -> Result<Self, Error> {
        let unsupported = |reason| Error::Unsupported { address, reason };
        if !cfg!(target_arch = "x86_64") {
            return Err(unsupported("the order of writes to registers has been seen to on x86-64 only"));
        }
        let sysfs = Sysfs::default();
        let (function, group) = sysfs.find(address)?;
        let (place, file) = Place::join(&sysfs, address, group)?;

        let refused = |what: &str| Error::refused(format!("{what} of {address}"));
        let flags = ioctl::device_flags(&file).map_err(refused("a description"))?;
        let (offset, size, access) =
            ioctl::region(&file, VFIO_PCI_BAR0_REGION_INDEX).map_err(refused("the registers"))?;
        if access & VFIO_REGION_INFO_FLAG_MMAP == 0 || size < DOORBELLS as u64 + 8 {
            return Err(unsupported("its registers cannot be mapped (BAR 0)"));
        }
        let bar = Bar::map(file.as_fd(), offset, size as usize).map_err(refused("the registers"))?;
        let (config, ..) =
            ioctl::region(&file, VFIO_PCI_CONFIG_REGION_INDEX).map_err(refused("the configuration space"))?;
        let request = EventFd::new().map_err(|error| refused("an eventfd")(io::Error::other(error)))?;
        // Without it a removal waits until the device is dropped.
        if ioctl::interrupts(&file, VFIO_PCI_REQ_IRQ_INDEX).is_ok_and(|count| count > 0) {
            ioctl::signal(&file, VFIO_PCI_REQ_IRQ_INDEX, &[request.as_fd()])
                .map_err(refused("the removal signal"))?;
        }
        let device = Self {
            function,
            bar,
            file,
            config,
            can_reset: flags & VFIO_DEVICE_FLAGS_RESET != 0,
            request,
            ended: OnceLock::new(),
            events: OnceLock::new(),
            is_claimed: AtomicBool::new(false),
            _place: place,
        };
        device.set_command(MEMORY_SPACE, BUS_MASTER).map_err(refused("its registers"))?;
        if !device.quiesce() {
            return Err(unsupported(
                "it could not be reset, and goes on with what another program has left in it",
            ));
        }
        device.set_command(BUS_MASTER, 0).map_err(refused("bus mastering"))?;
        Ok(device)
    }

    /// Disables a controller that the kernel has no way to reset, before it can reach memory: what another program has left in it may lie
    /// at addresses that are now something else here. False if it goes on.
    fn quiesce(&self) -> bool {
        let status = || ControllerStatus::from_bits(self.bar.read32(CSTS));
        let now = Configuration::from_bits(self.bar.read32(CC));
        if status().is_gone() || !now.is_enabled() {
            return true;
        }
        self.bar.write32(CC, now.with_enabled(false).bits());
        let limit_ms = Capabilities::from_bits(self.bar.read64(CAP)).timeout_ms().max(500);
        (0..limit_ms).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            status().is_gone() || !status().is_ready()
        })
    }

    /// Sets and clears bits of the command register.
    fn set_command(&self, set: u16, clear: u16) -> io::Result<()> {
        let mut command = [0; 2];
        pread(&self.file, &mut command, self.config + COMMAND)?;
        let command = u16::from_le_bytes(command) & !clear | set;
        pwrite(&self.file, &command.to_le_bytes(), self.config + COMMAND)?;
        // Read back: by then it has arrived, and what the device had sent before as well.
        pread(&self.file, &mut [0; 2], self.config + COMMAND)?;
        Ok(())
    }

    /// An eventfd for each core, and one for the admin queues, if there are as many; all at once, as the kernel has it. Empty if the
    /// system has none to give.
    fn events(&self) -> &[EventFd] {
        self.events.get_or_init(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let offered = ioctl::interrupts(&self.file, VFIO_PCI_MSIX_IRQ_INDEX).unwrap_or(0) as usize;
            let mut count = offered.min(cores + 1);
            while count > 0 {
                let Ok(events) = (0..count).map(|_| EventFd::new()).collect::<Result<Vec<_>, _>>() else {
                    break;
                };
                let fds: Vec<_> = events.iter().map(AsFd::as_fd).collect();
                match ioctl::signal(&self.file, VFIO_PCI_MSIX_IRQ_INDEX, &fds) {
                    Ok(0) => return events,
                    // As many as there are.
                    Ok(fewer) if fewer < count => count = fewer,
                    _ => break,
                }
            }
            Vec::new()
        })
    }

    /// Whether the device is to be taken for gone: the kernel wants it back, to remove it. From then on it is kept from memory.
    fn is_ended(&self) -> bool {
        if self.ended.get().is_none() && self.request.drain() {
            self.end();
        }
        self.ended.get().is_some()
    }

    /// When this is back, whoever called it, the device is at no memory any more.
    fn end(&self) {
        self.ended.get_or_init(|| {
            // If it is gone already, that changes nothing.
            let _ = self.set_command(0, BUS_MASTER);
            let _ = self.reset();
        });
    }

    fn cut_off(&self) -> bool {
        if self.set_command(0, BUS_MASTER).is_err() {
            return false;
        }
        if self.reset().and_then(|()| self.set_command(BUS_MASTER, 0)).is_err() {
            self.end();
        }
        true
    }

    fn reset(&self) -> io::Result<()> {
        if !self.can_reset {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // One that is gone reads as all ones, which no class is. The kernel would wait for its answer, for a minute.
        let mut class = [0; 4];
        pread(&self.file, &mut class, self.config + CLASS)?;
        if class == [0xff; 4] {
            return Err(io::ErrorKind::NotConnected.into());
        }
        ioctl::reset(&self.file)
    }
}

#[expect(private_interfaces, reason = "nobody outside can name the trait")]
impl Device for PcieDevice {
    fn claim(&self) -> bool {
        !self.0.is_claimed.swap(true, Acquire)
    }

    fn release(&self) {
        self.0.is_claimed.store(false, Release);
    }

    /// All ones as well once the kernel wants the device back.
    fn read32(&self, at: usize) -> u32 {
        if self.0.is_ended() { u32::MAX } else { self.0.bar.read32(at) }
    }

    fn read64(&self, at: usize) -> u64 {
        if self.0.is_ended() { u64::MAX } else { self.0.bar.read64(at) }
    }

    #[inline(always)]
    fn write32(&self, at: usize, value: u32) {
        self.0.bar.write32(at, value);
    }

    fn write64(&self, at: usize, value: u64) {
        self.0.bar.write64(at, value);
    }

    /// It sees all queues' memory as it is.
    fn map(&self, memory: &DmaWords) -> io::Result<u64> {
        Ok(memory.seen())
    }

    /// It sees the memory until that is unmapped.
    fn unmap(&self, _memory: &DmaWords) {}

    #[inline(always)]
    fn see(&self, buffer: &DmaAny) -> Option<Range<u64>> {
        Some(buffer.seen())
    }

    /// Its function is reset, so that it can be attached again. Where that cannot be done it is taken for gone.
    fn cut_off(&self) -> bool {
        self.0.cut_off()
    }

    fn vectors(&self) -> u16 {
        self.0.events().len() as u16
    }

    fn interrupt(&self, vector: u16) -> Option<BorrowedFd<'_>> {
        self.0.events().get(usize::from(vector)).map(AsFd::as_fd)
    }
}

impl fmt::Debug for PcieDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PcieDevice")
            .field("function", &self.0.function)
            .field("is_claimed", &self.0.is_claimed.load(Relaxed))
            .finish_non_exhaustive()
    }
}
