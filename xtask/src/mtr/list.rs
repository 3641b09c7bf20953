//! What the suite has, and the Pumasi in front of its server.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// What a test may ask for that Debian's server or this machine has not.
const WITHOUT: [(&str, &str); 3] = [("have_debug.inc", "a debug build"), ("big_test.inc", "hours"), ("windows.inc", "Windows")];

/// Files that a test reads are followed so far.
const DEPTH_MAX: u32 = 8;

/// Every test of the main suite, with what it lacks here, if anything.
pub fn all(suite: &Path) -> Result<BTreeMap<String, Option<&'static str>>> {
    let mut tests = BTreeMap::new();
    for file in files(&suite.join("main"), "test")? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = whole(suite, &file, DEPTH_MAX);
        let lacks = WITHOUT.iter().find(|(asks, _)| text.contains(asks)).map(|(_, what)| *what);
        tests.insert(format!("main.{name}"), lacks);
    }
    Ok(tests)
}

/// Pumasi in front of the suite's server. Whom tests log in as the server knows.
pub fn configuration(suite: &Path, host: &str, port: u16, home: &Path) -> String {
    // Clients that check certificates find the one that the suite's server would show.
    let keys = suite.join("std_data").display().to_string();
    format!(
        "state = \"{}\"\n[sql.main]\nlisten = \"{host}:{port}\"\nprimary = \"mysql://root@127.0.0.1:{port}\"\n\
         tls_chain = \"{keys}/server-cert.pem\"\ntls_key = \"{keys}/server-key.pem\"\nusers_learned_max = 100\n[console]\nlisten = \"off\"\n",
        home.join("state").display(),
    )
}

/// A test's text with that of the files it reads.
fn whole(suite: &Path, file: &Path, depth: u32) -> String {
    let mut text = read(file);
    let sources: Vec<String> = text.lines().filter_map(|line| source(line).map(str::to_owned)).collect();
    for source in sources {
        text.push_str(&source);
        let places = [suite.join(&source), suite.join("main").join(&source)];
        if let Some(file) = places.iter().find(|place| place.exists() && depth > 0) {
            text.push_str(&whole(suite, file, depth - 1));
        }
    }
    text
}

fn source(line: &str) -> Option<&str> {
    let line = line.trim().trim_start_matches("--").trim();
    Some(line.strip_prefix("source ")?.trim().trim_end_matches(';'))
}

fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("looking into {}", folder.display()))?;
    let files = entries.flatten().map(|entry| entry.path());
    Ok(files.filter(|path| path.extension().is_some_and(|extension| extension == ending)).collect())
}

/// Tests are written in many character sets; what is looked for is ASCII.
fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}
