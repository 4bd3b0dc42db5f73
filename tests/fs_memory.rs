//! Reads and writes of a file in its steady state allocate nothing, by an allocator that counts.

#[path = "../benches/harness/memory.rs"]
mod memory;

use reactor::{
    LocalExecutor,
    fs::{File, OpenOptions},
    sys::dma::{DmaBuf, DmaPool},
    uring::IoBuf,
};

/// What a round lends, and gets back.
type Buffers = (Vec<u8>, DmaBuf, Vec<Vec<u8>>);

/// One round of everything that moves data.
async fn round(file: &File, buffers: &mut Option<Buffers>) {
    let (bytes, page, list) = buffers.take().expect("given back by the round before");
    let (written, bytes) = file.write_all_at(bytes, 0).await;
    written.unwrap();
    let (read, bytes) = file.read_exact_at(bytes, 0).await;
    read.unwrap();
    let (written, page) = file.write_at(page, 0).await;
    written.unwrap();
    let (read, page) = file.read_at(page, 0).await;
    read.unwrap();
    let (written, part) = file.write_at(bytes.slice(1..100), 0).await;
    written.unwrap();
    let (read, part) = file.read_at(part, 0).await;
    read.unwrap();
    let bytes = part.into_inner();
    let (written, part) = file.write_at(page.slice(512..1024), 0).await;
    written.unwrap();
    let (read, part) = file.read_at(part, 0).await;
    read.unwrap();
    let page = part.into_inner();
    let (written, list) = file.write_all_vectored_at(list, 0).await;
    written.unwrap();
    let (read, list) = file.read_exact_vectored_at(list, 0).await;
    read.unwrap();
    *buffers = Some((bytes, page, list));
}

#[test]
fn a_read_or_write_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    LocalExecutor::new().unwrap().block_on(async {
        let file = OpenOptions::new().read(true).write(true).create(true).open(path).await.unwrap();
        let mut buffers =
            Some((vec![1; 4096], DmaPool::new().try_alloc(4096).unwrap(), vec![vec![2; 512]; 8]));
        // Slots, the list of places, and the file's entry in the ring's table come with the first.
        for _ in 0..4 {
            round(&file, &mut buffers).await;
        }
        let allocations = memory::allocations_by(async || {
            for _ in 0..100 {
                round(&file, &mut buffers).await;
            }
        });
        assert_eq!(allocations.await, 0);
        let one = memory::allocations_by(async || drop(std::hint::black_box(Box::new(1))));
        assert_eq!(one.await, 1, "the allocator counts");
    });
}
