//! Memory that threads share during a run, and what the tasks of a schedule touch of it.
//!
//! A [`Buffer`] has elements of a type and a place in time; `build/placement.rs` gives it a place in the arena. A step
//! says in [`Window`]s of buffers what a task of it touches; resolved to bytes of the arena these are an [`Access`].
//! `access.rs` proves a schedule's accesses to be free of conflicts, once, and `arena.rs` rests on that proof.

mod access;
mod arena;

pub(super) use access::{Access, Accesses, MAX_WRITES, Region};
pub(super) use arena::{Arena, Operands, Walk};

use std::ops::Range;

use googlenet_kernels::element::Element;

use crate::model::{Graph, Place};

/// Index of a buffer: the activations of the graph come first, then the buffers that steps add.
pub(super) type BufferId = usize;

/// The buffer of the network's input, which lies outside the arena and is only read.
pub(super) const INPUT: BufferId = 0;

/// A buffer of the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Buffer {
    pub element: Element,
    /// How many elements it has.
    pub len: usize,
    /// The phase of its first write.
    pub first: usize,
    /// The phase of its last read.
    pub last: usize,
}

impl Buffer {
    /// A buffer that nothing touches yet.
    pub(super) fn untouched(element: Element, len: usize) -> Self {
        Self { element, len, first: usize::MAX, last: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.len * self.element.bytes()
    }

    /// Whether both hold values in some phase.
    pub(super) fn lives_with(&self, other: &Buffer) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Rows of one length that follow each other in a buffer: the planes of some channels of an activation, or the points of
/// transformed inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub buffer: BufferId,
    /// The first row.
    pub first: usize,
    pub rows: usize,
    /// Elements of a row.
    pub len: usize,
}

impl Rows {
    /// The planes of a place.
    pub(super) fn of(graph: &Graph, place: Place) -> Self {
        let len = graph.activations[place.activation].plane();
        Self { buffer: place.activation, first: place.channel, rows: place.channels, len }
    }

    /// How many elements the rows have.
    pub(super) fn elements(&self) -> usize {
        self.rows * self.len
    }

    /// All of the rows.
    pub(super) fn all(&self) -> Window {
        self.whole(0..self.rows)
    }

    /// All elements of the rows `rows`, counted from the first of these.
    pub(super) fn whole(&self, rows: Range<usize>) -> Window {
        assert!(rows.end <= self.rows, "rows {rows:?} of {self:?}");
        let len = rows.len() * self.len;
        Window { buffer: self.buffer, offset: (self.first + rows.start) * self.len, rows: 1, len, stride: len }
    }

    /// The columns `columns` of the rows `rows`, counted from the first of these.
    pub(super) fn window(&self, rows: Range<usize>, columns: Range<usize>) -> Window {
        assert!(rows.end <= self.rows && columns.end <= self.len, "rows {rows:?}, columns {columns:?} of {self:?}");
        Window {
            buffer: self.buffer,
            offset: (self.first + rows.start) * self.len + columns.start,
            rows: rows.len(),
            len: columns.len(),
            stride: self.len,
        }
    }
}

/// Elements of a buffer: `rows` rows of `len`, `stride` apart, the first at `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub buffer: BufferId,
    pub offset: usize,
    pub rows: usize,
    pub len: usize,
    pub stride: usize,
}

/// What a task touches, in elements of buffers.
#[derive(Clone, Debug)]
pub(super) struct Touch {
    /// What it reads, one row; none if it reads what it overwrites, or nothing.
    pub read: Option<Window>,
    /// What it writes; at most [`MAX_WRITES`] windows.
    pub writes: Vec<Window>,
}
