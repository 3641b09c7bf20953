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
    pub bars: Vec<Bar>,
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
        let ends = self.bars.iter().map(|bar| bar.spread.map_or(bar.value, |(_, most)| most.max(bar.value)));
        let most = ends.filter(|end| end.is_finite()).fold(0.0, f64::max);
        let length = |value: f64| if most > 0.0 && value.is_finite() { (value / most).clamp(0.0, 1.0) * LENGTH } else { 0.0 };
        let mut body = format!("<text class=\"strong\" x=\"0\" y=\"13\">{}</text>", escaped(&self.title));
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
        let height = TOP + self.bars.len() as f64 * ROW;
        frame(WIDTH, height, &self.title, &self.described(), &body)
    }

    fn described(&self) -> String {
        if !self.description.is_empty() {
            return self.description.clone();
        }
        let bars = self.bars.iter().map(|bar| format!("{}: {} {}", bar.name, self.unit.show(bar.value), bar.note).trim().to_owned());
        bars.collect::<Vec<_>>().join(". ")
    }
}

// === sizes ===

const WIDTH: f64 = 460.0;
const TOP: f64 = 24.0;
/// Name, bar and room.
const ROW: f64 = 42.0;
const THICKNESS: f64 = 14.0;
/// Of the longest bar; the rest of the width is for its value and note.
const LENGTH: f64 = 310.0;

#[cfg(test)]
mod tests;
