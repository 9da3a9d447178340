//! Finds the commit that the command is built of: what Cargo wrote into a published package, or what git says where the
//! package is the root of a repository. Without either the command says its version alone. Only optimised builds look: others
//! would be built again after every commit.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is_command = env::var_os("CARGO_FEATURE_CLI").is_some();
    let is_optimised = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if !is_command || !is_optimised {
        return;
    }
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("Cargo says where the package is"));
    let package = folder.join(".cargo_vcs_info.json");
    let commit = if package.exists() {
        println!("cargo:rerun-if-changed={}", package.display());
        let text = fs::read_to_string(package).unwrap_or_default();
        text.split_once("\"sha1\"").and_then(|(_, rest)| rest.split('"').nth(1)).map(str::to_owned)
    } else {
        of_git(&folder)
    };
    let is_hash = |commit: &String| commit.len() >= 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(commit) = commit.filter(is_hash) {
        println!("cargo:rustc-env=GOOGLENET_COMMIT={}", &commit[..12]);
    }
}

/// The commit of the repository whose root is `folder`.
fn of_git(folder: &PathBuf) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).ok())?.map(|text| text.trim().to_owned())
    };
    // The package may lie in the repository of something else, whose commits say nothing of it.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={}", folder.join(log).display());
    }
    git(&["rev-parse", "HEAD"])
}
