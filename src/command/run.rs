//! `run`: from an input that is preprocessed already to a layer's output.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use crate::file;
use crate::npy::{Header, write_header};
use crate::{Options, Precision};
use clap::Args;

use crate::command::exit::{Code, Failure, OrFail, Outcome};
use crate::command::load;
use crate::command::progress::Progress;
use crate::command::stream::{self, Output, bytes_of};

/// Run the network on a tensor that is already preprocessed.
///
/// Input: .npy, f32, C order, [n, 3, side, side]. Output: .npy, f32, [n, classes] of the logits or probabilities,
/// [n, c, h, w] of any other layer.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Run {
    /// Weights, as `convert` writes them [default: the demonstration weights]
    #[arg(short, long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// The input; `-` is standard input
    #[arg(short, long, value_name = "X.npy")]
    input: PathBuf,
    /// Where to write the output; `-` is standard output
    #[arg(short, long, value_name = "Y.npy")]
    output: PathBuf,
    /// What to write: `logits`, `prob`, `loss1` or `loss2` where the weights have auxiliary heads, or a layer as Caffe calls it, `inception_4e/output` or `pool5/7x7_s1`; an unknown one is answered with all that there are
    #[arg(short, long, value_name = "NAME", default_value = "logits")]
    endpoint: String,
    /// Side of the input, in pixels [default: the weights']
    #[arg(short, long, value_name = "PIXELS", value_parser = load::side)]
    side: Option<usize>,
    /// Threads to use [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = load::threads)]
    threads: Option<usize>,
    /// Precision to compute in: `f32`; `bf16`, rounded to 8 significant bits; `int8`, for weights that `quantize` made
    #[arg(short, long, value_name = "NAME", default_value = "f32", value_parser = load::precision())]
    precision: Precision,
    /// Say on stderr how the weights came into use, and what layers compute in
    #[arg(short, long)]
    verbose: bool,
    /// Replace the output if it exists
    #[arg(short, long)]
    force: bool,
}

const EXAMPLE: &str = "\
Example:
  googlenet run --weights googlenet.safetensors --input x.npy --output y.npy --endpoint pool5/7x7_s1
  googlenet preprocess cat.jpg - | googlenet run --input - --output - --endpoint prob > y.npy";

impl Run {
    /// Writes the output.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        Output::check(&self.output, self.force)?;
        let model = load::model(self.weights.as_deref())?;
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

        let mut file = Output::create(&self.output, out)?;
        let mut header = Vec::new();
        write_header(&mut header, &shape).or_fail(Code::System, self.output.display())?;
        file.put(&header, &self.output)?;
        let progress = Progress::new(images, "images");
        let mut done = 0;
        while done < images {
            let live = batch.min(images - done);
            let x = &mut session.input_mut()[..live * 3 * side * side];
            input.header.read_values(&mut input.reader, x).or_fail(Code::Input, stream::name(&self.input))?;
            session.run();
            let y = session.endpoint(endpoint).expect("it was asked for");
            file.put(&bytes_of(&y[..live * c * h * w]), &self.output)?;
            progress.advance(live)?;
            done += live;
        }
        input.end(&self.input)?;
        file.commit(&self.output, self.force)
    }
}

/// A file of images whose header was read, and whose length was checked if it is a file; `reader` is at the first value.
struct Input {
    images: usize,
    header: Header,
    reader: Box<dyn BufRead>,
}

impl Input {
    fn open(path: &Path, side: usize) -> Outcome<Self> {
        let name = stream::name(path);
        let bad = |problem: String| Failure::new(Code::Input, format!("{name}: {problem}"));
        // A pipe has no length; of standard input that is a file, somebody may have read the beginning.
        let (mut reader, file_len): (Box<dyn BufRead>, _) = if stream::is_standard(path) {
            (Box::new(BufReader::new(io::stdin())), None)
        } else if stream::is_open_already(path) {
            (Box::new(BufReader::new(File::open(path).or_fail(Code::Input, &name)?)), None)
        } else {
            let file = file::open(path).or_fail(Code::Input, &name)?;
            let len = file.metadata().or_fail(Code::Input, &name)?.len();
            (Box::new(BufReader::new(file)), Some(len))
        };
        let mut counted = Counted { reader: &mut reader, read: 0 };
        let header = Header::read(&mut counted).or_fail(Code::Input, &name)?;
        let header_len = counted.read;
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
        // A file's length is compared before its header is believed, which also bounds `images`; a pipe ends where it does.
        let expected = images.checked_mul(4 * image).filter(|&bytes| i64::try_from(bytes).is_ok());
        let found = file_len.map(|len| len.saturating_sub(header_len));
        if expected.is_none() || found.is_some_and(|found| expected != Some(found)) {
            let found = found.map_or("too many".to_owned(), |found| found.to_string());
            return Err(bad(format!("{found} bytes of values, not what shape {shape:?} needs")));
        }
        Ok(Self { images: images as usize, header, reader })
    }

    /// Fails unless nothing follows the last image.
    fn end(&mut self, path: &Path) -> Outcome {
        match self.reader.fill_buf().or_fail(Code::Input, stream::name(path))?.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(Code::Input, format!("{}: more bytes than its shape needs", stream::name(path)))),
        }
    }
}

/// A reader that counts the bytes that are read.
struct Counted<R> {
    reader: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}
