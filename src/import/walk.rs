//! Walks along the model table and the network of a file together: every node is accounted for, or the file is refused.
//!
//! ```text
//! for dialect in those that are possible: for layer in its table:
//!     node  = the one reader of the layer before
//!     check operator, windows, attributes; take weights in the table's shape
//! inception: each branch begins with one reader of the module's input; the input of the Concat in which its chain of
//!     nodes ends tells which branch it is
//! head: the file has it if an average pool reads the value that the head is over
//! at the end no node and no tensor is left over
//! ```
//!
//! Nodes fit a layer if they compute the same: a pool may reach its last window by rounding or by padding, the last
//! pool may be global or as large as its map, and the classifier may be a matrix or a 1x1 convolution. If no dialect
//! fits, the error is that of the dialect whose walk came farthest.

use super::net::{Edges, INPUT, Kind, Net, Node, Value, Window, mismatch};
use super::table::Table;
use super::tensor::{Norm, Order, Parts, Tensor};
use super::{Imported, InputHint};
use crate::error::{ImportError, TensorError};
use crate::model::{Activation, AveragePool, AverageWindows, Conv, Dialect, FullyConnected};
use crate::model::{Graph, Head, Inception, Input, Layer, Lrn, MaxPool, Network, Padding};
use crate::{Error, Result};

/// The weights of `net`, if it is the network of `dialect`, or, without one, of any dialect.
pub(super) fn import(net: &Net<'_>, dialect: Option<Dialect>) -> Result<Imported> {
    let dialects = dialect.map_or_else(|| Dialect::ALL.to_vec(), |dialect| vec![dialect]);
    let mut farthest: Option<(usize, Error)> = None;
    for dialect in dialects {
        let network = dialect.network_with_heads(1);
        let mut walk = Walk::new(net, &network);
        match walk.all() {
            Ok(()) => return walk.finish(),
            Err(error) => {
                let met = walk.met.iter().filter(|&&met| met).count();
                if farthest.as_ref().is_none_or(|(most, _)| met > *most) {
                    farthest = Some((met, error));
                }
            }
        }
    }
    Err(farthest.expect("there are dialects").1)
}

/// The walk along the table of one dialect.
struct Walk<'a, 'n> {
    net: &'n Net<'a>,
    /// The dialect's network, of one class, with all the heads that the dialect has.
    network: &'n Network,
    table: Table,
    /// The network's graph at the image's rows, and at its columns; at the dialect's side where the file fixes none.
    maps: [Graph; 2],
    /// Which nodes have been accounted for.
    met: Vec<bool>,
    parts: Vec<Parts<'a>>,
    heads: Vec<&'static str>,
    input: InputHint,
}

impl<'a, 'n> Walk<'a, 'n> {
    fn new(net: &'n Net<'a>, network: &'n Network) -> Self {
        Walk {
            net,
            table: Table::new(network),
            maps: net.sides.map(|side| network.graph_with(side.unwrap_or(network.side), &network.head_names())),
            network,
            met: vec![false; net.nodes.len()],
            parts: Vec::new(),
            heads: Vec::new(),
            input: InputHint::Unknown,
        }
    }

