//! Where buffers lie in the arena: by lifetime, so that buffers that never hold values together share memory.

use crate::aligned::LINE;
use crate::plan::memory::Buffer;

/// The offset of every buffer and the arena's size, in bytes: first fit, larger buffers first. A buffer that needs no
/// place is none, and gets 0.
pub(super) fn place(buffers: &[Option<&Buffer>]) -> (Vec<usize>, usize) {
    let mut order: Vec<(usize, &Buffer)> =
        buffers.iter().enumerate().filter_map(|(i, buffer)| Some((i, (*buffer)?))).collect();
    order.sort_unstable_by_key(|&(i, buffer)| (std::cmp::Reverse(buffer.bytes()), i));
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<(usize, &Buffer)> = Vec::new();
    let end = |offset: usize, buffer: &Buffer| offset + buffer.bytes().next_multiple_of(LINE);
    for (i, buffer) in order {
        let mut occupied: Vec<(usize, usize)> = placed
            .iter()
            .filter(|(_, other)| buffer.lives_with(other))
            .map(|&(j, other)| (offsets[j], end(offsets[j], other)))
            .collect();
        occupied.sort_unstable();
        let mut offset = 0;
        for (start, end) in occupied {
            if offset + buffer.bytes() <= start {
                break;
            }
            offset = offset.max(end);
        }
        offsets[i] = offset;
        placed.push((i, buffer));
    }
    let size = placed.iter().map(|&(i, buffer)| end(offsets[i], buffer)).max().unwrap_or(0);
    (offsets, size)
}

#[cfg(test)]
mod tests {
    use googlenet_kernels::element::Element;
    use proptest::prelude::*;

    use super::*;

    fn buffer(len: usize, first: usize, last: usize) -> Buffer {
        Buffer { element: Element::F32, len, first, last }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn live_buffers_never_overlap(list in prop::collection::vec((0_usize..300, 0_usize..20, 0_usize..6), 0..40)) {
            let buffers: Vec<Buffer> =
                list.iter().map(|&(len, first, more)| buffer(len, first, first + more)).collect();
            let (offsets, total) = place(&buffers.iter().map(Some).collect::<Vec<_>>());
            for (i, a) in buffers.iter().enumerate() {
                prop_assert!(offsets[i] % LINE == 0 && offsets[i] + a.bytes() <= total);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let apart = offsets[i] + a.bytes() <= offsets[j] || offsets[j] + b.bytes() <= offsets[i];
                    prop_assert!(apart || !a.lives_with(b), "{i} {a:?} at {}, {j} {b:?} at {}", offsets[i], offsets[j]);
                }
            }
        }
    }

    #[test]
    fn buffers_of_other_times_share_memory() {
        let list = [buffer(100, 0, 1), buffer(40, 1, 2), buffer(90, 2, 3), buffer(16, 3, 4)];
        let (offsets, total) = place(&list.iter().map(Some).collect::<Vec<_>>());
        assert_eq!((offsets, total), (vec![0, 448, 0, 384], 448 + 192));
        assert_eq!(place(&[None, Some(&list[1])]), (vec![0, 0], 192));
    }
}
