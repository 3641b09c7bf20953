//! `pumasi ladder`: what the ladder needs of the reference application.

use std::process::ExitCode;

use anyhow::Context;
use pumasi_load::{DatabaseAddress, LadderArgs, Reference};

use crate::{
    demo::{ASKS, CHEERS},
    failure::Failure,
};

/// Climbs it. Errors: only that this program cannot tell its own path; everything else is told by the ladder itself.
pub fn ladder(arguments: &LadderArgs) -> Result<ExitCode, Failure> {
    let program = std::env::current_exe().context("cannot tell the path of this program")?;
    Ok(pumasi_load::ladder(arguments, &Reference { program, fill: &fill }))
}

fn fill(address: &DatabaseAddress, progress: &dyn Fn(u64, u64)) -> Result<(), String> {
    let database = askhy::Database {
        host: address.host.clone(),
        port: address.port,
        user: address.user.clone(),
        password: address.password.clone(),
        name: address.name.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(askhy::seed(&database, ASKS, CHEERS, progress)).map(drop).map_err(|error| error.to_string())
}
