//! The firmware slots of a software subsystem (Base 2.0 §5.12, §5.13). The first eight bytes of an image are its revision.

use super::super::spec::{FirmwareLog, StatusCode};

/// Slots that there are.
pub(super) const SLOTS: u8 = 3;
const IMAGE_MAX: usize = 1 << 20;

pub(super) struct Firmware {
    slots: [Option<[u8; 8]>; SLOTS as usize],
    running: u8,
    next: Option<u8>,
    image: Vec<u8>,
}

impl Default for Firmware {
    fn default() -> Self {
        Self { slots: [Some(*b"1.0     "), None, None], running: 1, next: None, image: Vec::new() }
    }
}

impl Firmware {
    /// A part of an image: they come in order.
    pub(super) fn download(&mut self, offset: usize, part: &[u8]) -> Result<(), StatusCode> {
        if offset == 0 {
            self.image.clear();
        }
        if offset != self.image.len() {
            return Err(StatusCode::OVERLAPPING_RANGE);
        }
        if offset + part.len() > IMAGE_MAX {
            return Err(StatusCode::INVALID_FIELD);
        }
        self.image.extend(part);
        Ok(())
    }

    /// Puts the image into a slot, activates one, or both.
    pub(super) fn commit(&mut self, slot: u8, action: u8) -> Result<(), StatusCode> {
        let slot = if slot == 0 { 2 } else { slot };
        // The first is read-only.
        if slot > SLOTS || slot == 1 && action < 2 {
            return Err(StatusCode::INVALID_FIRMWARE_SLOT);
        }
        let replaces = action < 2 || action == 3 && !self.image.is_empty();
        if replaces {
            let revision = self.image.get(..8).ok_or(StatusCode::INVALID_FIRMWARE_IMAGE)?;
            self.slots[usize::from(slot) - 1] = revision.try_into().ok();
            self.image.clear();
        }
        if action > 0 && self.slots[usize::from(slot) - 1].is_none() {
            return Err(StatusCode::INVALID_FIRMWARE_IMAGE);
        }
        match action {
            0 => {}
            1 | 2 => self.next = Some(slot),
            3 => (self.running, self.next) = (slot, None),
            _ => return Err(StatusCode::INVALID_FIELD),
        }
        Ok(())
    }

    /// A controller was reset.
    pub(super) fn reset(&mut self) {
        self.running = self.next.take().unwrap_or(self.running);
        self.image.clear();
    }

    pub(super) fn revision(&self) -> [u8; 8] {
        self.slots[usize::from(self.running) - 1].unwrap_or_default()
    }

    pub(super) fn log(&self) -> FirmwareLog {
        let mut log = FirmwareLog::default();
        log.active = self.running | self.next.unwrap_or(0) << 4;
        log.revisions.iter_mut().zip(self.slots).for_each(|(to, slot)| *to = slot.unwrap_or_default());
        log
    }
}
