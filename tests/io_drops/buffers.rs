//! Buffers whose memory is watched after their release, as sanitizers do not see what the kernel writes.

#![expect(unsafe_code, reason = "maps and protects memory, and implements the buffer traits")]

use reactor::uring::{IoBuf, IoBufMut};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;

/// What lent buffers are full of: what peers may be sent.
pub const LENT: u8 = 0x11;

/// What released buffers are full of: nobody may ever see it.
pub const CANARY: u8 = 0xc5;

const PAGE: usize = 4096;

/// What keeps released memory from being used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watch {
    /// It is filled with a canary, which a late write would overwrite.
    Canary,
    /// It cannot be reached either: a late access of the kernel's answers `EFAULT`, one of the process's own ends it. (Devices that
    /// hold pages of their own go past this, so that the canary stays.)
    Protect,
}

/// Lends buffers, and keeps their memory after they were released.
#[derive(Clone)]
pub struct Quarantine(Rc<Shared>);

struct Shared {
    watch: Watch,
    /// Released, each in whole pages.
    areas: RefCell<Vec<(*mut u8, usize)>>,
    lent: Cell<usize>,
}

/// Pages that several buffers may share.
struct Area {
    start: *mut u8,
    len: usize,
    home: Quarantine,
}

/// A buffer in pages of its own, or beside others of one list.
pub struct Watched {
    area: Rc<Area>,
    begin: usize,
    len: usize,
}

impl Quarantine {
    pub fn new(watch: Watch) -> Self {
        Self(Rc::new(Shared { watch, areas: RefCell::default(), lent: Cell::new(0) }))
    }

    pub fn lend(&self, len: usize) -> Watched {
        self.lend_list(1, len).pop().expect("one was asked for")
    }

    /// So many buffers, one after the other in memory.
    pub fn lend_list(&self, count: usize, len: usize) -> Vec<Watched> {
        let total = (count * len).next_multiple_of(PAGE).max(PAGE);
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe {
            mmap_anonymous(ptr::null_mut(), total, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        };
        let start = start.expect("memory").cast::<u8>();
        // SAFETY: the mapping is that long, and ours.
        unsafe { ptr::write_bytes(start, LENT, total) };
        let area = Rc::new(Area { start, len: total, home: self.clone() });
        self.0.lent.set(self.0.lent.get() + count);
        (0..count).map(|index| Watched { area: area.clone(), begin: index * len, len }).collect()
    }

    /// Buffers that were not released.
    pub fn lent(&self) -> usize {
        self.0.lent.get()
    }

    /// Gives the released memory back, and says how many bytes of it were overwritten.
    pub fn open(&self) -> usize {
        let mut overwritten = 0;
        for (start, len) in self.0.areas.take() {
            // SAFETY: the mapping is in quarantine, so nobody else knows of it; it is readable before it is read.
            unsafe {
                mprotect(start.cast(), len, MprotectFlags::READ).expect("a mapping of ours");
                let bytes = std::slice::from_raw_parts(start, len);
                let touched = bytes.chunks(PAGE).filter(|page| *page != [CANARY; PAGE]);
                overwritten +=
                    touched.map(|page| page.iter().filter(|byte| **byte != CANARY).count()).sum::<usize>();
                munmap(start.cast(), len).expect("a mapping of ours");
            }
        }
        overwritten
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: within the area, and this buffer's alone.
        unsafe { ptr::write_bytes(self.area.start.add(self.begin), CANARY, self.len) };
        let lent = &self.area.home.0.lent;
        lent.set(lent.get() - 1);
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        let home = &self.home.0;
        // SAFETY: the last buffer of these pages is gone, so what lies beyond the buffers is nobody's either. The mapping stays.
        unsafe {
            ptr::write_bytes(self.start, CANARY, self.len);
            if home.watch == Watch::Protect {
                mprotect(self.start.cast(), self.len, MprotectFlags::empty()).expect("a mapping of ours");
            }
        }
        home.areas.borrow_mut().push((self.start, self.len));
    }
}

// SAFETY: the bytes are in a mapping that outlives the value, initialised, and changed by nobody.
unsafe impl IoBuf for Watched {
    fn as_ptr(&self) -> *const u8 {
        self.area.start.wrapping_add(self.begin)
    }
    fn len(&self) -> usize {
        self.len
    }
}

// SAFETY: as above; buffers of one area do not overlap.
unsafe impl IoBufMut for Watched {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.area.start.wrapping_add(self.begin)
    }
}
