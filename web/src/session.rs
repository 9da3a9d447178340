//! Sessions: pictures or tensors in, what a run gives out.

use googlenet::image::{Rgb8, prepare};
use googlenet::{Options, Session};
use serde::{Deserialize, Serialize};

use crate::{BORDER, Failure, Reply, answer, drop_in, get, json, keep, lent, options};

/// What a session is made for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Wanted {
    threads: usize,
    batch: usize,
    side: Option<usize>,
    endpoints: Vec<String>,
    class_maps: bool,
    profile: bool,
    /// The instruction set, by its name; the best by default.
    isa: Option<String>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { threads: 1, batch: 1, side: None, endpoints: Vec::new(), class_maps: false, profile: false, isa: None }
    }
}

/// Makes a session of a model, for the [`Wanted`] in the inbox. Returns the session; the reply is empty.
#[unsafe(no_mangle)]
pub extern "C" fn session_open(model: u32) -> u32 {
    answer(|border, inbox| {
        let wanted: Wanted = options(&inbox)?;
        let mut options = Options::new()
            .threads(wanted.threads)
            .batch(wanted.batch)
            .class_maps(wanted.class_maps)
            .profile(wanted.profile);
        if let Some(side) = wanted.side {
            options = options.side(side);
        }
        if let Some(name) = wanted.isa {
            let isa = googlenet::isa::detected().find(|isa| isa.name() == name);
            options = options.isa(isa.ok_or_else(|| Failure(format!("this module has no instruction set {name:?}")))?);
        }
        for name in wanted.endpoints {
            options = options.endpoint(name);
        }
        let session = get(&mut border.models, model, "model")?.session(options)?;
        Ok((keep(&mut border.sessions, session), Reply::default()))
    })
}

/// Forgets a session and ends its threads.
#[unsafe(no_mangle)]
pub extern "C" fn session_close(session: u32) {
    BORDER.with_borrow_mut(|border| drop_in(&mut border.sessions, session));
}

/// What a call on a session does.
fn with(session: u32, work: impl FnOnce(&mut Session, Vec<u8>) -> Result<Reply, Failure>) -> u32 {
    answer(|border, inbox| Ok((1, work(get(&mut border.sessions, session, "session")?, inbox)?)))
}

/// The reply describes a session as JSON.
#[unsafe(no_mangle)]
pub extern "C" fn session_describe(session: u32) -> u32 {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Described {
        side: usize,
        batch: usize,
        threads: usize,
        isa: &'static str,
        memory_bytes: usize,
        /// Rows and columns of class maps, if the session keeps them.
        class_map_shape: Option<[usize; 2]>,
    }
    with(session, |session, _| {
        json(&Described {
            side: session.side(),
            batch: session.batch(),
            threads: session.threads(),
            isa: session.isa().name(),
            memory_bytes: session.memory_bytes(),
            class_map_shape: session.class_map_shape(),
        })
    })
}

/// The reply is where the next run's input lies, `[batch, 3, side, side]`, for JavaScript to write or read. The place stays
/// the same as long as the session is there.
#[unsafe(no_mangle)]
pub extern "C" fn session_input(session: u32) -> u32 {
    with(session, |session, _| {
        let count = session.input_mut().len();
        Ok(Reply::Lent(session.input_pointer().expose_provenance(), count))
    })
}

/// Prepares the picture in the inbox, `width * height` pixels of four bytes, red, green, blue and one that is not looked
/// at, as image `image` of the next run.
#[unsafe(no_mangle)]
pub extern "C" fn session_prepare(session: u32, image: usize, width: usize, height: usize) -> u32 {
    with(session, |session, mut pixels| {
        let count = width.checked_mul(height).filter(|count| count.checked_mul(4) == Some(pixels.len()));
        let count = count.ok_or_else(|| Failure(format!("{} bytes are no {width}x{height} pixels", pixels.len())))?;
        // Three bytes a pixel, where there were four.
        for pixel in 1..count {
            pixels.copy_within(4 * pixel..4 * pixel + 3, 3 * pixel);
        }
        let picture = Rgb8::new(width, height, 3 * width, &pixels[..3 * count])?;
        let (side, rule, batch) = (session.side(), *session.rule(), session.batch());
        let input = session.input_mut().chunks_exact_mut(3 * side * side).nth(image);
        let input = input.ok_or_else(|| Failure(format!("image {image}: a run takes {batch}")))?;
        prepare(picture, &rule, side, input)?;
        Ok(Reply::default())
    })
}

/// Runs the network on the input.
#[unsafe(no_mangle)]
pub extern "C" fn session_run(session: u32) -> u32 {
    with(session, |session, _| {
        session.run();
        Ok(Reply::default())
    })
}

/// The reply is the last run's logits, `[batch, classes]`.
#[unsafe(no_mangle)]
pub extern "C" fn session_logits(session: u32) -> u32 {
    with(session, |session, _| Ok(lent(session.logits())))
}

/// The reply is the last run's probabilities, `[batch, classes]`.
#[unsafe(no_mangle)]
pub extern "C" fn session_probabilities(session: u32) -> u32 {
    with(session, |session, _| Ok(lent(session.probabilities())))
}

/// The reply is the output of the layer whose name is in the inbox, `[batch, c, h, w]`.
#[unsafe(no_mangle)]
pub extern "C" fn session_endpoint(session: u32) -> u32 {
    with(session, |session, name| {
        let name = String::from_utf8(name)?;
        Ok(lent(session.endpoint(&name).ok_or_else(|| Failure(format!("this session does not keep {name:?}")))?))
    })
}

/// The reply is the shape for one image, `[c, h, w]`, of the output of the layer whose name is in the inbox, as JSON.
#[unsafe(no_mangle)]
pub extern "C" fn session_endpoint_shape(session: u32) -> u32 {
    with(session, |session, name| {
        let name = String::from_utf8(name)?;
        json(&session.endpoint_shape(&name).ok_or_else(|| Failure(format!("this session does not keep {name:?}")))?)
    })
}

/// The reply is the map of a class for one image of the last run: its rows, its columns, the class's bias, and then the
/// map's values.
#[unsafe(no_mangle)]
pub extern "C" fn session_class_map(session: u32, image: usize, class: usize) -> u32 {
    with(session, |session, _| {
        let map = session.class_map(image, class)?;
        let head = [map.shape[0] as f32, map.shape[1] as f32, map.bias];
        Ok(Reply::Values(head.into_iter().chain(map.values).collect()))
    })
}

/// The reply is what each step took in the last run, in order, as JSON.
#[unsafe(no_mangle)]
pub extern "C" fn session_profile(session: u32) -> u32 {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Step {
        layers: String,
        kernel: String,
        milliseconds: f64,
        multiply_adds: u64,
    }
    with(session, |session, _| {
        let steps = session.profile().into_iter().map(|step| Step {
            layers: step.layers,
            kernel: step.kernel,
            milliseconds: step.nanoseconds as f64 / 1e6,
            multiply_adds: step.multiply_adds,
        });
        json(&steps.collect::<Vec<_>>())
    })
}

/// Sets the times of [`session_profile`] back to zero.
#[unsafe(no_mangle)]
pub extern "C" fn session_reset_profile(session: u32) -> u32 {
    with(session, |session, _| {
        session.reset_profile();
        Ok(Reply::default())
    })
}
