//! Connections per second: the runtime accepts and closes on core 0, one client on core 1 connects and waits for the end.
//!
//! The listener shares its port, as each core's own would. The kernel does most of a connection's work where it is asked for, on the
//! client's core; what accepting takes is the processor time of the server's thread.

use crate::measure::CpuOf;
use crate::{Idle, Measure, Runtime, far_thread, finish, median};
use rustix::net::sockopt::{set_socket_linger, set_socket_reuseport};
use rustix::net::{AddressFamily, SocketType, bind, ipproto, listen, socket};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Connections that wait to be accepted together.
const BATCH: usize = 64;

/// The rows `tcp_accept` and `tcp_accept_cpu`.
pub(crate) fn run<R: Runtime>(measure: &Measure) {
    let listener = shared_listener();
    let addr = listener.local_addr().expect("it is bound");
    let measure = measure.clone();
    let server = CpuOf::this_thread();
    far_thread(move || {
        let (rounds, round) =
            if measure.quick { (3, Duration::from_millis(100)) } else { (5, Duration::from_millis(400)) };
        connect_until(addr, Instant::now() + round / 2);
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (start, cpu) = (Instant::now(), server.used());
            let connections = connect_until(addr, start + round) as f64;
            rates.push(connections / start.elapsed().as_secs_f64() / 1e3);
            costs.push((server.used() - cpu).as_secs_f64() * 1e6 / connections);
        }
        measure.print("tcp_accept", median(&mut rates));
        measure.print("tcp_accept_cpu", median(&mut costs));
        finish()
    });
    R::block_on(Idle::Park, R::accept(listener))
}

fn shared_listener() -> TcpListener {
    let listener = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::TCP)).expect("TCP is there");
    set_socket_reuseport(&listener, true).expect("Linux has it");
    bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("the loopback is there");
    listen(&listener, 1024).expect("it is bound");
    listener.into()
}

/// Connects again and again; returns how often it was accepted, and the connection closed.
fn connect_until(addr: SocketAddr, end: Instant) -> u64 {
    let mut closed = 0;
    while Instant::now() < end {
        let connections: Vec<TcpStream> =
            (0..BATCH).map(|_| TcpStream::connect(addr).expect("the server listens")).collect();
        for mut connection in connections {
            assert_eq!(connection.read(&mut [0]).expect("the server closes"), 0);
            // No port is left waiting for late packets: there are 28,000 of them.
            set_socket_linger(&connection, Some(Duration::ZERO)).expect("TCP has it");
            closed += 1;
        }
    }
    closed
}
