//! Every example in the manual is run: configurations are validated, command lines are known to the binary.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::service::binary;

/// README and every chapter under docs/.
fn chapters() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the repository").to_owned();
    let docs = std::fs::read_dir(root.join("docs")).expect("docs").flatten().map(|entry| entry.path());
    let mut chapters: Vec<PathBuf> = docs.filter(|file| file.extension().is_some_and(|extension| extension == "md")).collect();
    chapters.push(root.join("README.md"));
    chapters.sort();
    chapters
}

/// The code blocks of one language, each with the line it begins on.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let (mut found, mut open): (Vec<(usize, String)>, bool) = (vec![], false);
    for (number, line) in text.lines().enumerate() {
        if open && line.trim_end() == "```" {
            open = false;
        } else if open {
            let (_, block) = found.last_mut().expect("opened");
            block.push_str(line);
            block.push('\n');
        } else if line.trim_end() == format!("```{language}") {
            open = true;
            found.push((number + 1, String::new()));
        }
    }
    found
}

#[test]
fn every_configuration_in_the_manual_is_valid() {
    let mut checked = 0;
    for chapter in chapters() {
        let text = std::fs::read_to_string(&chapter).expect("UTF-8");
        for (line, block) in blocks(&text, "toml") {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("pumasi.toml"), &block).expect("written");
            let output = Command::new(binary()).arg("validate").current_dir(folder.path()).output().expect("pumasi runs");
            assert!(output.status.success(), "{}:{line}: {}", chapter.display(), String::from_utf8_lossy(&output.stderr));
            checked += 1;
        }
    }
    assert!(checked > 0, "the manual shows a configuration");
}

#[test]
fn every_command_in_the_manual_exists() {
    let mut checked = 0;
    for chapter in chapters() {
        let text = std::fs::read_to_string(&chapter).expect("UTF-8");
        for (line, block) in blocks(&text, "sh") {
            for command in block.lines().filter_map(|command| command.trim_start().strip_prefix("pumasi ")) {
                let command = command.split(" #").next().unwrap_or(command);
                let words: Vec<&str> = command.split_whitespace().take_while(|word| *word != "--").collect();
                // The verbs (up to two deep), then the names of the flags: `--help` knows them or the manual is wrong.
                let mut verbs: Vec<&str> = words
                    .iter()
                    .copied()
                    .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-'))
                    .collect();
                verbs.truncate(2);
                let help = loop {
                    let output = Command::new(binary()).args(&verbs).arg("--help").output().expect("pumasi runs");
                    if output.status.success() || verbs.len() <= 1 {
                        assert!(
                            output.status.success(),
                            "{}:{line}: pumasi {command}: {}",
                            chapter.display(),
                            String::from_utf8_lossy(&output.stderr)
                        );
                        break String::from_utf8_lossy(&output.stdout).into_owned();
                    }
                    verbs.pop();
                };
                for flag in words.iter().filter(|word| word.starts_with("--")) {
                    let name = flag.split('=').next().unwrap_or(flag);
                    assert!(
                        help.contains(name) || name == "--version",
                        "{}:{line}: pumasi {} has no {name}",
                        chapter.display(),
                        verbs.join(" ")
                    );
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 0, "the manual shows a command");
}
