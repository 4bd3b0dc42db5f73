//! A core list that start-up would refuse does not compile.

#[reactor::main(cores = "")]
async fn main() {}

#[reactor::test(cores = "0-3,2")]
async fn twice() {}

#[reactor::test(cores = "3-1")]
async fn downwards() {}

#[reactor::test(cores = "0,one")]
async fn a_word() {}

#[reactor::test(cores = "0xg")]
async fn bad_mask() {}

#[reactor::test(cores = "0-1024")]
async fn too_large() {}

#[reactor::test(cores = "[0-3")]
async fn bracket() {}

#[reactor::test(cores = 0)]
async fn none() {}

#[reactor::test(cores = 0xf)]
async fn a_mask_without_quotes() {}

#[reactor::test(cores = 5000)]
async fn too_many() {}

#[reactor::test(cores = true)]
async fn neither() {}
