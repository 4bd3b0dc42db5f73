//! Unix sockets: streams, datagrams and packets within the machine.
//!
//! Their addresses are paths, or names in the abstract namespace (`unix(7)`), which leave nothing in the file system.

mod address;
mod datagram;
mod seqpacket;
mod stream;

pub use address::UnixAddr;
pub use datagram::UnixDatagram;
pub use seqpacket::{UnixSeqpacket, UnixSeqpacketListener};
pub use stream::{UnixListener, UnixStream};
