//! Where a Unix socket is found.

use socket2::SockAddr;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The address of a Unix socket: made from a path, or by [`abstract_name`](Self::abstract_name).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UnixAddr(Kind);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Kind {
    Path(PathBuf),
    Abstract(Vec<u8>),
    Unnamed,
}

impl UnixAddr {
    /// A name in the abstract namespace: gone with its socket.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Self {
        Self(Kind::Abstract(name.as_ref().to_vec()))
    }

    /// The path, if it is one.
    pub fn as_path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Path(path) => Some(path),
            _ => None,
        }
    }

    /// The name, if it is in the abstract namespace.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Abstract(name) => Some(name),
            _ => None,
        }
    }

    /// Whether the socket has no address: it was never bound.
    pub fn is_unnamed(&self) -> bool {
        self.0 == Kind::Unnamed
    }

    pub(super) fn to_kernel(&self) -> io::Result<SockAddr> {
        match &self.0 {
            Kind::Path(path) if path.as_os_str().is_empty() || path.as_os_str().as_bytes()[0] == 0 => {
                Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the path of a Unix socket begins with no character",
                ))
            }
            Kind::Path(path) => SockAddr::unix(path),
            Kind::Abstract(name) => SockAddr::unix(OsStr::from_bytes(&[b"\0", &name[..]].concat())),
            Kind::Unnamed => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket without a name cannot be reached"))
            }
        }
    }

    pub(super) fn from_kernel(addr: Option<SockAddr>) -> Self {
        Self(match addr {
            Some(addr) => match (addr.as_pathname(), addr.as_abstract_namespace()) {
                (Some(path), _) => Kind::Path(path.into()),
                (None, Some(name)) => Kind::Abstract(name.into()),
                (None, None) => Kind::Unnamed,
            },
            None => Kind::Unnamed,
        })
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for UnixAddr {
    fn from(path: &P) -> Self {
        Self(Kind::Path(path.as_ref().into()))
    }
}

impl From<PathBuf> for UnixAddr {
    fn from(path: PathBuf) -> Self {
        Self(Kind::Path(path))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_to_the_kernel_and_back() {
        for addr in
            [UnixAddr::from("some/path"), UnixAddr::abstract_name("name"), UnixAddr::abstract_name([0, 1])]
        {
            assert_eq!(UnixAddr::from_kernel(Some(addr.to_kernel().unwrap())), addr);
        }
    }

    #[test]
    fn what_names_no_socket_is_refused() {
        let long = "x".repeat(200);
        for addr in
            [UnixAddr::from(""), UnixAddr::from("\0x"), UnixAddr::from(&long), UnixAddr::abstract_name(&long)]
        {
            assert_eq!(addr.to_kernel().unwrap_err().kind(), io::ErrorKind::InvalidInput, "{addr:?}");
        }
        assert!(UnixAddr::from_kernel(None).to_kernel().is_err());
    }
}
