//! hyper's timeouts, by the core's own clock: a virtual one, so that nothing waits.

use crate::support::is_pending;
use crate::{connection, echo, on_core, post};
use hyper::service::service_fn;
use hyper::{client, server};
use reactor::io::hyper::{Executor, Timer};
use reactor::io::{Adapter, ReadOwned, WriteOwned};
use reactor::time::{Clock, VirtualClock};
use reactor::{JoinHandle, LocalExecutor, spawn_local, yield_now};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Runs the story on a core whose clock the story moves.
fn on_virtual_core<T>(story: impl AsyncFnOnce(VirtualClock) -> T) -> T {
    let (clock, hand) = Clock::manual();
    LocalExecutor::with_clock(clock).unwrap().block_on(story(hand))
}

/// Turns for as long as the loopback may take.
async fn settle() {
    for _ in 0..200 {
        yield_now().await;
    }
}

/// Has time pass until the task is done. What the loopback brings late is waited for from when it comes.
async fn in_time<T: 'static>(mut task: JoinHandle<T>, hand: &VirtualClock) -> T {
    loop {
        settle().await;
        if let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(Pin::new(&mut task).poll(cx))).await {
            return result.unwrap();
        }
        hand.advance(SECOND);
    }
}

#[test]
fn a_head_that_does_not_come_in_time_ends_the_connection() {
    on_virtual_core(async |hand| {
        let (client, server) = connection().await;
        let mut http = server::conn::http1::Builder::new();
        http.timer(Timer).header_read_timeout(5 * SECOND);
        let mut serving = spawn_local(http.serve_connection(Adapter::new(server), service_fn(echo)));
        // One whole request, so that the timeout of the second is a reset one.
        client.write_all(&b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nyes"[..]).await.0.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"yes") {
            let (result, read) = client.read(vec![0; 1000]).await;
            answer.extend_from_slice(&read[..result.unwrap()]);
        }
        client.write_all(&b"POST / HTTP/1.1\r\nhost"[..]).await.0.unwrap();
        settle().await;
        hand.advance(5 * SECOND - Duration::from_millis(1));
        settle().await;
        assert!(is_pending(&mut serving).await, "before its time");
        assert!(in_time(serving, &hand).await.unwrap_err().is_timeout());
        // The peer is told, or sees the end.
        let (result, _rest) = client.read_to_end(Vec::new()).await;
        result.unwrap();
    });
}

#[test]
fn a_peer_that_answers_no_ping_is_given_up() {
    on_virtual_core(async |hand| {
        let (client, silent) = connection().await;
        let mut http = client::conn::http2::Builder::new(Executor);
        http.timer(Timer).keep_alive_interval(10 * SECOND).keep_alive_timeout(5 * SECOND);
        let (mut sender, connection) = http.handshake(Adapter::new(client)).await.unwrap();
        let connection = spawn_local(connection);
        let answer = spawn_local(async move { sender.send_request(post("anyone?")).await });
        // Reads, so that the pings get out, and says nothing.
        let reading = spawn_local(async move { silent.read_to_end(Vec::new()).await.1.len() });
        assert!(in_time(answer, &hand).await.is_err());
        assert!(connection.await.unwrap().is_err());
        assert!(reading.await.unwrap() > 0);
    });
}

#[test]
fn hypers_clock_is_the_cores_own() {
    use hyper::rt::Timer as _;
    on_virtual_core(async |hand| {
        let begin = Timer.now();
        hand.advance(3600 * SECOND);
        assert_eq!(Timer.now() - begin, 3600 * SECOND);
        let mut sleep = Timer.sleep_until(begin + 3602 * SECOND);
        Timer.reset(&mut sleep, begin + 3601 * SECOND);
        let mut slept = spawn_local(sleep);
        settle().await;
        assert!(is_pending(&mut slept).await);
        hand.advance(SECOND);
        slept.await.unwrap();
    });
    on_core(async || {
        let before = std::time::Instant::now();
        assert!((before..=before + 3600 * SECOND).contains(&Timer.now()), "the real one");
        Timer.sleep(Duration::from_micros(50)).await;
        assert!(before.elapsed() >= Duration::from_micros(50), "ended early");
    });
}
