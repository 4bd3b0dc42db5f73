//! What is counted: histograms of durations.

mod histogram;

pub use histogram::Histogram;
pub(crate) use histogram::Recorder;
