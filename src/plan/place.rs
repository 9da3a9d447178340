//! Where buffers lie in the arena: by lifetime, so that buffers never alive together share memory.

use super::arena::LINE;

/// A buffer to place.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    /// Elements.
    pub len: usize,
    /// The phase of its first write.
    pub first: usize,
    /// The phase of its last read.
    pub last: usize,
}

/// The offset of every buffer and the arena's length, in elements: first fit, larger buffers first.
pub(super) fn place(buffers: &[Buffer]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_unstable_by_key(|&i| (std::cmp::Reverse(buffers[i].len), i));
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    for i in order {
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&j| together(&buffers[i], &buffers[j]))
            .map(|&j| (offsets[j], offsets[j] + buffers[j].len.next_multiple_of(LINE)))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + buffers[i].len <= start {
                break;
            }
            offset = offset.max(end);
        }
        offsets[i] = offset;
        placed.push(i);
    }
    let len = buffers.iter().zip(&offsets).map(|(b, o)| o + b.len.next_multiple_of(LINE)).max().unwrap_or(0);
    (offsets, len)
}

fn together(a: &Buffer, b: &Buffer) -> bool {
    a.first <= b.last && b.first <= a.last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn live_buffers_never_overlap(list in prop::collection::vec((0_usize..300, 0_usize..20, 0_usize..6), 0..40)) {
            let buffers: Vec<Buffer> =
                list.iter().map(|&(len, first, more)| Buffer { len, first, last: first + more }).collect();
            let (offsets, total) = place(&buffers);
            for (i, a) in buffers.iter().enumerate() {
                prop_assert!(offsets[i] % LINE == 0 && offsets[i] + a.len <= total);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let apart = offsets[i] + a.len <= offsets[j] || offsets[j] + b.len <= offsets[i];
                    prop_assert!(apart || !together(a, b), "{i} {a:?} at {}, {j} {b:?} at {}", offsets[i], offsets[j]);
                }
            }
        }
    }
}
