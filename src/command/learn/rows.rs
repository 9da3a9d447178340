//! Rows of a regression that lie in a cache.

use std::ops::Range;

use crate::command::exit::Outcome;

use super::blocks::Rows;
use super::cache::Cache;
use super::pictures::Picture;

/// The features of some views of some pictures, picture by picture.
pub struct CachedRows<'a> {
    cache: &'a Cache,
    records: Vec<u32>,
    classes: Vec<u32>,
}

impl<'a> CachedRows<'a> {
    /// The views of `pictures`, all of which must be in the cache.
    pub fn new<'p>(cache: &'a Cache, pictures: impl IntoIterator<Item = &'p Picture>, views: &[usize]) -> Self {
        let mut rows = Self { cache, records: Vec::new(), classes: Vec::new() };
        for picture in pictures {
            for &view in views {
                rows.records.push(cache.find(picture.content, view).expect("it was looked at"));
                rows.classes.push(picture.class as u32);
            }
        }
        rows
    }
}

impl Rows for CachedRows<'_> {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn features(&self) -> usize {
        self.cache.features()
    }

    fn class(&self, row: usize) -> usize {
        self.classes[row] as usize
    }

    fn read(&self, range: Range<usize>, out: &mut [f32]) -> Outcome {
        self.cache.read(&self.records[range], out)
    }
}
