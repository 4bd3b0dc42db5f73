//! A core's way to the members: reads go to one, changes to all.
//!
//! What the members are is looked up again when the shared table has changed; an I/O under way keeps the view it began with.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use futures::future::join4;

use super::{MEMBERS_MAX, MemberState, Shared, lock, rebuild};
use crate::bdev::{Channel, Done, Error, Io, Op, Result, Submit};
use crate::sys::dma::DmaBytes;

/// A core's way to the members of a mirror.
pub struct MirrorChannel {
    shared: Arc<Shared>,
    view: RefCell<Rc<View>>,
}

/// The members that this core uses, as of one version of the table.
struct View {
    version: u32,
    members: Vec<Live>,
}

/// A member that has not failed.
struct Live {
    id: usize,
    channel: Channel,
    state: MemberState,
    /// Reads of this core that it has not answered.
    reads: Cell<u32>,
}

impl MirrorChannel {
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self> {
        let view = RefCell::new(Rc::new(View::of(&shared)?));
        Ok(Self { shared, view })
    }

    fn view(&self) -> Result<Rc<View>> {
        if self.view.borrow().version != self.shared.version() {
            let view = Rc::new(View::of(&self.shared)?);
            // The one before is dropped with nothing borrowed: its channels may be the last.
            drop(self.view.replace(view));
        }
        Ok(self.view.borrow().clone())
    }
}

impl View {
    fn of(shared: &Arc<Shared>) -> Result<Self> {
        let version = shared.version();
        let members = lock(&shared.table).members.clone();
        let mut live = Vec::with_capacity(MEMBERS_MAX);
        for member in members.into_iter().filter(|member| member.state != MemberState::Failed) {
            match member.base.channel() {
                Ok(channel) => {
                    live.push(Live { id: member.id, channel, state: member.state, reads: Cell::new(0) });
                }
                Err(e @ Error::NotOnReactor(_)) => return Err(e),
                // The change of the table makes this view an old one; the next I/O looks again.
                Err(e) => {
                    shared.failed(member.id, &e);
                }
            }
        }
        Ok(Self { version, members: live })
    }

    /// Of those in sync that were not `tried`, the one that has the least to read here.
    fn reader(&self, tried: u32) -> Option<(usize, &Live)> {
        let can = |(at, member): &(usize, &Live)| member.state == MemberState::InSync && tried & 1 << at == 0;
        self.members.iter().enumerate().filter(can).min_by_key(|(_, member)| member.reads.get())
    }
}

impl Submit for MirrorChannel {
    async fn submit(&self, io: Io) -> Done {
        let view = match self.view() {
            Ok(view) => view,
            Err(e) => return io.done(Err(e)),
        };
        match io.op() {
            Op::Read => self.read(&view, io).await,
            Op::Write | Op::WriteZeroes | Op::Unmap | Op::Flush => self.change(&view, io).await,
            _ => io.unsupported(),
        }
    }
}

impl MirrorChannel {
    async fn read(&self, view: &View, mut io: Io) -> Done {
        let mut tried = 0;
        let mut first_error = None;
        loop {
            let Some((at, member)) = view.reader(tried) else {
                return io.done(Err(first_error.unwrap_or(Error::Removed)));
            };
            tried |= 1 << at;
            let result;
            {
                let _counted = Reading::begin(&member.reads);
                (result, io) = member.channel.submit(io).await.into_io();
            }
            match result {
                Ok(()) => return io.done(Ok(())),
                // A buffer that the device has kept cannot be filled by another.
                Err(e) if io.place().is_none() => return io.done(Err(e)),
                Err(e) => {
                    self.shared.read_failed(member.id);
                    first_error.get_or_insert(e);
                }
            }
        }
    }

    async fn change(&self, view: &View, mut io: Io) -> Done {
        let blocks = io.range();
        let change = match io.op() {
            Op::Write => Change::Write(io.take_data()),
            Op::WriteZeroes => Change::Zero,
            Op::Unmap => Change::Unmap,
            _ => Change::Flush,
        };
        let unequal =
            Unequal { shared: &self.shared, blocks: change.is_of_blocks().then_some(blocks.clone()) };
        let on = |at: usize| change.on(view.members.get(at), &blocks);
        let (a, b, c, d) = join4(on(0), on(1), on(2), on(3)).await;
        let answers = [a, b, c, d];
        let is_safe = |(answer, member): (&Option<Result<()>>, &Live)| {
            matches!(answer, Some(Ok(()))) && member.state == MemberState::InSync
        };
        if answers.iter().zip(&view.members).any(is_safe) && !answers.iter().any(is_refused) {
            for (answer, member) in answers.into_iter().zip(&view.members) {
                if let Some(Err(e)) = answer {
                    self.shared.failed(member.id, &e);
                }
            }
            unequal.are_equal();
            return io.done(Ok(()));
        }
        let error = answers.into_iter().flatten().find_map(Result::err);
        drop(unequal);
        io.done(Err(error.unwrap_or(Error::Removed)))
    }
}

/// What is to be done to all members alike.
enum Change {
    Write(DmaBytes),
    Zero,
    Unmap,
    Flush,
}

impl Change {
    fn is_of_blocks(&self) -> bool {
        !matches!(self, Self::Flush)
    }

    async fn on(&self, member: Option<&Live>, blocks: &Range<u64>) -> Option<Result<()>> {
        let channel = &member?.channel;
        Some(match self {
            Self::Write(data) => channel.write(blocks.start, data.clone()).await,
            Self::Zero => channel.write_zeroes(blocks.clone()).await,
            Self::Unmap => channel.unmap(blocks.clone()).await,
            Self::Flush => channel.flush().await,
        })
    }
}

/// A member that cannot do what was asked has not failed.
fn is_refused(answer: &Option<Result<()>>) -> bool {
    matches!(answer, Some(Err(Error::Unsupported { .. })))
}

/// Counts a read of a member for as long as it is out.
struct Reading<'m>(&'m Cell<u32>);

impl<'m> Reading<'m> {
    fn begin(reads: &'m Cell<u32>) -> Self {
        reads.set(reads.get() + 1);
        Self(reads)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Blocks of which the members may have different versions: one was changed, another not or not yet. Dropped like that, because
/// the caller has gone or no member has succeeded, it has them made equal again.
struct Unequal<'c> {
    shared: &'c Arc<Shared>,
    blocks: Option<Range<u64>>,
}

impl Unequal<'_> {
    fn are_equal(mut self) {
        self.blocks = None;
    }
}

impl Drop for Unequal<'_> {
    fn drop(&mut self) {
        if let Some(blocks) = self.blocks.take() {
            rebuild::equalize(self.shared, blocks);
        }
    }
}

impl fmt::Debug for MirrorChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorChannel")
            .field("members", &self.view.borrow().members.len())
            .finish_non_exhaustive()
    }
}
