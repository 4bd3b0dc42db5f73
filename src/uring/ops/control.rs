//! Control messages: the form in which descriptors travel over Unix sockets (`cmsg(3)`, `SCM_RIGHTS` of `unix(7)`).
//!
//! ```text
//!   word 0   length in bytes, this header included
//!   word 1   level (i32), type (i32)
//!   then     descriptors (i32), two to a word, the last word filled up; next header
//! ```

#![expect(unsafe_code, reason = "owns descriptors that came with a message")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const _: () = assert!(size_of::<usize>() == 8, "the length of a control message is one word of 64 bits");

const HEADER_WORDS: usize = 2;
const HEADER_BYTES: usize = HEADER_WORDS * 8;
const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;

/// The kernel's bound on descriptors per message (`SCM_MAX_FD`).
pub(super) const FDS_MAX: usize = 253;

/// How many words a message with so many descriptors takes.
pub(super) fn words(fds: usize) -> usize {
    HEADER_WORDS + fds.div_ceil(2)
}

fn word(pair: [i32; 2]) -> u64 {
    let [low, high] = pair.map(i32::to_ne_bytes);
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&low);
    bytes[4..].copy_from_slice(&high);
    u64::from_ne_bytes(bytes)
}

fn pair(word: u64) -> [i32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    [i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h])]
}

/// Writes one message that carries `fds`.
pub(super) fn put_fds(control: &mut Vec<u64>, fds: &[OwnedFd]) {
    control.push((HEADER_BYTES + 4 * fds.len()) as u64);
    control.push(word([SOL_SOCKET, SCM_RIGHTS]));
    control.extend(
        fds.chunks(2).map(|two| word([two[0].as_raw_fd(), two.get(1).map_or(-1, AsRawFd::as_raw_fd)])),
    );
}

/// The descriptors in the first `len` bytes.
///
/// # Safety
/// The kernel has written these bytes for this process, and nobody has taken the descriptors before.
pub(super) unsafe fn take_fds(control: &[u64], len: usize) -> Vec<OwnedFd> {
    let mut rest = &control[..len.div_ceil(8).min(control.len())];
    let mut fds = Vec::new();
    while rest.len() > HEADER_WORDS {
        let len = (rest[0] as usize).clamp(HEADER_BYTES, size_of_val(rest));
        let (message, next) = rest.split_at(len.div_ceil(8));
        if pair(message[1]) == [SOL_SOCKET, SCM_RIGHTS] {
            let numbers = message[HEADER_WORDS..].iter().flat_map(|word| pair(*word));
            // SAFETY: the caller says that they are ours and nobody else's.
            let own = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
            fds.extend(numbers.take((len - HEADER_BYTES) / 4).map(own));
        }
        rest = next;
    }
    fds
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_taken() {
        for count in 0..5 {
            let fds: Vec<OwnedFd> =
                (0..count).map(|_| std::fs::File::open("/dev/null").unwrap().into()).collect();
            let numbers: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
            let mut control = Vec::new();
            put_fds(&mut control, &fds);
            assert_eq!(control.len(), words(count));
            fds.into_iter().for_each(std::mem::forget);
            let len = control[0] as usize;
            // SAFETY: they were forgotten above.
            let taken = unsafe { take_fds(&control, len) };
            assert_eq!(taken.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>(), numbers);
        }
    }

    #[test]
    fn other_messages_carry_no_descriptors() {
        // A time stamp (SO_TIMESTAMP), then a length that leads nowhere.
        let control = [32, word([SOL_SOCKET, 29]), 1, 2, 0, 0];
        // SAFETY: there are none.
        assert!(unsafe { take_fds(&control, 48) }.is_empty());
        // SAFETY: as above.
        assert!(unsafe { take_fds(&[], 100) }.is_empty());
    }
}
