//! Files on a core that is stepped by hand: what is done without an operation, and futures dropped at every await. What users
//! can see is in `tests/fs.rs`.

mod alignment;
mod cancel;
mod fallback;

use crate::{
    LocalExecutor,
    uring::{Config, Ring, codes},
};

/// Every operation that some kernel with io_uring lacks.
const LATE: [u8; 6] =
    [codes::RENAME, codes::UNLINK, codes::MAKE_DIRECTORY, codes::SYMLINK, codes::HARD_LINK, codes::TRUNCATE];

/// A core whose ring does without some operations.
fn core_without(codes: &[u8]) -> LocalExecutor {
    let core = LocalExecutor::new().unwrap();
    let config = Config { without: codes.to_vec(), ..Config::default() };
    core.enter_with(|| Ring::current_or_new(&config)).unwrap();
    core
}
