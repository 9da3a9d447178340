//! Seeded random tensors, for tests of the library and of the command.

use googlenet::model::Network;

/// Seeded random weights for `network`, He-scaled so that values keep their size: name, shape, values.
pub fn random_tensors(network: &Network) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let random = |(name, shape): (String, Vec<usize>)| {
        let fan_in: usize = shape[1..].iter().product();
        let is_bias = shape.len() == 1;
        let scale = if is_bias { 0.1 } else { (6.0 / fan_in as f32).sqrt() };
        let values = (0..shape[0] * fan_in).map(|_| next() * scale).collect();
        (name, shape, values)
    };
    network.parameters().into_iter().map(random).collect()
}
