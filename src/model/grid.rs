//! Where the positions of a map lie in the network's input.
//!
//! A window of `kernel` positions that begins `pad` before its input, and moves by `stride`, has its centre at
//!
//! ```text
//! first' = first + step * ((kernel - 1) / 2 - pad),   step' = step * stride
//! ```
//!
//! where `first` and `step` are its input's: the centre of the first position, and the distance to the next.

use super::{AverageWindows, Graph, Op, Place};

/// Where the positions of a map lie in the network's input, rows and columns alike: each sees a square of the input around
/// its centre, its receptive field. Positions are distances in the input's pixels from its upper or left edge, so that the
/// middle of the first pixel is at 0.5.
///
/// At an edge, where windows are cut off, they are taken for whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// The centre of what the first position sees.
    pub first: f64,
    /// The distance from one position's centre to the next.
    pub step: f64,
}

impl Grid {
    /// The grid of the pixels themselves.
    const PIXELS: Grid = Grid { first: 0.5, step: 1.0 };

    /// The grid of windows over this grid's positions.
    fn windows(self, kernel: usize, stride: usize, pad: usize) -> Grid {
        let offset = (kernel as f64 - 1.0) / 2.0 - pad as f64;
        Grid { first: self.first + self.step * offset, step: self.step * stride as f64 }
    }
}

impl Graph {
    /// The grid of a place of the graph. `None` for what has no positions that lie evenly in the input: what is behind a
    /// fully connected layer, a global average, or an average over parts of a map.
    ///
    /// ```
    /// use googlenet::model::{Grid, googlenet};
    ///
    /// let graph = googlenet(1000).graph(224);
    /// let grid = |name: &str| graph.grid(graph.find(name).expect("a layer"));
    /// assert_eq!(grid("conv1/7x7_s2"), Some(Grid { first: 0.5, step: 2.0 }));
    /// // Pools that begin at the edge, with no padding, move the centres inward by half a window.
    /// assert_eq!(grid("inception_5b/output"), Some(Grid { first: 30.5, step: 32.0 }));
    /// assert_eq!(grid("prob"), None);
    /// ```
    pub fn grid(&self, place: Place) -> Option<Grid> {
        let mut grids: Vec<Option<Grid>> = vec![None; self.activations.len()];
        grids[0] = Some(Grid::PIXELS);
        for node in &self.nodes {
            let Some(grid) = grids[node.input.activation] else { continue };
            let side = self.activations[node.input.activation].h;
            grids[node.output.activation] = match &node.op {
                Op::Conv(conv) => Some(grid.windows(conv.kh, conv.stride_h, conv.pad_t)),
                Op::MaxPool(pool) => Some(grid.windows(pool.kernel, pool.stride, pool.leading(side))),
                Op::AveragePool(pool) => match pool.windows {
                    AverageWindows::Sliding { kernel, stride } => Some(grid.windows(kernel, stride, 0)),
                    AverageWindows::Adaptive(_) => None,
                },
                Op::Lrn(_) => Some(grid),
                Op::GlobalAverage | Op::FullyConnected { .. } | Op::Softmax => None,
            };
        }
        grids[place.activation]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Dialect;

    /// An input pixel matters to a position if it is in the position's window of windows. That of each is walked, and its
    /// middle is the grid's centre, away from the edges.
    #[test]
    fn centres_are_those_of_receptive_fields() {
        for dialect in Dialect::ALL {
            let network = dialect.network(10);
            let side = network.side;
            let graph = network.graph(side);
            // The first and the last position of the input that a position of each activation sees, across all its nodes.
            let fields = |activation: usize, position: usize| -> (isize, isize) {
                let (mut activation, mut field) = (activation, (position as isize, position as isize));
                while activation != 0 {
                    // Of branches the one whose windows are the largest: the last of them is behind others.
                    let node =
                        graph.nodes.iter().rev().find(|node| node.output.activation == activation).expect("made");
                    let input = &graph.activations[node.input.activation];
                    let (kernel, stride, pad) = match &node.op {
                        Op::Conv(conv) => (conv.kh, conv.stride_h, conv.pad_t),
                        Op::MaxPool(pool) => (pool.kernel, pool.stride, pool.leading(input.h)),
                        Op::Lrn(_) => (1, 1, 0),
                        other => panic!("{other:?} before the last map"),
                    };
                    let first = |position: isize| position * stride as isize - pad as isize;
                    field = (first(field.0), first(field.1) + kernel as isize - 1);
                    activation = node.input.activation;
                }
                field
            };
            let maps = graph.activations.iter().enumerate().filter(|(_, activation)| activation.h > 1);
            for (index, map) in maps {
                let place = graph.nodes.iter().find(|node| node.output.activation == index).map(|node| node.output);
                let Some(grid) = place.and_then(|place| graph.grid(place)) else { continue };
                for position in [0, map.h / 2, map.h - 1] {
                    let (first, last) = fields(index, position);
                    let centre = (first + last) as f64 / 2.0 + 0.5;
                    assert_eq!(grid.first + position as f64 * grid.step, centre, "{dialect:?} {} {position}", map.name);
                }
            }
        }
    }
}
