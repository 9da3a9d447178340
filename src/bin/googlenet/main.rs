//! The command `googlenet`, with a file or a folder for each subcommand. Results go to stdout, words to stderr.
#![deny(unsafe_code)]

mod bench;
mod classify;
mod compare;
mod convert;
mod correlate;
mod cost;
mod eval;
mod exit;
mod inspect;
mod interrupt;
mod labels;
mod load;
mod output;
mod pack;
mod pictures;
mod plan;
mod preprocess;
mod printable;
mod progress;
mod quantize;
mod run;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{Code, Outcome};
use printable::Printable;

/// GoogLeNet and its predecessors on CPUs: classify pictures, judge weights, run tensors, measure, convert and inspect weights.
///
/// Without weights and without a picture it shows what it can do:
///
///     googlenet classify
///
/// classifies a built-in photograph with built-in demonstration weights. For ImageNet's 1000 classes, convert the BVLC
/// weights once and name them:
///
///     googlenet convert bvlc_googlenet.caffemodel googlenet.safetensors --labels synset_words.txt
///     googlenet classify --weights googlenet.safetensors cat.jpg
#[derive(Parser)]
#[command(version, verbatim_doc_comment, after_help = AFTER_HELP, subcommand_required = true)]
struct Cli {
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
    Inspect(inspect::Inspect),
    Cost(cost::Cost),
    Compare(compare::Compare),
    Correlate(correlate::Correlate),
    Plan(plan::Plan),
}

const AFTER_HELP: &str = "\
Results go to stdout, words to stderr. Weight files are mapped: nobody may write to one while it is in use.

Exit codes:
  0  done
  1  the system failed: reading, writing, threads
  2  wrong usage: an argument, an unknown layer or instruction set
  3  a weight or model file that is missing, damaged, or of another network
  4  a picture or .npy file that is missing, damaged, or of the wrong form
  5  the output exists (--force replaces it)
Others come from the system, or from a fault of the command's own:
  101  a fault of the command's own, which stderr describes
  130  interrupted (Ctrl-C); 143: terminated: what was not complete is removed
  134  ended itself: no memory was left, or a fault while another was dealt with
  135  a mapped weight file was cut off while it was in use
  137  killed from outside: on Linux often because memory ran out
Shells give 134, 135 and 137 for a process that a signal ended: 128 and the signal's number.

Environment:
  GOOGLENET_ISA  portable, neon, avx2 or avx512: the instruction set to use, if not the best one here";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            eprintln!("{}", one_line(&error));
            return Code::Usage.into();
        }
        Err(help) => {
            // Nobody is left to be told if even the help cannot be printed.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    interrupt::install();
    let mut out = io::stdout().lock();
    let outcome = cli.command.run(&mut out).and_then(|()| Ok(out.flush()?));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads stdout has closed it, having seen enough: that is no failure.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.code().into()
        }
    }
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
            Command::Inspect(command) => command.run(out),
            Command::Cost(command) => command.run(out),
            Command::Compare(command) => command.run(out),
            Command::Correlate(command) => command.run(out),
            Command::Plan(command) => command.run(out),
        }
    }
}

/// What `error` says was wrong with the arguments, without the usage: its text up to the first empty line, on one line.
/// If no subcommand was named, the text is the help instead, which is returned whole.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    if !text.starts_with("error:") {
        return text;
    }
    let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    Printable(&lines.collect::<Vec<_>>().join(" ")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_argument_tables_are_consistent() {
        Cli::command().debug_assert();
    }
}