    fn all(&mut self) -> Result<()> {
        let net = self.net;
        let mut value = self.image()?;
        let Network { layers, heads, .. } = self.network;
        for layer in layers {
            value = match layer {
                // A network may end in its logits and leave the softmax to its user.
                Layer::Softmax { .. } if net.readers(value).is_empty() => value,
                layer => self.layer(layer, value)?,
            };
            for head in heads.iter().filter(|head| head.after == layer.name()) {
                self.head(head, value)?;
            }
        }
        if !net.outputs.contains(&value) {
            return Err(
                ImportError::Graph { name: net.name(value).to_owned(), what: "is not an output of the graph" }.into()
            );
        }
        if let Some(node) = (0..net.nodes.len()).find(|&at| !self.met[at]).map(|at| &net.nodes[at]) {
            return Err(
                ImportError::UnexpectedNode { node: node.label.to_owned(), operator: node.operator.clone() }.into()
            );
        }
        match &net.unread {
            Some(tensor) => Err(TensorError::Unexpected { tensor: tensor.clone() }.into()),
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<Imported> {
        let Walk { network, table, parts, heads, input, .. } = self;
        Imported::new(network.dialect, table.classes(), &heads, parts, input)
    }

    /// The value that the first convolution reads: the image, or what torchvision's `transform_input` makes of it.
    fn image(&mut self) -> Result<Value> {
        let net = self.net;
        let channels = net.readers(INPUT).to_vec();
        if !matches!(channels.iter().map(|&at| &net.nodes[at].kind).next(), Some(Ok(Kind::Channel(_)))) {
            self.input = InputHint::Plain;
            return Ok(INPUT);
        }
        let layer = "data";
        // `transform_input` takes pixels of 0 to 1 that the network's user has normalised by ImageNet's means and
        // deviations, and normalises them by a mean and a deviation of 1/2 instead.
        let [means, deviations] = [Input::IMAGENET.mean, Input::IMAGENET.std].map(|of| of.map(|of| of / 255.0));
        let mut ends = Vec::new();
        for at in channels {
            let Ok(Kind::Channel(c @ 0..=2)) = net.nodes[at].kind else {
                return Err(self.wrong(at, layer, "a channel"));
            };
            let c = c as usize;
            self.met[at] = true;
            let mut value = net.nodes[at].output;
            for step in 0..3 {
                let at = net.reader(value, layer)?;
                let expected = [1.0, deviations[c] / 0.5, (means[c] - 0.5) / 0.5][step];
                let found = match self.kind(at, layer)? {
                    Kind::Unsqueeze if step == 0 => Some(1.0),
                    Kind::Mul(factor) if step == 1 => factor.scalar(),
                    Kind::Add(shift) if step == 2 => shift.scalar(),
                    _ => return Err(self.wrong(at, layer, ["Unsqueeze", "Mul", "Add"][step])),
                };
                if !found.is_some_and(|found| (found - expected).abs() <= 1e-5) {
                    let what = "constant of the input's transform";
                    return Err(mismatch(
                        net.nodes[at].label,
                        layer,
                        what,
                        format!("{expected}"),
                        format!("{found:?}"),
                    ));
                }
                self.met[at] = true;
                value = net.nodes[at].output;
            }
            ends.push((c, value));
        }
        ends.sort_unstable();
        let at = net.reader(ends[0].1, layer)?;
        let expected: Vec<Value> = ends.iter().map(|&(_, value)| value).collect();
        if !matches!(self.kind(at, layer)?, Kind::Concat) || ends.len() != 3 || net.nodes[at].inputs != expected {
            return Err(self.wrong(at, layer, "Concat of three channels"));
        }
        self.met[at] = true;
        self.input = InputHint::Transformed;
        Ok(net.nodes[at].output)
    }

    /// Checks that the nodes that read `value` are `layer`; returns the layer's output.
    fn layer(&mut self, layer: &Layer, value: Value) -> Result<Value> {
        match layer {
            Layer::Inception(module) => self.inception(module, value),
            layer => self.layer_at(layer, self.net.reader(value, layer.name())?),
        }
    }

    /// Checks that the nodes from `at` on are `layer`, which is no module; returns the layer's output.
    fn layer_at(&mut self, layer: &Layer, at: usize) -> Result<Value> {
        match layer {
            Layer::Conv(conv) => self.conv(conv, at),
            Layer::MaxPool(pool) => self.max_pool(pool, at),
            Layer::Lrn(lrn) => self.lrn(lrn, at),
            Layer::AveragePool(pool) => self.average_pool(pool, at),
            Layer::GlobalAverage { name } => self.global_average(name, at),
            Layer::FullyConnected(layer) => self.fully_connected(layer, at),
            Layer::Softmax { name } => match self.kind(at, name)? {
                Kind::Softmax => Ok(self.meet(at)),
                _ => Err(self.wrong(at, name, "Softmax")),
            },
            Layer::Inception(_) => unreachable!("no branch of a dialect's table holds a module"),
        }
    }

    fn conv(&mut self, conv: &Conv, at: usize) -> Result<Value> {
        let (net, name) = (self.net, conv.name.as_str());
        let (at, pads) = self.pad(at, name)?;
        let Kind::Conv { window, groups, weight, bias } = self.kind(at, name)? else {
            return Err(self.wrong(at, name, "Conv"));
        };
        if *groups != conv.groups as i64 {
            return Err(mismatch(net.nodes[at].label, name, "group", conv.groups.to_string(), groups.to_string()));
        }
        let geometry = Geometry {
            kernel: conv.kernel,
            stride: conv.stride,
            extent: &|side| (conv.leading(side), conv.output_side(side)),
            follows_side: matches!(conv.padding, Padding::Same),
        };
        self.window(at, name, window, pads, &geometry)?;
        let (weight, bias) = (weight.clone(), bias.clone());
        let mut value = self.meet(at);
        let mut norm = None;
        let mut next = net.reader(value, name)?;
        if let Kind::Norm(found) = self.kind(next, name)? {
            norm = Some(found.clone());
            value = self.meet(next);
            next = net.reader(value, name)?;
        }
        let Kind::Relu = self.kind(next, name)? else { return Err(self.wrong(next, name, "Relu")) };
        self.take(name, weight, Order::Table, bias, norm)?;
        Ok(self.meet(next))
    }

    /// The node that follows `at` and the padding that `at` adds, if `at` pads; otherwise `at` and no padding.
    fn pad(&mut self, at: usize, layer: &str) -> Result<(usize, [i64; 4])> {
        let Kind::Pad(pads, value) = *self.kind(at, layer)? else { return Ok((at, [0; 4])) };
        // Zeros may pad even the input of a max pool: it has been through ReLU, so no zero wins over a pixel.
        if value != 0.0 || pads.iter().any(|pad| !(0..=MAX_PAD).contains(pad)) {
            let found = format!("{pads:?} of {value}");
            return Err(mismatch(self.net.nodes[at].label, layer, "padding", "zeros", found));
        }
        let value = self.meet(at);
        Ok((self.net.reader(value, layer)?, pads))
    }

    fn max_pool(&mut self, pool: &MaxPool, at: usize) -> Result<Value> {
        let (at, pads) = self.pad(at, &pool.name)?;
        let Kind::MaxPool(window) = self.kind(at, &pool.name)? else {
            return Err(self.wrong(at, &pool.name, "MaxPool"));
        };
        // Padding never wins, so trailing padding does not matter: if the leading padding and the number of windows
        // agree, the windows are the same.
        let geometry = Geometry {
            kernel: pool.kernel,
            stride: pool.stride,
            extent: &|side| (pool.leading(side), pool.output_side(side)),
            follows_side: matches!(pool.padding, Padding::Same),
        };
        self.window(at, &pool.name, window, pads, &geometry)?;
        Ok(self.meet(at))
    }

    /// Checks that `window` is that of `geometry`, at all sides that the map before `layer` may have. `pads` is what a
    /// node before this one has padded.
    fn window(&self, at: usize, layer: &str, window: &Window, pads: [i64; 4], geometry: &Geometry<'_>) -> Result<()> {
        let &Geometry { kernel, stride, extent, follows_side } = geometry;
        let label = self.net.nodes[at].label;
        let texts = |expected: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
            (format!("{expected:?}"), format!("{found:?}"))
        };
        let square = [kernel as i64; 2];
        // A file may leave the kernel's sides to the shape of the weight, which is checked when the weight is taken.
        if let Some(found) = window.kernel.filter(|&found| found != square) {
            let (expected, found) = texts(&square, &found);
            return Err(mismatch(label, layer, "kernel_shape", expected, found));
        }
        let strides = [stride as i64; 2];
        if window.strides != strides {
            let (expected, found) = texts(&strides, &window.strides);
            return Err(mismatch(label, layer, "strides", expected, found));
        }
        let mut window = window.clone();
        if pads != [0; 4] {
            let Edges::Explicit { pads: own, ceil } = window.edges else {
                return Err(mismatch(label, layer, "padding", "one kind", "two"));
            };
            let sum = |i: usize| own[i].saturating_add(pads[i]);
            window.edges = Edges::Explicit { pads: [sum(0), sum(1), sum(2), sum(3)], ceil };
        }
        if let Edges::Explicit { pads, .. } = window.edges
            && pads.iter().any(|pad| !(0..=MAX_PAD).contains(pad))
        {
            let (expected, found) = texts(&format!("0 to {MAX_PAD}"), &pads);
            return Err(mismatch(label, layer, "pads", expected, found));
        }
        for axis in 0..2 {
            let map = &self.maps[axis];
            let sides = match self.net.sides[axis] {
                // With fixed padding, what rounding does repeats with every stride of the side: a few sides stand for
                // all.
                None if !follows_side => kernel..kernel + 4 * stride,
                // The file may hold, as fixed padding, what the table's rule gives at the image's side only.
                _ => {
                    let input = input_of(map, layer);
                    let side = if axis == 0 { input.h } else { input.w };
                    side..side + 1
                }
            };
            for side in sides {
                let (before, n) = extent(side);
                let (expected, found) = ((before as i64, n as i64), window.extent(axis, side, kernel));
                if expected.0 != found.0 {
                    let text = |pad: i64| format!("{pad} before {side} pixels");
                    return Err(mismatch(label, layer, "pads", text(expected.0), text(found.0)));
                }
                if expected.1 != found.1 {
                    let text = |n: i64| format!("{n} over {side} pixels");
                    let what = "windows by padding and rounding";
                    return Err(mismatch(label, layer, what, text(expected.1), text(found.1)));
                }
            }
        }
        Ok(())
    }

    fn lrn(&mut self, lrn: &Lrn, at: usize) -> Result<Value> {
        let &Kind::Lrn { size, alpha, beta, k } = self.kind(at, lrn.name)? else {
            return Err(self.wrong(at, lrn.name, "LRN"));
        };
        let label = self.net.nodes[at].label;
        if size != lrn.size as i64 {
            return Err(mismatch(label, lrn.name, "size", lrn.size.to_string(), size.to_string()));
        }
        for (what, expected, found) in [("alpha", lrn.alpha, alpha), ("beta", lrn.beta, beta), ("bias", lrn.k, k)] {
            if expected != found {
                return Err(mismatch(label, lrn.name, what, expected.to_string(), found.to_string()));
            }
        }
        Ok(self.meet(at))
    }

    fn inception(&mut self, module: &Inception, value: Value) -> Result<Value> {
        let net = self.net;
        let name = format!("{}/output", module.name);
        let n_branches = module.branches.len();
        let readers: Vec<usize> = net.readers(value).iter().copied().filter(|&at| !self.met[at]).collect();
        if readers.len() != n_branches {
            let (expected, found) = (n_branches.to_string(), net.list(&readers));
            return Err(mismatch(net.name(value), &module.name, "readers", expected, found));
        }
        let mut starts = readers.iter().map(|&at| self.chain_end(at, &name)).collect::<Result<Vec<_>>>()?;
        starts.sort_unstable_by_key(|&(_, input, _)| input);
        let at = starts[0].0;
        let concat = &net.nodes[at];
        if let Some(&(other, ..)) = starts.iter().find(|start| start.0 != at) {
            let [expected, found] = [at, other].map(|at| format!("`{}`", net.nodes[at].label));
            return Err(mismatch(net.nodes[other].label, &name, "concatenation", expected, found));
        }
        for (i, (branch, &(.., start))) in module.branches.iter().zip(&starts).enumerate() {
            let mut value = value;
            for (step, layer) in branch.iter().enumerate() {
                value = if step == 0 { self.layer_at(layer, start)? } else { self.layer(layer, value)? };
            }
            if concat.inputs.get(i) != Some(&value) {
                let quoted = |value: &Value| format!("`{}`", net.name(*value));
                let found = concat.inputs.get(i).map_or_else(|| "none".to_owned(), quoted);
                return Err(mismatch(concat.label, &name, "order of inputs", quoted(&value), found));
            }
        }
        if concat.inputs.len() != n_branches {
            let found = concat.inputs.len().to_string();
            return Err(mismatch(concat.label, &name, "inputs", n_branches.to_string(), found));
        }
        self.kind(at, &name)?;
        Ok(self.meet(at))
    }

    /// Follows the chain of nodes that are the only readers of each other from `start` to a concatenation. Returns the
    /// concatenation, which of its inputs the chain ends in, and `start`.
    fn chain_end(&self, start: usize, layer: &str) -> Result<(usize, usize, usize)> {
        let mut value = self.net.nodes[start].output;
        loop {
            let at = self.net.reader(value, layer)?;
            let node = &self.net.nodes[at];
            if node.operator == "Concat" {
                let input = node.inputs.iter().position(|&input| input == value);
                return Ok((at, input.expect("a reader has the value among its inputs"), start));
            }
            value = node.output;
        }
    }

    /// Checks that the nodes over `value` are `head`, if the file has this head.
    fn head(&mut self, head: &Head, value: Value) -> Result<()> {
        let net = self.net;
        let averages = |&at: &usize| matches!(net.nodes[at].kind, Ok(Kind::AveragePool(..)));
        let Some(start) = net.readers(value).iter().copied().find(averages) else { return Ok(()) };
        let mut end = value;
        for (step, layer) in head.layers.iter().enumerate() {
            end = if step == 0 { self.layer_at(layer, start)? } else { self.layer(layer, end)? };
        }
        if let &[at] = net.readers(end)
            && matches!(net.nodes[at].kind, Ok(Kind::Softmax))
        {
            self.meet(at);
        }
        self.heads.push(head.name);
        Ok(())
    }

    fn average_pool(&mut self, pool: &AveragePool, at: usize) -> Result<Value> {
        let Kind::AveragePool(window, _) = self.kind(at, &pool.name)? else {
            return Err(self.wrong(at, &pool.name, "AveragePool"));
        };
        let AverageWindows::Sliding { kernel, stride } = pool.windows else {
            return Err(self.wrong(at, &pool.name, "an average over 4x4 parts of the map"));
        };
        // Without padding all windows lie in the map, and whether padding counts makes no difference.
        let whole = matches!(window.edges, Edges::Explicit { pads: [0, 0, 0, 0], .. });
        if !whole {
            let found = format!("{:?}", window.edges);
            return Err(mismatch(self.net.nodes[at].label, &pool.name, "padding", "none", found));
        }
        let extent = &|side| (0, pool.output_side(side));
        // Programs divide a last, incomplete window by different numbers; at the image's side a head has no such
        // window.
        let geometry = Geometry { kernel, stride, extent, follows_side: true };
        self.window(at, &pool.name, window, [0; 4], &geometry)?;
        Ok(self.meet(at))
    }

    fn global_average(&mut self, name: &str, at: usize) -> Result<Value> {
        let label = self.net.nodes[at].label;
        let (window, counts) = match self.kind(at, name)? {
            Kind::GlobalAverage => return Ok(self.meet(at)),
            Kind::AveragePool(window, counts) => (window, *counts),
            _ => return Err(self.wrong(at, name, "AveragePool")),
        };
        // One window that holds the whole map gives the map's mean, if the sum is divided by the number of its pixels.
        let kernel = window.kernel.unwrap_or([0; 2]);
        for axis in 0..2 {
            let (side, kernel) = (input_of(&self.maps[axis], name).h, kernel[axis]);
            let fits = usize::try_from(kernel).ok().filter(|&kernel| kernel <= 2 * side + 2);
            let (before, n) = fits.map_or((0, 0), |kernel| window.extent(axis, side, kernel));
            let side = side as i64;
            if n != 1 || before < 0 || before + side > kernel {
                let found = format!("{kernel} after {before}, {n} times");
                return Err(mismatch(label, name, "window", format!("one of {side} pixels"), found));
            }
            if counts && kernel > side {
                let found = format!("of {kernel} that counts its padding");
                return Err(mismatch(label, name, "window", format!("one of {side} pixels"), found));
            }
        }
        Ok(self.meet(at))
    }

    /// Checks that the nodes from `at` on are a fully connected layer: perhaps a change of shape; then a matrix, or a
    /// convolution of one pixel and perhaps a change of shape. Returns the layer's output.
    fn fully_connected(&mut self, layer: &FullyConnected, at: usize) -> Result<Value> {
        let (net, name) = (self.net, layer.name.as_str());
        let mut at = at;
        if let Kind::Flatten = self.kind(at, name)? {
            let value = self.meet(at);
            at = net.reader(value, name)?;
        }
        let mut value = match self.kind(at, name)? {
            Kind::FullyConnected { weight, transposed, bias } => {
                let order = if *transposed { Order::Table } else { Order::Transposed };
                let (weight, mut bias) = (weight.clone(), bias.clone());
                let mut value = self.meet(at);
                if bias.is_none()
                    && let &[next] = net.readers(value)
                    && let Kind::Add(shift) = self.kind(next, name)?
                {
                    bias = Some(shift.clone());
                    value = self.meet(next);
                }
                self.take(name, weight, order, bias, None)?;
                value
            }
            Kind::Conv { window, groups: 1, weight, bias }
                if layer.hidden.is_none() && weight.dims.get(2..) == Some(&[1, 1]) =>
            {
                // The map has one pixel, so strides do not matter, but padding would make more windows than one.
                let extents = [0, 1].map(|axis| window.extent(axis, 1, 1));
                if window.kernel.is_some_and(|kernel| kernel != [1, 1]) || extents != [(0, 1); 2] {
                    let found = format!("{:?} with padding of {:?}", window.kernel, extents.map(|(before, _)| before));
                    return Err(mismatch(net.nodes[at].label, name, "window", "one pixel".to_owned(), found));
                }
                let (weight, bias) = (weight.clone(), bias.clone());
                self.take(name, weight, Order::Table, bias, None)?;
                self.meet(at)
            }
            _ => return Err(self.wrong(at, name, "Gemm or MatMul")),
        };
        if layer.hidden.is_some() {
            let at = net.reader(value, name)?;
            let Kind::Relu = self.kind(at, name)? else { return Err(self.wrong(at, name, "Relu")) };
            value = self.meet(at);
        } else if let &[at] = net.readers(value)
            && matches!(net.nodes[at].kind, Ok(Kind::Flatten))
        {
            value = self.meet(at);
        }
        Ok(value)
    }

    /// Checks the shapes of the tensors of `layer` and adds them to the parts.
    fn take(
        &mut self,
        layer: &str,
        weight: Tensor<'a>,
        order: Order,
        bias: Option<Tensor<'a>>,
        norm: Option<Norm<'a>>,
    ) -> Result<()> {
        self.parts.push(self.table.take(layer, weight, order, bias, norm)?);
        Ok(())
    }

    /// What node `at` computes; an error, which names `layer`, if the node is odd.
    fn kind(&self, at: usize, layer: &str) -> Result<&'n Kind<'a>> {
        let node: &'n Node<'a> = &self.net.nodes[at];
        let odd =
            |odd: &super::net::Odd| mismatch(node.label, layer, odd.what, odd.expected.as_str(), odd.found.as_str());
        node.kind.as_ref().map_err(odd)
    }

    /// The error for a node whose operator is not the one that `layer` asks for.
    fn wrong(&self, at: usize, layer: &str, expected: &str) -> Error {
        mismatch(self.net.nodes[at].label, layer, "operator", expected, self.net.nodes[at].operator.as_str())
    }

    /// Notes that node `at` is accounted for; returns its output.
    fn meet(&mut self, at: usize) -> Value {
        self.met[at] = true;
        self.net.nodes[at].output
    }
}

/// The activation that the layer `name` of a graph reads.
fn input_of<'g>(graph: &'g Graph, name: &str) -> &'g Activation {
    let node = graph.nodes.iter().find(|node| node.layer() == name).expect("the table's own layer");
    &graph.activations[node.input.activation]
}

/// The windows of a convolution or a pool, as the model table has them.
struct Geometry<'a> {
    kernel: usize,
    stride: usize,
    /// The number of pixels of padding before the first pixel, and the number of outputs, for a side.
    extent: &'a dyn Fn(usize) -> (usize, usize),
    /// Whether the padding depends on the side, so that windows must agree at the image's own side only.
    follows_side: bool,
}

/// The most pixels of padding that are believed; it keeps sums of padding small.
const MAX_PAD: i64 = 64;
