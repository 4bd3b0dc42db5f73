//! All light threads of a core exit: one step of shutdown.

use super::light::begin_exit;
use crate::{reactor::context, sys::unwind::contained};
use std::{
    future::poll_fn,
    task::{Context, Poll},
};

/// Does to every light thread of the current core what [`LightThread::exit`](super::LightThread::exit) does to one: they accept no
/// calls and lose their pollers; ready when none of them has a task left. Their owners may have them exit at the same time, and
/// keep their handles.
pub(crate) async fn exit_all() {
    poll_fn(poll_exit).await;
}

fn poll_exit(cx: &mut Context<'_>) -> Poll<()> {
    context::with_local("thread::exit_all", |core, _, local| {
        let mut is_over = true;
        // Each time anew: a task that has ended may have started a thread.
        for thread in core.groups.all() {
            let number = thread.identity().number;
            // What its pollers hold may unwind when it is dropped, which the panic hook has reported; the others exit all the same.
            contained(|| begin_exit(core, number));
            if local.tasks_of(number) > 0 {
                local.wait_for_task_of(number, cx.waker());
                is_over = false;
            }
        }
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
}
