//! The doorbells of one queue pair: registers, or memory that the controller looks at by itself, where it offers that.
//!
//! With shadow doorbells (Base 2.0 §5.8) the value goes to a page of memory. The controller says in another up to where it will look
//! without being told; only what goes beyond that is written to the register as well. A virtual controller's register costs an exit
//! from its guest.

use super::device::Device;
use super::link::Link;
use super::spec::register::{head_doorbell, tail_doorbell};
use crate::sys::dma::DmaWords;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::fence;

pub(super) struct Doorbells {
    tail: Doorbell,
    head: Doorbell,
    shadows: Option<Arc<Shadows>>,
}

struct Doorbell {
    register: usize,
    /// Its place in a page of shadows, in bytes.
    shadow: usize,
    rung: Cell<u32>,
}

/// The two pages of a controller: values, and up to where it looks.
pub(super) struct Shadows {
    pub(super) values: DmaWords,
    pub(super) wanted: DmaWords,
    /// Where the controller sees them.
    pub(super) at: (u64, u64),
}

impl Doorbells {
    pub(super) fn new<D: Device>(link: &Link<D>, qid: u16) -> Self {
        let stride = link.capabilities().doorbell_stride();
        let at = |register: usize| Doorbell {
            register,
            shadow: register - super::spec::register::DOORBELLS,
            rung: Cell::new(0),
        };
        let (tail, head) = (at(tail_doorbell(qid, stride)), at(head_doorbell(qid, stride)));
        // The admin queues have none; nor have queues beyond the page.
        let shadows = link.shadows().filter(|_| qid > 0 && head.shadow + 4 <= 4096);
        let doorbells = Self { tail, head, shadows };
        // A pair that had this number before has left its values.
        doorbells.restart();
        doorbells
    }

    #[inline(always)]
    pub(super) fn ring_tail<D: Device>(&self, device: &D, tail: u32) {
        match &self.shadows {
            None => device.write32(self.tail.register, tail),
            Some(shadows) => self.ring_shadow(device, shadows, &self.tail, tail),
        }
    }

    #[inline(always)]
    pub(super) fn ring_head<D: Device>(&self, device: &D, head: u32) {
        match &self.shadows {
            None => device.write32(self.head.register, head),
            Some(shadows) => self.ring_shadow(device, shadows, &self.head, head),
        }
    }

    /// The queues are made anew.
    pub(super) fn restart(&self) {
        self.tail.rung.set(0);
        self.head.rung.set(0);
        if let Some(shadows) = &self.shadows {
            for doorbell in [&self.tail, &self.head] {
                shadows.values.words()[doorbell.shadow / 8].store(0, Relaxed);
                shadows.wanted.words()[doorbell.shadow / 8].store(0, Relaxed);
            }
        }
    }

    fn ring_shadow<D: Device>(&self, device: &D, shadows: &Shadows, doorbell: &Doorbell, value: u32) {
        let before = doorbell.rung.replace(value);
        // Release, and below: what was put into the queue comes before the value that tells of it.
        fence(std::sync::atomic::Ordering::Release);
        shadows.values.words()[doorbell.shadow / 8].store(self.word(doorbell), Relaxed);
        // SeqCst: the value is seen before it is read up to where the controller looks. It does the same the other way round (it tells
        // up to where, then looks for values), so that one of both sees the other's.
        fence(std::sync::atomic::Ordering::SeqCst);
        let wanted = shadows.wanted.words()[doorbell.shadow / 8].load(Relaxed).to_le();
        let wanted = (wanted >> (doorbell.shadow % 8 * 8)) as u32;
        if is_passed(wanted, before, value) {
            device.write32(doorbell.register, value);
        }
    }

    /// Both doorbells of a pair that share a word, which is this core's alone; or one, if the doorbells lie further apart.
    fn word(&self, doorbell: &Doorbell) -> u64 {
        let of = |one: &Doorbell| {
            let is_there = one.shadow / 8 == doorbell.shadow / 8;
            if is_there { u64::from(one.rung.get()) << (one.shadow % 8 * 8) } else { 0 }
        };
        (of(&self.tail) | of(&self.head)).to_le()
    }
}

/// Whether `wanted` was reached or passed on the way from `before` to `value`, all of 16 bits that come round (Base 2.0 §5.8; the rule
/// is that of virtio's event index).
fn is_passed(wanted: u32, before: u32, value: u32) -> bool {
    let (wanted, before, value) = (wanted as u16, before as u16, value as u16);
    value.wrapping_sub(wanted).wrapping_sub(1) < value.wrapping_sub(before)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Within one pass of the ring, the rule is what it says: the place that is wanted was left behind.
    #[test]
    fn a_controller_is_told_when_its_place_is_passed() {
        for before in 0..20_u32 {
            for value in before + 1..21 {
                for wanted in 0..20_u32 {
                    assert_eq!(is_passed(wanted, before, value), (before..value).contains(&wanted));
                }
            }
        }
    }
}
