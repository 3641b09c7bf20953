//! Values over time: lines, areas and bands on one pair of axes.
use std::fmt::Write;

use crate::{
    at,
    axis::{limit, round_seconds, round_values, show_seconds},
    escaped, frame,
    units::Unit,
};

/// One or more series over evenly spaced moments.
#[derive(Clone, Debug)]
pub struct LineChart {
    pub title: String,
    /// Read in place of the picture. Empty: made from the numbers.
    pub description: String,
    pub unit: Unit,
    pub x: XAxis,
    /// At most six are told apart; further ones reuse the colours.
    pub series: Vec<Series>,
    /// The axis reaches at least here, so that a quiet chart does not show noise as mountains. 0 for none.
    pub reaches: f64,
}

#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub shape: Shape,
}

/// A value that is missing (`None` or not a number) interrupts the line.
#[derive(Clone, Debug)]
pub enum Shape {
    Line(Vec<Option<f64>>),
    /// A line with the ground under it tinted.
    Area(Vec<Option<f64>>),
    /// The room between two values, such as p50 and p99.
    Band(Vec<Option<(f64, f64)>>),
}

/// The moments of the points: point `i` is at `first_s + i * step_s` seconds.
#[derive(Clone, Copy, Debug)]
pub struct XAxis {
    pub first_s: f64,
    pub step_s: f64,
    /// 0 is called `now` and what is before it `−10 min`; otherwise 0 is a start.
    pub ago: bool,
}

impl LineChart {
    pub fn svg(&self) -> String {
        let points = self.series.iter().map(|series| series.shape.len()).max().unwrap_or(0);
        let grid = Grid::new(self, points);
        let mut body = grid.drawn(self.unit, self.x.ago);
        for (index, series) in self.series.iter().enumerate() {
            let colour = index % COLOURS + 1;
            match &series.shape {
                Shape::Line(values) => body += &grid.line(values, colour),
                Shape::Area(values) => {
                    let ground: Vec<_> = values.iter().map(|value| value.map(|value| (0.0, value))).collect();
                    body += &grid.band(&ground, colour);
                    body += &grid.line(values, colour);
                }
                Shape::Band(values) => body += &grid.band(values, colour),
            }
        }
        body += &self.legend();
        let description = if self.description.is_empty() { self.described() } else { self.description.clone() };
        frame(WIDTH, HEIGHT, &self.title, &description, &body)
    }

    /// Names with their patterns, above the grid. One series is named by the title already.
    fn legend(&self) -> String {
        let mut text = format!("<text class=\"strong\" x=\"0\" y=\"13\">{}</text>", escaped(&self.title));
        if self.series.len() < 2 {
            return text;
        }
        let mut x = LEFT;
        for (index, series) in self.series.iter().enumerate() {
            let colour = index % COLOURS + 1;
            let swatch = match series.shape {
                Shape::Band(_) => format!("<rect class=\"area f{colour}\" x=\"{}\" y=\"21\" width=\"18\" height=\"10\"/>", at(x)),
                _ => format!("<path class=\"line s{colour}\" d=\"M{} 26h18\"/>", at(x)),
            };
            let _ = write!(text, "{swatch}<text x=\"{}\" y=\"30\">{}</text>", at(x + 23.0), escaped(&series.name));
            x += 38.0 + 6.5 * series.name.chars().count() as f64;
        }
        text
    }

    /// For each series its last value and its range.
    fn described(&self) -> String {
        let mut text = String::new();
        for series in &self.series {
            let values: Vec<f64> = series.shape.tops().flatten().collect();
            let Some(last) = values.last() else {
                let _ = write!(text, "{}: no values yet. ", series.name);
                continue;
            };
            let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(*value), most.max(*value)));
            let (least, most, last) = (self.unit.show(least), self.unit.show(most), self.unit.show(*last));
            let _ = write!(text, "{}: {last} at the end, between {least} and {most}. ", series.name);
        }
        text.trim_end().to_owned()
    }
}

impl Shape {
    fn len(&self) -> usize {
        match self {
            Shape::Line(values) | Shape::Area(values) => values.len(),
            Shape::Band(values) => values.len(),
        }
    }

    fn tops(&self) -> Box<dyn Iterator<Item = Option<f64>> + '_> {
        match self {
            Shape::Line(values) | Shape::Area(values) => Box::new(values.iter().map(|value| value.filter(|value| value.is_finite()))),
            Shape::Band(values) => Box::new(values.iter().map(|pair| pair.map(|pair| pair.1).filter(|top| top.is_finite()))),
        }
    }
}

