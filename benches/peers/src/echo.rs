//! TCP echo: the runtime serves on core 0, one client on core 1 keeps one message or several on their way over each of 64 connections.
//!
//! The client is the same for all, and cheaper than any server: a bare ring (`client`). It counts what comes back, and looks up how
//! much processor time the server's thread took for it. With several messages it sends them all at once and is answered once, while the
//! server has room for one only: there the server sets the pace.

mod client;

use crate::measure::CpuOf;
use crate::{Idle, Measure, Runtime, far_thread, finish, median};
use client::Client;
use rustix::net::sockopt::set_tcp_nodelay;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

/// So many connections.
pub const CONNECTIONS: usize = 64;

/// What a server should have room for: one message.
pub const BUFFER: usize = client::MESSAGE;

/// The echo of one connection, for runtimes that read into a buffer which is lent: each has its own traits of the same methods.
#[macro_export]
macro_rules! echo_lent {
    ($stream:ident) => {{
        let mut buf = vec![0; $crate::BUFFER];
        loop {
            let count = $stream.read(&mut buf).await.expect("the client lives");
            if count == 0 {
                return;
            }
            $stream.write_all(&buf[..count]).await.expect("the client lives");
        }
    }};
}

/// The rows `tcp_echo` and `tcp_echo_cpu`, or with `depth` messages on their way `tcp_echo_8` and `tcp_echo_8_cpu`.
pub(crate) fn run<R: Runtime>(measure: &Measure, depth: usize) {
    run_against(measure, depth, |listener| R::block_on(Idle::Park, R::echo(listener)));
}

/// The same for a server of any kind, which serves on this thread for ever.
pub fn run_against(measure: &Measure, depth: usize, serve: impl FnOnce(TcpListener)) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback is there");
    // Connections inherit it. Otherwise a second answer would wait for the acknowledgement of the first.
    set_tcp_nodelay(&listener, true).expect("TCP has it");
    let addr = listener.local_addr().expect("it is bound");
    let measure = measure.clone();
    let server = CpuOf::this_thread();
    far_thread(move || {
        let (rounds, round) =
            if measure.quick { (3, Duration::from_millis(100)) } else { (5, Duration::from_millis(400)) };
        let mut client = Client::connect(addr, CONNECTIONS, depth);
        client.run_until(Instant::now() + round / 2);
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (start, cpu) = (Instant::now(), server.used());
            let messages = client.run_until(start + round) as f64;
            rates.push(messages / start.elapsed().as_secs_f64() / 1e3);
            costs.push((server.used() - cpu).as_secs_f64() * 1e6 / messages);
        }
        let row = measure.workload.as_str();
        measure.print(row, median(&mut rates));
        measure.print(&format!("{row}_cpu"), median(&mut costs));
        finish()
    });
    serve(listener);
}
