//! What lies idle, chunk by chunk: counted only while it matters, that is while somebody waits, here or on another core.
//!
//! Counting with every buffer would cost every I/O. So it is counted when it is first asked for, one walk over the idle slots, and
//! kept up until nobody waits any more.
#![expect(unsafe_code, reason = "idle slots are reached through raw pointers")]

use std::cell::Cell;
use std::ptr::{self, NonNull};

use super::lease::Memory;
use super::shared::{CLASSES, Local};
use super::slot::{LARGE, Slot};
use super::supply::Chunk;
use super::table::ChunkNumber;
use crate::sys::sync::atomic::Ordering::Relaxed;

/// What lies idle, by chunk.
#[derive(Default)]
pub(super) struct Idle {
    is_counted: Cell<bool>,
    /// Bytes of the chunks that are idle as a whole, of the pool's own.
    bytes: Cell<usize>,
}

impl Idle {
    /// From now on buffers come and go uncounted.
    pub(super) fn forget(&self) {
        self.is_counted.set(false);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    fn add(&self, memory: &Memory) {
        if !memory.is_leased() {
            self.bytes.set(self.bytes.get() + memory.len());
        }
    }

    fn sub(&self, memory: &Memory) {
        if !memory.is_leased() {
            self.bytes.set(self.bytes.get() - memory.len());
        }
    }
}

impl Local {
    /// A new chunk of which nothing is out.
    pub(super) fn count_new(&self, chunk: &Chunk) {
        self.slots.set(self.slots.get() + chunk.count());
        let bytes = &self.class_bytes[chunk.class()];
        bytes.set(bytes.get() + chunk.slot_bytes());
        self.idle.add(chunk.memory());
    }

    pub(super) fn count_idle(&self) {
        if self.idle.is_counted.get() {
            return;
        }
        let chunks = self.chunks.borrow();
        chunks.iter().for_each(|(_, chunk)| chunk.idle.set(0));
        for head in self.free.iter().chain(self.recall.aside()) {
            for slot in walk(head) {
                let idle = &chunks.of_slot(slot.chunk).idle;
                idle.set(idle.get() + 1);
            }
        }
        self.idle.bytes.set(0);
        chunks
            .iter()
            .filter(|(_, chunk)| chunk.is_idle())
            .for_each(|(_, chunk)| self.idle.add(chunk.memory()));
        // While nobody waits, buffers come and go uncounted.
        self.idle.is_counted.set(!self.is_plain.get());
    }

    /// [`pop`](Local::pop), counted.
    pub(super) fn pop_counted(&self, class: usize) -> Option<NonNull<Slot>> {
        let slot = self.pop(class)?;
        self.count_out(slot);
        Some(slot)
    }

    /// An idle slot goes out.
    pub(super) fn count_out(&self, slot: NonNull<Slot>) {
        if self.idle.is_counted.get() {
            // SAFETY: the caller has it from a list, so it is a live slot of ours.
            self.count(unsafe { slot.as_ref() }, |idle| idle - 1);
        }
    }

    /// [`put`](Local::put), counted. What others wait for is put aside, and its chunk given back once all of it is there.
    ///
    /// # Safety
    /// As `put`.
    pub(super) unsafe fn put_counted(&self, slot: NonNull<Slot>) {
        // SAFETY: the caller's promise.
        let slot_ref = unsafe { slot.as_ref() };
        if self.idle.is_counted.get() && slot_ref.class != LARGE {
            self.count(slot_ref, |idle| idle + 1);
        }
        let number = slot_ref.chunk;
        // SAFETY: the caller's promise.
        unsafe { self.put(slot) };
        if self.recall.is_recalled() {
            self.recall_slot(number);
        }
    }

    fn count(&self, slot: &Slot, change: impl FnOnce(usize) -> usize) {
        let chunks = self.chunks.borrow();
        let chunk = chunks.of_slot(slot.chunk);
        let was_idle = chunk.is_idle();
        chunk.idle.set(change(chunk.idle.get()));
        match (was_idle, chunk.is_idle()) {
            (true, false) => self.idle.sub(chunk.memory()),
            (false, true) => self.idle.add(chunk.memory()),
            _ => {}
        }
    }

    /// Ends those idle chunks that `choose` takes, and returns their memory, which is still counted as mapped.
    pub(super) fn take_apart(&self, mut choose: impl FnMut(ChunkNumber, &Chunk) -> bool) -> Vec<Memory> {
        let chosen: Vec<ChunkNumber> = {
            let chunks = self.chunks.borrow();
            let idle = chunks.iter().filter(|(_, chunk)| chunk.is_idle());
            idle.filter(|(number, chunk)| choose(*number, chunk)).map(|(number, _)| number).collect()
        };
        let mut chunks = self.chunks.borrow_mut();
        let ended: Vec<Chunk> = chosen.iter().filter_map(|&number| chunks.remove(number)).collect();
        for class in 0..CLASSES {
            if ended.iter().any(|chunk| chunk.class() == class) {
                let is_there = |slot: &Slot| chunks.get(slot.chunk).is_some();
                retain(&self.free[class], is_there, |_| {});
                retain(&self.recall.aside()[class], is_there, |_| {});
            }
        }
        let end = |chunk: Chunk| {
            self.slots.set(self.slots.get() - chunk.count());
            let bytes = &self.class_bytes[chunk.class()];
            bytes.set(bytes.get() - chunk.slot_bytes());
            self.idle.sub(chunk.memory());
            chunk.into_memory()
        };
        ended.into_iter().map(end).collect()
    }
}

/// The slots of a list of ours.
pub(super) fn walk(head: &Cell<*mut Slot>) -> impl Iterator<Item = &Slot> {
    let mut next = head.get();
    std::iter::from_fn(move || {
        // SAFETY: what is in one of the pool's lists is a live slot that nobody else has. It is not let go of while the list is
        // walked, on the owner's thread.
        let slot = unsafe { NonNull::new(next)?.as_ref() };
        next = slot.next.load(Relaxed);
        Some(slot)
    })
}

/// Takes the slots out of a list that are not to stay, in order, and hands them to `taken`.
pub(super) fn retain(
    head: &Cell<*mut Slot>,
    stays: impl Fn(&Slot) -> bool,
    mut taken: impl FnMut(NonNull<Slot>),
) {
    let mut rest = head.replace(ptr::null_mut());
    let mut last: Option<NonNull<Slot>> = None;
    while let Some(slot) = NonNull::new(rest) {
        // SAFETY: what was in the list is a live slot that nobody else has.
        let slot_ref = unsafe { slot.as_ref() };
        rest = slot_ref.next.load(Relaxed);
        if !stays(slot_ref) {
            taken(slot);
            continue;
        }
        slot_ref.next.store(ptr::null_mut(), Relaxed);
        match last.replace(slot) {
            None => head.set(slot.as_ptr()),
            // SAFETY: as above.
            Some(last) => unsafe { last.as_ref() }.next.store(slot.as_ptr(), Relaxed),
        }
    }
}
