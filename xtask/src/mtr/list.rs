//! What the suite has: its tests, and the users that they log in as.

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

/// Pumasi in front of the suite's server, with every user that a test logs in as: Pumasi lets in whom it knows.
pub fn configuration(suite: &Path, host: &str, port: u16, home: &Path) -> Result<String> {
    let mut users = vec!["    { name = \"root\", password = \"\" },\n".to_owned()];
    for (name, passwords) in logins(suite)? {
        // One of several passwords: tests that change them differ.
        let password = passwords.iter().max_by_key(|(_, count)| **count).map_or("", |(password, _)| password);
        users.push(format!("    {{ name = \"{name}\", password = \"{password}\" }},\n"));
    }
    Ok(format!(
        "state = \"{}\"\n[sql.main]\nlisten = \"{host}:{port}\"\nprimary = \"mysql://root@127.0.0.1:{port}\"\nusers = [\n{}]\n[console]\nlisten = \"off\"\n",
        home.join("state").display(),
        users.concat()
    ))
}

/// Users by name, with how often each of their passwords is used.
fn logins(suite: &Path) -> Result<BTreeMap<String, BTreeMap<String, u32>>> {
    let mut users: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for (folder, ending) in [("main", "test"), ("main", "inc"), ("include", "inc")] {
        for file in files(&suite.join(folder), ending)? {
            for (user, password) in read(&file).lines().filter_map(login) {
                *users.entry(user).or_default().entry(password).or_default() += 1;
            }
        }
    }
    Ok(users)
}

/// Of `connect (con,host,user,password,...)` and `change_user user,password`.
fn login(line: &str) -> Option<(String, String)> {
    let line = line.trim().trim_start_matches("--").trim();
    let (word, rest) = line.split_at_checked(line.find([' ', '('])?)?;
    let (words, user) = match () {
        () if word.eq_ignore_ascii_case("connect") => (rest.trim_start_matches([' ', '(']), 2),
        () if word.eq_ignore_ascii_case("change_user") => (rest, 0),
        () => return None,
    };
    let fields: Vec<&str> = words.split(',').map(|field| field.trim().trim_end_matches([')', ';']).trim_matches(['\'', '"'])).collect();
    let (name, password) = (*fields.get(user)?, *fields.get(user + 1).unwrap_or(&""));
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !"$\"\\".contains(c));
    (!name.is_empty() && name != "root" && plain(name) && plain(password)).then(|| (name.to_owned(), password.to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_found_as_tests_write_them() {
        for (line, user, password) in [
            ("connect (con1,localhost,ann,secret,test);", "ann", "secret"),
            ("--connect(con1, localhost, ben)", "ben", ""),
            ("CONNECT  con1,localhost,carl,,*NO-ONE*;", "carl", ""),
            ("change_user dora, old;", "dora", "old"),
        ] {
            assert_eq!(login(line), Some((user.to_owned(), password.to_owned())), "{line}");
        }
        for line in ["connection con1;", "connect (con1,localhost,root,,);", "connect (con1,localhost,$user,,);", "SELECT 1;"] {
            assert_eq!(login(line), None, "{line}");
        }
    }
}
