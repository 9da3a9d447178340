//! The command `googlenet`, with a file or a folder for each subcommand. Results go to stdout, words to stderr.
//!
//! It is part of the library, behind the feature `cli`, so that other programs can have it: the Python package installs it
//! with its one extension module. What it is called with, prints and answers is the command's own documentation's.

mod ahead;
mod bench;
mod caller;
mod classify;
mod compare;
mod completions;
mod convert;
mod correlate;
mod cost;
mod doctor;
mod endpoints;
mod eval;
mod exit;
mod explain;
mod filters;
mod foreign;
mod index;
mod inputs;
mod inspect;
mod interrupt;
mod labels;
mod learn;
mod load;
mod locked;
mod man;
mod names;
mod output;
mod pack;
mod page;
mod pictures;
mod plan;
mod preprocess;
mod printable;
mod profile;
mod progress;
mod quantize;
mod run;
mod similar;
mod stream;
mod version;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use classify::PHOTOGRAPH;
#[doc(hidden)] // a fuzz target reads any bytes as a journal
pub use eval::journal;
pub use load::demonstration;

use exit::{Code, Outcome};
use printable::Printable;

/// GoogLeNet and its predecessors on CPUs: classify pictures, judge weights, run tensors, measure, convert and inspect weights.
#[derive(Parser)]
#[command(name = "googlenet", long_about = LONG_ABOUT, after_help = AFTER_HELP, subcommand_required = true)]
struct Cli {
    /// Say nothing on stderr but what went wrong: no notes, no warnings, no progress
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Read weight files into memory instead of mapping them: for files that somebody may write to meanwhile
    #[arg(long, global = true)]
    no_mmap: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Classify(classify::Classify),
    Eval(eval::Eval),
    Preprocess(preprocess::Preprocess),
    Run(run::Run),
    Bench(bench::Bench),
    Convert(convert::Convert),
    Pack(pack::Pack),
    Quantize(quantize::Quantize),
    Learn(learn::Learn),
    Inspect(inspect::Inspect),
    Cost(cost::Cost),
    Compare(compare::Compare),
    Correlate(correlate::Correlate),
    Explain(explain::Explain),
    Filters(filters::Filters),
    Index(index::Index),
    Similar(similar::Similar),
    Plan(plan::Plan),
    Profile(profile::Profile),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
}

// No comment of documentation: its indented lines would be examples in Rust.
const LONG_ABOUT: &str = "\
GoogLeNet and its predecessors on CPUs: classify pictures, judge weights, run tensors, measure, convert and inspect weights.

Without weights and without a picture it shows what it can do:

    googlenet classify

classifies a built-in photograph with built-in demonstration weights. For ImageNet's 1000 classes, convert the BVLC
weights once and name them:

    googlenet convert bvlc_googlenet.caffemodel googlenet.safetensors --labels synset_words.txt
    googlenet classify --weights googlenet.safetensors cat.jpg";

const AFTER_HELP: &str = "\
Results go to stdout, words to stderr, in colours where that is a terminal. `-` is standard input in the place of a file to
read, and standard output in that of one to write. Weight files and indexes are mapped: nobody may write to one while it is in
use, or else --no-mmap reads it.

A picture that cannot be read is named on stderr, all others are dealt with, and the exit code is 4 in the end.

In JSON a file's name has U+FFFD for what is not UTF-8; then a second key, with _hex after the first one's name, has all of
the name's bytes as hexadecimal digits. Times in `ms` are rounded to a microsecond.

Exit codes:
  0  done
  1  the system failed: reading, writing, threads
  2  wrong usage: an argument, an unknown layer or instruction set
  3  a weight, model or index file that is missing, damaged, or of another network
  4  a picture or .npy file that is missing, damaged, or of the wrong form; of several pictures, any
  5  the output exists (--force replaces it)
  6  an image takes longer than `bench --assert` allows
Others come from the system, or from a fault of the command's own:
  101  a fault of the command's own, which stderr describes
  130  interrupted (Ctrl-C); 143: terminated: what was not complete is removed
  134  ended itself: no memory was left, or a fault while another was dealt with
  135  a mapped weight file was cut off while it was in use
  137  killed from outside: on Linux often because memory ran out
Shells give 134, 135 and 137 for a process that a signal ended: 128 and the signal's number.

Environment:
  GOOGLENET_ISA  portable, neon, avx2 or avx512: the instruction set to use, if not the best one here; empty means not set
  NO_COLOR       if it is not empty, nothing is in colours";

/// Runs the command with `args`, of which the first is the program's name, and returns the exit code of the process.
///
/// This function needs the feature `cli`.
///
/// # Safety
/// The weight files and indexes that `args` name are mapped, unless they say `--no-mmap`: until it returns nobody may write to
/// one, or cut it off, as the command's own help says. [`call`] reads them instead.
///
/// ```
/// // SAFETY: no file is named.
/// let code = |args: [&str; 2]| unsafe { googlenet::command::main(args.map(Into::into)) };
/// assert_eq!(code(["googlenet", "--version"]), 0);
/// assert_eq!(code(["googlenet", "what"]), 2);
/// ```
#[allow(unsafe_code, reason = "who starts the command has read its help, who calls it has read this")]
pub unsafe fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match parse(args) {
        Ok(cli) => {
            load::map_files(!cli.no_mmap);
            cli
        }
        Err(error) if error.use_stderr() => {
            caller::complain(one_line(&error));
            return Code::Usage as u8;
        }
        Err(help) => {
            // Nobody is left to be told if even the help cannot be printed.
            let _ = help.print();
            return 0;
        }
    };
    interrupt::install();
    let mut out = io::stdout().lock();
    let outcome = cli.command.run(&mut out).and_then(|()| Ok(out.flush()?));
    match outcome {
        Ok(()) => 0,
        // Whoever reads stdout has closed it, having seen enough: that is no failure.
        Err(failure) if failure.is_broken_pipe() => 0,
        Err(failure) => {
            caller::complain(format_args!("error: {failure}"));
            failure.code() as u8
        }
    }
}

