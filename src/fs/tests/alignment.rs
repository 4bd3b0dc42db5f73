//! Where the alignment of direct I/O is learned from, and what is said to who ignores it.

use super::core_without;
use crate::{
    fs::{self, Alignment, File, Misaligned, OpenOptions},
    uring::tests::quarantine::Quarantine,
};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::io;

/// The kernel's word first, then the device's, then what every device takes: each forced by taking the better away.
#[test]
fn alignment_is_the_kernels_word_or_the_devices_or_safe() {
    let dir = tempfile::tempdir().unwrap();
    let mut known = statx(CWD, dir.path(), AtFlags::empty(), StatxFlags::TYPE).unwrap();
    let never = || -> io::Result<u32> { panic!("the device is not asked") };

    known.stx_mask |= StatxFlags::DIOALIGN.bits();
    (known.stx_dio_offset_align, known.stx_dio_mem_align) = (512, 4);
    assert_eq!(Alignment::of(&known, never).unwrap(), Alignment { offset: 512, memory: 4 });
    known.stx_dio_offset_align = 0;
    assert_eq!(Alignment::of(&known, never).unwrap_err().raw_os_error(), Some(95), "EOPNOTSUPP");

    known.stx_mask &= !StatxFlags::DIOALIGN.bits();
    assert_eq!(Alignment::of(&known, never).unwrap(), Alignment { offset: 4096, memory: 4096 });
    known.stx_mode = 0o060_600;
    assert_eq!(Alignment::of(&known, || Ok(512)).unwrap(), Alignment { offset: 512, memory: 512 });
    assert!(Alignment::of(&known, || Err(io::ErrorKind::PermissionDenied.into())).is_err());
}

#[test]
fn misaligned_direct_io_says_which_alignment_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    core_without(&[]).block_on(async {
        fs::write(&path, vec![7; 8192]).await.unwrap();
        let opened = OpenOptions::new().read(true).write(true).direct(true).open(&path).await;
        let Ok(file) = opened else { return println!("skipped: no O_DIRECT on {}", path.display()) };
        // In memory there is nothing but the page cache.
        let is_direct = rustix::fs::fcntl_get_seals(&file).is_err();
        assert_eq!(file.is_direct(), is_direct);
        let again = File::from_std(file.try_clone_to_std().unwrap()).unwrap();
        assert_eq!(again.is_direct(), is_direct);
        let alignment = file.alignment().await.unwrap();
        let buf = Quarantine::default().lend(8192);
        let (read, buf) = file.read_exact_at(buf, 0).await;
        read.unwrap();
        // A file of 8,192 bytes: the end is found though it comes in the middle of the request.
        let (read, buf) = file.read_exact_at(buf, 4096).await;
        let error = read.unwrap_err();
        assert_eq!((error.done, error.source.kind()), (4096, io::ErrorKind::UnexpectedEof));

        let (written, _) = file.write_at(buf, 1).await;
        let Err(error) = written else { return println!("skipped: this file system takes any alignment") };
        let misaligned = error.get_ref().and_then(|error| error.downcast_ref::<Misaligned>()).unwrap();
        assert_eq!((misaligned.alignment, misaligned.offset, misaligned.len), (alignment, 1, 8192));
        let wanted = format!("multiples of {} bytes", alignment.offset);
        assert!(error.to_string().contains(&wanted), "{error}");
        let source = std::error::Error::source(misaligned).unwrap();
        assert_eq!(source.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(22), "EINVAL is kept");

        // What is wrong otherwise stays as it is.
        let (read, _) = file.read_at(Quarantine::default().lend(4096), 1 << 63).await;
        let error = read.unwrap_err();
        assert!(error.get_ref().is_none() || alignment.offset > 4096, "{error}");
    });
}

/// The last block of a file is short, and there is no aligned way to ask for less.
#[test]
fn a_direct_read_that_ends_between_sectors_is_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    core_without(&[]).block_on(async {
        fs::write(&path, vec![7; 5000]).await.unwrap();
        let Ok(file) = OpenOptions::new().read(true).direct(true).open(&path).await else { return };
        let (read, _) = file.read_exact_at(Quarantine::default().lend(8192), 0).await;
        let error = read.unwrap_err();
        assert_eq!((error.done, error.source.kind()), (5000, io::ErrorKind::UnexpectedEof));
    });
}
