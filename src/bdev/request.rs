//! What the submitter and the module share of one I/O: a cell on their core, used again for the next.
//!
//! The module's side of it is `io`, the submitter's `submitting`; how it is ended from outside stands in `ending`.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use super::ending::End;
use super::{Error, NvmeCommand, Op, Result, Zone};
use crate::sys::dma::{DmaAny, DmaBuf, DmaBytes};

/// Who has the I/O now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// An `Io`: not answered.
    Open,
    /// A `Done`: answered, and still with the module.
    Answered,
    /// Nobody: `Io` or `Done` was dropped. The outcome stands in the request.
    Lost,
    /// The module, but somebody wants it to end without an answer: see [`Request::end_at`].
    Ended,
}

/// What submitter and module share of one I/O. Plain cells: both are on one core.
pub(super) struct Request {
    pub(super) op: Cell<Op>,
    pub(super) lba: Cell<u64>,
    pub(super) blocks: Cell<u64>,
    pub(super) state: Cell<State>,
    /// Why it failed, from `done` or the drop of the `Io` until the submitter takes it.
    error: Cell<Option<Box<Error>>>,
    /// Lent to the `Io`, which is the only one to use it while there is one.
    pub(super) buffer: Cell<Buffer>,
    /// The block size and alignment that the buffer was last found to fit; zero since it was put there. A device below, of the same
    /// shape, need not look at it again.
    pub(super) fits: Cell<u64>,
    /// What only some operations have, and only they touch. Their submitter leaves all of it as it was.
    pub(super) extra: Extra,
    /// Whom to wake when the I/O is lost while nobody polls: by depth, the outermost submitter first. They differ where
    /// a module polls what lies below from a combinator or another task. Kept for its capacity.
    wakers: RefCell<Vec<Option<Waker>>>,
    /// How many submitters are nested around the `Io`: one per stacked module.
    pub(super) depth: Cell<usize>,
    /// Which I/O of its channel it is.
    pub(super) serial: Cell<u64>,
    /// Set with [`State::Ended`].
    pub(super) end: Cell<Option<Box<End>>>,
    /// Another request has taken its place for the submitters, and what is still done with this one is nothing to them.
    pub(super) is_replaced: Cell<bool>,
    /// The request whose place this one has taken.
    pub(super) original: RefCell<Option<Rc<Request>>>,
}

/// What an I/O has besides blocks and a buffer.
#[derive(Default)]
pub(super) struct Extra {
    /// The metadata of a read or a write; what a compare-and-write expects to find.
    pub(super) aside: Cell<Buffer>,
    /// Into the module: where a copy comes from, what to do with a zone. Out of it: where a seek has come to or an append has gone.
    pub(super) value: Cell<u64>,
    /// The buffers of a read or a write that has several.
    pub(super) segments: Cell<Segments>,
    /// Made with the first I/O of the request that needs it, and kept.
    pub(super) rare: OnceCell<Box<Rare>>,
}

/// What hardly any I/O has.
pub(super) struct Rare {
    pub(super) zones: Cell<Vec<Zone>>,
    pub(super) command: Cell<NvmeCommand>,
    pub(super) status: Cell<u16>,
}

/// The buffers of a vectored I/O, each of whole blocks.
#[derive(Debug, Default)]
pub(super) enum Segments {
    /// Not vectored, or taken.
    #[default]
    None,
    Read(Vec<DmaBuf>),
    Write(Vec<DmaBytes>),
}

impl Segments {
    /// The lengths in bytes.
    pub(super) fn lens(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        let count = match self {
            Self::None => 0,
            Self::Read(bufs) => bufs.len(),
            Self::Write(list) => list.len(),
        };
        (0..count).map(|at| self.bytes(at).len())
    }

    /// Where they begin.
    pub(super) fn addresses(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.lens().len()).map(|at| self.bytes(at).as_ptr().addr())
    }

    fn bytes(&self, at: usize) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Read(bufs) => &bufs[at],
            Self::Write(list) => &list[at],
        }
    }
}

impl Extra {
    pub(super) fn rare(&self) -> &Rare {
        let empty =
            || Rare { zones: Cell::default(), command: Cell::new(NvmeCommand::new(0)), status: Cell::new(0) };
        self.rare.get_or_init(|| Box::new(empty()))
    }

    /// Takes all of it, for an answer that comes with `buffer`; none of it is left for the next I/O.
    pub(super) fn take(&self, buffer: Buffer) -> Taken {
        let rare = self.rare.get();
        Taken {
            buffer,
            aside: self.aside.take(),
            value: self.value.get(),
            segments: self.segments.take(),
            zones: rare.map(|rare| rare.zones.take()).unwrap_or_default(),
            status: rare.map_or(0, |rare| rare.status.take()),
        }
    }
}