/// Why a call ended early: see [`call`].
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    /// The exit code that the command would end with.
    pub code: u8,
    /// What was wrong, as the command would say it.
    pub text: String,
    /// The system's number of what it refused, if it did.
    pub system: Option<i32>,
}

/// Runs the command for another program: what would go to stdout is written to `out`, and what would go to stderr is returned,
/// one text for each thing that is said.
///
/// `models` take the place of the demonstration weights where `args`, of which the first is the program's name, name no
/// weights. `is_over` is asked after each picture or run whether to stop; the call then fails, and has written no file but
/// a journal. If some pictures could not be read, but not all, the last text says so, and the call succeeds. Weight files are
/// read, not mapped.
///
/// This function needs the feature `cli`.
///
/// # Errors
/// Whatever the command fails with.
///
/// ```
/// use googlenet::command::call;
///
/// let mut out = Vec::new();
/// let words = call(["googlenet".into(), "classify".into(), "--json".into()], &[], &mut out, || false)?;
/// assert!(String::from_utf8_lossy(&out).contains("cat") && words.is_empty());
/// let failed = call(["googlenet".into(), "classify".into(), "none.png".into()], &[], &mut out, || false).unwrap_err();
/// assert_eq!(failed.code, 4);
/// # Ok::<(), googlenet::command::Failed>(())
/// ```
pub fn call(
    args: impl IntoIterator<Item = OsString>,
    models: &[crate::Model],
    out: &mut dyn Write,
    is_over: impl FnMut() -> bool + 'static,
) -> Result<Vec<String>, Failed> {
    let cli = parse(args).map_err(|error| Failed { code: Code::Usage as u8, text: one_line(&error), system: None })?;
    let (outcome, words) = caller::serve(models, is_over, || cli.command.run(out));
    let failed = |failure: exit::Failure| Failed {
        code: failure.code() as u8,
        text: failure.to_string(),
        system: failure.system(),
    };
    match outcome {
        Err(failure) if failure.is_partial() => Ok([words, vec![format!("error: {failure}")]].concat()),
        outcome => outcome.map(|()| words).map_err(failed),
    }
}

/// The command as its arguments describe it, with what only a running program knows.
fn command() -> clap::Command {
    Cli::command().version(version::short()).long_version(version::long())
}

/// What `args` ask for. From now on this thread says what they want to hear.
fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    // Until it is known better, as of what a call before this one wanted.
    caller::listen(false, false);
    let matches = command().try_get_matches_from(args)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let is_set = |matches: &ArgMatches, name| matches!(matches.try_get_one::<bool>(name), Ok(Some(true)));
    let is_json = matches.subcommand().is_some_and(|(_, matches)| is_set(matches, "json"));
    caller::listen(cli.quiet, is_json);
    load::map_files(false);
    Ok(cli)
}

impl Command {
    fn run(self, out: &mut dyn Write) -> Outcome {
        match self {
            Command::Classify(command) => command.run(out),
            Command::Eval(command) => command.run(out),
            Command::Preprocess(command) => command.run(out),
            Command::Run(command) => command.run(out),
            Command::Bench(command) => command.run(out),
            Command::Convert(command) => command.run(out),
            Command::Pack(command) => command.run(out),
            Command::Quantize(command) => command.run(out),
            Command::Learn(command) => command.run(out),
            Command::Inspect(command) => command.run(out),
            Command::Cost(command) => command.run(out),
            Command::Compare(command) => command.run(out),
            Command::Correlate(command) => command.run(out),
            Command::Explain(command) => command.run(out),
            Command::Filters(command) => command.run(out),
            Command::Index(command) => command.run(out),
            Command::Similar(command) => command.run(out),
            Command::Plan(command) => command.run(out),
            Command::Profile(command) => command.run(out),
            Command::Doctor(command) => command.run(out),
            Command::Completions(command) => command.run(out),
            Command::Man(command) => command.run(out),
        }
    }
}

/// What `error` says was wrong with the arguments, without the usage: its text up to the first empty line, and its tips, on one
/// line. If no subcommand was named, the text is the help instead, which is returned whole.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    if !text.starts_with("error:") {
        return text;
    }
    let lines = text.lines().map(str::trim);
    let said = lines.clone().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    // To pass something that begins with a hyphen is what hardly anybody wanted.
    let tips = lines.filter_map(|line| line.strip_prefix("tip: ")).filter(|tip| !tip.starts_with("to pass '"));
    Printable(&tips.fold(said, |said, tip| format!("{said}; {tip}"))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_tables_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn what_is_mistyped_is_guessed() {
        let said = |args: &[&str]| {
            let error = parse(["googlenet"].iter().chain(args).map(OsString::from)).err().expect("mistyped");
            one_line(&error)
        };
        let text = said(&["clasify"]);
        assert!(text.starts_with("error: ") && text.contains("'classify'") && text.lines().count() == 1, "{text}");
        assert!(said(&["classify", "--wieghts", "x"]).contains("'--weights'"));
        assert!(said(&["classify", "--precision", "bf61"]).contains("bf16"));
    }
}
