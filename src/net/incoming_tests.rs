//! Accepting ahead, with multishot and without: what is taken, what is left, and what a shortage does.

use crate::LocalExecutor;
use crate::net::{TcpListener, TcpStream};
use crate::uring::{Config, Features, Ring};
use futures::stream::FusedStream;
use futures::{FutureExt, StreamExt};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Read;
use std::net::{Shutdown, TcpStream as Client};
use std::rc::Rc;

const WAYS: [Features; 2] = [Features::all(), Features::all().without(Features::ACCEPT_MULTISHOT)];

/// Runs the story on a core whose ring uses at most these features.
fn with<T>(features: Features, story: impl AsyncFnOnce(Rc<Ring>) -> T) -> T {
    let core = LocalExecutor::new().unwrap();
    let ring = core.enter_with(|| Ring::current_or_new(&Config { features, ..Config::default() })).unwrap();
    core.block_on(story(ring))
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Connections that wait in the backlog.
fn clients(listener: &TcpListener, count: usize) -> Vec<Client> {
    (0..count).map(|_| Client::connect(listener.local_addr().unwrap()).unwrap()).collect()
}

/// Asserts that `server` is the other end of `client`.
fn assert_are_one(server: &TcpStream, client: &Client) {
    assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
}

#[test]
fn connections_come_in_order_by_one_entry_or_by_one_each() {
    for features in WAYS {
        with(features, async |ring| {
            let listener = listener().await;
            let clients = clients(&listener, 20);
            let before = ring.counters();
            let taken: Vec<_> = listener.incoming().take(20).map(Result::unwrap).collect().await;
            taken.iter().zip(&clients).for_each(|(server, client)| assert_are_one(server, client));
            let entries = ring.counters().submitted - before.submitted;
            assert_eq!(entries, if features.contains(Features::ACCEPT_MULTISHOT) { 1 } else { 20 });
        });
    }
}

#[test]
fn connections_accepted_ahead_are_left_to_the_next_accept() {
    for features in WAYS {
        with(features, async |_| {
            let listener = listener().await;
            let clients = clients(&listener, 4);
            // Statements of their own: each `Incoming` is dropped before the next accept.
            let first = listener.incoming().next().await.unwrap().unwrap();
            let second = listener.accept().await.unwrap();
            let third = listener.incoming().next().await.unwrap().unwrap();
            let fourth = listener.accept().await.unwrap();
            let taken = [first, second, third, fourth];
            taken.iter().zip(&clients).for_each(|(server, client)| assert_are_one(server, client));
        });
    }
}

/// Whoever waits for the kernel would not learn of connections that are left.
#[test]
fn connections_accepted_ahead_are_closed_if_another_accepts_already() {
    with(Features::all(), async |_| {
        let listener = listener().await;
        let mut first = listener.incoming();
        let mut clients = clients(&listener, 3);
        let taken = first.next().await.unwrap().unwrap();
        assert_are_one(&taken, &clients[0]);
        let mut second = listener.incoming();
        assert!(second.next().now_or_never().is_none());
        drop(first);
        for client in &mut clients[1..] {
            let end = client.read(&mut [0]);
            assert!(matches!(end, Ok(0)) || end.is_err(), "it was closed");
        }
        let late = Client::connect(listener.local_addr().unwrap()).unwrap();
        assert_are_one(&second.next().await.unwrap().unwrap(), &late);
    });
}

#[test]
fn connections_that_nobody_took_are_closed_with_the_listener() {
    for features in WAYS {
        let mut clients = with(features, async |_| {
            let listener = listener().await;
            let clients = clients(&listener, 3);
            drop(listener.incoming().next().await);
            clients
        });
        for client in &mut clients {
            let end = client.read(&mut [0]);
            assert!(matches!(end, Ok(0)) || end.is_err(), "it was closed");
        }
    }
}

#[test]
fn a_listener_that_is_shut_down_ends_with_its_error() {
    for features in WAYS {
        with(features, async |_| {
            let listener = listener().await;
            let mut incoming = listener.incoming();
            assert!(incoming.next().now_or_never().is_none());
            crate::yield_now().await;
            listener.as_socket().shutdown(Shutdown::Both).unwrap();
            let error = incoming.next().await.unwrap().unwrap_err();
            assert_eq!(Errno::from_io_error(&error), Some(Errno::INVAL));
            assert!(incoming.next().await.is_none() && incoming.is_terminated());
        });
    }
}

/// Limits are a process's own: run once more, as the only test of another one.
#[test]
fn want_of_descriptors_is_waited_out() {
    const NAME: &str = "net::incoming::tests::want_of_descriptors_is_waited_out";
    const CHILD: &str = "REACTOR_TEST_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", NAME, "--nocapture"]).env(CHILD, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the child has run the test");
        return;
    }
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
    for features in WAYS {
        with(features, async |_| {
            let listener = listener().await;
            let clients = clients(&listener, 2);
            let mut files = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                files.push(file);
            }
            let mut incoming = listener.incoming();
            while !matches!(incoming.state, super::State::Waiting(_)) {
                assert!(incoming.next().now_or_never().is_none(), "there is no descriptor for a connection");
                crate::yield_now().await;
            }
            files.truncate(files.len() - 1);
            assert_are_one(&incoming.next().await.unwrap().unwrap(), &clients[0]);
            drop(files);
            assert_are_one(&incoming.next().await.unwrap().unwrap(), &clients[1]);
        });
    }
}
