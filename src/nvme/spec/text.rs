//! Text that devices tell: ASCII behind which spaces or zeroes fill the field (Base 2.0 §5.17.2.1, SN, MN, FR).

/// What is before the padding; a byte that is no printable ASCII becomes U+FFFD, so that a hostile device cannot speak to a terminal.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let printable = |&byte: &u8| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '\u{fffd}' };
    bytes[..end].iter().map(printable).collect::<String>().trim().to_owned()
}
