//! The kinds of I/O operation that there are, each with what makes it be answered at once, never, or when its peer has acted.
//!
//! A kind is named after the function that makes its future, `room/file function`, so that `complete` can tell which functions have
//! none; what else the name says comes after a comma.

mod files;
mod names;
#[cfg(all(feature = "nvme", feature = "testing"))]
mod nvme;
mod other;
mod ring;
mod sockets;
mod stacks;
mod streams;

#[cfg(all(feature = "nvme", feature = "testing"))]
pub use nvme::Bays;
pub use other::SIGNALS;

use super::stage::{Ends, Folder, Peer, Stage, Started, When};
use std::os::fd::OwnedFd;

/// One kind of operation.
pub struct Kind {
    pub name: &'static str,
    /// `None` if it cannot be made to be answered like that.
    pub start: fn(&Stage, When) -> Option<Started>,
}

pub fn all() -> Vec<Kind> {
    let all = [
        ring::all(),
        files::all(),
        names::all(),
        sockets::all(),
        streams::all(),
        other::all(),
        stacks::all(),
    ];
    #[cfg_attr(
        not(all(feature = "nvme", feature = "testing")),
        expect(unused_mut, reason = "there are no more")
    )]
    let mut all: Vec<Kind> = all.into_iter().flatten().collect();
    #[cfg(all(feature = "nvme", feature = "testing"))]
    all.extend(nvme::all());
    all
}

/// Kinds whose start is written out.
macro_rules! kinds {
    ($($name:literal: |$stage:ident, $when:ident| $start:expr;)*) => {
        vec![$($crate::kinds::Kind { name: $name, start: |$stage, $when| $start }),*]
    };
}

/// Kinds that a file answers at once: made from a [`Folder`] of their own.
macro_rules! with_folder {
    ($($name:literal: |$folder:ident| $call:expr;)*) => {
        $crate::kinds::kinds! {
            $($name: |stage, when| {
                let $folder = $crate::kinds::folder(stage, when)?;
                $crate::stage::Started::alone(when, async move { let _ = $call.await; })
            };)*
        }
    };
}

/// Kinds that read from one of the given [`Ends`]: made from the stage and the descriptor.
macro_rules! reading {
    ($($name:literal: $ends:expr, |$stage:ident, $fd:ident| $call:expr;)*) => {
        $crate::kinds::kinds! {
            $($name: |stage, when| {
                let ($fd, peer) = stage.source($ends, when);
                let $stage = stage.clone();
                $crate::stage::Started::new(peer, async move { let _ = $call.await; })
            };)*
        }
    };
}

/// Kinds that write to one of the given [`Ends`], likewise.
macro_rules! writing {
    ($($name:literal: $ends:expr, |$stage:ident, $fd:ident| $call:expr;)*) => {
        $crate::kinds::kinds! {
            $($name: |stage, when| {
                let ($fd, peer) = $crate::kinds::sink(stage, $ends, when)?;
                let $stage = stage.clone();
                $crate::stage::Started::new(peer, async move { let _ = $call.await; })
            };)*
        }
    };
}

use {kinds, reading, with_folder, writing};

fn folder(stage: &Stage, when: When) -> Option<Folder> {
    (when == When::Now).then(|| stage.folder())
}

fn sink(stage: &Stage, ends: Ends, when: When) -> Option<(OwnedFd, Peer)> {
    let can_be = match ends {
        // Datagrams are dropped rather than kept waiting.
        Ends::Udp => when == When::Now,
        // A window that was closed is opened by a timer: too late for a test.
        Ends::Tcp => when != When::Later,
        _ => true,
    };
    can_be.then(|| stage.sink(ends, when))
}
