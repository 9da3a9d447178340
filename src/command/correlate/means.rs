//! The mean of each unit in each picture, kept in a file until the clusters are known: however many pictures there are,
//! memory holds one picture's means.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::clusters::Cluster;

/// A temporary file of rows of f32, a row for each picture; it is removed when this is dropped.
pub struct Means {
    path: PathBuf,
    file: BufWriter<File>,
    pictures: usize,
}

/// A picture, by its number, and how much it excites a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Excitement {
    pub picture: usize,
    /// The mean over the cluster's units of the unit's mean in the picture, in standard deviations from its mean over
    /// all pictures.
    pub value: f64,
}

impl Means {
    /// Makes an empty file in `folder`.
    pub fn create(folder: &Path) -> io::Result<Self> {
        for attempt in 0..1000 {
            let path = folder.join(format!(".means-{}-{attempt}.tmp", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                // A run that was killed left it, and had the same number, as in containers.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    let means = made.map(|file| Self { path, file: BufWriter::new(file), pictures: 0 })?;
                    // Here a file lives without a name, too, and then nothing is left of it even if the run is killed.
                    if cfg!(unix) {
                        fs::remove_file(&means.path)?;
                    }
                    return Ok(means);
                }
            }
        }
        Err(io::Error::other("no free name for a temporary file"))
    }

    /// Adds a picture's means, one for each unit.
    pub fn push(&mut self, means: &[f64]) -> io::Result<()> {
        self.pictures += 1;
        means.iter().try_for_each(|&mean| self.file.write_all(&(mean as f32).to_le_bytes()))
    }

    /// For each of `clusters`, the `top` pictures that excite it most, the most exciting first. `moments` has the mean
    /// and the standard deviation of each unit; all of the clusters' units must vary.
    pub fn exciting(
        mut self,
        moments: &[(f64, f64)],
        clusters: &[Cluster],
        top: usize,
    ) -> io::Result<Vec<Vec<Excitement>>> {
        self.file.flush()?;
        self.file.rewind()?;
        let mut reader = BufReader::new(self.file.get_ref());
        let mut row = vec![0; 4 * moments.len()];
        let mut best = vec![Vec::with_capacity(top + 1); clusters.len()];
        for picture in 0..self.pictures {
            reader.read_exact(&mut row)?;
            let (row, _) = row.as_chunks::<4>();
            let score = |&unit: &usize| {
                let (mean, deviation) = moments[unit];
                (f64::from(f32::from_le_bytes(row[unit])) - mean) / deviation
            };
            for (best, cluster) in best.iter_mut().zip(clusters) {
                let value = cluster.units.iter().map(score).sum::<f64>() / cluster.units.len() as f64;
                // A picture comes after those that excite as much and came before it.
                let at = best.partition_point(|other: &Excitement| other.value >= value);
                best.insert(at, Excitement { picture, value });
                best.truncate(top);
            }
        }
        Ok(best)
    }
}

impl Drop for Means {
    fn drop(&mut self) {
        // Nobody could be told of a failure, and the file is only in the way.
        if !cfg!(unix) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::statistics::Statistics;
    use super::*;

    #[test]
    fn the_most_exciting_pictures_come_first_and_the_file_goes() {
        // Three pictures of 1x2 positions and two units. Unit 0 has mean 2 and variance (3 * 4 + 3 * 4) / 6 = 4, unit 1
        // has mean 1 and variance 1.
        let maps = [[0.0, 0.0, 0.0, 2.0], [4.0, 4.0, 0.0, 2.0], [0.0, 4.0, 0.0, 2.0]];
        let mut statistics = Statistics::new([2, 1, 2]);
        let folder = tempfile::tempdir().expect("a folder");
        let mut means = Means::create(folder.path()).expect("created");
        for map in maps {
            means.push(&statistics.add(&map)).expect("written");
        }
        let clusters = [vec![0], vec![1, 0], vec![1]].map(|units| Cluster { units, mean_correlation: None });
        let found = means.exciting(&statistics.moments(), &clusters, 2).expect("read");
        let expected = [[(1, 1.0), (2, 0.0)], [(1, 0.5), (2, 0.0)], [(0, 0.0), (1, 0.0)]];
        let expected = expected.map(|best| best.map(|(picture, value)| Excitement { picture, value }).to_vec());
        assert_eq!(found, expected);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
