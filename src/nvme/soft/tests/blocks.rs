//! I/O on blocks: compare, fused, copy, verify, metadata and protection.

use super::*;
use crate::nvme::soft::Fault;
use crate::nvme::spec::CopyRange;
use zerocopy::IntoBytes;

fn noise(len: usize, seed: u32) -> Vec<u8> {
    (0..len as u32).map(|n| ((n + 7919 * seed).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[test]
fn blocks_are_compared_verified_and_spoilt() {
    let mut host = Host::new();
    let data = noise(1024, 1);
    host.write(Command::write(1, 4, 2), &data).unwrap();
    assert_eq!(host.write(Command::compare(1, 4, 2), &data), Ok(0));
    assert_eq!(host.write(Command::compare(1, 5, 2), &data), Err(StatusCode::COMPARE_FAILURE));
    host.io(Command::write_uncorrectable(1, 5, 1)).unwrap();
    for (command, answer) in [
        (Command::verify(1, 4, 1), Ok(0)),
        (Command::verify(1, 4, 2), Err(StatusCode::UNRECOVERED_READ)),
        (Command::verify(1, 2047, 2), Err(StatusCode::LBA_OUT_OF_RANGE)),
        (Command::verify(2, 0, 1), Err(StatusCode::INVALID_NAMESPACE)),
        (Command::new(0x7f, 1, [0; 6]), Err(StatusCode::INVALID_OPCODE)),
    ] {
        assert_eq!(host.io(command), answer, "{command:?}");
    }
    assert_eq!(host.fetch(1, Command::read(1, 4, 2), 1024), Err(StatusCode::UNRECOVERED_READ));
    host.io(Command::write_zeroes(1, 5, 1)).unwrap();
    assert_eq!(host.fetch(1, Command::read(1, 4, 2), 1024).unwrap(), [&data[..512], &[0; 512]].concat());
}

#[test]
fn transfers_have_a_limit() {
    let mut host = Host::of(SoftController::new(SoftConfig { transfer_max: 1, ..SoftConfig::default() }));
    host.fetch(1, Command::read(1, 0, 16), 8192).unwrap();
    assert_eq!(host.io(Command::read(1, 0, 17)), Err(StatusCode::INVALID_FIELD));
}

#[test]
fn sources_are_copied_within_the_limits() {
    let mut host = Host::new();
    let data = noise(2048, 2);
    host.write(Command::write(1, 0, 4), &data).unwrap();
    let ranges = [CopyRange::new(2, 2), CopyRange::new(0, 1)];
    host.write(Command::copy(1, 1, 2), ranges.as_bytes()).unwrap();
    let read = host.fetch(1, Command::read(1, 0, 4), 2048).unwrap();
    assert_eq!(read, [&data[..512], &data[1024..], &data[..512]].concat(), "read before any was written");
    let long = [CopyRange::new(0, 257)];
    assert_eq!(host.write(Command::copy(1, 1000, 1), long.as_bytes()), Err(StatusCode::COMMAND_SIZE_LIMIT));
    let many = [CopyRange::new(0, 1); 17];
    assert_eq!(host.write(Command::copy(1, 1000, 17), many.as_bytes()), Err(StatusCode::COMMAND_SIZE_LIMIT));
}

/// Sends two fused commands by one doorbell, and yields both answers in their order.
fn fuse(host: &mut Host, first: Command, second: Command) -> [Option<Result<u64, StatusCode>>; 2] {
    let cids = [host.put(1, first.fused(false)), host.put(1, second.fused(true))];
    host.ring(1);
    host.device.step();
    cids.map(|cid| {
        host.take(1).map(|(answered, answer)| {
            assert_eq!(answered, cid);
            answer
        })
    })
}

#[test]
fn fused_commands_are_done_as_one_or_not_at_all() {
    let mut host = Host::new();
    let (old, new) = (noise(512, 3), noise(512, 4));
    host.write(Command::write(1, 9, 1), &old).unwrap();
    let point = |host: &Host, bytes: &[u8]| {
        let mut buf = host.pool.try_alloc(512).unwrap();
        buf.copy_from_slice(bytes);
        let buf = DmaAny::from(buf);
        (host.device.see(&buf).unwrap().start, buf)
    };
    let ((old_at, _old), (new_at, _new)) = (point(&host, &old), point(&host, &new));
    let compare = Command::compare(1, 9, 1).with_prp(old_at, 0);
    let write = Command::write(1, 9, 1).with_prp(new_at, 0);
    let holds = |host: &mut Host| host.fetch(1, Command::read(1, 9, 1), 512).unwrap();

    let elsewhere = Command::write(1, 10, 1).with_prp(new_at, 0);
    let refused = [Some(Err(StatusCode::INVALID_FIELD)), Some(Err(StatusCode::ABORTED_FAILED_FUSED))];
    assert_eq!(fuse(&mut host, compare, elsewhere), refused);
    assert_eq!(fuse(&mut host, compare, write), [Some(Ok(0)); 2]);
    assert_eq!(holds(&mut host), new);
    let differs = [Some(Err(StatusCode::COMPARE_FAILURE)), Some(Err(StatusCode::ABORTED_FAILED_FUSED))];
    assert_eq!(fuse(&mut host, compare, write), differs);
    host.device.inject(Fault::Lose);
    assert_eq!(fuse(&mut host, compare, write), [None, None]);
    assert_eq!(host.device.held(), 2);
    for alone in [compare.fused(false), write.fused(true)] {
        assert_eq!(host.io(alone), Err(StatusCode::ABORTED_MISSING_FUSED));
    }
}

fn protected(kind: u8, metadata: u16, is_extended: bool, is_first: bool) -> SoftNamespace {
    SoftNamespace {
        metadata_bytes: metadata,
        is_extended,
        protection: kind,
        is_protection_first: is_first,
        ..SoftNamespace::new(64, 9)
    }
}

/// PRACT, or checks of guard, application and reference tag.
fn with_protection(command: Command, bits: u32, first: u32, tag: u32) -> Command {
    let command = command.with_io_control(command.io_control().with_protection(bits));
    command.with_cdw(14, first).with_cdw(15, 0xffff_0000 | tag)
}

const MADE: u32 = 8;
const CHECKED: u32 = 7;

#[test]
fn protection_that_the_controller_makes_is_right_and_damage_is_found() {
    for kind in 1..=3 {
        for is_first in [false, true] {
            for is_extended in [false, true] {
                let mut host = Host::with(protected(kind, 8, is_extended, is_first));
                let data = noise(1024, u32::from(kind));
                let write = Command::write(2, 5, 2);
                host.write(with_protection(write, MADE, 5, 0x1234), &data).unwrap();
                // Checked, and taken off.
                let checks = if kind == 3 { 6 } else { CHECKED };
                let read = |bits, tag| with_protection(Command::read(2, 5, 2), bits, 5, tag);
                let back = host.fetch(1, read(MADE | checks, 0x1234), 1024).unwrap();
                assert_eq!(back, data);
                let wrong = host.fetch(1, read(MADE | checks, 0x1235), 1024);
                assert_eq!(wrong, Err(StatusCode::APPLICATION_TAG_CHECK));
                if !is_extended {
                    continue;
                }
                // As it is: 520 bytes each.
                let mut whole = host.fetch(1, read(checks, 0x1234), 1040).unwrap();
                assert_eq!((&whole[..512], &whole[520..1032]), (&data[..512], &data[512..]));
                let write = |bits, first| with_protection(Command::write(2, 5, 2), bits, first, 0x1234);
                host.write(write(checks, 5), &whole).unwrap();
                whole[700] ^= 1;
                assert_eq!(host.write(write(checks, 5), &whole), Err(StatusCode::GUARD_CHECK));
                whole[700] ^= 1;
                match kind {
                    1 => {
                        assert_eq!(host.write(write(checks, 6), &whole), Err(StatusCode::INVALID_PROTECTION))
                    }
                    2 => {
                        assert_eq!(host.write(write(checks, 6), &whole), Err(StatusCode::REFERENCE_TAG_CHECK))
                    }
                    _ => {
                        assert_eq!(host.write(write(CHECKED, 6), &whole), Err(StatusCode::INVALID_PROTECTION))
                    }
                }
            }
        }
    }
}

#[test]
fn metadata_that_stands_apart_comes_and_goes_by_its_own_pointer() {
    let mut host = Host::with(protected(0, 16, false, false));
    let (data, metadata) = (noise(1024, 6), noise(32, 7));
    let mut buf = host.pool.try_alloc(32).unwrap();
    buf.copy_from_slice(&metadata);
    let apart = DmaAny::from(buf);
    let at = host.device.see(&apart).unwrap().start;
    host.write(Command::write(2, 0, 2).with_metadata(at), &data).unwrap();
    let mut back = apart.into_buf().unwrap();
    back.fill(0);
    let apart = DmaAny::from(back);
    let at = host.device.see(&apart).unwrap().start;
    let read = host.fetch(1, Command::read(2, 0, 2).with_metadata(at), 1024).unwrap();
    assert_eq!((read, &apart.into_buf().unwrap()[..]), (data, &metadata[..]));
}

#[test]
fn zeroes_and_blocks_given_up_escape_their_checks() {
    let mut host = Host::with(protected(1, 8, false, false));
    let read = with_protection(Command::read(2, 0, 2), MADE | CHECKED, 0, 0);
    assert_eq!(host.fetch(1, read, 1024).unwrap(), [0; 1024], "never written");
    host.io(Command::write_zeroes(2, 0, 1)).unwrap();
    host.io(with_protection(Command::write_zeroes(2, 1, 1), MADE, 1, 0)).unwrap();
    assert_eq!(host.fetch(1, read, 1024).unwrap(), [0; 1024]);
}
