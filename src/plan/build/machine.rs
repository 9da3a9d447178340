//! What a plan knows of the machine: vector width, caches, and what things cost on it.
//!
//! Costs are of two kinds. The choice of an algorithm rests on the [`Costs`] and the *nominal* caches of an instruction
//! set alone, so that every machine of a set computes the same bits and one packed file fits them all. How much is worked
//! on at a time and into how many tasks a step is split may follow what the system says of this machine's caches, as they
//! change no bit.

use std::sync::OnceLock;

use googlenet_kernels::isa::Isa;
use googlenet_kernels::narrow::{self, Arithmetic};
use googlenet_kernels::winograd;

/// A machine, as seen by plans for one instruction set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::plan) struct Machine {
    pub isa: Isa,
    /// f32 lanes of a vector.
    pub lanes: usize,
    pub costs: Costs,
    /// Whether it has an instruction that multiplies bf16.
    pub multiplies_bf16: bool,
    /// The caches that the choice of algorithms assumes.
    pub nominal: Groups,
    /// What groups of tiles are sized by.
    pub groups: Groups,
}

/// Cycles of a core that starts two vector multiply-adds a cycle. `cargo bench --bench kernels conv/`, and `narrow/` of
/// what has less than 32 bits, time what they predict: every kernel and algorithm for every layer of GoogLeNet at 224x224, on every set of the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::plan) struct Costs {
    /// To move one vector of contiguous pixels into a panel.
    pub panel: f64,
    /// To gather one vector of a filter tap's pixels into a panel.
    pub gathered_panel: f64,
    /// To gather one vector of words into a panel.
    pub word_panel: f64,
    /// To interleave one vector of words into a panel, from bytes of four channels that lie side by side.
    pub interleaved_panel: f64,
    /// For bias, ReLU and store of one vector of outputs.
    pub store: f64,
    /// To make values of one vector of sums in integers, and for their ReLU and store.
    pub store_sums: f64,
    /// To transpose that vector, too.
    pub transpose: f64,
    /// To transform one vector of inputs of a tile.
    pub transform_input: f64,
    /// For one vector of products: its store, and its part in the output transform.
    pub transform_output: f64,
    /// Bytes that one core reads from memory, a cycle.
    pub memory_bytes: f64,
    pub tasks: TaskCosts,
}

/// When a task is worth its start, some ten microseconds of work; `googlenet bench --threads 2` shows what a change does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::plan) struct TaskCosts {
    /// Elements moved, of a task that computes little.
    pub elements: usize,
    /// Multiply-adds, of a task that computes much.
    pub multiply_adds: u64,
    /// The most tasks of a light step, a thread.
    pub light: usize,
    /// The most tasks of a heavy step, a thread.
    pub heavy: usize,
}

/// Bytes that are worked on at a time, so that they stay in the second-level cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Groups {
    /// Panels of a convolution by its definition, beside a block's weights.
    pub panels: usize,
    /// Transformed inputs, products and strips of a transformed convolution.
    pub transformed: usize,
}

/// A set's assumptions about the second-level cache.
struct Cache {
    bytes: usize,
    /// How many groups of panels fit.
    panels: usize,
    /// How many groups of transformed tiles fit.
    transformed: usize,
}

impl Cache {
    /// Half of the 512 KiB of a Zen 2 or Zen 3 for either; CPUs with AVX-512 have 1 MiB and more, and take 0.94 of the
    /// time with all of it for transformed tiles (`googlenet bench`, 1 MiB against 256 KiB).
    const fn of(lanes: usize) -> Self {
        if lanes < 16 {
            Self { bytes: 512 * 1024, panels: 2, transformed: 2 }
        } else {
            Self { bytes: 1024 * 1024, panels: 4, transformed: 1 }
        }
    }

    const fn groups(&self, bytes: usize) -> Groups {
        Groups { panels: bytes / self.panels, transformed: bytes / self.transformed }
    }
}

/// The costs of every set: they count in vectors, and nothing measured so far sets one set apart from another.
const COSTS: Costs = Costs {
    panel: 1.5,
    gathered_panel: 6.0,
    word_panel: 8.0,
    interleaved_panel: 5.5,
    store: 5.0,
    store_sums: 7.5,
    transpose: 6.0,
    transform_input: 8.0,
    transform_output: 7.0,
    memory_bytes: 8.0,
    tasks: TaskCosts { elements: 16_384, multiply_adds: 500_000, light: 4, heavy: 6 },
};

impl Machine {
    /// A machine of `isa` whose caches are those that the set assumes: what choices rest on, and golden plans show.
    pub(in crate::plan) fn nominal(isa: Isa) -> Self {
        let lanes = winograd::algorithms(isa).first().map_or(1, |algorithm| algorithm.lanes());
        let cache = Cache::of(lanes);
        let nominal = cache.groups(cache.bytes);
        let multiplies_bf16 = narrow::layouts(isa, Arithmetic::Bf16).any(|kernel| kernel.instruction().is_some());
        Self { isa, lanes, costs: COSTS, multiplies_bf16, nominal, groups: nominal }
    }

