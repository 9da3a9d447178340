//! What tasks touch, and the proof that no two tasks of a phase are in each other's way.

use std::ops::Range;

/// `rows` rows of `len` bytes, `stride` apart, the first at `offset`; rows do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Region {
    pub offset: usize,
    pub rows: usize,
    pub len: usize,
    pub stride: usize,
}

/// The most windows that a task writes: the three outputs of a module's stacked pointwise convolutions.
pub(in crate::plan) const MAX_WRITES: usize = 3;

/// What a task touches of the arena, in bytes.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Access {
    /// What it reads of the arena; none if it reads the network's input, or nothing.
    pub read: Option<Range<usize>>,
    /// What it reads of the network's input instead, which lies outside the arena.
    pub input: Option<Range<usize>>,
    /// What it writes; at most [`MAX_WRITES`] regions.
    pub writes: Vec<Region>,
}

/// The accesses of a schedule, by phase and task, which lie in an arena and do not conflict: only [`Accesses::new`] makes
/// them, and it checks.
#[derive(Debug)]
pub(in crate::plan) struct Accesses {
    phases: Vec<Vec<Access>>,
    arena_bytes: usize,
}

impl Region {
    /// Whether `self` and `other` have a byte in common. The answer is exact for equal strides; for others it is
    /// cautious.
    fn overlaps(&self, other: &Region) -> bool {
        if self.rows == 0 || self.len == 0 || other.rows == 0 || other.len == 0 {
            return false;
        }
        let end = |r: &Region| r.offset + (r.rows - 1) * r.stride + r.len;
        if self.offset >= end(other) || other.offset >= end(self) {
            return false;
        }
        if self.stride != other.stride || self.rows == 1 || other.rows == 1 {
            return true;
        }
        // Same stride: `b` begins `shift` columns right of `a`'s columns, and may reach into the next row of the grid.
        let (a, b) = if self.offset <= other.offset { (self, other) } else { (other, self) };
        let (skipped, shift) = ((b.offset - a.offset) / a.stride, (b.offset - a.offset) % a.stride);
        let same_row = skipped < a.rows && shift < a.len;
        let next_row = skipped + 1 < a.rows && shift + b.len > a.stride;
        same_row || next_row
    }
}

impl Accesses {
    /// Those of `phases` in an arena of `arena_bytes`.
    ///
    /// # Panics
    /// If a task reaches outside the arena, or two tasks of a phase would touch a byte that one of them writes: a bug of
    /// whoever built the schedule.
    pub(in crate::plan) fn new(phases: Vec<Vec<Access>>, arena_bytes: usize) -> Self {
        for (index, phase) in phases.iter().enumerate() {
            for (i, task) in phase.iter().enumerate() {
                check_bounds(task, arena_bytes);
                for (j, other) in phase.iter().enumerate() {
                    let read = other.read.clone().map(|read| Region {
                        offset: read.start,
                        rows: 1,
                        len: read.len(),
                        stride: 1,
                    });
                    let later = if j > i { other.writes.as_slice() } else { &[] };
                    let own = if i == j { task.writes.as_slice() } else { &[] };
                    for (w, write) in task.writes.iter().enumerate() {
                        let conflict =
                            read.iter().chain(later).chain(own.iter().skip(w + 1)).find(|r| write.overlaps(r));
                        assert!(
                            conflict.is_none(),
                            "phase {index}: task {i} writes {write:?}, task {j} touches {conflict:?}"
                        );
                    }
                }
            }
        }
        Self { phases, arena_bytes }
    }

    pub(in crate::plan) fn phases(&self) -> &[Vec<Access>] {
        &self.phases
    }

    pub(in crate::plan) fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }
}

fn check_bounds(task: &Access, arena_bytes: usize) {
    assert!(task.writes.len() <= MAX_WRITES, "{} regions to write", task.writes.len());
    let read_fits = task.read.as_ref().is_none_or(|r| r.start <= r.end && r.end <= arena_bytes);
    assert!(read_fits, "read {:?} of {arena_bytes}", task.read);
    for w in &task.writes {
        let end = w.rows.checked_sub(1).and_then(|rows| rows.checked_mul(w.stride)).and_then(|e| e.checked_add(w.len));
        let end = end.and_then(|end| end.checked_add(w.offset));
        assert!(w.offset <= arena_bytes, "write {w:?} of {arena_bytes}");
        assert!(w.rows == 0 || end.is_some_and(|end| end <= arena_bytes), "write {w:?} of {arena_bytes}");
        assert!(w.rows <= 1 || w.len <= w.stride, "rows of {w:?} overlap");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "walks thousands of pairs and has no unsafe code to check")]
    fn overlap_is_what_a_list_of_bytes_says() {
        let bytes = |r: &Region| -> Vec<usize> {
            (0..r.rows)
                .flat_map(|row| (0..r.len).map(move |i| (row, i)))
                .map(|(row, i)| r.offset + row * r.stride + i)
                .collect()
        };
        let mut regions = Vec::new();
        for offset in [0_usize, 1, 3, 5, 7, 9, 14] {
            for (rows, len, stride) in [(1, 1, 1), (1, 6, 6), (2, 2, 5), (3, 3, 5), (2, 5, 5), (3, 1, 5), (2, 3, 7)] {
                regions.push(Region { offset, rows, len, stride });
            }
        }
        for a in &regions {
            for b in &regions {
                let common = bytes(a).iter().any(|e| bytes(b).contains(e));
                assert!(a.overlaps(b) || !common, "missed {a:?} {b:?}");
                if a.stride == b.stride && a.rows > 1 && b.rows > 1 {
                    assert_eq!(a.overlaps(b), common, "{a:?} {b:?}");
                }
            }
        }
    }

    fn writes(offset: usize) -> Access {
        Access { read: None, input: None, writes: vec![Region { offset, rows: 2, len: 2, stride: 4 }] }
    }

    #[test]
    #[should_panic(expected = "phase 0: task 0 writes")]
    fn two_writers_of_a_byte_are_refused() {
        Accesses::new(vec![vec![writes(0), writes(1)]], 16);
    }

    #[test]
    #[should_panic(expected = "phase 0: task 1 writes")]
    fn a_reader_of_what_another_task_writes_is_refused() {
        let reader = Access { read: Some(0..3), input: None, writes: vec![] };
        Accesses::new(vec![vec![reader, writes(2)]], 16);
    }

    #[test]
    #[should_panic(expected = "of 7")]
    fn a_write_behind_the_end_is_refused() {
        Accesses::new(vec![vec![writes(2)]], 7);
    }

    #[test]
    fn readers_share_and_windows_interleave() {
        let reader = || Access { read: Some(8..12), input: None, writes: vec![] };
        let accesses = Accesses::new(vec![vec![reader(), reader(), writes(0), writes(2)]], 12);
        assert_eq!((accesses.phases().len(), accesses.arena_bytes()), (1, 12));
    }
}
