//! `pumasi load validate`: one pass of one user through every scenario, with every request and answer shown.

use crate::{exchange::Client, journey_of_one::JourneyOfOne, plan::Plan, report::terminal::Style};
use std::{
    io::{self, Write},
    time::Instant,
};

/// Bytes of a body that are shown.
const SHOWN_MAX: usize = 2_000;

/// Runs the pass and writes it to `out`. True if every step was answered as it should be.
pub fn validate(plan: &Plan, out: &mut dyn Write, style: Style) -> io::Result<bool> {
    let mut good = true;
    for (number, scenario) in plan.scenarios.iter().enumerate() {
        let mut journey = JourneyOfOne::new(plan, number);
        let mut client = Client::new(&plan.target, plan.limits.timeout);
        if !scenario.name.is_empty() {
            writeln!(out, "{}", style.bold(&format!("scenario {} (weight {})", scenario.name, scenario.weight)))?;
        }
        for step in scenario.first..scenario.last {
            let Some(request) = journey.request(step) else {
                writeln!(out, "{} a value has a line break or another control byte", style.bad("FAILED"))?;
                good = false;
                break;
            };
            writeln!(out, "{}", style.bold(&plan.steps[step].name))?;
            write_message(out, "> ", &request, style)?;
            let sent = Instant::now();
            if let Err(error) = client.exchange_any(&request, plan.steps[step].expect.no_body, plan.steps[step].idempotent) {
                writeln!(out, "{} {error}\n", style.bad("FAILED"))?;
                good = false;
                break;
            }
            let took = crate::slo::show_ms(sent.elapsed().as_secs_f64() * 1e3);
            let answer = client.answer();
            write_message(out, "< ", &[answer.head, answer.body].concat(), style)?;
            match journey.judge(step, answer) {
                Ok(extracted) => {
                    for (name, value) in extracted {
                        writeln!(out, "  {name} = {}", String::from_utf8_lossy(&value))?;
                    }
                    writeln!(out, "{} in {took}\n", style.good("ok"))?;
                }
                Err((kind, reason)) => {
                    writeln!(out, "{} {}: {reason} (in {took})\n", style.bad("FAILED"), kind.name())?;
                    good = false;
                }
            }
        }
    }
    Ok(good)
}

fn write_message(out: &mut dyn Write, mark: &str, bytes: &[u8], style: Style) -> io::Result<()> {
    let shown = &bytes[..bytes.len().min(SHOWN_MAX)];
    for line in String::from_utf8_lossy(shown).lines() {
        // What a server sends must not steer the terminal.
        let line: String = line.chars().map(|c| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c }).collect();
        writeln!(out, "{}{line}", style.dim(mark))?;
    }
    if shown.len() < bytes.len() {
        writeln!(out, "{}... {} bytes more", style.dim(mark), bytes.len() - shown.len())?;
    }
    Ok(())
}