// === the grid ===

/// Drawn at the size of a phone's column: text stays readable there, and larger screens show charts side by side.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 22.0;
const COLOURS: usize = 6;

struct Grid {
    values: Vec<f64>,
    moments: Vec<f64>,
    first_s: f64,
    step_s: f64,
    points: usize,
}

impl Grid {
    fn new(chart: &LineChart, points: usize) -> Grid {
        let most = chart.series.iter().flat_map(|series| series.shape.tops()).flatten().fold(chart.reaches.max(0.0), f64::max);
        let (first_s, step_s) = (chart.x.first_s, chart.x.step_s);
        let last_s = first_s + step_s * points.saturating_sub(1) as f64;
        Grid { values: round_values(limit(chart.unit, most), 4), moments: round_seconds(first_s, last_s, 6), first_s, step_s, points }
    }

    fn x(&self, second: f64) -> f64 {
        let span = self.step_s * self.points.saturating_sub(1).max(1) as f64;
        let share = if span > 0.0 { (second - self.first_s) / span } else { 0.0 };
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let most = self.values.last().copied().unwrap_or(1.0);
        HEIGHT - BOTTOM - (value / most).clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn drawn(&self, unit: Unit, ago: bool) -> String {
        let mut body = String::new();
        for value in &self.values {
            let y = self.y(*value);
            let _ = write!(body, "<path class=\"grid\" d=\"M{LEFT} {}H{}\"/>", at(y), WIDTH - RIGHT);
            let name = unit.show(*value);
            let _ = write!(body, "<text class=\"faint\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>", LEFT - 6.0, at(y + 4.0));
        }
        for moment in &self.moments {
            let x = self.x(*moment);
            let name = if ago && *moment == 0.0 { "now".into() } else { show_seconds(*moment) };
            // The outermost names end at the frame instead of reaching over it.
            let anchor = if x > WIDTH - RIGHT - 16.0 { "end" } else { "middle" };
            let y = HEIGHT - 6.0;
            let _ = write!(body, "<text class=\"faint\" x=\"{}\" y=\"{y}\" text-anchor=\"{anchor}\">{name}</text>", at(x));
        }
        body
    }

    fn line(&self, values: &[Option<f64>], colour: usize) -> String {
        let known = |value: &Option<f64>| value.is_some_and(f64::is_finite);
        let (mut path, mut dots) = (String::new(), String::new());
        for run in runs(values, known) {
            // A lone point has no line; a line of no length with round ends is a dot.
            let (into, tail) = if run.len() == 1 { (&mut dots, "h0") } else { (&mut path, "") };
            for (step, index) in run.enumerate() {
                let (x, y) = (self.x(self.second(index)), self.y(values[index].unwrap_or_default()));
                let _ = write!(into, "{}{} {}{tail}", if step == 0 { 'M' } else { 'L' }, at(x), at(y));
            }
        }
        let drawn = |path: String, class| if path.is_empty() { path } else { format!("<path class=\"{class} s{colour}\" d=\"{path}\"/>") };
        drawn(path, "line") + &drawn(dots, "line dot")
    }

    fn band(&self, values: &[Option<(f64, f64)>], colour: usize) -> String {
        let known = |pair: &Option<(f64, f64)>| pair.filter(|(low, high)| low.is_finite() && high.is_finite());
        let mut path = String::new();
        for run in runs(values, |pair| known(pair).is_some()) {
            let edge = |index: usize| {
                let (low, high) = known(&values[index]).unwrap_or_default();
                (at(self.x(self.second(index))), at(self.y(low)), at(self.y(high)))
            };
            for (step, index) in run.clone().enumerate() {
                let (x, _, high) = edge(index);
                let _ = write!(path, "{}{x} {high}", if step == 0 { 'M' } else { 'L' });
            }
            for index in run.rev() {
                let (x, low, _) = edge(index);
                let _ = write!(path, "L{x} {low}");
            }
            path.push('Z');
        }
        if path.is_empty() { path } else { format!("<path class=\"area f{colour}\" d=\"{path}\"/>") }
    }

    fn second(&self, index: usize) -> f64 {
        self.first_s + self.step_s * index as f64
    }
}

/// The stretches of neighbours that satisfy `wanted`.
fn runs<T>(values: &[T], wanted: impl Fn(&T) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (index, _) in values.iter().enumerate().filter(|(_, value)| wanted(value)) {
        match runs.last_mut().filter(|run| run.end == index) {
            Some(run) => run.end = index + 1,
            None => runs.push(index..index + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests;
