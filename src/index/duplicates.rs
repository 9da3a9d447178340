//! Groups of rows that are nearly the same.
//!
//! ```text
//! for blocks of rows that stay in a core's cache, in parallel
//!     for each later row, and those of the block itself
//!         products of the block's rows with it       the kernel of fully connected layers, sums in f32
//!         where a sum may be enough: if it is, or its product in f64 is, the two are of one group
//! ```
//!
//! Every two rows are compared: n (n - 1) / 2 products. A group is what is connected: each of its rows is like another one
//! of it, not all of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Result;
use crate::error::IndexError;

use super::search::Products;
use super::{Hit, Index, bound, product};

/// Rows that are nearly the same, two or more, in order; each with how alike it is to the one of the group that it is most
/// like.
pub type Group = Vec<Hit>;

impl Index {
    /// Groups of rows that are at least `similarity` alike, in the order of their first rows. `threads` share the work.
    /// `go_on` is called now and then, on the calling thread, with the number of blocks that are done and that of all; once
    /// it returns false the work ends, and nothing is returned.
    ///
    /// The time grows with the square of the number of rows: some seconds for 10,000 of 1024 values.
    ///
    /// # Errors
    /// [`IndexError::NotFinite`] where a value of a row is no number.
    ///
    /// ```
    /// # use googlenet::index::{Index, Writer};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("index");
    /// # let mut writer = Writer::create(&path, 2)?;
    /// for (name, features) in [("a", [1.0, 0.0]), ("b", [0.0, 1.0]), ("c", [1.0, 0.01])] {
    ///     writer.push(name.as_bytes(), &features)?;
    /// }
    /// # writer.finish(&Default::default(), false)?;
    /// # let index = Index::open(&path)?;
    /// let groups = index.near_duplicates(0.99, 1, |_, _| true)?.expect("nobody stopped it");
    /// assert_eq!(groups.len(), 1);
    /// assert_eq!(groups[0].iter().map(|hit| index.name(hit.row)).collect::<Vec<_>>(), [b"a", b"c"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn near_duplicates(
        &self,
        similarity: f64,
        threads: usize,
        mut go_on: impl FnMut(usize, usize) -> bool,
    ) -> Result<Option<Vec<Group>>> {
        let (count, block) = (self.len(), (BLOCK_BYTES / (4 * self.features())).clamp(4, 512));
        let blocks = count.div_ceil(block);
        let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let all = Mutex::new(Links::new(count));
        let work = |mut after: Option<&mut dyn FnMut(usize, usize) -> bool>| -> Result<()> {
            let mut links = Links::new(count);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= blocks || is_over.load(Ordering::Relaxed) {
                    break;
                }
                let rows = index * block..(index * block + block).min(count);
                if let Err(error) = self.compare(rows, similarity, &mut links) {
                    is_over.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                if after.as_mut().is_some_and(|after| !after(index + 1, blocks)) {
                    is_over.store(true, Ordering::Relaxed);
                }
            }
            all.lock().expect("joining does not panic").join(&links);
            Ok(())
        };
        let outcomes: Vec<Result<()>> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads.clamp(1, blocks.max(1))).map(|_| scope.spawn(|| work(None))).collect();
            let own = work(Some(&mut go_on));
            let joined = others.into_iter().map(|thread| thread.join().expect("comparing does not panic"));
            joined.chain([own]).collect()
        });
        outcomes.into_iter().collect::<Result<()>>()?;
        if is_over.into_inner() {
            return Ok(None);
        }
        Ok(Some(all.into_inner().expect("joining does not panic").groups(self)))
    }

    /// Links each of `rows` with those of the later ones, and of `rows` themselves, that it is like.
    fn compare(&self, rows: std::ops::Range<usize>, similarity: f64, links: &mut Links) -> Result<()> {
        let (features, bound) = (self.features(), f64::from(bound(self.features())));
        let own = &self.rows()[rows.start * features..rows.end * features];
        let products = Products::new(self, rows.len());
        let mut sums = vec![0.0; rows.len()];
        for (later, values) in self.rows().chunks_exact(features).enumerate().skip(rows.start) {
            products.run(values, own, &mut sums);
            let earlier = rows.len().min(later - rows.start);
            for (row, &sum) in (rows.start..).zip(&sums[..earlier]) {
                if sum.is_nan() {
                    return Err(IndexError::NotFinite { row: later }.into());
                }
                let sum64 = f64::from(sum);
                let is_like = sum64 >= similarity + bound
                    || (sum64 >= similarity - bound && product(self.row(row), values) >= similarity);
                if is_like {
                    links.link(row, later, sum);
                }
            }
        }
        Ok(())
    }
}

/// Which rows are of one group, and which other row each is most like.
struct Links {
    /// A row of the same group, with a lower number; a group's first row has its own.
    parents: Vec<u32>,
    /// The largest sum of each row with another, and that row; of equal ones the first.
    best: Vec<(f32, u32)>,
}

impl Links {
    fn new(count: usize) -> Self {
        Self { parents: (0..count as u32).collect(), best: vec![(f32::NEG_INFINITY, u32::MAX); count] }
    }

    fn first(&mut self, row: u32) -> u32 {
        let mut row = row;
        while self.parents[row as usize] != row {
            let parent = self.parents[row as usize];
            self.parents[row as usize] = self.parents[parent as usize];
            row = parent;
        }
        row
    }

    fn unite(&mut self, a: u32, b: u32) {
        let (a, b) = (self.first(a), self.first(b));
        self.parents[a.max(b) as usize] = a.min(b);
    }

    fn link(&mut self, a: usize, b: usize, sum: f32) {
        self.unite(a as u32, b as u32);
        self.prefer(a, (sum, b as u32));
        self.prefer(b, (sum, a as u32));
    }

    fn prefer(&mut self, row: usize, (sum, other): (f32, u32)) {
        let best = &mut self.best[row];
        if sum > best.0 || (sum == best.0 && other < best.1) {
            *best = (sum, other);
        }
    }

    fn join(&mut self, other: &Links) {
        for (row, &parent) in other.parents.iter().enumerate() {
            self.unite(row as u32, parent);
        }
        for (row, &best) in other.best.iter().enumerate() {
            self.prefer(row, best);
        }
    }

    fn groups(&mut self, index: &Index) -> Vec<Group> {
        // Where in `groups` the group of each first row is.
        let (mut groups, mut places): (Vec<Group>, Vec<u32>) = (Vec::new(), vec![u32::MAX; self.parents.len()]);
        for row in 0..self.parents.len() {
            let (_, other) = self.best[row];
            if other == u32::MAX {
                continue;
            }
            let place = &mut places[self.first(row as u32) as usize];
            if *place == u32::MAX {
                *place = groups.len() as u32;
                groups.push(Vec::new());
            }
            let similarity = product(index.row(row), index.row(other as usize));
            groups[*place as usize].push(Hit { row, similarity });
        }
        groups
    }
}

/// How many bytes the rows of a block have: half of a second-level cache.
const BLOCK_BYTES: usize = 256 << 10;
