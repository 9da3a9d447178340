//! `run`: from an input that is preprocessed already to a layer's output.

use std::fs::File;
use std::io::{BufReader, Seek, Write};
use std::path::{Path, PathBuf};

use crate::file::{self, NewFile};
use crate::npy::{Header, write_header};
use crate::{Options, Precision};
use clap::Args;

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::load;
use crate::command::output;
use crate::command::progress::Progress;

/// Run the network on a tensor that is already preprocessed.
///
/// Input: .npy, f32, C order, [n, 3, side, side]. Output: .npy, f32, [n, classes] of the logits or probabilities,
/// [n, c, h, w] of any other layer.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Run {
    /// Weights, as `convert` writes them
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// The input
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    /// Where to write the output
    #[arg(long, value_name = "Y.npy")]
    output: PathBuf,
    /// What to write: `logits`, `prob`, `loss1` or `loss2` where the weights have auxiliary heads, or a layer as Caffe calls it, `inception_4e/output` or `pool5/7x7_s1`
    #[arg(long, value_name = "NAME", default_value = "logits")]
    endpoint: String,
    /// Side of the input, in pixels [default: the weights']
    #[arg(long, value_name = "PIXELS", value_parser = load::side)]
    side: Option<usize>,
    /// Threads to use [default: one for each core]
    #[arg(long, value_name = "N", value_parser = load::threads)]
    threads: Option<usize>,
    /// Precision to compute in: `f32`; `bf16`, rounded to 8 significant bits; `int8`, for weights that `quantize` made
    #[arg(long, value_name = "NAME", default_value = "f32", value_parser = load::precision())]
    precision: Precision,
    /// Say on stderr how the weights came into use, and what layers compute in
    #[arg(long)]
    verbose: bool,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
}

const EXAMPLE: &str = "\
Example:
  googlenet run --weights googlenet.safetensors --input x.npy --output y.npy --endpoint pool5/7x7_s1";

impl Run {
    /// Writes the output.
    pub fn run(self, _out: &mut dyn Write) -> Outcome {
        output::check(&self.output, self.force)?;
        let model = load::model(Some(&self.weights))?;
        let side = self.side.unwrap_or(model.side());
        let mut input = Input::open(&self.input, side)?;
        let images = input.images;
        let threads = self.threads.unwrap_or_else(load::all_threads);
        // A batch has as many images as there are threads, so that each thread takes whole images.
        let batch = images.min(threads).min((Options::MAX_PIXELS / (side * side)).max(1));
        let roles = &model.network().roles;
        let endpoint = if self.endpoint == "logits" { &roles.logits } else { &self.endpoint };
        let options =
            Options::new().threads(threads).batch(batch).side(side).endpoint(endpoint).precision(self.precision);
        let mut session = load::session(&model, options, self.verbose)?;
        let [c, h, w] = session.endpoint_shape(endpoint).expect("it was asked for");
        let flat = [&roles.logits, &roles.probabilities].contains(&endpoint);
        let shape = if flat { vec![images, c] } else { vec![images, c, h, w] };

        let mut file = NewFile::create(&self.output).or_fail(Code::System, self.output.display())?;
        write_header(&mut file, &shape).or_fail(Code::System, self.output.display())?;
        let progress = Progress::new(images, "images");
        let mut done = 0;
        while done < images {
            let live = batch.min(images - done);
            let x = &mut session.input_mut()[..live * 3 * side * side];
            input.header.read_values(&mut input.reader, x).or_fail(Code::Input, self.input.display())?;
            session.run();
            let y = session.endpoint(endpoint).expect("it was asked for");
            for value in &y[..live * c * h * w] {
                file.write_all(&value.to_le_bytes()).or_fail(Code::System, self.output.display())?;
            }
            progress.advance(live)?;
            done += live;
        }
        file.commit(self.force).or_fail(Code::System, self.output.display())
    }
}

/// A file of images whose header was read and whose length was checked; `reader` is at the first value.
struct Input {
    images: usize,
    header: Header,
    reader: BufReader<File>,
}

impl Input {
    fn open(path: &Path, side: usize) -> Outcome<Self> {
        let bad = |problem: String| Failure::new(Code::Input, format!("{}: {problem}", path.display()));
        let file = file::open(path).or_fail(Code::Input, path.display())?;
        let file_len = file.metadata().or_fail(Code::Input, path.display())?.len();
        let mut reader = BufReader::new(file);
        let header = Header::read(&mut reader).or_fail(Code::Input, path.display())?;
        let shape = &header.shape;
        if header.fortran_order {
            return Err(bad("Fortran order, expected C order".into()));
        }
        let image = 3 * (side * side) as u64;
        let &[images, 3, h, w] = shape.as_slice() else {
            return Err(bad(format!("shape {:?}, expected [n, 3, {side}, {side}]", &shape[..shape.len().min(9)])));
        };
        if images == 0 || [h, w] != [side as u64; 2] {
            return Err(bad(format!("shape {shape:?}, expected [n, 3, {side}, {side}] with n of 1 or more")));
        }
        if !["<f4", ">f4"].contains(&header.descr.as_str()) {
            let shown: String = header.descr.chars().take(20).collect();
            return Err(bad(format!("type {shown:?}, expected f32")));
        }
        // The file's length is compared before its header is believed, which also bounds `images`.
        let expected = images.checked_mul(4 * image);
        let found = file_len.saturating_sub(reader.stream_position().or_fail(Code::Input, path.display())?);
        if expected != Some(found) {
            return Err(bad(format!("{found} bytes of values, not what shape {shape:?} needs")));
        }
        Ok(Self { images: images as usize, header, reader })
    }
}
