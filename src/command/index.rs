//! `index`: the features of every picture in a folder, in a file that `similar` searches.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use xxhash_rust::xxh3::Xxh3Default;

use crate::index::Writer;
use crate::{Error, Model, Options};

use crate::command::caller::complain;
use crate::command::exit::{Code, Failure, Outcome};
use crate::command::printable::Printable;
use crate::command::progress::Progress;
use crate::command::{load, output, pictures};

/// Write the features of the pictures (JPEG or PNG) in a folder and the folders inside to a file, for `similar` to search.
///
/// Features are what the network hands to its classifier, 1024 values of GoogLeNet: they describe pictures whatever the
/// classes. The file has 4 KiB for each picture. Memory does not grow with the number of pictures, but for their names.
///
/// A picture that cannot be read is named on stderr and left out.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Index {
    /// Where the pictures are
    #[arg(value_name = "DIR")]
    pictures: PathBuf,
    /// The file to write
    #[arg(value_name = "F")]
    output: PathBuf,
    /// Weights, as `convert` writes them [default: the demonstration weights]
    #[arg(short, long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Threads to use [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = load::threads)]
    threads: Option<usize>,
    /// Say on stderr how the weights came into use
    #[arg(long)]
    verbose: bool,
    /// Replace F if it exists
    #[arg(short, long)]
    force: bool,
}

const EXAMPLE: &str = "\
The file, little-endian: 64 bytes that begin with \"googlenet index\", then a row for each picture, f32, of length 1 as a
vector; names, metadata and a footer behind them. The documentation of the library's module `index` has all of it. NumPy reads
the rows of n pictures by numpy.memmap(F, \"<f4\", \"r\", 64, (n, 1024)).

Example:
  googlenet index photographs photographs.index --weights googlenet.safetensors";

impl Index {
    /// Writes the file, and prints how many pictures are in it.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        output::check(&self.output, self.force)?;
        let paths = pictures::find(&self.pictures, Path::new(""))?;
        let model = load::model(self.weights.as_deref())?;
        let layer = features(&model)?;
        let threads = self.threads.unwrap_or_else(load::all_threads);
        let mut session = load::session(&model, Options::new().threads(threads).endpoint(layer), self.verbose)?;
        let count: usize = session.endpoint_shape(layer).expect("it was asked for").iter().product();
        let failed = |error: Error| Failure::of(Code::System, self.output.display(), &error);
        let mut writer = Writer::create(&self.output, count).map_err(failed)?;
        let progress = Progress::new(paths.len(), "pictures");
        let (rule, side) = (*session.rule(), session.side());
        let mut unusable = 0;
        pictures::prepare_each(&paths, rule, side, |path, input| {
            let why = match input {
                Ok(input) => {
                    session.input_mut().copy_from_slice(&input);
                    session.run();
                    let features = session.endpoint(layer).expect("it was asked for");
                    match crate::index::unit(features) {
                        Some(_) => {
                            let name = path.strip_prefix(&self.pictures).unwrap_or(path);
                            writer.push(&bytes(name), features).map_err(failed)?;
                            None
                        }
                        None => Some("the weights give no finite values for it".to_owned()),
                    }
                }
                Err(why) => Some(why),
            };
            if let Some(why) = why {
                complain(format_args!("error: {}", Printable(&format!("{}: {why}", path.display()))));
                unusable += 1;
            }
            progress.advance(1)
        })?;
        drop(progress);
        let written = writer.len();
        if written == 0 {
            return Err(Failure::new(Code::Input, format!("none of {unusable} pictures could be used")));
        }
        writer.finish(&self.metadata(&model, layer), self.force).map_err(failed)?;
        let pictures = if written == 1 { "picture" } else { "pictures" };
        let path = self.output.display().to_string();
        writeln!(out, "{}: {written} {pictures}, {count} features each", Printable(&path))?;
        match unusable {
            0 => Ok(()),
            _ => Err(Failure::new(Code::Input, format!("{unusable} of {} pictures could not be used", paths.len()))),
        }
    }

    fn metadata(&self, model: &Model, layer: &str) -> BTreeMap<String, String> {
        let folder = std::path::absolute(&self.pictures).unwrap_or_else(|_| self.pictures.clone());
        let network = model.network();
        let pairs = [
            (PICTURES, folder.to_string_lossy().into_owned()),
            ("network", network.name.to_owned()),
            (DIALECT, network.dialect.name().to_owned()),
            ("layer", layer.to_owned()),
            (WEIGHTS, fingerprint(model)),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value)).into()
    }
}

/// The layer of the network's features.
pub fn features(model: &Model) -> Outcome<&str> {
    let network = model.network();
    let none = || Failure::new(Code::Model, format!("{} has no layer of features", network.name));
    network.roles.features.as_deref().ok_or_else(none)
}

/// What tells whether two sets of weights, and the ways in which they want pictures prepared, give the same features: a hash
/// of the network's tensors as f32, whatever else their file holds, and of the rule.
pub fn fingerprint(model: &Model) -> String {
    let mut hasher = Xxh3Default::new();
    for (name, _) in model.network().clone().keep_heads(&[]).parameters() {
        let tensor = model.weights().tensor(&name).expect("the model has the network's tensors");
        hasher.update(name.as_bytes());
        for values in tensor.to_f32().chunks(4096) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
    }
    hasher.update(format!("{:?} {}", model.rule(), model.side()).as_bytes());
    format!("{:032x}", hasher.digest128())
}

/// A path as the index's file has it: the system's own bytes where it has any.
pub fn bytes(path: &Path) -> Vec<u8> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        path.as_os_str().as_bytes().to_vec()
    }
    #[cfg(not(unix))]
    path.to_string_lossy().into_owned().into_bytes()
}

/// The path that the index's file has as `bytes`.
pub fn path(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        std::ffi::OsStr::from_bytes(bytes).into()
    }
    #[cfg(not(unix))]
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// The metadata key of the folder of the pictures.
pub const PICTURES: &str = "pictures";
/// The metadata key of [`fingerprint`].
pub const WEIGHTS: &str = "weights";
/// The metadata key of the network's dialect.
pub const DIALECT: &str = "dialect";
