//! Operations that the kernel runs one after the other, asked for together: the future of two of them, of which either may be
//! such a pair itself.
//!
//! `queues::backlog` sees to it that all of them go into one submission, side by side, as the kernel's links demand.

use super::Ring;
use super::completion::Completion;
use super::queues::{Chaining, Queues};
use rustix::io::Errno;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// An operation that has not started, and may be linked to others: the [`Ring`]'s own, and chains of them.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use reactor::uring::{Fd, Link, Ring};
/// let ring = Ring::current()?;
/// let file = Fd::from(std::fs::File::create("log")?);
/// let record = vec![7; 512];
/// let (written, synced) = ring.write_at(&file, record, 0).link(ring.sync_data(&file)).await;
/// assert_eq!(written.0?, 512);
/// synced?;
/// # Ok(())
/// # }
/// ```
pub trait Link: Linked {
    /// Runs `next` when this operation has succeeded, without coming back from the kernel in between. Awaited, they yield both
    /// results.
    ///
    /// If this operation fails, or reads or writes less than was asked for, `next` and what follows it do not run, and answer
    /// `ECANCELED`, buffers included. If one of them cannot even be asked (a path with a NUL byte), none runs. Dropping the chain
    /// cancels all of it; buffers are kept until the kernel has answered.
    ///
    /// A chain that is longer than [`Config::entries`](super::Config::entries) answers `EINVAL`.
    ///
    /// # Panics
    /// When polled, if the operations are of different rings or have been polled before.
    fn link<N: Link>(self, next: N) -> Chain<Self, N>
    where
        Self: Sized,
    {
        Chain { first: self, second: next, state: State::New, firsts: None, seconds: None }
    }
}

impl<T: Linked> Link for T {}

/// What a chain asks of its operations. Implemented by what this crate makes only.
pub trait Linked: Future + Unpin {
    /// What is prepared, but not yet given to the kernel.
    #[doc(hidden)]
    type Staged;
    /// What a dropped operation leaves to be released, with nothing borrowed.
    #[doc(hidden)]
    type Left;
    /// How many entries there are, and whether all wait for a peer.
    #[doc(hidden)]
    const SHAPE: (usize, bool);

    #[doc(hidden)]
    fn ring(&self) -> &Rc<Ring>;

    /// Prepares all entries. The second part says whether the kernel can be asked for all of them.
    #[doc(hidden)]
    fn stage(&mut self, cx: &Context<'_>) -> (Self::Staged, bool);

    /// Queues what was prepared.
    #[doc(hidden)]
    fn queue(&mut self, staged: Self::Staged, queues: &mut Queues, chain: Chaining);

    /// Answers what was prepared without the kernel: with its own error, or with `other`.
    #[doc(hidden)]
    fn refuse(&mut self, staged: Self::Staged, other: Completion);

    /// Gives up what is under way.
    #[doc(hidden)]
    fn give_up(&mut self, queues: &mut Queues) -> Self::Left;

    #[doc(hidden)]
    fn release(left: Self::Left);
}

/// Two operations of which the second runs when the first has succeeded: see [`Link::link`].
#[must_use = "operations start when first polled"]
#[derive(Debug)]
pub struct Chain<A: Linked, B: Linked> {
    first: A,
    second: B,
    state: State,
    firsts: Option<A::Output>,
    seconds: Option<B::Output>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    New,
    Started,
    Done,
}

/// Nothing is pinned: neither part is, and the results are values.
impl<A: Linked, B: Linked> Unpin for Chain<A, B> {}

impl<A: Linked, B: Linked> Chain<A, B> {
    fn start(&mut self, cx: &Context<'_>) {
        let ring = self.ring().clone();
        let (staged, can_ask) = self.stage(cx);
        let (len, is_patient) = Self::SHAPE;
        let refused = match len <= ring.queues().chain_max() {
            _ if ring.has_ended() => Some(Completion::CORE_GONE),
            false => Some(Completion::refused(Errno::INVAL)),
            true if can_ask => None,
            true => Some(Completion::refused(Errno::CANCELED)),
        };
        if let Some(refused) = refused {
            self.refuse(staged, refused);
        } else {
            let mut queues = ring.queues();
            self.queue(staged, &mut queues, Chaining { is_patient, is_linked: false });
            queues.start_chain(len);
        }
    }
}

impl<A: Linked, B: Linked> Linked for Chain<A, B> {
    type Staged = (A::Staged, B::Staged);
    type Left = (A::Left, B::Left);
    const SHAPE: (usize, bool) = (A::SHAPE.0 + B::SHAPE.0, A::SHAPE.1 && B::SHAPE.1);

    fn ring(&self) -> &Rc<Ring> {
        let ring = self.first.ring();
        assert!(Rc::ptr_eq(ring, self.second.ring()), "a chain's operations are of one ring");
        ring
    }

    fn stage(&mut self, cx: &Context<'_>) -> (Self::Staged, bool) {
        let ((first, can_first), (second, can_second)) = (self.first.stage(cx), self.second.stage(cx));
        ((first, second), can_first && can_second)
    }

    fn queue(&mut self, (first, second): Self::Staged, queues: &mut Queues, chain: Chaining) {
        self.state = State::Started;
        self.first.queue(first, queues, Chaining { is_linked: true, ..chain });
        self.second.queue(second, queues, chain);
    }

    fn refuse(&mut self, (first, second): Self::Staged, other: Completion) {
        self.state = State::Started;
        self.first.refuse(first, other);
        self.second.refuse(second, other);
    }

    fn give_up(&mut self, queues: &mut Queues) -> Self::Left {
        (self.first.give_up(queues), self.second.give_up(queues))
    }

    fn release((first, second): Self::Left) {
        A::release(first);
        B::release(second);
    }
}

impl<A: Linked, B: Linked> Future for Chain<A, B> {
    type Output = (A::Output, B::Output);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.state {
            State::New => this.start(cx),
            State::Started => {}
            State::Done => panic!("a chain was polled after it had finished"),
        }
        if this.firsts.is_none() {
            if let Poll::Ready(output) = Pin::new(&mut this.first).poll(cx) {
                this.firsts = Some(output);
            }
        }
        if this.seconds.is_none() {
            if let Poll::Ready(output) = Pin::new(&mut this.second).poll(cx) {
                this.seconds = Some(output);
            }
        }
        match (this.firsts.take(), this.seconds.take()) {
            (Some(first), Some(second)) => {
                this.state = State::Done;
                Poll::Ready((first, second))
            }
            (first, second) => {
                (this.firsts, this.seconds) = (first, second);
                Poll::Pending
            }
        }
    }
}

impl<A: Linked, B: Linked> Drop for Chain<A, B> {
    /// All parts are given up at once: what is left of the first may run anything when it is released, and no part must then be
    /// found alone.
    fn drop(&mut self) {
        if self.state != State::Started {
            return;
        }
        let ring = self.first.ring().clone();
        let left = self.give_up(&mut ring.queues());
        Self::release(left);
    }
}
