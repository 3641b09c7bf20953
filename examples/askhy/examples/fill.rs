//! Fills the board that `DATABASE_*` names: `cargo run -p pumasi-askhy --example fill [ASKS [CHEERS]]`, 50 and 50,000 unless told.
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse());
    let (asks, cheers) = (numbers.next().unwrap_or(Ok(50))?, numbers.next().unwrap_or(Ok(50_000))?);
    let database = askhy::Database::from_environment()?;
    let filled = askhy::seed(&database, asks, cheers, |done, total| eprint!("\r{done} of {total} rows")).await?;
    eprintln!("{}", if filled { ", done" } else { "There are asks already: nothing to do." });
    Ok(())
}
