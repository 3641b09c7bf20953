//! Durations, shares and counts as people write them: `10s`, `1m30s`, `300ms`, `0.1%`, `50k`.

use std::time::Duration;

/// Reads `250us`, `300ms`, `1.5s`, `2m`, `1h`, and sums of them such as `1m30s`. A bare number is refused: its unit would be a guess.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a duration; write it as 300ms, 10s, 2m or 1m30s");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit_end] {
                "us" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                _ => return Err(wrong()),
            };
        rest = &rest[unit_end..];
    }
    if seconds > DURATION_S_MAX {
        return Err(format!("\"{text}\" is longer than a week"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Reads `5%` or `0.05` as 0.05.
pub fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("\"{text}\" is not a share; write it as 0.1% or 0.001");
    let text = text.trim();
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map_err(|_| wrong())? / 100.0,
        None => text.parse::<f64>().map_err(|_| wrong())?,
    };
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(format!("\"{text}\" is not between 0% and 100%")) }
}

/// Reads `50`, `0.5`, `50k` or `2m` (million) as a positive number.
pub fn count(text: &str) -> Result<f64, String> {
    let wrong = || format!("\"{text}\" is not a number; write it as 50, 0.5 or 50k");
    let trimmed = text.trim();
    let (digits, factor) = match trimmed.as_bytes().last() {
        Some(b'k' | b'K') => (&trimmed[..trimmed.len() - 1], 1e3),
        Some(b'm' | b'M') => (&trimmed[..trimmed.len() - 1], 1e6),
        _ => (trimmed, 1.0),
    };
    let value = digits.parse::<f64>().map_err(|_| wrong())? * factor;
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err(format!("\"{text}\" must be greater than zero")) }
}

/// Shows a duration the way [`duration`] reads it, to three significant digits.
pub fn show(duration: Duration) -> String {
    let s = duration.as_secs_f64();
    if s >= 60.0 && s.fract() == 0.0 {
        let (m, rest) = (s as u64 / 60, s as u64 % 60);
        return if rest == 0 { format!("{m}m") } else { format!("{m}m{rest}s") };
    }
    if s >= 1.0 {
        format!("{}s", significant(s))
    } else if s >= 1e-3 {
        format!("{}ms", significant(s * 1e3))
    } else {
        format!("{}us", significant(s * 1e6))
    }
}

/// Three significant digits, without trailing zeros after the point.
pub fn significant(value: f64) -> String {
    let text = match value.abs() {
        a if a >= 100.0 || a == 0.0 => return format!("{value:.0}"),
        a if a >= 10.0 => format!("{value:.1}"),
        a if a >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Larger durations would overflow the nanosecond arithmetic only after centuries; a week is what a load test may sensibly last.
const DURATION_S_MAX: f64 = 7.0 * 24.0 * 3600.0;

#[cfg(test)]
mod tests;
