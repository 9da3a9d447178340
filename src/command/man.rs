//! `man`: the command's help as manual pages.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man as Page;

use crate::command::caller::say;
use crate::command::exit::{Code, OrFail, Outcome};
use crate::command::output;
use crate::file::NewFile;

/// Write the help as manual pages, one for the command and one for each subcommand.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub struct Man {
    /// Folder to write to, which is made if it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Replace pages that exist
    #[arg(short, long)]
    force: bool,
}

const EXAMPLE: &str = "\
Example:
  googlenet man ~/.local/share/man/man1 && man googlenet-classify";

impl Man {
    /// Writes the pages.
    pub fn run(self, _out: &mut dyn Write) -> Outcome {
        // Versions on pages say nothing of the machine that they were made on.
        let mut command = super::command().long_version(super::version::short()).disable_help_subcommand(true);
        command.build();
        let mut pages = vec![("googlenet.1".to_owned(), Page::new(command.clone()))];
        for subcommand in command.get_subcommands() {
            let name = format!("googlenet-{}", subcommand.get_name());
            pages.push((format!("{name}.1"), Page::new(subcommand.clone().name(name))));
        }
        for (name, _) in &pages {
            output::check(&self.folder.join(name), self.force)?;
        }
        fs::create_dir_all(&self.folder).or_fail(Code::System, self.folder.display())?;
        let count = pages.len();
        for (name, page) in pages {
            let path = self.folder.join(name);
            let mut text = Vec::new();
            page.render(&mut text).or_fail(Code::System, path.display())?;
            let mut file = NewFile::create(&path).or_fail(Code::System, path.display())?;
            file.write_all(&text).or_fail(Code::System, path.display())?;
            file.commit(self.force).or_fail(Code::System, path.display())?;
        }
        say(format_args!("{}: {count} pages", self.folder.display()));
        Ok(())
    }
}
