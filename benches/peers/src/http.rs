//! HTTP by hyper: the runtime serves on core 0, `wrk` on core 1 asks over 64 connections, kept or opened for each request.
//!
//! hyper and the handler are the same for all, and none sets options. Beside the rate stands the processor time of the server's thread
//! per request, which also counts where `wrk` cannot keep the server busy.

use crate::measure::CpuOf;
use crate::{Idle, Measure, Runtime, far_thread, finish, median};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper::{Request, Response, server};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

/// What a client does with a connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    Kept,
    Closed,
}

/// Serves one connection to its end; the answer has twelve bytes.
pub async fn serve_hello(stream: impl Read + Write + Unpin + 'static) {
    let hello = async |_: Request<Incoming>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello world\n"))))
    };
    // That `wrk` resets its connections in the end is no matter.
    let _served = server::conn::http1::Builder::new().serve_connection(stream, service_fn(hello)).await;
}

/// The rows `http` and `http_cpu`, or `http_close` and `http_close_cpu`.
pub(crate) fn run<R: Runtime>(measure: &Measure, connections: Connections) {
    if !R::HAS_HYPER {
        measure.refuse("has no adapter of its own for hyper 1.x");
    }
    if Command::new("wrk").arg("--version").output().is_err() {
        measure.refuse("needs wrk: apt-get install wrk");
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback is there");
    let addr = listener.local_addr().expect("it is bound");
    let measure = measure.clone();
    let server = CpuOf::this_thread();
    far_thread(move || {
        let rounds = if measure.quick { 1 } else { 3 };
        ask(addr, connections);
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let cpu = server.used();
            let (requests, rate) = ask(addr, connections);
            rates.push(rate / 1e3);
            costs.push((server.used() - cpu).as_secs_f64() * 1e6 / requests);
        }
        let row = measure.workload.as_str();
        measure.print(row, median(&mut rates));
        measure.print(&format!("{row}_cpu"), median(&mut costs));
        finish()
    });
    R::block_on(Idle::Park, R::http(listener))
}

/// Has `wrk`, which stays on this thread's core, ask for a second; yields the number of requests and their rate.
fn ask(addr: SocketAddr, connections: Connections) -> (f64, f64) {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c64", "-d1"]);
    if connections == Connections::Closed {
        wrk.args(["-H", "Connection: close"]);
    }
    let output = wrk.arg(format!("http://{addr}/")).output().expect("wrk was there");
    let report = String::from_utf8_lossy(&output.stdout);
    let number = |line: Option<&str>| line?.split_whitespace().next()?.parse::<f64>().ok();
    let requests = number(report.lines().find(|line| line.contains(" requests in ")));
    let rate = number(report.lines().find_map(|line| line.strip_prefix("Requests/sec:")));
    requests.zip(rate).unwrap_or_else(|| panic!("not what wrk says: {report}"))
}
