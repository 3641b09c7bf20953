//! Load tests as the console shows and starts them. The load tier does the work; the binary brings the two together.

/// Starts load tests and knows the kept ones.
///
/// `runs`, `running` and `ladder_unix_ms` are called whenever a page is made: they answer from memory. The others may wait for the disk.
pub trait LoadTests: Send + Sync {
    /// The kept runs, newest first; at most [`RUNS_SHOWN`] are shown.
    fn runs(&self) -> Vec<Run>;

    /// The run that was started here and has not ended.
    fn running(&self) -> Option<Progress>;

    /// A kept run's report: a page in one piece that loads nothing.
    fn report(&self, id: &str) -> Result<String, String>;

    /// When the last ladder was climbed, if its report was kept: milliseconds since the Unix epoch.
    fn ladder_unix_ms(&self) -> Option<u64>;

    /// The report of the last ladder: a page in one piece that loads nothing.
    fn ladder(&self) -> Result<String, String>;

    /// Two kept runs side by side.
    fn compare(&self, before: &str, after: &str) -> Result<Comparison, String>;

    /// Starts a run against Pumasi's own edge. `Err` if one is running already or the wish cannot be met.
    fn start(&self, wanted: &Wanted) -> Result<String, String>;

    /// Ends the running one early; what was measured until then is kept.
    fn stop(&self) -> Result<String, String>;
}

/// A kept run, in a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub id: String,
    pub name: String,
    pub tags: Vec<String>,
    pub comment: String,
    pub started_unix_ms: u64,
    pub target: String,
    /// The report's figures can be trusted: the generator kept up.
    pub valid: bool,
    /// Every objective was met.
    pub met: bool,
    pub tps: f64,
    pub mean_us: f64,
    pub p99_us: f64,
    pub errors: u64,
}

/// A run under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    pub target: String,
    pub rate: f64,
    pub lasts_s: u64,
    /// One per second since the start, warm-up included.
    pub seconds: Vec<Second>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    pub answered: f64,
    pub errors: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// What makes two runs differ, one figure per line.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What makes the two hard to compare, if something does.
    pub notes: Vec<String>,
    pub figures: Vec<Difference>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub figure: String,
    pub before: String,
    pub after: String,
    /// `+12 %`; empty when there is nothing to divide by.
    pub change: String,
    /// `None`: within what two runs of the same thing differ by.
    pub better: Option<bool>,
}

/// What somebody asks for. Only Pumasi's own edge can be loaded from here: a console is not a cannon.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub path: String,
    /// Arrivals per second.
    pub rate: u32,
    pub lasts_s: u32,
    pub name: String,
}

impl Wanted {
    /// Checks what a form brought.
    pub fn checked(path: &str, rate: &str, lasts_s: &str, name: &str) -> Result<Wanted, String> {
        let number = |text: &str, what: &str, max: u32| {
            let number = text.trim().parse().ok().filter(|number| (1..=max).contains(number));
            number.ok_or_else(|| format!("{what} must be a whole number from 1 to {max}, not {text:?}."))
        };
        if !path.starts_with('/') || path.contains(|c: char| c.is_control() || c == ' ') {
            return Err(format!("{path:?} is no path: a path begins with a slash and has no spaces."));
        }
        if name.chars().count() > NAME_CHARS_MAX || name.starts_with('-') {
            return Err(format!("A name has at most {NAME_CHARS_MAX} characters and does not begin with a dash."));
        }
        let (rate, lasts_s) = (number(rate, "The rate", RATE_MAX)?, number(lasts_s, "The duration in seconds", LASTS_S_MAX)?);
        Ok(Wanted { path: path.to_owned(), rate, lasts_s, name: name.trim().to_owned() })
    }
}

/// Runs in the list; the command line shows the rest.
pub const RUNS_SHOWN: usize = 50;

/// From a form. Larger tests are started on a machine of their own, by `pumasi load`.
const RATE_MAX: u32 = 100_000;
const LASTS_S_MAX: u32 = 600;
const NAME_CHARS_MAX: usize = 60;

#[cfg(test)]
mod tests;
