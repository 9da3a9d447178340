//! The file of correlations, from which rows are read back: memory holds one at a time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::npy::{Header, write_header};

use super::statistics::Statistics;

/// Writes the correlations at every distance as an array `[distances, c, c]` of f32; NaN where there is none.
pub fn write(statistics: &Statistics, mut out: &mut dyn Write) -> io::Result<()> {
    let [c, ..] = statistics.shape();
    write_header(&mut out, &[statistics.distances(), c, c])?;
    for (distance, i) in (0..statistics.distances()).flat_map(|distance| (0..c).map(move |i| (distance, i))) {
        for j in 0..c {
            let value = statistics.correlation(distance, i, j).map_or(f32::NAN, |value| value as f32);
            out.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(())
}

/// The correlations at distance 0, in the file that [`write`] wrote.
pub struct Rows {
    file: File,
    /// Where the first row begins.
    begin: u64,
    /// A row as it lies in the file.
    bytes: Vec<u8>,
}

impl Rows {
    /// Opens the file at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let shape = Header::read(&mut file)?.shape;
        let bytes = vec![0; 4 * shape[2] as usize];
        Ok(Self { begin: file.stream_position()?, file, bytes })
    }

    /// The correlations of `unit` with every unit.
    pub fn get(&mut self, unit: usize) -> io::Result<Vec<f32>> {
        self.file.seek(SeekFrom::Start(self.begin + (unit * self.bytes.len()) as u64))?;
        self.file.read_exact(&mut self.bytes)?;
        Ok(self.bytes.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect())
    }
}
