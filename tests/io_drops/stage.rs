//! What an operation is tried on: files in a folder of their own, both ends of whatever bytes go through, and a peer that acts when
//! it is told to.

use super::buffers::{CANARY, LENT, Quarantine, Watched};
use futures::future::LocalBoxFuture;
use reactor::fs::File;
use reactor::uring::{Fd, Ring};
use rustix::fs::OFlags;
use rustix::io::{ioctl_fionbio, read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use socket2::{Domain, SockAddr, Socket, Type};
use std::cell::Cell;
#[cfg(all(feature = "nvme", feature = "testing"))]
use std::cell::OnceCell;
use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// When an operation is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// At once: all is there.
    Now,
    /// Never: it hangs for as long as it is left alone.
    Never,
    /// When the peer has acted.
    Later,
}

impl When {
    pub const ALL: [Self; 3] = [Self::Now, Self::Never, Self::Later];
}

/// What the other side does, each time that it is told to. Keeps the other side alive.
pub type Peer = Box<dyn FnMut()>;

/// An operation that can be started, and its other side.
pub struct Started {
    pub future: LocalBoxFuture<'static, ()>,
    pub peer: Peer,
}

impl Started {
    pub fn new(peer: Peer, future: impl Future<Output = ()> + 'static) -> Option<Self> {
        Some(Self { future: Box::pin(future), peer })
    }

    /// An operation without another side.
    pub fn alone(when: When, future: impl Future<Output = ()> + 'static) -> Option<Self> {
        (when == When::Now).then(|| Self { future: Box::pin(future), peer: Box::new(|| ()) })
    }
}

/// What bytes go through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    Pipe,
    Stream,
    Datagram,
    Packet,
    Tcp,
    Udp,
}

/// Where operations of one kind are tried.
#[derive(Clone)]
pub struct Stage {
    pub ring: Rc<Ring>,
    pub buffers: Quarantine,
    root: Rc<Path>,
    /// On a disk, and past the page cache where the file system has that. All read it; what writes to it writes what is there.
    direct: File,
    names: Rc<Cell<u32>>,
    /// Made by the first who needs them.
    #[cfg(all(feature = "nvme", feature = "testing"))]
    pub bays: Rc<OnceCell<super::kinds::Bays>>,
}

/// A folder for one operation, which may do with it what it likes: `file` of 10,000 bytes, and the folder `dir`.
#[derive(Clone)]
pub struct Folder {
    pub file: File,
    /// A file that all share; see [`Stage`].
    pub direct: File,
    pub path: PathBuf,
    pub stage: Stage,
}

impl Stage {
    /// With folders below `root`, and the file `direct`.
    pub fn new(ring: Rc<Ring>, buffers: Quarantine, root: &Path, direct: &Path) -> Self {
        let direct = open(direct, OFlags::DIRECT).or_else(|_| open(direct, OFlags::empty())).unwrap();
        Self {
            ring,
            buffers,
            root: root.into(),
            direct: File::from_std(direct).unwrap(),
            names: Rc::default(),
            #[cfg(all(feature = "nvme", feature = "testing"))]
            bays: Rc::default(),
        }
    }

    pub fn buf(&self, len: usize) -> Watched {
        self.buffers.lend(len)
    }

    /// A path that nobody has.
    pub fn fresh(&self) -> PathBuf {
        self.names.set(self.names.get() + 1);
        self.root.join(self.names.get().to_string())
    }

    pub fn folder(&self) -> Folder {
        let path = self.fresh();
        std::fs::create_dir_all(path.join("dir")).unwrap();
        let file = path.join("file");
        std::fs::write(&file, [LENT; 10_000]).unwrap();
        let file = File::from_std(open(&file, OFlags::empty()).unwrap()).unwrap();
        Folder { file, direct: self.direct.clone(), path, stage: self.clone() }
    }

    /// A named pipe: opening it for writing waits for somebody who opens it for reading. (On a ring only with `O_CREAT`, which has a
    /// thread of the kernel's open it; otherwise it is opened as if with `O_NONBLOCK`.)
    pub fn fifo(&self, when: When) -> (PathBuf, Peer) {
        let path = self.fresh();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
        let (named, mut reader) = (path.clone(), None);
        let mut options = std::fs::File::options();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
        // One does for all who open it.
        let open = move || reader = reader.take().or_else(|| options.open(&named).ok());
        (path, peer(when, open))
    }

    /// The end to read from; the peer writes to the other.
    pub fn source(&self, ends: Ends, when: When) -> (OwnedFd, Peer) {
        let (mine, theirs) = pair(ends);
        ioctl_fionbio(&theirs, true).unwrap();
        let send = move || {
            // Full: they have been told often.
            let _ = write(&theirs, &[LENT; 64]);
        };
        if when == When::Now {
            send();
            send();
        }
        (mine, peer(when, send))
    }

