//! How the future of an operation asks for its answer: the same for every driver.

use super::{Id, Inflight, Polled};
use std::ops::DerefMut;
use std::task::{Context, Poll};

impl Id {
    /// What the operation's future answers when it is polled: resource and answer, once that has come. `ops` lends the slab, and has it
    /// back whenever something of others runs.
    #[inline(always)]
    pub(crate) fn ask<R, C: Copy, B: DerefMut<Target = Inflight<R, C>>>(
        self,
        ops: impl Fn() -> B,
        cx: &Context<'_>,
    ) -> Poll<(R, C)> {
        let polled = ops().poll(self, cx.waker());
        match polled {
            Polled::Ready(resource, answer) => Poll::Ready((resource, answer)),
            Polled::Pending => Poll::Pending,
            Polled::Stale => self.renew(ops, cx),
        }
    }

    /// Has another waker woken by the answer.
    #[cold]
    fn renew<R, C: Copy, B: DerefMut<Target = Inflight<R, C>>>(
        self,
        ops: impl Fn() -> B,
        cx: &Context<'_>,
    ) -> Poll<(R, C)> {
        // Cloning a waker may run anything, so it comes before the borrow.
        let waker = cx.waker().clone();
        let renewed = ops().renew(self, waker);
        match renewed {
            Ok(_displaced) => Poll::Pending,
            // The answer has come meanwhile.
            Err(_waker) => {
                let polled = ops().poll(self, cx.waker());
                let Polled::Ready(resource, answer) = polled else { unreachable!("the answer has come") };
                Poll::Ready((resource, answer))
            }
        }
    }
}
