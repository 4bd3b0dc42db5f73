//! Where to listen or to connect to: addresses, or a name and a port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Internet addresses, or a name that [`resolve`](super::resolve) looks up.
///
/// Made from a [`SocketAddr`], several, an address and a port, or text: `"127.0.0.1:80"`, `"[::1]:80"`, `"example.org:80"`,
/// `("example.org", 80)`. Text that is an address is not looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint(pub(super) Kind);

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    One(SocketAddr),
    Several(Vec<SocketAddr>),
    Name(String, u16),
    /// Text that is none of these.
    Malformed(String),
}

impl Endpoint {
    fn parse(text: &str) -> Self {
        if let Ok(addr) = text.parse() {
            return Self(Kind::One(addr));
        }
        match text.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) if !host.is_empty() && !host.contains(':') => (host, port).into(),
            _ => Self(Kind::Malformed(text.into())),
        }
    }

    /// What is known without asking anybody; otherwise the name and port to ask for.
    pub(super) fn known(self) -> io::Result<Result<Vec<SocketAddr>, (String, u16)>> {
        match self.0 {
            Kind::One(addr) => Ok(Ok(vec![addr])),
            Kind::Several(addrs) if addrs.is_empty() => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "no address was given"))
            }
            Kind::Several(addrs) => Ok(Ok(addrs)),
            Kind::Name(host, port) => Ok(Err((host, port))),
            Kind::Malformed(text) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{text}` is no address with a port: write host:port, 127.0.0.1:80 or [::1]:80"),
            )),
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self(Kind::One(addr))
    }
}

impl From<Vec<SocketAddr>> for Endpoint {
    fn from(addrs: Vec<SocketAddr>) -> Self {
        Self(Kind::Several(addrs))
    }
}

impl From<&[SocketAddr]> for Endpoint {
    fn from(addrs: &[SocketAddr]) -> Self {
        addrs.to_vec().into()
    }
}

impl From<(IpAddr, u16)> for Endpoint {
    fn from(addr: (IpAddr, u16)) -> Self {
        SocketAddr::from(addr).into()
    }
}

impl From<(Ipv4Addr, u16)> for Endpoint {
    fn from(addr: (Ipv4Addr, u16)) -> Self {
        SocketAddr::from(addr).into()
    }
}

impl From<(Ipv6Addr, u16)> for Endpoint {
    fn from(addr: (Ipv6Addr, u16)) -> Self {
        SocketAddr::from(addr).into()
    }
}

impl From<(&str, u16)> for Endpoint {
    fn from((host, port): (&str, u16)) -> Self {
        match host.parse::<IpAddr>() {
            Ok(addr) => (addr, port).into(),
            Err(_) => Self(Kind::Name(host.into(), port)),
        }
    }
}

impl From<&str> for Endpoint {
    fn from(text: &str) -> Self {
        Self::parse(text)
    }
}

impl From<&String> for Endpoint {
    fn from(text: &String) -> Self {
        Self::parse(text)
    }
}

impl From<String> for Endpoint {
    fn from(text: String) -> Self {
        Self::parse(&text)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_looked_up() {
        let v4 = SocketAddr::from(([127, 0, 0, 1], 80));
        for endpoint in [Endpoint::from("127.0.0.1:80"), ("127.0.0.1", 80).into(), v4.into()] {
            assert_eq!(endpoint, Endpoint(Kind::One(v4)));
        }
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 80));
        assert_eq!(Endpoint::from("[::1]:80"), v6.into());
    }

    #[test]
    fn a_name_needs_a_port() {
        assert_eq!(Endpoint::from("example.org:80"), Endpoint(Kind::Name("example.org".into(), 80)));
        for text in ["example.org", "example.org:", ":80", "", "host:65536", "::1:80", "a:b:80"] {
            assert!(Endpoint::from(text).known().is_err(), "{text}");
        }
    }
}
