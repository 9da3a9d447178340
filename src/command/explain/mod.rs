//! `explain`: what a network makes of one picture, as a page.
//!
//! ```text
//! look.rs        one run of the network: probabilities, class maps, heads, modules' outputs
//! occlusion.rs   many runs, each with a grey square somewhere else
//! draw.rs        maps over the picture, channels, as JPEG and PNG
//! report.rs      JSON of it; page.rs: HTML of it
//! ```
//!
//! Sources of the ideas: B. Zhou et al., "Learning Deep Features for Discriminative Localization", 2016, arXiv:1512.04150
//! (class maps); M. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", 2013, arXiv:1311.2901,
//! section 4.2 (occlusion).

mod draw;
mod look;
mod occlusion;
mod page;
mod report;

use std::io::Write;
use std::path::PathBuf;

use crate::image::{self, Decoded};
use clap::Args;

use crate::command::classify::PHOTOGRAPH;
use crate::command::correlate::folders::Results;
use crate::command::exit::{Code, OrFail, Outcome};
use crate::command::printable::Printable;
use crate::command::{inputs, load};
use look::Seen;
use occlusion::Occlusion;
use report::Report;

/// Show what a network makes of a picture (JPEG or PNG), as a page: where it sees its classes, what it needs to see, what
/// its modules answer.
///
/// Without an IMAGE it looks at a built-in photograph of a cat; without `--weights` it uses built-in weights that know ten
/// classes.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Explain {
    /// The picture
    #[arg(value_name = "IMAGE")]
    image: Option<PathBuf>,
    /// Folder to write to, which is made if it is missing
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Weights, as `convert` writes them [default: the demonstration weights]
    #[arg(short, long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// How many classes to show maps of, the likeliest first, 1 to 20
    #[arg(long, value_name = "K", default_value = "3", value_parser = top)]
    top: usize,
    /// Threads to use [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = load::threads)]
    threads: Option<usize>,
    /// Say on stderr how the weights came into use
    #[arg(long)]
    verbose: bool,
    /// Replace files in FOLDER that exist
    #[arg(short, long)]
    force: bool,
}

const EXAMPLE: &str = "\
Files in FOLDER, which are the same bytes for any number of threads:
  index.html     all of it as one page that needs no other file
  explain.json   its numbers; points and boxes are [x, y] and [x, y, width, height] in pixels of the picture:
    image, size ([width, height]), network, dialect, side; window, the part of the picture that the input shows
    top            of the classes: index, label, probability, logit
    class_maps     of the same classes: index, bias, shape ([h, w]), values (their mean and bias make the logit),
                   centre_of_mass of what speaks for the class; null where the network's end is not linear
    occlusion      positions a side, square (its side in pixels of the input), and of the same classes index, and
                   probabilities ([positions, positions]) with the square's centre there
    layers         name, shape ([c, h, w]), zero_share, and the strongest channels: channel, layer (which makes it),
                   largest, mean
    heads          from shallow to deep, the network's own end last: name, after, top; heads_absent: those that the file
                   has no weights of, heads_unfit: those that do not run at this side

Example:
  googlenet explain --out cat
  googlenet explain dog.jpg --weights googlenet.safetensors --out dog";

const INDEX: &str = "index.html";
const JSON: &str = "explain.json";

impl Explain {
    /// Writes the files, and prints the labels.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        let results = Results::create(&self.out, &[INDEX, JSON], self.force)?;
        let (name, picture) = self.picture()?;
        let model = load::model(self.weights.as_deref())?;
        let threads = self.threads.unwrap_or_else(load::all_threads);
        let seen = Seen::look(&model, picture.view(), self.top, threads, self.verbose).map_err(|e| e.of(&name))?;
        let occlusion = Occlusion::measure(&model, &seen, threads)?;
        let report = Report { name, model: &model, picture: picture.view(), seen, occlusion };
        results.write(JSON, |file| writeln!(file, "{:#}", report.json()))?;
        let page = page::page(&report)?;
        results.write(INDEX, |file| file.write_all(page.as_bytes()))?;
        writeln!(out, "{}", Printable(&report.name))?;
        for p in &report.seen.top {
            writeln!(out, "  {:6.2} %  {:>4}  {}", 100.0 * p.probability, p.index, Printable(&p.label))?;
        }
        writeln!(out, "\n{}", Printable(&self.out.join(INDEX).display().to_string()))?;
        Ok(())
    }

    /// The picture and its name.
    fn picture(&self) -> Outcome<(String, Decoded)> {
        let (name, picture) = match &self.image {
            Some(path) => inputs::open_one(path),
            None => ("chelsea.png (built in)".to_owned(), image::decode(PHOTOGRAPH)),
        };
        let picture = picture.or_fail(Code::Input, &name)?;
        Ok((name, picture))
    }
}

/// Parses `--top`.
fn top(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(top @ 1..=20) => Ok(top),
        _ => Err("expected a whole number from 1 to 20".to_owned()),
    }
}
