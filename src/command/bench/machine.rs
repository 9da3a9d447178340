//! What the cores and the memory of this machine can do, measured: what layers' speeds are shares of.

use std::fs;
use std::path::Path;
use std::sync::Barrier;

use googlenet_kernels::bandwidth::read_bandwidth;
use googlenet_kernels::peak::fma_peak;

use crate::Isa;

/// The multiply-adds per second that `threads` threads reach together when they do nothing else.
pub fn peak(isa: Isa, threads: usize) -> f64 {
    together(vec![(); threads], |()| fma_peak(isa, MILLISECONDS))
}

/// Numbers that threads read again and again, to measure what they read in a second.
pub struct Numbers {
    isa: Isa,
    /// Each thread has numbers of its own, or the second would find them in a cache that both share.
    by_thread: Vec<Vec<f32>>,
}

impl Numbers {
    /// Of so many bytes for each of `threads` threads.
    pub fn new(isa: Isa, threads: usize, bytes: usize) -> Self {
        // Ones, as pages of zeros that nobody wrote to are all the same one.
        Self { isa, by_thread: vec![vec![1.0; bytes / size_of::<f32>()]; threads] }
    }

    /// So many that they lie in no cache.
    pub fn in_memory(isa: Isa, threads: usize) -> Self {
        Self::new(isa, threads, READ_BYTES)
    }

    /// The bytes per second that the threads read together when they do nothing else, measured for so long.
    pub fn bandwidth(&self, milliseconds: u64) -> f64 {
        let read = |numbers: &Vec<f32>| read_bandwidth(self.isa, numbers, milliseconds);
        together(self.by_thread.iter().collect(), read)
    }
}

/// A level of the memory, and how fast threads read of it.
pub struct Level {
    /// `L1`, `L2`, `L3` or `memory`.
    pub name: &'static str,
    /// The bytes that each thread read again and again.
    pub bytes: usize,
    /// Bytes per second of all threads together.
    pub bandwidth: f64,
}

/// The levels of the memory, fastest first, each measured with `threads` threads: those caches of which the system says
/// how large they are, and memory.
pub fn levels(isa: Isa, threads: usize) -> Vec<Level> {
    let folder = Path::new("/sys/devices/system/cpu/cpu0/cache");
    let mut levels = Vec::new();
    for (number, name) in [(1, "L1"), (2, "L2"), (3, "L3")] {
        let Some(size) = cache_bytes(folder, number) else { continue };
        // Half of a core's own cache; of the one that cores share, each thread's part of half, lest one thread's numbers
        // push out another's. Odd pieces of 256 bytes, so that rows that are read side by side do not meet in the same sets.
        let share = if number == 3 { size / 2 / threads } else { size / 2 };
        let bytes = (share / 256).saturating_sub(1) * 256;
        if bytes >= LEAST_BYTES {
            let bandwidth = Numbers::new(isa, threads, bytes).bandwidth(LEVEL_MILLISECONDS);
            levels.push(Level { name, bytes, bandwidth });
        }
    }
    let bandwidth = Numbers::in_memory(isa, threads).bandwidth(MILLISECONDS);
    levels.push(Level { name: "memory", bytes: READ_BYTES, bandwidth });
    levels
}

/// The bytes of the first core's data cache of a level, if the system says.
fn cache_bytes(folder: &Path, level: u32) -> Option<usize> {
    let read = |index: usize, file: &str| fs::read_to_string(folder.join(format!("index{index}/{file}"))).ok();
    let index = (0..8).find(|&index| {
        let is_level = read(index, "level").is_some_and(|text| text.trim() == level.to_string());
        is_level && read(index, "type").is_some_and(|kind| kind.trim() != "Instruction")
    })?;
    let text = read(index, "size")?;
    let kib: usize = text.trim().strip_suffix('K')?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The sum of what threads measure at once, one for each of `operands`.
fn together<T: Send>(operands: Vec<T>, measure: impl Fn(T) -> f64 + Sync) -> f64 {
    let start = Barrier::new(operands.len());
    let measure = |operand| {
        start.wait();
        measure(operand)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = operands.into_iter().map(|operand| scope.spawn(|| measure(operand))).collect();
        threads.into_iter().map(|thread| thread.join().expect("measuring does not panic")).sum()
    })
}

/// The name that the system gives the processor.
pub fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}

/// What a thread reads to measure its memory: many times a core's share of any cache, and no power of two, lest rows that
/// are read side by side meet in the same sets of a cache.
const READ_BYTES: usize = 100_000_000;
/// The smallest part of a cache that says something about it.
const LEAST_BYTES: usize = 4096;
/// How long a measurement of what the cores can do takes.
const MILLISECONDS: u64 = 200;
/// How long one of a cache takes.
const LEVEL_MILLISECONDS: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_of_caches_are_found_where_the_system_says_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let caches =
            [("1", "Instruction", "64K\n"), ("1", "Data", "32K\n"), ("2", "Unified", "512K\n"), ("3", "Unified", "?")];
        for (index, (level, kind, size)) in caches.into_iter().enumerate() {
            let own = folder.path().join(format!("index{index}"));
            fs::create_dir(&own).expect("a folder");
            for (file, text) in [("level", level), ("type", kind), ("size", size)] {
                fs::write(own.join(file), text).expect("written");
            }
        }
        let found = [1, 2, 3, 4].map(|level| cache_bytes(folder.path(), level));
        assert_eq!(found, [Some(32 << 10), Some(512 << 10), None, None]);
    }
}
