//! How long networks take, on weights that are made up for it: all in one run, in turns.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::image::{Preset, Rule};
use crate::model::Network;
use crate::weights::{Dtype, NewTensor, Weights, encode};
use crate::{Model, Options, Session};

use crate::command::exit::{Code, OrFail, Outcome};
use crate::command::progress::Progress;

/// How times are taken.
pub struct Settings {
    /// Runs of each network.
    pub runs: usize,
    /// Whether the weights are held as f16.
    pub f16: bool,
    /// Whether each step is timed, too.
    pub layers: bool,
}

/// The times that one network took, in milliseconds an image.
pub struct Times {
    pub median: f64,
    pub min: f64,
    /// The layers of each step, joined by ` + `, and the time that threads worked on it, divided by the number of
    /// threads; empty unless asked for.
    pub steps: Vec<(String, f64)>,
}

impl Times {
    /// The time of the steps of which `layer` is the last layer; `None` if there are none.
    pub fn ends_with(&self, layer: &str) -> Option<f64> {
        let own = self.steps.iter().filter(|(layers, _)| layers.rsplit(" + ").next() == Some(layer));
        own.map(|&(_, ms)| ms).reduce(|sum, ms| sum + ms)
    }
}

/// The times of each of `networks`, in their order.
pub fn measure(networks: &[&Network], options: &Options, settings: &Settings) -> Outcome<Vec<Times>> {
    let models = networks.iter().map(|network| seeded(network, settings.f16)).collect::<Outcome<Vec<_>>>()?;
    let session = |profile: bool| move |model: &Model| session(model, options.clone().profile(profile));
    let mut sessions = models.iter().map(session(false)).collect::<Outcome<Vec<_>>>()?;
    let progress = Progress::new((WARM_UP + settings.runs) * sessions.len(), "runs");
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); sessions.len()];
    for run in 0..WARM_UP + settings.runs {
        for (session, times) in sessions.iter_mut().zip(&mut times) {
            let begin = Instant::now();
            session.run();
            let ms = begin.elapsed().as_secs_f64() * 1e3 / session.batch() as f64;
            if run >= WARM_UP {
                times.push(ms);
            }
            progress.advance(1)?;
        }
    }
    drop(sessions);
    let steps =
        |model: &Model| if settings.layers { steps(session(true)(model)?, settings.runs) } else { Ok(Vec::new()) };
    let all = models.iter().zip(times).map(|(model, mut ms)| {
        ms.sort_by(f64::total_cmp);
        Ok(Times { median: ms[ms.len() / 2], min: ms[0], steps: steps(model)? })
    });
    all.collect()
}

/// Each step's layers, and the time that threads worked on it, divided by the number of threads.
fn steps(mut session: Session, runs: usize) -> Outcome<Vec<(String, f64)>> {
    session.run();
    session.reset_profile();
    (0..runs).for_each(|_| session.run());
    // A step's time is summed over runs, images and threads.
    let shares = (runs * session.batch() * session.threads()) as f64;
    let profile = session.profile().into_iter();
    Ok(profile.map(|step| (step.layers, step.nanoseconds as f64 / 1e6 / shares)).collect())
}

fn session(model: &Model, options: Options) -> Outcome<Session> {
    let mut session = model.session(options).or_fail(Code::Usage, "")?;
    // A run's time does not depend on the values, subnormals aside: a fixed pattern in a picture's range will do.
    session.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i % 251) as f32 - 125.0);
    Ok(session)
}

/// A model of `network` with seeded random weights, of such a size that activations neither vanish nor grow (He et al.
/// 2015, arXiv:1502.01852), so that no run meets subnormals or infinities.
fn seeded(network: &Network, f16: bool) -> Outcome<Model> {
    let Rule { geometry, channels, mean, std, resize } = Preset::of(network.dialect).rule(network.side);
    let list = |values: [f32; 3]| values.map(|value| value.to_string()).join(",");
    let metadata: BTreeMap<String, String> = [
        ("dialect", network.dialect.name().to_owned()),
        ("input_side", network.side.to_string()),
        ("channels", channels.name().to_owned()),
        ("mean", list(mean)),
        ("std", list(std)),
        ("resize", resize.to_string()),
        ("geometry", geometry.name().to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let parameters = network.parameters();
    let mut random = SplitMix(0);
    let tensors: Vec<NewTensor<'_>> = parameters
        .iter()
        .map(|(name, shape)| {
            let fan_in: usize = shape[1..].iter().product();
            let scale = if shape.len() == 1 { 0.1 } else { (6.0 / fan_in as f32).sqrt() };
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.next() * scale).collect();
            NewTensor { name, shape, dtype: if f16 { Dtype::F16 } else { Dtype::F32 }, values: values.into() }
        })
        .collect();
    let bytes = encode(&metadata, &tensors).or_fail(Code::System, network.name)?;
    drop(tensors);
    Weights::from_vec(bytes).and_then(Model::new).or_fail(Code::System, network.name)
}

/// Numbers of -1 to 1: SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Runs of each network before times are taken.
const WARM_UP: usize = 2;
