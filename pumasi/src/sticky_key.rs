//! What sticky cookies are signed with where nobody wrote a key: made once, kept in the state directory.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, bail};
use pumasi_config::Plan;

/// Inside the state directory. Whoever can read it may send clients to upstreams of their choice. Removing it makes a new one at the
/// next start: every client is then attached anew.
const FILE: &str = "sticky.key";

/// Half as many bytes: 256 bits.
const DIGITS: usize = 64;

/// Fills in the key for every pool that keeps its clients by a cookie and has none of its own.
pub fn fill_in(plan: &mut Plan) -> anyhow::Result<()> {
    let state = plan.state.clone();
    for sticky in plan.pools.values_mut().filter_map(|pool| pool.sticky.as_mut()).filter(|sticky| sticky.key.is_none()) {
        sticky.key = Some(load_or_create(&state.join(FILE))?);
    }
    Ok(())
}

fn load_or_create(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().len() == DIGITS => Ok(text.trim().to_owned()),
        Ok(_) => bail!("{} does not hold {DIGITS} characters. Remove it: a new key is made", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => create(path).with_context(|| format!("cannot make {}", path.display())),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn create(path: &Path) -> anyhow::Result<String> {
    let mut dice = [0; DIGITS / 2];
    fs::File::open("/dev/urandom")?.read_exact(&mut dice)?;
    let key: String = dice.iter().map(|byte| format!("{byte:02x}")).collect();
    // Whole or not at all: half a key would be refused at every later start.
    let half = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    fs::rename(&half, path)?;
    Ok(key)
}
