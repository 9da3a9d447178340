//! Checkpoints of PyTorch's, which are told apart from what is read: they are pickles, programs that make Python's objects,
//! and nobody should run those of a stranger.

/// Whether `bytes` begin like a checkpoint: since PyTorch 1.6 a ZIP archive with a member `data.pkl`, which is its first, before
/// that a pickle of a certain number.
pub(super) fn is_checkpoint(bytes: &[u8]) -> bool {
    let pickle =
        |bytes: &[u8]| bytes.starts_with(&[0x80, 2]) && bytes.get(2..).is_some_and(|rest| rest.starts_with(MAGIC));
    let archive = |bytes: &[u8]| {
        let length = bytes.get(26..28).map(|length| usize::from(u16::from_le_bytes([length[0], length[1]])));
        let name = length.and_then(|length| bytes.get(30..30 + length));
        name.is_some_and(|name| name == b"data.pkl" || name.ends_with(b"/data.pkl"))
    };
    pickle(bytes) || (bytes.starts_with(b"PK\x03\x04") && archive(bytes))
}

/// The pickled number 0x1950a86a20f9469cfc6c, with which checkpoints began.
const MAGIC: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_no_archives_of_arrays() {
        let archive = |name: &str| {
            let mut bytes = b"PK\x03\x04".to_vec();
            bytes.resize(26, 0);
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend([0, 0]);
            bytes.extend(name.as_bytes());
            bytes
        };
        assert!(is_checkpoint(&archive("googlenet/data.pkl")) && is_checkpoint(&archive("data.pkl")));
        assert!(!is_checkpoint(&archive("conv1.weight.npy")) && !is_checkpoint(&archive("mydata.pkl")));
        assert!(is_checkpoint(&[&[0x80, 2][..], MAGIC].concat()) && !is_checkpoint(&[0x80, 2]));
        assert!(!is_checkpoint(b"PK\x03\x04") && !is_checkpoint(b""));
    }
}
