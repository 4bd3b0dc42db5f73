//! Each argument once, whether or not the values agree.

#[reactor::main(cores = 2, name = "twice", cores = "0-1")]
async fn main() {}