    /// The end to write to, full unless it is to be written to at once; the peer reads from the other.
    pub fn sink(&self, ends: Ends, when: When) -> (OwnedFd, Peer) {
        let (mine, theirs) = match ends {
            Ends::Pipe => {
                let (theirs, mine) = pair(ends);
                (mine, theirs)
            }
            _ => pair(ends),
        };
        if when != When::Now {
            if ends != Ends::Pipe {
                socket2::SockRef::from(&mine).set_send_buffer_size(4096).unwrap();
                socket2::SockRef::from(&theirs).set_recv_buffer_size(4096).unwrap();
            }
            ioctl_fionbio(&mine, true).unwrap();
            while write(&mine, &[LENT; 2048]).is_ok() {}
            while write(&mine, &[LENT; 1]).is_ok() {}
            ioctl_fionbio(&mine, false).unwrap();
        }
        ioctl_fionbio(&theirs, true).unwrap();
        let drain = Drain(theirs);
        (mine, peer(when, move || drain.take()))
    }

    /// A listening socket of a domain; the peer connects to it.
    pub fn listener(&self, domain: Domain, ty: Type, when: When) -> (OwnedFd, Peer) {
        let listener = listening(domain, ty, 64);
        let addr = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        let mut connect = move || {
            let client = Socket::new(domain, ty, None).unwrap();
            client.set_nonblocking(true).unwrap();
            // Refused if the listener is gone, or has enough.
            let _ = client.connect(&addr);
            clients.push(client);
        };
        if when == When::Now {
            connect();
        }
        (listener.into(), peer(when, connect))
    }

    /// The address of a listening socket, with no room for further connections unless they are to be made at once; the peer makes
    /// room.
    pub fn address(&self, domain: Domain, ty: Type, when: When) -> (SockAddr, Peer) {
        let listener = listening(domain, ty, if when == When::Now { 64 } else { 0 });
        let addr = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        if when != When::Now {
            for _ in 0..3 {
                let client = Socket::new(domain, ty, None).unwrap();
                client.set_nonblocking(true).unwrap();
                let _ = client.connect(&addr);
                waiting.push(client);
            }
        }
        listener.set_nonblocking(true).unwrap();
        let accept = move || {
            let _ = &waiting;
            while listener.accept().is_ok() {}
        };
        (addr, peer(when, accept))
    }
}

/// The file of a folder on a disk that all stages of a process share.
pub fn write_direct(disk: &Path) -> PathBuf {
    let path = disk.join("direct");
    std::fs::write(&path, [LENT; 1 << 16]).unwrap();
    path
}

impl Folder {
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn fd(&self) -> &Fd {
        self.file.fd()
    }

    pub fn buf(&self, len: usize) -> Watched {
        self.stage.buf(len)
    }

    pub fn list(&self, count: usize, len: usize) -> Vec<Watched> {
        self.stage.buffers.lend_list(count, len)
    }
}

fn open(path: &Path, flags: OFlags) -> std::io::Result<std::fs::File> {
    std::fs::File::options().read(true).write(true).custom_flags(flags.bits() as i32).open(path)
}

/// Acts only if it is to, but lives on in any case.
fn peer(when: When, mut act: impl FnMut() + 'static) -> Peer {
    Box::new(move || {
        if when == When::Later {
            act();
        }
    })
}

fn listening(domain: Domain, ty: Type, backlog: i32) -> Socket {
    let socket = Socket::new(domain, ty, None).unwrap();
    match domain {
        Domain::UNIX => {
            // The kernel chooses an abstract name where there is none (`unix(7)`, autobind).
            rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new_unnamed()).unwrap();
        }
        _ => socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap(),
    }
    socket.listen(backlog).unwrap();
    socket
}

/// Both ends; those of a pipe are to be read from and to be written to.
fn pair(ends: Ends) -> (OwnedFd, OwnedFd) {
    let unix = |ty| socketpair(AddressFamily::UNIX, ty, SocketFlags::CLOEXEC, None).unwrap();
    match ends {
        Ends::Pipe => rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap(),
        Ends::Stream => unix(SocketType::STREAM),
        Ends::Datagram => unix(SocketType::DGRAM),
        Ends::Packet => unix(SocketType::SEQPACKET),
        Ends::Tcp => {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let one = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (one.into(), listener.accept().unwrap().0.into())
        }
        Ends::Udp => {
            let [one, other] = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
            one.connect(other.local_addr().unwrap()).unwrap();
            other.connect(one.local_addr().unwrap()).unwrap();
            (one.into(), other.into())
        }
    }
}

/// The end that reads what was sent, to the last byte.
struct Drain(OwnedFd);

impl Drain {
    fn take(&self) {
        let mut bytes = [0; 8192];
        while let Ok(count @ 1..) = read(self.0.as_fd(), &mut bytes) {
            assert!(!bytes[..count].contains(&CANARY), "bytes of a released buffer were sent");
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.take();
    }
}
