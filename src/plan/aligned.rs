//! Memory whose first element begins a cache line, so that a vector loaded from a multiple of its lanes lies in one.

use std::ops::{Deref, DerefMut, Range};

use super::arena::LINE;

/// A fixed number of f32, zero at first.
pub(crate) struct Aligned {
    /// The elements and what lies around them.
    memory: Box<[f32]>,
    elements: Range<usize>,
}

impl Aligned {
    pub(super) fn zeroed(len: usize) -> Self {
        let memory = vec![0.0; len + LINE - 1].into_boxed_slice();
        let start = memory.as_ptr().align_offset(LINE * size_of::<f32>());
        Self { memory, elements: start..start + len }
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.elements.clone()]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.elements.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_begins_a_line() {
        for len in [0, 1, 15, 16, 1000] {
            let mut aligned = Aligned::zeroed(len);
            assert_eq!((aligned.len(), aligned.as_ptr().align_offset(64)), (len, 0));
            assert!(aligned.iter_mut().all(|v| std::mem::replace(v, 1.0) == 0.0));
        }
    }
}
