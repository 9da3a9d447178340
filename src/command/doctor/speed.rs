//! What a run of GoogLeNet reaches of the cores' peak, beside what it reached on machines that were measured.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::{self, Dialect};
use crate::weights::{Dtype, NewTensor, Weights, encode};
use crate::{Isa, Model, Options};
use googlenet_kernels::peak::fma_peak;

use super::Finding;

/// Measures one thread.
pub fn measure() -> Vec<Finding> {
    match shares() {
        Ok(finding) => vec![finding],
        Err(error) => vec![Finding::wrong("speed", error.to_string())],
    }
}

fn shares() -> crate::Result<Finding> {
    let network = Dialect::Bvlc.network(1000);
    let side = network.side;
    let multiply_adds: u64 = model::cost(&network.graph(side)).iter().map(|layer| layer.multiply_adds).sum();
    let model = Model::with_network(made_up(&network.parameters())?, network)?;
    let mut session = model.session(Options::new())?;
    session.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i % 251) as f32 - 125.0);
    let isa = session.isa();
    let before = fma_peak(isa, MILLISECONDS);
    session.run(); // warms up
    let (begin, mut best) = (Instant::now(), Duration::MAX);
    while begin.elapsed() < Duration::from_secs(1) {
        let begin = Instant::now();
        session.run();
        best = best.min(begin.elapsed());
    }
    let peak = before.max(fma_peak(isa, MILLISECONDS));
    let ms = best.as_secs_f64() * 1e3;
    let share = 100.0 * multiply_adds as f64 / best.as_secs_f64() / peak;
    let said = format!(
        "{ms:.1} ms an image at {side}x{side} on one thread, {share:.0} % of the peak of {:.0} GMAC/s by the network's definition",
        peak / 1e9
    );
    Ok(match recorded(isa) {
        Some((expected, on)) => {
            let is_low = share < 0.75 * expected;
            let low = if is_low { "; is the machine busy, hot, or shared?" } else { "" };
            Finding::doubtful_if(is_low, "speed", format!("{said}; {expected:.0} % on {on}{low}"))
        }
        None => Finding::well("speed", format!("{said}; nothing is recorded of this set")),
    })
}

/// What share of the peak, in %, the network reached in f32, and where: Winograd's algorithm computes less than the definition
/// does, so that it is more than 100.
fn recorded(isa: Isa) -> Option<(f64, &'static str)> {
    match isa.name() {
        // benches/record/2026-11-24-peers.md: 7.6 ms, a peak of 140 GMAC/s.
        "avx512" => Some((149.0, "a Zen 5")),
        // README: 20.9 ms on a Zen 3, whose peak is some 56 GMAC/s.
        "avx2" => Some((135.0, "a Zen 3")),
        _ => None,
    }
}

/// Weights whose values are made up: times do not depend on them.
fn made_up(parameters: &[(String, Vec<usize>)]) -> crate::Result<Weights> {
    let tensors: Vec<NewTensor<'_>> = parameters
        .iter()
        .map(|(name, shape)| {
            let (len, row): (usize, usize) = (shape.iter().product(), shape.iter().skip(1).product());
            let scale = (6.0 / row.max(1) as f32).sqrt();
            let value = |i: usize| ((i % 65_521) as f32 * 0.618_034).fract().mul_add(2.0, -1.0) * scale;
            NewTensor { name, shape, dtype: Dtype::F32, values: (0..len).map(value).collect::<Vec<_>>().into() }
        })
        .collect();
    let keys = [
        ("dialect", "bvlc"),
        ("input_side", "224"),
        ("channels", "bgr"),
        ("mean", "104,117,123"),
        ("std", "1,1,1"),
        ("resize", "256"),
    ];
    let metadata: BTreeMap<String, String> = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Weights::from_vec(encode(&metadata, &tensors)?)
}

/// How long the peak is measured.
const MILLISECONDS: u64 = 200;
