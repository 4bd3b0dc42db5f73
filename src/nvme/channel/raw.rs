//! Any command, as it is.

use super::super::queue::Request;
use super::super::spec::Command;
use super::super::{Answer, Error, Payload, Queue, bounds};
use super::{Channel, IoOptions};

impl<Q: Queue> Channel<Q> {
    /// Sends an I/O command to this namespace as it is, whatever it is: identifier, namespace and pointers are filled in, the rest is
    /// the caller's. Yields the answer, also if that is an error.
    ///
    /// # Errors
    /// [`Error::Payload`] if the command moves more than the payload has. [`Error::Unsupported`] if nobody can say how much it moves,
    /// and the controller takes no SGLs, which say it; for fused commands, which [`compare_and_write`](Channel::compare_and_write) is
    /// for. [`Error::Frozen`]; [`Error::Misaligned`]; [`Error::Scattered`]; [`Error::Closed`].
    pub async fn raw(&self, command: Command, payload: Payload) -> (Result<Answer, Error>, Payload) {
        match self.check_raw(&command, &payload) {
            Err(error) => (Err(error), payload),
            Ok(is_bound) => {
                let command = bounds::without_pointers(command).with_nsid(self.namespace.id());
                let payload = if is_bound { payload.described() } else { payload };
                let (answer, payload) = self.queue.send(Request::new(move || command, payload)).await;
                (answer.map_err(|error| *error), payload)
            }
        }
    }

    /// Whether the length of the payload is to bind the controller, or else is known to do.
    fn check_raw(&self, command: &Command, payload: &Payload) -> Result<bool, Error> {
        if self.namespace.is_gone() {
            return Err(Error::NamespaceGone);
        }
        let shape = self.shape(&IoOptions::of(command.io_control()));
        let extension = self.namespace.zones().map(|zones| zones.extension_bytes);
        let moves = bounds::io_moves(command, shape.stride, shape.apart, extension);
        bounds::check_io(command, payload, moves, self.limits.has_sgls)
    }
}
