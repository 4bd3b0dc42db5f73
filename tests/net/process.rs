//! What takes a process of its own: limits of descriptors, and counting them all.
//!
//! The child is this very program, running the test of the same name once more.

use crate::{connection, on_core};
use futures::StreamExt;
use reactor::io::{ReadOwned, WriteOwned};
use reactor::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use reactor::{LocalExecutor, spawn_local};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::process::Command;
use std::rc::Rc;
use std::task::Poll;

const CHILD: &str = "REACTOR_TEST_CHILD";

/// Runs the test called `name` in a process of its own, unless this is that process.
fn in_a_process(name: &str, story: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return story();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the child has run the test");
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_listener_without_descriptors_goes_on_when_there_are_some() {
    in_a_process("process::a_listener_without_descriptors_goes_on_when_there_are_some", || {
        on_core(async || {
            let maximum = getrlimit(Resource::Nofile).maximum;
            setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let echo = spawn_local(async move {
                let mut incoming = listener.incoming();
                while let Some(stream) = incoming.next().await {
                    let stream = stream.expect("want of descriptors is waited out");
                    spawn_local(async move {
                        // To the client's end: until then it keeps its descriptor.
                        loop {
                            let (result, buf) = stream.read(vec![0; 8]).await;
                            if result.unwrap() == 0 {
                                return;
                            }
                            stream.write_all(buf).await.0.unwrap();
                        }
                    })
                    .detach();
                }
            });
            let ask = async |stream: &TcpStream| {
                stream.write_all(vec![5; 8]).await.0.unwrap();
                stream.read_exact(vec![0; 8]).await.0.unwrap();
            };
            let first = TcpStream::connect(addr).await.unwrap();
            ask(&first).await;
            // A connection that is there already when the last descriptor is taken.
            let second = std::net::TcpStream::connect(addr).unwrap();
            let second = TcpStream::try_from(second).unwrap();
            let mut all = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                all.push(file);
            }
            let answered = Rc::new(Cell::new(false));
            let asked = spawn_local({
                let answered = answered.clone();
                async move {
                    ask(&second).await;
                    answered.set(true);
                }
            });
            for _ in 0..3 {
                ask(&first).await;
            }
            assert!(!answered.get(), "there is no descriptor for the server's side");
            drop(all);
            asked.await.unwrap();
            echo.abort();
        });
    });
}

type Story = Pin<Box<dyn Future<Output = ()>>>;

type Start = fn() -> Story;

/// One future of each kind, on sockets of its own.
fn stories() -> Vec<(&'static str, Start)> {
    vec![
        ("connect", || Box::pin(async { drop(connection().await) })),
        ("accept", || {
            Box::pin(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addr = listener.local_addr().unwrap();
                let std = std::net::TcpStream::connect(addr).unwrap();
                drop(listener.accept().await.unwrap());
                drop(std);
            })
        }),
        ("incoming", || {
            Box::pin(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addr = listener.local_addr().unwrap();
                let clients: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
                let taken: Vec<_> = listener.incoming().take(3).collect().await;
                drop((clients, taken));
            })
        }),
        ("stream", || {
            Box::pin(async {
                let (client, server) = connection().await;
                client.write_all(vec![1; 100]).await.0.unwrap();
                server.read_exact(vec![0; 50]).await.0.unwrap();
                server.peek(vec![0; 50]).await.0.unwrap();
                server.read_vectored(vec![vec![0; 10], vec![0; 40]]).await.0.unwrap();
                client.write_vectored(vec![vec![0; 10], vec![0; 40]]).await.0.unwrap();
                drop(client);
                server.close(std::time::Duration::from_secs(60)).await.unwrap();
            })
        }),
        ("udp", || {
            Box::pin(async {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let addr = socket.local_addr().unwrap();
                socket.send_to(vec![1; 9], addr).await.0.unwrap();
                socket.recv_from(vec![0; 9]).await.0.unwrap();
                socket.connect(addr).await.unwrap();
                socket.send(vec![1; 9]).await.0.unwrap();
                socket.recv(vec![0; 9]).await.0.unwrap();
            })
        }),
        ("descriptors", || {
            Box::pin(async {
                let (one, other) = UnixStream::pair().unwrap();
                let (read, write) = rustix::pipe::pipe().unwrap();
                one.send_fds(vec![1], vec![read, write]).await.0.unwrap();
                let received = other.recv_fds(vec![0; 1], 2).await.0.unwrap();
                assert_eq!(received.fds.len(), 2);
            })
        }),
        ("unix", || {
            Box::pin(async {
                let name =
                    reactor::net::UnixAddr::abstract_name(format!("reactor-drop-{}", std::process::id()));
                // Dropped in the middle, an accept may still be about to let go of the name.
                let Ok(listener) = UnixListener::bind(name.clone()) else { return };
                let _client = UnixStream::connect(name).await.unwrap();
                drop(listener.accept().await.unwrap());
            })
        }),
    ]
}

/// Polls `story` at most `polls` times, then drops it. Whether it was done.
async fn poll_at_most(mut story: Story, mut polls: usize) -> bool {
    poll_fn(move |cx| {
        if polls == 0 {
            return Poll::Ready(false);
        }
        polls -= 1;
        story.as_mut().poll(cx).map(|()| true)
    })
    .await
}

#[test]
fn no_descriptor_leaks_wherever_a_future_is_dropped() {
    in_a_process("process::no_descriptor_leaks_wherever_a_future_is_dropped", || {
        let before = descriptors();
        for (name, story) in stories() {
            let executor = LocalExecutor::new().unwrap();
            let mut polls = 0;
            while !executor.block_on(poll_at_most(story(), polls)) {
                polls += 1;
                assert!(polls < 200, "`{name}` never ends");
            }
            drop(executor);
            assert_eq!(descriptors(), before, "after `{name}`");
        }
    });
}
