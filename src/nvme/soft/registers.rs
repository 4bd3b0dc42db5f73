//! The register file of the software controller, and what writing to it does (Base 2.0 §3.1.3).

use super::super::device::Device;
use super::super::spec::register::{ACQ, AQA, ASQ, CAP, CC, CSTS, DOORBELLS, NSSR, NSSR_RESET, VS};
use super::super::spec::{AdminQueueAttributes, Capabilities, Configuration, ControllerStatus, FeatureId};
use super::SoftController;
use super::state::State;
use crate::sys::dma::{DmaAny, DmaWords};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

impl State {
    fn capabilities(&self) -> Capabilities {
        // NVM, and other command sets as well.
        let it = Capabilities::default().with_css(1 | 1 << 6).with_mpsmax(4).with_timeout(1);
        let it = it.with_mqes(u64::from(self.config.queue_entries) - 1);
        // Weighted arbitration, and NVM Subsystem Reset.
        Capabilities::from_bits(it.bits() | 1 << 17 | 1 << 36)
    }

    fn read(&self, at: usize) -> u64 {
        match at {
            CAP => self.capabilities().bits(),
            VS => self.config.version.bits().into(),
            CC => self.configuration.bits().into(),
            CSTS => self.status.bits().into(),
            AQA => self.admin_entries.bits().into(),
            ASQ => self.admin_queues[0],
            ACQ => self.admin_queues[1],
            _ => 0,
        }
    }

    fn configure(&mut self, new: Configuration) {
        let old = std::mem::replace(&mut self.configuration, new);
        if !old.is_enabled() && new.is_enabled() {
            assert!(
                !self.status.is_ready(),
                "CC.EN is set while CSTS.RDY is: the controller has not finished to be disabled"
            );
        }
        if old.is_enabled() && new.is_enabled() {
            let of_queues = |it: Configuration| it.with_shn(0).with_iosqes(0).with_iocqes(0).bits();
            assert!(
                of_queues(old) == of_queues(new),
                "{new:?} is written to an enabled controller with {old:?}"
            );
        }
        if old.is_enabled() && !new.is_enabled() && !self.faults.is_stuck {
            self.reset();
        }
        if new.shn() != 0 && old.shn() == 0 {
            self.status = self.status.with_shst(1);
        }
    }

    /// A Controller Level Reset: queues and commands are forgotten, features are as they were saved.
    pub(super) fn reset(&mut self) {
        self.queues.clear();
        self.faults.forget_commands();
        self.events = Default::default();
        self.features.reset();
        self.unheard = Duration::ZERO;
        self.shadow = None;
        self.interrupts = 0;
        self.wants_firmware = true;
        self.status = ControllerStatus::default();
    }

    pub(super) fn enable(&mut self) {
        let [sq, cq] = self.admin_queues;
        let (sq_entries, cq_entries) = (self.admin_entries.asqs() + 1, self.admin_entries.acqs() + 1);
        let memory = |at, bytes| self.memory.find(at, bytes);
        let made = memory(cq, u64::from(cq_entries) * 16).zip(memory(sq, u64::from(sq_entries) * 64));
        let it = self.configuration;
        let is_known = it.mps() == 0 && matches!(it.css(), 0 | 6 | 7) && it.ams() <= 1;
        match made {
            Some((cq, sq)) if sq_entries >= 2 && cq_entries >= 2 && is_known => {
                let vector = (self.config.vectors > 0).then_some(0);
                self.queues.make_cq(0, cq, cq_entries, vector);
                self.queues.make_sq(0, sq, sq_entries, 0, 0);
                self.status = self.status.with_ready(true);
            }
            _ => self.status = self.status.with_fatal(true),
        }
    }

    /// Finishes a shutdown that the host has notified of (Base 2.0 §3.6).
    pub(super) fn shut_down(&mut self) {
        if self.status.shst() == 1 && !self.faults.is_stuck {
            self.status = self.status.with_shst(2);
        }
    }

    pub(super) fn hear_from_host(&mut self) {
        self.unheard = Duration::ZERO;
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.unheard += time;
        let limit = self.features.current(FeatureId::KEEP_ALIVE);
        if self.status.is_ready() && limit > 0 && self.unheard > Duration::from_millis(limit.into()) {
            self.status = self.status.with_fatal(true);
        }
    }

    fn write(&mut self, at: usize, value: u64) {
        let while_disabled = |name: &str| {
            assert!(!self.configuration.is_enabled(), "{name} is written while the controller is enabled");
        };
        match at {
            // Those that a disabled controller hears are nobody's fault: of cores that did not know yet.
            DOORBELLS.. if !self.status.is_ready() => {}
            DOORBELLS.. => {
                let doorbell = (at - DOORBELLS) / 4;
                if !(self.faults.is_deaf && doorbell > 1) {
                    self.queues.ring(doorbell, value as u32);
                }
            }
            CC => self.configure(Configuration::from_bits(value as u32)),
            CSTS => {}
            AQA => {
                while_disabled("AQA");
                self.admin_entries = AdminQueueAttributes::from_bits(value as u32);
            }
            ASQ | ACQ => {
                while_disabled("ASQ or ACQ");
                assert!(value % 4096 == 0, "an admin queue at {value:#x}, which is no multiple of 4096");
                self.admin_queues[usize::from(at == ACQ)] = value;
            }
            NSSR if value as u32 == NSSR_RESET => {
                self.reset();
                self.configuration = Configuration::default();
                // NSSRO.
                self.status = ControllerStatus::from_bits(1 << 4);
            }
            _ => {}
        }
    }
}

#[expect(private_interfaces, reason = "nobody outside can name the trait")]
impl Device for SoftController {
    fn claim(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_claimed, true)
    }

    fn release(&self) {
        let mut state = self.lock();
        state.is_claimed = false;
        state.memory.clear();
    }

    fn read32(&self, at: usize) -> u32 {
        let state = self.lock();
        if state.faults.is_removed { u32::MAX } else { state.read(at) as u32 }
    }

    fn read64(&self, at: usize) -> u64 {
        let state = self.lock();
        if state.faults.is_removed { u64::MAX } else { state.read(at) }
    }

    #[inline]
    fn write32(&self, at: usize, value: u32) {
        let mut state = self.lock();
        if !state.faults.is_removed {
            state.write(at, value.into());
        }
    }

    fn write64(&self, at: usize, value: u64) {
        let mut state = self.lock();
        if !state.faults.is_removed {
            state.write(at, value);
        }
    }

    fn map(&self, memory: &DmaWords) -> io::Result<u64> {
        self.lock().memory.add(memory.clone());
        Ok(memory.address())
    }

    fn unmap(&self, memory: &DmaWords) {
        self.lock().memory.remove(memory);
    }

    #[inline(always)]
    fn see(&self, buffer: &DmaAny) -> Option<Range<u64>> {
        let seen = buffer.expose();
        if self.0.is_strict {
            self.show(seen.clone());
        }
        Some(seen)
    }

    fn vectors(&self) -> u16 {
        self.0.interrupts.len() as u16
    }

    fn interrupt(&self, vector: u16) -> Option<BorrowedFd<'_>> {
        self.0.interrupts.get(usize::from(vector)).map(|fd| fd.as_fd())
    }
}

impl SoftController {
    /// Apart, as what the driver does inline is the better for it.
    #[cold]
    fn show(&self, buffer: Range<u64>) {
        self.lock().memory.see(buffer);
    }
}
