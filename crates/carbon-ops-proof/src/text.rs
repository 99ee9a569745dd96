//! Small files that people keep: settings, lists of keys, policies, checkpoints.
//!
//! What is signed has no control character but the newline, so nothing that a signature covers changes here.
//!
//! Out of scope: ledgers, packs and records, of which every byte counts.

/// The bytes as they were meant, where an editor put a byte order mark before them or ended lines with CR LF, or
/// where the last line has no newline, or empty lines stand before the first one, as mail leaves them.
///
/// ```
/// use carbon_ops_proof::text::plain;
/// assert_eq!(plain(b"\xef\xbb\xbfone\r\ntwo".to_vec()), b"one\ntwo\n");
/// assert_eq!(plain(b"one\ntwo\n".to_vec()), b"one\ntwo\n");
/// assert_eq!(plain(b"\r\n\none\n".to_vec()), b"one\n");
/// assert_eq!(plain(Vec::new()), b"");
/// ```
pub fn plain(mut bytes: Vec<u8>) -> Vec<u8> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    let mut following = bytes.clone().into_iter().skip(1);
    bytes.retain(|byte| following.next() != Some(b'\n') || *byte != b'\r');
    let empty = bytes.iter().take_while(|byte| **byte == b'\n').count();
    bytes.drain(..empty);
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    bytes
}
