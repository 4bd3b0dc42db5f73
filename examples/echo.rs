//! A TCP echo server on every core: each has a listener of its own on the same port, among which the kernel spreads the
//! connections.
//!
//! `cargo run --release --example echo -- 127.0.0.1:7000` serves until it is interrupted; without an address it finds a port, talks to
//! itself and ends.

use futures::StreamExt;
use reactor::io::{IoBuf, ReadOwned, WriteOwned};
use reactor::net::{TcpListener, TcpOptions, TcpStream};
use reactor::{call_on, cores, spawn_local};

#[reactor::main(cores = 2)]
async fn main() -> reactor::Result<()> {
    let given = std::env::args().nth(1);
    let options = TcpOptions::new().reuse_port(true).nodelay(true);
    let first = options.listen(given.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let addr = first.local_addr()?;
    println!("listening on {addr}");

    for core in cores().skip(1) {
        let options = options.clone();
        let listening = call_on(core, async move || {
            spawn_local(serve(options.listen(addr).await?)).detach();
            std::io::Result::Ok(())
        });
        listening.await??;
    }
    let serving = spawn_local(serve(first));
    if given.is_some() {
        return Ok(serving.await?);
    }

    let client = TcpStream::connect(addr).await?;
    client.write_all(&b"hello"[..]).await.0?;
    let (result, answer) = client.read_exact(vec![0; 5]).await;
    result?;
    println!("{} came back", String::from_utf8_lossy(&answer));
    Ok(())
}

async fn serve(listener: TcpListener) {
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        match stream {
            Ok(stream) => spawn_local(async {
                // One client's trouble is no other's.
                if let Err(error) = echo(stream).await {
                    eprintln!("a connection ended: {error}");
                }
            })
            .detach(),
            Err(error) => eprintln!("the listener ended: {error}"),
        }
    }
}

async fn echo(stream: TcpStream) -> std::io::Result<()> {
    let mut buf = vec![0; 16 << 10];
    loop {
        let (result, read) = stream.read(buf).await;
        let count = result?;
        if count == 0 {
            return Ok(());
        }
        let (result, written) = stream.write_all(read.slice(..count)).await;
        result?;
        buf = written.into_inner();
    }
}
