//! Files on a core that is stepped by hand: what is done without an operation. What users can see is in `tests/fs.rs`, futures dropped at
//! every await in `tests/io_drops.rs`.

mod alignment;
mod fallback;

use crate::{
    LocalExecutor,
    uring::{Config, Features, Ring},
};

/// Every operation that some kernel with io_uring lacks.
const LATE: [Features; 6] = [
    Features::RENAME,
    Features::UNLINK,
    Features::MAKE_DIRECTORY,
    Features::SYMLINK,
    Features::HARD_LINK,
    Features::TRUNCATE,
];

/// A core whose ring does without some operations.
fn core_without(features: &[Features]) -> LocalExecutor {
    let core = LocalExecutor::new().unwrap();
    let features = features.iter().fold(Features::all(), |all, feature| all.without(*feature));
    let config = Config { features, ..Config::default() };
    core.enter_with(|| Ring::current_or_new(&config)).unwrap();
    core
}
