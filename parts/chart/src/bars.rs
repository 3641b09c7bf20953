//! Things compared: one horizontal bar each, with its name above it so that long names fit on a phone.
use std::fmt::Write;

use crate::{at, escaped, frame, units::Unit};

/// Bars from zero, in the order given.
#[derive(Clone, Debug)]
pub struct BarChart {
    pub title: String,
    /// Read in place of the picture. Empty: made from the bars.
    pub description: String,
    pub unit: Unit,
    pub scale: Scale,
    pub bars: Vec<Bar>,
}

/// What a bar's length stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Twice as long is twice as much.
    Even,
    /// One step to the next line is ten times as much: where the largest is a thousand times the smallest, an even scale shows only the
    /// largest. The lines are drawn and labelled, because bars alone would lie.
    Decades,
}

#[derive(Clone, Debug)]
pub struct Bar {
    pub name: String,
    pub value: f64,
    /// Least and most of the rounds that `value` is the median of.
    pub spread: Option<(f64, f64)>,
    /// Stands behind the value: `4.2 × rung 1`.
    pub note: String,
    /// Whether it is what the reader came for; the others step back.
    pub highlighted: bool,
}

impl BarChart {
    pub fn svg(&self) -> String {
        let reach = self.reach();
        let length = |value: f64| reach.length(value);
        let mut body = format!("<text class=\"strong\" x=\"0\" y=\"13\">{}</text>", escaped(&self.title));
        let bottom = TOP + self.bars.len() as f64 * ROW;
        for line in reach.lines() {
            let (x, label) = (at(length(line)), escaped(&self.unit.show(line)));
            let _ = write!(body, "<path class=\"grid\" d=\"M{x} {}V{}\"/>", at(TOP), at(bottom));
            let anchor = if length(line) == 0.0 { "start" } else { "middle" };
            let _ = write!(body, "<text class=\"faint\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{}\">{label}</text>", at(bottom + 14.0));
        }
        for (index, bar) in self.bars.iter().enumerate() {
            let top = TOP + index as f64 * ROW;
            let class = if bar.highlighted { "bar" } else { "bar plain" };
            let _ = write!(body, "<text x=\"0\" y=\"{}\">{}</text>", at(top + 12.0), escaped(&bar.name));
            let (y, width) = (at(top + 17.0), at(length(bar.value).max(1.0)));
            let _ = write!(body, "<rect class=\"{class}\" x=\"0\" y=\"{y}\" width=\"{width}\" height=\"{THICKNESS}\" rx=\"2\"/>");
            let mut end = length(bar.value);
            if let Some((least, most)) = bar.spread {
                let (from, to, y) = (length(least), length(most), top + 17.0 + THICKNESS / 2.0);
                let (x, y, up) = (at(from), at(y), at(y - 4.0));
                let _ = write!(body, "<path class=\"whisker\" d=\"M{x} {y}H{}M{x} {up}v8M{} {up}v8\"/>", at(to), at(to));
                end = end.max(to);
            }
            let says = format!("{} {}", self.unit.show(bar.value), bar.note);
            let (x, y) = (at(end + 8.0), at(top + 17.0 + THICKNESS - 3.0));
            let _ = write!(body, "<text class=\"strong\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(says.trim()));
        }
        let height = if self.scale == Scale::Even { bottom } else { bottom + LABELS };
        frame(WIDTH, height, &self.title, &self.described(), &body)
    }

    /// From the least to the most that is drawn.
    fn reach(&self) -> Reach {
        let all =
            || self.bars.iter().flat_map(|bar| [Some(bar.value), bar.spread.map(|(least, _)| least), bar.spread.map(|(_, most)| most)]);
        let drawn = || all().flatten().filter(|value| value.is_finite());
        let most = drawn().fold(0.0, f64::max);
        let least = drawn().filter(|value| *value > 0.0).fold(most, f64::min);
        match self.scale {
            Scale::Decades if most > 0.0 => {
                let from = least.log10().floor();
                Reach::Decades { from, to: most.log10().ceil().max(from + 1.0) }
            }
            Scale::Even | Scale::Decades => Reach::Even { most },
        }
    }

    fn described(&self) -> String {
        if !self.description.is_empty() {
            return self.description.clone();
        }
        let bars = self.bars.iter().map(|bar| format!("{}: {} {}", bar.name, self.unit.show(bar.value), bar.note).trim().to_owned());
        bars.collect::<Vec<_>>().join(". ")
    }
}

/// What the longest bar stands for.
enum Reach {
    Even {
        most: f64,
    },
    /// Powers of ten.
    Decades {
        from: f64,
        to: f64,
    },
}

impl Reach {
    /// 0 to [`LENGTH`]; what is not a number has no length.
    fn length(&self, value: f64) -> f64 {
        let share = match self {
            Reach::Even { most } => value / most,
            Reach::Decades { from, to } => (value.log10() - from) / (to - from),
        };
        if share.is_finite() { share.clamp(0.0, 1.0) * LENGTH } else { 0.0 }
    }

    fn lines(&self) -> Vec<f64> {
        match self {
            Reach::Even { .. } => Vec::new(),
            Reach::Decades { from, to } => (*from as i32..=*to as i32).map(|power| 10f64.powi(power)).collect(),
        }
    }
}

// === sizes ===

const WIDTH: f64 = 460.0;
const TOP: f64 = 24.0;
/// Name, bar and room.
const ROW: f64 = 42.0;
const THICKNESS: f64 = 14.0;
/// Below the bars, for what the lines stand for.
const LABELS: f64 = 20.0;
/// Of the longest bar; the rest of the width is for its value and note.
const LENGTH: f64 = 310.0;

#[cfg(test)]
mod tests;
