//! What the segments of a JPEG file say, beside its decoder: whether the file goes on to its end, and what it may cost.
//!
//! Source: ITU-T T.81, "Digital compression and coding of continuous-tone still images", annex B.

/// A segment: its marker's second byte, and what its length covers, the length itself aside.
struct Segment<'a> {
    marker: u8,
    content: &'a [u8],
}

/// The segments of a file, up to its end marker or to where it is cut off; the end marker is the last one.
///
/// Segments are stepped over by their lengths, so the end marker of a thumbnail does not count. Inside a scan `ff 00` is
/// data and `ff d0`..`ff d7` are restarts; between segments there are only fill bytes to step over.
fn segments(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut at = Some(2);
    std::iter::from_fn(move || {
        let mut from = at.take()?;
        loop {
            match bytes.get(from..)?.first_chunk()? {
                [0xff, 0x00 | 0x01 | 0xd0..=0xd7 | 0xff] => from += 1,
                [0xff, 0xd9] => return Some(Segment { marker: 0xd9, content: &[] }),
                &[0xff, marker] => {
                    let length = u16::from_be_bytes(*bytes.get(from + 2..)?.first_chunk()?);
                    let end = from + 2 + usize::from(length).max(2);
                    at = Some(end);
                    return Some(Segment { marker, content: bytes.get(from + 4..end).unwrap_or_default() });
                }
                _ => from += 1,
            }
        }
    })
}

/// Whether an end marker follows the first scan.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    segments(bytes).last().is_some_and(|last| last.marker == 0xd9)
}

/// Whether the scans whose heads are there give every component all of its coefficients with all of their bits (B.2.3). How
/// far the data of the last one go is another question.
pub(super) fn has_all_scans(bytes: &[u8]) -> bool {
    let (mut is_progressive, mut components) = (false, Vec::new());
    for Segment { marker, content } in segments(bytes) {
        match (marker, content) {
            // Precision, height, width, then a number and two bytes for each component.
            (0xc0..=0xc2, [_, _, _, _, _, n, list @ ..]) => {
                is_progressive = marker == 0xc2;
                components =
                    list.as_chunks::<3>().0.iter().take(usize::from(*n)).map(|c| (c[0], [false; 64])).collect();
            }
            // A number and a byte for each component, then which coefficients, and which of their bits come later.
            (0xda, [n, list @ ..]) => {
                let (list, rest) = list.split_at((2 * usize::from(*n)).min(list.len()));
                let &[first, last, bits] = rest else { continue };
                let (range, is_final) = match is_progressive {
                    true => (usize::from(first)..usize::from(last).saturating_add(1).min(64), bits & 15 == 0),
                    false => (0..64, true),
                };
                for (_, has) in
                    components.iter_mut().filter(|(own, _)| list.as_chunks::<2>().0.iter().any(|c| c[0] == *own))
                {
                    if is_final && let Some(has) = has.get_mut(range.clone()) {
                        has.fill(true);
                    }
                }
            }
            _ => {}
        }
    }
    !components.is_empty() && components.iter().flat_map(|(_, has)| has).all(|&has| has)
}

/// The number of components, 1 to 4, of a JPEG file that is progressive (ITU-T T.81, B.2.2).
///
/// Whatever looks like the head of a progressive frame is taken for one: a decoder that steps through the file in another
/// way than this crate cannot find one that was not seen here. Compressed data never look so, as `ff` is followed by zero
/// there.
pub(super) fn progressive_components(bytes: &[u8]) -> Option<u64> {
    // ff c2, length: 2 bytes, precision: 1, height: 2, width: 2, number of components: 1
    let heads = bytes.windows(10).filter(|head| head[..2] == [0xff, 0xc2]);
    heads.map(|head| u64::from(head[9]).clamp(1, 4)).max()
}
