//! Trap 2: what a message is about to free is used by who has sent it.

#[reactor::main(cores = 2)]
async fn main() {
    let buffer = vec![0_u8; 512];
    reactor::post(reactor::Core::nth(1).unwrap(), move || drop(buffer)).unwrap();
    println!("{}", buffer.len());
}
