//! Cuts steps into tasks, and says what each task touches.

use std::ops::Range;

use super::arena::{Access, Region};

use super::direct::DirectStep;
use super::step::{Kind, Step, Task};
use super::winograd::WinogradStep;
use crate::model::{Graph, Place};

/// `0..n` in at most `pieces` pieces of nearly one length.
fn split(n: usize, pieces: usize) -> impl Iterator<Item = Range<usize>> {
    let pieces = pieces.clamp(1, n.max(1));
    (0..pieces).map(move |i| i * n / pieces..(i + 1) * n / pieces)
}

/// Cuts a step into tasks. Where a cut leaves less than some ten microseconds of work, it is not
/// made; a convolution with its pool is cut for as many threads as there are, since every cut costs it a row of tiles.
pub(super) fn cut(graph: &Graph, index: usize, step: &Step, threads: usize) -> Vec<Task> {
    let y = &graph.activations[graph.nodes[step.written()[0]].output.activation];
    let by_part = |n: usize, pieces: usize, blocks: usize| -> Vec<Task> {
        split(n, pieces).map(|part| Task { step: index, part, blocks: 0..blocks }).collect()
    };
    // Pieces of a step that moves `elements` and computes little.
    let light = |elements: usize| if threads == 1 { 1 } else { (elements / 16_384).clamp(1, 4 * threads) };
    // Pieces of a step of so many multiply-adds.
    let heavy = |multiply_adds: u64| {
        if threads == 1 { 1 } else { (multiply_adds / 500_000).clamp(1, 6 * threads as u64) as usize }
    };
    match &step.kind {
        Kind::Direct(conv) => {
            cut_direct(index, conv, if threads == 1 { 1 } else { heavy(conv.shape().multiply_adds()) })
        }
        // Windows take a row from the tiles after theirs, so that every cut computes some tiles twice.
        Kind::Winograd(WinogradStep { pool: Some([rows, _]), .. }) => by_part(*rows, threads, 0),
        Kind::Winograd(conv) => {
            // No more than groups of rows or what the threads need: every part reads all weights.
            let parts = conv.tile_rows().div_ceil(conv.rows_at_once()).max(2 * threads);
            by_part(conv.tile_rows(), heavy(conv.multiply_adds()).min(parts), conv.blocks())
        }
        Kind::WinogradInput { conv, .. } => {
            let blocks = conv.channel_blocks();
            by_part(blocks, light(4 * conv.algorithm().points() * conv.v_row_len()), conv.blocks())
        }
        Kind::WinogradOutput(conv) => split(conv.blocks(), heavy(conv.multiply_adds()))
            .map(|blocks| Task { step: index, part: 0..conv.tile_rows(), blocks })
            .collect(),
        Kind::Lrn { shape, .. } => by_part(shape.plane, light(y.len()), 0),
        Kind::MaxPool(_) | Kind::AveragePool(_) | Kind::GlobalAverage { .. } => by_part(y.c, light(4 * y.len()), 0),
        Kind::FullyConnected { .. } => by_part(y.c, light(y.c * graph.activations[step.input].len() / 8), 0),
        Kind::Softmax => by_part(y.c, 1, 0),
    }
}

fn cut_direct(index: usize, conv: &DirectStep, most: usize) -> Vec<Task> {
    let (tiles, blocks) = (conv.tiles(), conv.blocks());
    // Each piece streams all weights if pixels are cut, packs or reads all inputs if channels are.
    let weights = conv.shape().steps() * conv.shape().oc;
    let inputs = conv.shape().steps() * conv.shape().pixels();
    let (by_tiles, by_blocks) = if most == 1 {
        (1, 1)
    } else if weights > 3 * inputs {
        (most.div_ceil(blocks).min(2), most.min(blocks))
    } else {
        let by_tiles = most.min(tiles);
        (by_tiles, most.div_ceil(by_tiles).min(2))
    };
    split(tiles, by_tiles)
        .flat_map(|part| split(blocks, by_blocks).map(move |blocks| Task { step: index, part: part.clone(), blocks }))
        .collect()
}

/// What a task reads and writes.
pub(super) fn access(graph: &Graph, offsets: &[usize], step: &Step, task: &Task) -> Access {
    // What is read unless a part is enough.
    let whole = |len: usize| Some(offsets[step.input]..offsets[step.input] + len);
    let input = match step.input {
        0 => None,
        input if input < graph.activations.len() => whole(graph.activations[input].len()),
        _ => None,
    };
    let output = |node: usize| graph.nodes[step.written()[node]].output;
    let region = |place: Place, channels: Range<usize>, pixels: Range<usize>| {
        let plane = graph.activations[place.activation].plane();
        let offset = offsets[place.activation] + (place.channel + channels.start) * plane + pixels.start;
        Region { offset, rows: channels.len(), len: pixels.len(), stride: plane }
    };
    let row = |offset: usize, len: usize| Region { offset, rows: 1, len, stride: len };
    let part = task.part.clone();
    match &step.kind {
        Kind::Direct(conv) => {
            let pixels = conv.pixels(part);
            let write = |node: usize| region(output(node), conv.channels(node, task.blocks.clone()), pixels.clone());
            Access { read: input, writes: (0..step.nodes.len()).map(write).collect() }
        }
        Kind::Winograd(conv) => {
            Access { read: input, writes: vec![region(output(0), 0..conv.shape().oc, conv.pixels(&part))] }
        }
        Kind::WinogradInput { conv, v } => {
            let (stride, block) = (conv.v_row_len(), conv.block_len());
            let offset = offsets[*v] + part.start * block;
            let write = Region { offset, rows: conv.algorithm().points(), len: part.len() * block, stride };
            Access { read: input, writes: vec![write] }
        }
        Kind::WinogradOutput(conv) => {
            let channels = conv.channels(task.blocks.clone());
            let read = whole(conv.algorithm().points() * conv.v_row_len());
            Access { read, writes: vec![region(output(0), channels, 0..conv.shape().pixels())] }
        }
        Kind::Lrn { shape, in_place } => {
            let read = if *in_place { None } else { input };
            Access { read, writes: vec![region(output(0), 0..shape.c, part)] }
        }
        Kind::MaxPool(_) | Kind::AveragePool(_) | Kind::GlobalAverage { .. } => {
            let (plane, out) = (graph.activations[step.input].plane(), graph.activations[output(0).activation].plane());
            let planes = offsets[step.input] + part.start * plane..offsets[step.input] + part.end * plane;
            let y = region(output(0), part, 0..out);
            // Whole planes are one row: the kernel takes a slice.
            Access { read: input.map(|_| planes), writes: vec![row(y.offset, y.rows * out)] }
        }
        Kind::FullyConnected { .. } | Kind::Softmax => {
            Access { read: input, writes: vec![row(offsets[output(0).activation] + part.start, part.len())] }
        }
    }
}
