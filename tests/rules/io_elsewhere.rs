//! Rule 3: a module completes an I/O on another thread than the one that submitted it.

use reactor::bdev::{Done, Io, Submit};

struct Careless;

impl Submit for Careless {
    async fn submit(&self, io: Io) -> Done {
        std::thread::spawn(move || drop(io.done(Ok(()))));
        std::future::pending().await
    }
}

fn main() {}
