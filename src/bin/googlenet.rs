//! The command `googlenet`, which is the library's module `command`.
#![deny(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    googlenet::command::main(std::env::args_os()).into()
}