    /// This machine. Where its second-level cache is smaller than the set assumes, groups are smaller, too; larger groups
    /// for a larger cache have not been measured to gain.
    pub(in crate::plan) fn here(isa: Isa) -> Self {
        static SECOND_LEVEL: OnceLock<Option<usize>> = OnceLock::new();
        let found = *SECOND_LEVEL.get_or_init(second_level_bytes);
        Self::nominal(isa).with_cache(found)
    }

    /// The same with a second-level cache of so many bytes, if that is known.
    fn with_cache(self, bytes: Option<usize>) -> Self {
        let cache = Cache::of(self.lanes);
        let bytes = bytes.unwrap_or(cache.bytes).clamp(MIN_CACHE, cache.bytes);
        Self { groups: cache.groups(bytes), ..self }
    }

    /// Tasks of a step that moves `elements` and computes little.
    pub(in crate::plan) fn light_tasks(&self, elements: usize, threads: usize) -> usize {
        let TaskCosts { elements: least, light, .. } = self.costs.tasks;
        if threads == 1 { 1 } else { (elements / least).clamp(1, light * threads) }
    }

    /// Tasks of a step of so many multiply-adds.
    pub(in crate::plan) fn heavy_tasks(&self, multiply_adds: u64, threads: usize) -> usize {
        let TaskCosts { multiply_adds: least, heavy, .. } = self.costs.tasks;
        if threads == 1 { 1 } else { (multiply_adds / least).clamp(1, (heavy * threads) as u64) as usize }
    }
}

/// The smallest second-level cache that groups are sized for, whatever the system says.
const MIN_CACHE: usize = 128 * 1024;

/// Bytes of the first core's second-level cache; none where the system does not tell.
fn second_level_bytes() -> Option<usize> {
    let folder = std::path::Path::new("/sys/devices/system/cpu/cpu0/cache");
    let read = |index: usize, file: &str| std::fs::read_to_string(folder.join(format!("index{index}/{file}"))).ok();
    let index = (0..8).find(|&index| {
        let (level, kind) = (read(index, "level"), read(index, "type"));
        level.is_some_and(|level| level.trim() == "2") && kind.is_some_and(|kind| kind.trim() != "Instruction")
    })?;
    parse_bytes(&read(index, "size")?)
}

/// `512K` or `2M`, as the system writes sizes.
fn parse_bytes(text: &str) -> Option<usize> {
    let text = text.trim();
    let (digits, unit) = match text.strip_suffix('K') {
        Some(digits) => (digits, 1 << 10),
        None => match text.strip_suffix('M') {
            Some(digits) => (digits, 1 << 20),
            None => (text, 1),
        },
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::googlenet;
    use crate::plan::Precision;
    use crate::plan::build::{Formats, Nominal, schedule};
    use crate::plan::packing::packing;
    use crate::plan::schedule::Schedule;

    #[test]
    fn sizes_are_read_as_the_system_writes_them() {
        let sizes = ["512K\n", "2M", "32768", "", "K", "-1K", "99999999999999999999M"];
        let expected = [Some(512 << 10), Some(2 << 20), Some(32768), None, None, None, None];
        assert_eq!(sizes.map(parse_bytes), expected);
    }

    #[test]
    fn a_smaller_cache_shrinks_groups_and_moves_no_choice() {
        for isa in googlenet_kernels::isa::detected() {
            let nominal = Machine::nominal(isa);
            assert_eq!(nominal.with_cache(None), nominal);
            assert_eq!(nominal.with_cache(Some(64 << 20)), nominal);
            let small = nominal.with_cache(Some(256 << 10));
            assert_eq!((small.nominal, small.costs), (nominal.nominal, nominal.costs));
            assert!(small.groups.panels < nominal.groups.panels && small.groups.panels >= 32 << 10);
            let plan = |machine| {
                let graph = googlenet(10).graph(224);
                let formats = Formats::new(&graph, Precision::F32, machine, &Nominal);
                schedule(graph, machine, formats, 2, &[])
            };
            let (small, nominal_plan) = (plan(&small), plan(&nominal));
            assert_eq!(packing(&small), packing(&nominal_plan));
            let chosen = |plan: &Schedule| plan.describe().into_iter().map(|step| (step.kernel, step.reason)).collect();
            let [small, expected]: [Vec<_>; 2] = [&small, &nominal_plan].map(chosen);
            assert_eq!(small, expected);
            assert_eq!(nominal.with_cache(Some(0)).groups, nominal.with_cache(Some(MIN_CACHE)).groups);
            assert_eq!(Machine::here(isa).nominal, nominal.nominal);
        }
    }

    #[test]
    fn tasks_are_as_many_as_are_worth_their_start() {
        let machine = Machine::nominal(Isa::Portable);
        assert_eq!([1, 2, 8].map(|threads| machine.light_tasks(100_000, threads)), [1, 6, 6]);
        assert_eq!([1, 2, 8].map(|threads| machine.heavy_tasks(10_000_000, threads)), [1, 12, 20]);
        assert_eq!((machine.light_tasks(0, 2), machine.heavy_tasks(0, 2)), (1, 1));
    }
}
