//! Runs the built program.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// How one run ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program with `arguments`, in `directory`, with nothing of ours in the environment.
pub fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pumasi"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).env("NO_COLOR", "1");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PUMASI_")) {
        command.env_remove(name);
    }
    command
}

pub fn run(directory: &Path, arguments: &[&str]) -> Ended {
    ended(command(directory, arguments).output().expect("the program runs"))
}

pub fn ended(output: Output) -> Ended {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// A directory with this `pumasi.toml` in it.
pub fn directory_with(toml: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("pumasi.toml"), toml).expect("writable");
    directory
}