/// What an I/O has brought home.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) buffer: Buffer,
    pub(super) aside: Buffer,
    pub(super) value: u64,
    pub(super) segments: Segments,
    pub(super) zones: Vec<Zone>,
    pub(super) status: u16,
}

/// What an I/O carries: the buffer of a read, the data of a write, or nothing.
pub(super) type Buffer = Option<DmaAny>;

/// How an I/O ended: without an error if it succeeded. The error is boxed so that success, the usual answer, is one word.
pub(super) type Outcome = (Option<Box<Error>>, Buffer);

impl Request {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            op: Cell::new(Op::Flush),
            lba: Cell::new(0),
            blocks: Cell::new(0),
            state: Cell::new(State::Lost),
            error: Cell::new(None),
            buffer: Cell::default(),
            fits: Cell::new(0),
            extra: Extra::default(),
            wakers: RefCell::default(),
            depth: Cell::new(0),
            serial: Cell::new(0),
            end: Cell::default(),
            is_replaced: Cell::new(false),
            original: RefCell::default(),
        })
    }

    #[inline(always)]
    pub(super) fn op(&self) -> Op {
        self.op.get()
    }

    #[inline(always)]
    pub(super) fn blocks(&self) -> u64 {
        self.blocks.get()
    }

    #[inline(always)]
    pub(super) fn is_ok(&self) -> bool {
        let error = self.error.take();
        let is_ok = error.is_none();
        self.error.set(error);
        is_ok
    }

    #[cold]
    pub(super) fn fail(&self, error: Error) {
        self.error.set(Some(Box::new(error)));
    }

    /// Says in an error that lacks it which module could not.
    #[cold]
    pub(super) fn name_module(&self, name: &'static str) {
        let mut error = self.error.take();
        if let Some(Error::Unsupported { module, .. }) = error.as_deref_mut() {
            if module.is_empty() {
                *module = name;
            }
        }
        self.error.set(error);
    }

    #[inline(always)]
    pub(super) fn take_result(&self) -> Result<()> {
        match self.error.take() {
            None => Ok(()),
            Some(error) => Err(*error),
        }
    }

    /// The answer, once.
    #[inline(always)]
    pub(super) fn take_answer(&self) -> Outcome {
        (self.error.take(), self.buffer.take())
    }

    #[inline(always)]
    pub(super) fn state(&self) -> State {
        self.state.get()
    }

    /// Whether an `Io` or a `Done` of it may still come back.
    #[inline(always)]
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.state.get(), State::Open | State::Answered)
    }

    pub(super) fn wake(&self) {
        // Taken out first: a waker may run what comes back here.
        while let Some(waker) = self.pop_waker() {
            waker.wake();
        }
    }

    fn pop_waker(&self) -> Option<Waker> {
        let mut wakers = self.wakers.borrow_mut();
        while let Some(waker) = wakers.pop() {
            if waker.is_some() {
                return waker;
            }
        }
        None
    }

    /// Enters one more submitter and says how deep it is.
    #[inline(always)]
    pub(super) fn enter(&self) -> usize {
        self.depth.set(self.depth.get() + 1);
        self.depth.get()
    }

    /// Leaves the submitter at `depth` and those within it.
    #[inline(always)]
    pub(super) fn leave(&self, depth: usize) {
        // Those within leave later if all are dropped together.
        self.depth.set(self.depth.get().min(depth - 1));
        while self.wakers.borrow().len() >= depth {
            // Dropped with nothing borrowed: a waker's drop may run what comes back here.
            let waker = self.wakers.borrow_mut().pop();
            drop(waker);
        }
    }

    /// Remembers whom the submitter at `depth` would have woken. Usually all are one task, which is remembered once.
    #[inline]
    pub(super) fn register(&self, depth: usize, waker: &Waker) {
        let known = {
            let wakers = self.wakers.borrow();
            wakers.iter().skip(depth - 1).flatten().any(|known| known.will_wake(waker))
        };
        if !known {
            let waker = waker.clone();
            let mut wakers = self.wakers.borrow_mut();
            if wakers.len() < depth {
                wakers.resize(depth, None);
            }
            let old = wakers[depth - 1].replace(waker);
            drop(wakers);
            drop(old);
        }
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (lba, blocks) = (self.lba.get(), self.blocks.get());
        write!(f, "{} of {blocks} blocks from {lba}, {:?}", self.op.get().name(), self.state.get())
    }
}
