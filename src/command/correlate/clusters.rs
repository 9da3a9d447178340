//! Groups of units that fire together: hierarchical clustering by correlation, with the crate `kodama`.
//!
//! The distance between two units is 1 - r, that between two groups the mean over their pairs of units (average
//! linkage). Groups are merged, the closest first, until all are one; where only so many are left as clusters are
//! wanted, these are the clusters. The order of units is that of the tree's leaves, with the larger of two merged
//! groups first.

use std::io;
use std::mem::take;

use kodama::{Method, linkage};

/// Units whose activities are correlated, and how they were found.
pub struct Clusters {
    /// All units that were clustered; those of a cluster, and those that were merged early, lie side by side.
    pub order: Vec<usize>,
    /// The clusters, in the order of their units.
    pub clusters: Vec<Cluster>,
}

/// A group of units.
pub struct Cluster {
    /// The units, in order.
    pub units: Vec<usize>,
    /// The mean correlation of two different units; `None` if there is only one unit.
    pub mean_correlation: Option<f64>,
}

/// Divides `units`, of which there is at least one, into `count` clusters, or into as many as there are units.
///
/// `row` gives a unit's correlations with all units. The memory is that of the distances of each two units, in f32:
/// [`bytes`].
pub fn cluster(
    units: &[usize],
    count: usize,
    mut row: impl FnMut(usize) -> io::Result<Vec<f32>>,
) -> io::Result<Clusters> {
    let n = units.len();
    let mut distances = Vec::with_capacity(n * (n - 1) / 2);
    for (i, &unit) in units.iter().enumerate() {
        let row = row(unit)?;
        distances.extend(units[i + 1..].iter().map(|&other| 1.0 - row[other]));
    }
    let tree = linkage(&mut distances, n, Method::Average);
    drop(distances);

    // Groups are numbered as in the tree: first the units, then what each step merges. A merged group is emptied.
    let mut groups: Vec<Vec<usize>> = (0..n).map(|unit| vec![unit]).collect();
    let mut cluster_of = vec![0; n];
    for step in 0..n {
        if step == n - count.clamp(1, n) {
            for (number, group) in groups.iter().enumerate() {
                group.iter().for_each(|&unit| cluster_of[unit] = number);
            }
        }
        let Some(merged) = tree.steps().get(step) else { break };
        let (mut first, mut second) = (take(&mut groups[merged.cluster1]), take(&mut groups[merged.cluster2]));
        let rank = |group: &[usize]| (std::cmp::Reverse(group.len()), group[0]);
        if rank(&second) < rank(&first) {
            std::mem::swap(&mut first, &mut second);
        }
        first.append(&mut second);
        groups.push(first);
    }
    let order = groups.pop().expect("at least one unit");

    let named = |group: &[usize]| group.iter().map(|&unit| units[unit]).collect::<Vec<usize>>();
    let clusters = order.chunk_by(|&a, &b| cluster_of[a] == cluster_of[b]).map(|group| {
        let units = named(group);
        let mean_correlation = mean_correlation(&units, &mut row)?;
        Ok(Cluster { units, mean_correlation })
    });
    Ok(Clusters { clusters: clusters.collect::<io::Result<_>>()?, order: named(&order) })
}

/// The memory in bytes that clustering `units` units takes, but for a few values for each.
pub fn bytes(units: usize) -> usize {
    units * units.saturating_sub(1) / 2 * size_of::<f32>()
}

fn mean_correlation(units: &[usize], mut row: impl FnMut(usize) -> io::Result<Vec<f32>>) -> io::Result<Option<f64>> {
    let n = units.len();
    if n == 1 {
        return Ok(None);
    }
    let mut sum = 0.0;
    for (i, &unit) in units.iter().enumerate() {
        let row = row(unit)?;
        sum += units[i + 1..].iter().map(|&other| f64::from(row[other])).sum::<f64>();
    }
    Ok(Some(sum / (n * (n - 1) / 2) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clusters of units of which those that are alike modulo 3 are correlated by 0.9, others by -0.1.
    fn modulo(units: &[usize], count: usize) -> Clusters {
        let r = |i: usize, j: usize| if i % 3 == j % 3 { 0.9 } else { -0.1 };
        cluster(units, count, |i| Ok((0..13).map(|j| r(i, j)).collect())).expect("rows")
    }

    #[test]
    fn groups_are_found_and_lie_side_by_side() {
        let units = [1, 2, 3, 4, 5, 6, 8, 9, 12];
        let found = modulo(&units, 3);
        let mut groups: Vec<Vec<usize>> = found.clusters.iter().map(|cluster| cluster.units.clone()).collect();
        assert_eq!(groups.concat(), found.order);
        groups.iter_mut().for_each(|group| group.sort_unstable());
        groups.sort();
        assert_eq!(groups, [vec![1, 4], vec![2, 5, 8], vec![3, 6, 9, 12]]);
        for cluster in &found.clusters {
            assert!((cluster.mean_correlation.expect("several units") - 0.9).abs() < 1e-7);
        }
        // The tree is the same however many clusters are wanted.
        for count in [1, 2, 9, 100] {
            let other = modulo(&units, count);
            assert_eq!((other.clusters.len(), &other.order), (count.min(9), &found.order));
        }
        // Of two groups that are merged, the larger one comes first, wherever its units stood.
        for units in [[1, 2, 4, 5, 7], [2, 1, 5, 4, 8]] {
            let sizes: Vec<usize> = modulo(&units, 2).clusters.iter().map(|cluster| cluster.units.len()).collect();
            assert_eq!(sizes, [3, 2]);
        }
        let lone = modulo(&[7], 5);
        assert_eq!((lone.order, lone.clusters[0].mean_correlation), (vec![7], None));
    }
}
