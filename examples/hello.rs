//! The smallest application: one core, one task, an exit code.
//!
//! `cargo run --example hello`

#[reactor::main]
async fn main() -> reactor::Result<()> {
    let core = reactor::Core::current();
    let greeting = reactor::spawn_local(async move { format!("hello from core {core}") });
    println!("{}", greeting.await?);
    Ok(())
}
