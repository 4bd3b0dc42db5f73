//! Moving bytes between a pipe and anything else without a buffer.

#![expect(unsafe_code, reason = "vouches for the entry")]

use crate::inflight::Payload;
use crate::uring::op::{Op, Operation};
use crate::uring::queues::{Completion, Holds};
use crate::uring::{Fd, Ring};
use io_uring::squeue::Flags;
use io_uring::types::{Fd as Number, Fixed};
use io_uring::{opcode, squeue::Entry};
use rustix::io::Errno;
use std::future::Future;
use std::io;
use std::rc::Rc;

struct Splice {
    files: Files,
    from: Option<u64>,
    to: Option<u64>,
    len: u32,
}

/// What the slot keeps: both files.
struct Files {
    input: Fd,
    output: Fd,
}

impl Payload<Completion> for Files {}

/// The offset as the kernel takes it: −1 stands for none.
fn place(offset: Option<u64>) -> Result<i64, Errno> {
    offset.map_or(Ok(-1), |offset| i64::try_from(offset).map_err(|_| Errno::INVAL))
}

// SAFETY: the entry points to no memory.
unsafe impl Operation for Splice {
    type Held = Files;
    type Output = io::Result<usize>;
    const IS_PATIENT: bool = true;

    /// Where it goes to decides.
    fn holds(&self) -> Holds {
        [true; 2]
    }

    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Files) {
        let Self { files, from, to, len } = self;
        let ((input, fixed), (output, flags)) = (files.input.target(ring), files.output.target(ring));
        let entry = |from, to| {
            // The output's flag goes into the entry's flags, the input's into those of the splice.
            let entry = if fixed == Flags::FIXED_FILE {
                opcode::Splice::new(Fixed(input.0 as u32), from, output, to, len)
            } else {
                opcode::Splice::new(Number(input.0), from, output, to, len)
            };
            entry.build().flags(flags)
        };
        let places = place(from).and_then(|from| Ok((from, place(to)?)));
        (places.map(|(from, to)| entry(from, to)), files)
    }

    fn finish(_: Files, completion: Completion) -> io::Result<usize> {
        completion.into_result()
    }
}

impl Ring {
    /// Moves up to `len` bytes from `input` to `output`, one of which is a pipe, and yields how many went: 0 at the end
    /// (`splice(2)`). Offsets are for files that can be sought, and `None` for pipes and sockets; with `None` a file is used at its own
    /// position. Linux 5.7. Works on a thread of the kernel's, as a pipe may be full or empty for long. Of
    /// those there are as many as [`workers_max`](crate::uring::Config::workers_max) says: splices beyond wait until one has finished.
    ///
    /// Dropping the future once polled leaves open how many bytes went.
    ///
    /// # Errors
    /// Those of `splice(2)`: `EINVAL` if neither is a pipe, `ESPIPE` for an offset into one; `EINVAL` also for an offset beyond
    /// `i64::MAX`.
    pub fn splice(
        self: &Rc<Self>,
        (input, from): (&Fd, Option<u64>),
        (output, to): (&Fd, Option<u64>),
        len: u32,
    ) -> impl Future<Output = io::Result<usize>> + use<> {
        let files = Files { input: input.clone(), output: output.clone() };
        Op::new(self, Splice { files, from, to, len })
    }
}
