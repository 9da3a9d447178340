//! The command `googlenet`, which is the library's module `command`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: the help tells whoever starts the command that nobody may write to a weight file or index while it is in use.
    unsafe { googlenet::command::main(std::env::args_os()) }.into()
}
