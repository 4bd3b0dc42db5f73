//! A module answers an I/O twice.

use reactor::bdev::{Done, Error, Io, Submit};

struct Careless;

impl Submit for Careless {
    async fn submit(&self, io: Io) -> Done {
        let _too_early = io.done(Err(Error::Aborted));
        io.done(Ok(()))
    }
}

fn main() {}
