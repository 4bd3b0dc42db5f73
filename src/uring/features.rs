//! Kernel features that rings use where they are there and do without where they are not, each by itself.
//!
//! `config` says which may be used, `probe` which this kernel has, [`Ring::features`](super::Ring::features) which a ring has got.

use std::fmt;
use std::ops::{BitAnd, BitOr};

/// A set of what not every kernel has, and a ring can do without.
///
/// ```
/// use reactor::uring::Features;
/// let older = Features::all().without(Features::BUFFER_TABLE);
/// assert!(older.contains(Features::FILE_TABLE) && !older.contains(Features::BUFFER_TABLE));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(u32);

impl Features {
    /// Receives into buffers that the kernel chooses (Linux 5.19).
    pub const BUFFER_RINGS: Self = Self(1);
    /// Accepts that answer for each connection (Linux 5.19).
    pub const ACCEPT_MULTISHOT: Self = Self(1 << 1);
    /// Receives that answer for each message (Linux 6.0).
    pub const RECV_MULTISHOT: Self = Self(1 << 2);
    /// Polls that answer for each change (Linux 5.13).
    pub const POLL_MULTISHOT: Self = Self(1 << 3);
    /// Timeouts that answer for each period (Linux 6.4).
    pub const TIMEOUT_MULTISHOT: Self = Self(1 << 4);
    /// Sends that leave the bytes where they are (Linux 6.0).
    pub const SEND_ZERO_COPY: Self = Self(1 << 5);
    /// Entries are taken in order, without an array of indices (`NO_SQARRAY`, Linux 6.6).
    pub const DIRECT_QUEUE: Self = Self(1 << 8);
    /// System calls name the ring by a number of the thread's own, not by its descriptor (`REGISTER_RING_FDS`, Linux 5.18), which
    /// spares the kernel looking it up.
    pub const RING_NUMBER: Self = Self(1 << 9);
    /// A table of files (Linux 5.19).
    pub const FILE_TABLE: Self = Self(1 << 10);
    /// A table of buffers (Linux 5.19).
    pub const BUFFER_TABLE: Self = Self(1 << 11);
    /// A kernel thread takes the entries (`SQPOLL`, without privileges since Linux 5.11).
    pub const SUBMISSION_THREAD: Self = Self(1 << 12);
    /// Completions are looked for at the device (`IOPOLL`, Linux 5.1). Whether the device can is another matter.
    pub const POLLING: Self = Self(1 << 13);
    /// The core sleeps in the ring: one system call hands over what is queued and waits (Linux 5.11). Needs
    /// [`POLL_MULTISHOT`](Self::POLL_MULTISHOT); excludes [`SUBMISSION_THREAD`](Self::SUBMISSION_THREAD) and
    /// [`POLLING`](Self::POLLING).
    pub const SLEEP: Self = Self(1 << 14);
    /// A core that sleeps in the ring is shown as waiting for I/O only while files or devices work for it, and otherwise as idle
    /// (`IORING_ENTER_NO_IOWAIT`, Linux 6.15).
    pub const NO_IOWAIT: Self = Self(1 << 15);

    /// Renames (Linux 5.11).
    pub const RENAME: Self = Self(1 << 16);
    /// Removes names (Linux 5.11).
    pub const UNLINK: Self = Self(1 << 17);
    /// Makes directories (Linux 5.15).
    pub const MAKE_DIRECTORY: Self = Self(1 << 18);
    /// Makes symbolic links (Linux 5.15).
    pub const SYMLINK: Self = Self(1 << 19);
    /// Gives files further names (Linux 5.15).
    pub const HARD_LINK: Self = Self(1 << 20);
    /// Sets the length of files (Linux 6.9).
    pub const TRUNCATE: Self = Self(1 << 21);

    const NAMES: [(Self, &str); 20] = [
        (Self::BUFFER_RINGS, "buffer rings"),
        (Self::ACCEPT_MULTISHOT, "multishot accept"),
        (Self::RECV_MULTISHOT, "multishot receive"),
        (Self::POLL_MULTISHOT, "multishot poll"),
        (Self::TIMEOUT_MULTISHOT, "multishot timeout"),
        (Self::SEND_ZERO_COPY, "zero-copy send"),
        (Self::DIRECT_QUEUE, "direct queue"),
        (Self::RING_NUMBER, "ring number"),
        (Self::FILE_TABLE, "file table"),
        (Self::BUFFER_TABLE, "buffer table"),
        (Self::SUBMISSION_THREAD, "submission thread"),
        (Self::POLLING, "polling"),
        (Self::SLEEP, "sleep in the ring"),
        (Self::NO_IOWAIT, "idle without iowait"),
        (Self::RENAME, "rename"),
        (Self::UNLINK, "unlink"),
        (Self::MAKE_DIRECTORY, "make directory"),
        (Self::SYMLINK, "symbolic link"),
        (Self::HARD_LINK, "hard link"),
        (Self::TRUNCATE, "truncate"),
    ];

    /// All that there are.
    pub const fn all() -> Self {
        let (mut all, mut at) = (0, 0);
        while at < Self::NAMES.len() {
            all |= Self::NAMES[at].0.0;
            at += 1;
        }
        Self(all)
    }

    /// These but for `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether all of `others` are among these.
    #[must_use]
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Each of them by itself.
    pub fn iter(self) -> impl Iterator<Item = Self> {
        Self::NAMES.into_iter().map(|(feature, _)| feature).filter(move |feature| self.contains(*feature))
    }

    /// These if `is_there`, otherwise none.
    pub(super) fn when(self, is_there: bool) -> Self {
        if is_there { self } else { Self::default() }
    }
}

impl BitAnd for Features {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The names, with commas between them.
impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Self::NAMES.into_iter().filter(|(feature, _)| self.contains(*feature));
        f.write_str(names.next().map_or("none", |(_, name)| name))?;
        names.try_for_each(|(_, name)| write!(f, ", {name}"))
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features({self})")
    }
}
