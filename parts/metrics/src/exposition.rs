//! Prometheus' text format, version 0.0.4.
use std::fmt::Write;

use crate::catalogue::{ALL, Family, Kind};

/// One answer to a scrape: samples by family, in the catalogue's order whatever order they come in.
#[derive(Debug)]
pub struct Exposition {
    /// The samples of each family of `ALL`, as text.
    samples: Vec<String>,
}

impl Exposition {
    /// What a scrape's `Content-Type` says.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    pub fn new() -> Exposition {
        Exposition { samples: vec![String::new(); ALL.len()] }
    }

    /// Adds a sample. `labels` are the values of `family.labels`, in that order.
    ///
    /// Panics when their number differs or the family is not in the catalogue: both are mistakes in our own code.
    pub fn add(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        assert_eq!(labels.len(), family.labels.len(), "{} has the labels {:?}", family.name, family.labels);
        let index = ALL.iter().position(|known| known.name == family.name).expect("every family is in the catalogue");
        let text = &mut self.samples[index];
        text.push_str(family.name);
        for (index, (name, value)) in family.labels.iter().zip(labels).enumerate() {
            let _ = write!(text, "{}{name}=\"", if index == 0 { '{' } else { ',' });
            push_escaped(text, value);
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        // Rust writes f64 as the shortest text that reads back the same, and whole numbers without a point.
        let _ = writeln!(text, " {value}");
    }

    /// The whole answer; families without a sample are left out.
    pub fn finish(self) -> String {
        let mut text = String::new();
        for (family, samples) in ALL.iter().zip(self.samples).filter(|(_, samples)| !samples.is_empty()) {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            let _ = write!(text, "# HELP {} {}\n# TYPE {} {kind}\n{samples}", family.name, family.meaning, family.name);
        }
        text
    }
}

impl Default for Exposition {
    fn default() -> Self {
        Exposition::new()
    }
}

fn push_escaped(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests;
