//! `completions`: what a shell needs to complete the command's arguments.

use std::io::Write;

use clap::Args;
use clap_complete::Shell;

use crate::command::exit::Outcome;

/// Print a script that lets a shell complete the command's arguments.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

const EXAMPLE: &str = "\
Examples:
  googlenet completions bash > ~/.local/share/bash-completion/completions/googlenet
  googlenet completions zsh > /usr/local/share/zsh/site-functions/_googlenet
  googlenet completions fish > ~/.config/fish/completions/googlenet.fish";

impl Completions {
    /// Prints the script.
    pub fn run(self, out: &mut dyn Write) -> Outcome {
        // The generator panics where it cannot write, so it does not write to `out` itself.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "googlenet", &mut script);
        Ok(out.write_all(&script)?)
    }
}
