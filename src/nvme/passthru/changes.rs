//! What the kernel tells of a namespace: uevents, by which udev hears of it as well (`NETLINK_KOBJECT_UEVENT`).

use super::Namespace;
use crate::uring::{Fd, Ring};
use futures::Stream;
use futures::stream::unfold;
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, socket_with};
use std::io;
use std::path::{Path, PathBuf};

/// Something that the kernel tells of a namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// It, or what it stands in, may be different: its size, its controller after a reset, a neighbour.
    Changed,
    /// It is gone.
    Removed,
}

/// What the kernel sends its own events to.
const KERNELS: u32 = 1;
/// No event is longer (the kernel's `UEVENT_BUFFER_SIZE`, and the head before it).
const EVENT_MAX: usize = 4096;

impl Namespace {
    /// What the kernel tells of it from now on. Does not keep it. Ends if the kernel will not tell any more.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use futures::StreamExt;
    /// use reactor::nvme::passthru::Namespace;
    /// let namespace = Namespace::open("/dev/ng0n1").await?;
    /// let mut changes = std::pin::pin!(namespace.changes()?);
    /// while let Some(change) = changes.next().await {
    ///     println!("{change:?}: {:?}", namespace.refresh().await);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the kernel gives no socket for that, as in a sandbox; if `/sys` is not mounted, or the core has no ring.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub fn changes(&self) -> io::Result<impl Stream<Item = Change> + use<>> {
        let ring = Ring::current().map_err(io::Error::other)?;
        // As the kernel writes it in its events: from its own root.
        let place = self.place().and_then(|place| place.strip_prefix("/sys").ok());
        let place = Path::new("/").join(place.ok_or(Errno::NODEV)?);
        let family = AddressFamily::NETLINK;
        let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNELS))?;
        let listener = Listener { ring, socket: socket.into(), place };
        Ok(unfold(listener, async |listener| Some((listener.next().await?, listener))))
    }
}

struct Listener {
    ring: std::rc::Rc<Ring>,
    socket: Fd,
    place: PathBuf,
}

impl Listener {
    /// The next that is of interest.
    async fn next(&self) -> Option<Change> {
        let mut event = vec![0; EVENT_MAX];
        loop {
            let received;
            (received, event) = self.ring.recv(&self.socket, event, RecvFlags::empty()).await;
            match received {
                Ok(len) => match change(&event[..len], &self.place) {
                    None => {}
                    change => return change,
                },
                // There were more than it keeps: one of those that are lost may have been ours.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {
                    return Some(Change::Changed);
                }
                Err(_) => return None,
            }
        }
    }
}

/// What `event` says of the device at `place`: `ACTION@PATH`, and behind a zero what the path alone does not tell.
fn change(event: &[u8], place: &Path) -> Option<Change> {
    let head = std::str::from_utf8(event.split(|byte| *byte == 0).next()?).ok()?;
    let (action, path) = head.split_once('@')?;
    match Path::new(path) {
        path if path == place && action == "remove" => Some(Change::Removed),
        path if path.starts_with(place.parent()?) => Some(Change::Changed),
        _ => None,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn events_are_those_of_the_namespace_and_of_what_it_stands_in() {
        let place = Path::new("/devices/pci0000:00/0000:00:04.0/nvme/nvme0/ng0n1");
        let of = |head: &str| change(format!("{head}\0ACTION=x\0SEQNUM=7\0").as_bytes(), place);
        let controller = "/devices/pci0000:00/0000:00:04.0/nvme/nvme0";
        assert_eq!(of(&format!("remove@{controller}/ng0n1")), Some(Change::Removed));
        assert_eq!(of(&format!("change@{controller}/nvme0n1")), Some(Change::Changed));
        assert_eq!(of(&format!("change@{controller}")), Some(Change::Changed));
        assert_eq!(of(&format!("remove@{controller}/ng0n12")), Some(Change::Changed), "another");
        for other in
            ["change@/devices/pci0000:00/0000:00:04.0/nvme/nvme01/ng1n1", "add@/module/nvme", "", "\u{7f}"]
        {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(change(b"remove@\xff", place), None);
    }
}
