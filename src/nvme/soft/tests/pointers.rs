//! PRP lists and SGLs: followed as they are made, and refused as hardware does.

use super::*;
use crate::nvme::spec::SglDescriptor;
use proptest::prelude::*;

const LEN: usize = 24 * 512;

/// A buffer of the host, and where the device sees it.
fn shown(host: &Host, bytes: &[u8]) -> (u64, DmaAny) {
    let mut buf = host.pool.try_alloc(bytes.len()).unwrap();
    buf.copy_from_slice(bytes);
    let buf = DmaAny::from(buf);
    (host.device.see(&buf).unwrap().start, buf)
}

fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n ^ n >> 8) as u8).collect()
}

fn store(list: &DmaWords, descriptors: &[SglDescriptor]) {
    for (n, &descriptor) in descriptors.iter().enumerate() {
        let words: [u64; 2] = zerocopy::transmute!(descriptor);
        words.iter().enumerate().for_each(|(at, &word)| list.words()[2 * n + at].store(word, Release));
    }
}

fn block(at: u64, len: u32) -> SglDescriptor {
    SglDescriptor::new(SglDescriptor::DATA_BLOCK, at, len)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Data in pieces of any sizes, in segments of any number of descriptors, is what was written.
    #[test]
    fn scattered_data_is_gathered(cuts in prop::collection::vec(1..LEN / 4, 0..40), per_segment in 2..9_usize) {
        let mut host = Host::new();
        let data = numbered(LEN);
        let mut cuts: Vec<_> = cuts.into_iter().map(|dword| dword * 4).chain([0, LEN]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let buffers: Vec<_> = cuts.windows(2).map(|cut| shown(&host, &data[cut[0]..cut[1]])).collect();
        let blocks: Vec<_> = buffers.iter().map(|(at, buf)| block(*at, buf.len() as u32)).collect();
        // All but the last segment end with a descriptor of the next.
        let chunks: Vec<_> = blocks.chunks(per_segment).collect();
        let lists: Vec<_> = chunks.iter().map(|_| words()).collect();
        let at: Vec<_> = lists.iter().map(|list| host.device.map(list).unwrap()).collect();
        let segment = |n: usize| {
            let is_last = n + 1 == chunks.len();
            let kind = if is_last { SglDescriptor::LAST_SEGMENT } else { SglDescriptor::SEGMENT };
            SglDescriptor::new(kind, at[n], 16 * (chunks[n].len() + usize::from(!is_last)) as u32)
        };
        for (n, chunk) in chunks.iter().enumerate() {
            let mut all = chunk.to_vec();
            all.extend((n + 1 < chunks.len()).then(|| segment(n + 1)));
            store(&lists[n], &all);
        }
        let write = Command::write(1, 8, 24).with_sgl(segment(0));
        prop_assert_eq!(host.io(write), Ok(0));
        let (first, _buf) = shown(&host, &[0; 4096]);
        prop_assert_eq!(host.io(Command::compare(1, 8, 8).with_prp(first, 0)), Err(StatusCode::COMPARE_FAILURE));
        for at in 0..3 {
            prop_assert_eq!(host.fetch(1, Command::read(1, 8 + 8 * at, 8), 4096).unwrap(), &data[4096 * at as usize..][..4096]);
        }
    }
}

#[test]
fn descriptors_that_no_hardware_takes_are_refused() {
    let mut host = Host::new();
    let (at, _buf) = shown(&host, &[0; 4096]);
    let list = words();
    let listed = host.device.map(&list).unwrap();
    let mut ask = |descriptors: &[SglDescriptor], segment: SglDescriptor| {
        store(&list, descriptors);
        host.io(Command::read(1, 0, 8).with_sgl(segment))
    };
    let last = |bytes| SglDescriptor::new(SglDescriptor::LAST_SEGMENT, listed, bytes);
    let more = |bytes| SglDescriptor::new(SglDescriptor::SEGMENT, listed, bytes);
    let bucket = SglDescriptor::new(SglDescriptor::BIT_BUCKET, 0, 4000);
    for (descriptors, segment, answer) in [
        (&[][..], block(at, 4096), Ok(0)),
        (&[bucket, block(at, 96)], last(32), Ok(0)),
        (&[], block(at, 4092), Err(StatusCode::INVALID_SGL_DATA_LENGTH)),
        (&[block(at, 4096), block(at, 4)], last(32), Err(StatusCode::INVALID_SGL_DATA_LENGTH)),
        (&[], block(at + 2, 4096), Err(StatusCode::INVALID_SGL_GRANULARITY)),
        (&[], SglDescriptor::new(0x40, at, 4096), Err(StatusCode::INVALID_SGL_TYPE)),
        (&[], SglDescriptor::new(0x01, at, 4096), Err(StatusCode::INVALID_SGL_TYPE)),
        (&[block(at, 4096)], last(20), Err(StatusCode::INVALID_SGL_SEGMENT)),
        (&[block(at, 4096)], last(0), Err(StatusCode::INVALID_SGL_SEGMENT)),
        // A segment in the middle, one in the last segment, and one that leads to itself.
        (&[last(16), block(at, 4096)], more(32), Err(StatusCode::INVALID_SGL_SEGMENT)),
        (&[block(at, 4096), more(16)], last(32), Err(StatusCode::INVALID_SGL_SEGMENT)),
        (&[more(16)], more(16), Err(StatusCode::INVALID_SGL_SEGMENT)),
    ] {
        assert_eq!(ask(descriptors, segment), answer, "{descriptors:?} {segment:?}");
    }
}

/// Entries in a list that begins near the end of a page, so that its last entry there leads to the next page.
#[test]
fn a_list_of_two_pages_is_followed() {
    let mut host = Host::new();
    let data = numbered(5 * 4096);
    let pool = DmaPool::new();
    let mut pages: Vec<_> = (0..5).map(|_| pool.try_alloc(8192).unwrap()).collect();
    let mut at = Vec::new();
    let mut held = Vec::new();
    for (n, mut buf) in pages.drain(..).enumerate() {
        // A whole page of each buffer.
        let skip = buf.as_ptr().addr().wrapping_neg() % 4096;
        buf[skip..skip + 4096].copy_from_slice(&data[n * 4096..][..4096]);
        let buf = DmaAny::from(buf);
        at.push(host.device.see(&buf).unwrap().start + skip as u64);
        held.push(buf);
    }
    let (one, two) = (words(), words());
    let (one_at, two_at) = (host.device.map(&one).unwrap(), host.device.map(&two).unwrap());
    one.words()[510].store(at[1], Release);
    one.words()[511].store(two_at, Release);
    (0..3).for_each(|n| two.words()[n].store(at[n + 2], Release));
    let write = Command::write(1, 0, 40).with_prp(at[0], one_at + 510 * 8);
    host.io(write).unwrap();
    for n in 0..5 {
        assert_eq!(
            host.fetch(1, Command::read(1, 8 * n, 8), 4096).unwrap(),
            data[4096 * n as usize..][..4096]
        );
    }
    let refused = Err(StatusCode::INVALID_PRP_OFFSET);
    assert_eq!(host.io(write.with_prp(at[0], one_at + 4)), refused, "a list between words");
    assert_eq!(host.io(write.with_prp(at[0] + 2, one_at)), refused, "data between doublewords");
    two.words()[1].store(at[3] + 512, Release);
    assert_eq!(host.io(write), refused, "an entry within a page");
    one.words()[511].store(two_at + 8, Release);
    assert_eq!(host.io(write), refused, "a further list within a page");
    assert_eq!(host.io(Command::write(1, 0, 16).with_prp(at[0], at[1] + 512)), refused);
}
