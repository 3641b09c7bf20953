//! Latency over time as a heat map: time to the right, latency upwards, darker where more answers lie.
use std::fmt::Write;

use crate::{
    at,
    axis::{round_seconds, show_seconds},
    escaped, frame,
    line::XAxis,
    units::Unit,
};

/// Counts by moment and by latency. A second, slow crowd of answers shows here when every percentile hides it.
#[derive(Clone, Debug)]
pub struct HeatMap {
    pub title: String,
    /// Read in place of the picture. Empty: made from the counts.
    pub description: String,
    pub x: XAxis,
    /// Per moment the latencies in microseconds and how many answers had them, in any order.
    pub columns: Vec<Vec<(u64, u64)>>,
}

impl HeatMap {
    pub fn svg(&self) -> String {
        let cells = self.cells();
        let (lowest, highest) = range(&cells);
        let rows = highest - lowest + 1;
        let (width, height) = ((WIDTH - LEFT - RIGHT) / self.columns.len().max(1) as f64, (HEIGHT - TOP - BOTTOM) / rows as f64);
        let most = cells.iter().flatten().copied().max().unwrap_or(0);
        let mut body = format!("<text class=\"strong\" x=\"0\" y=\"13\">{}</text>", escaped(&self.title));
        for (column, counts) in cells.iter().enumerate() {
            for (row, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let (x, y) = (LEFT + column as f64 * width, HEIGHT - BOTTOM - (row - lowest + 1) as f64 * height);
                let (x, y, w, h) = (at(x), at(y), at(width + 0.2), at(height + 0.2));
                let shade = shade(*count, most);
                let _ = write!(body, "<rect class=\"cell h{shade}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>");
            }
        }
        for row in (lowest..=highest + 1).filter(|row| row % ROWS_PER_DECADE == 0 || rows < ROWS_PER_DECADE) {
            let y = HEIGHT - BOTTOM - (row - lowest) as f64 * height;
            let name = Unit::Microseconds.show(bottom_of(row));
            let _ = write!(body, "<path class=\"grid\" d=\"M{LEFT} {}H{}\"/>", at(y), WIDTH - RIGHT);
            let _ = write!(body, "<text class=\"faint\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>", LEFT - 6.0, at(y + 4.0));
        }
        let last_s = self.x.first_s + self.x.step_s * self.columns.len() as f64;
        for moment in round_seconds(self.x.first_s, last_s, 6) {
            let share = if last_s > self.x.first_s { (moment - self.x.first_s) / (last_s - self.x.first_s) } else { 0.0 };
            let x = LEFT + share * (WIDTH - LEFT - RIGHT);
            let name = if self.x.ago && moment == 0.0 { "now".into() } else { show_seconds(moment) };
            let anchor = if x > WIDTH - RIGHT - 16.0 { "end" } else { "middle" };
            let _ = write!(body, "<text class=\"faint\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{name}</text>", at(x), HEIGHT - 6.0);
        }
        frame(WIDTH, HEIGHT, &self.title, &self.described(lowest, highest), &body)
    }

    /// Counts per column and row; row 0 holds everything below a microsecond.
    fn cells(&self) -> Vec<[u64; ROWS]> {
        let column = |counts: &Vec<(u64, u64)>| {
            let mut rows = [0; ROWS];
            counts.iter().for_each(|(latency, count)| rows[row_of(*latency)] += count);
            rows
        };
        self.columns.iter().map(column).collect()
    }

    fn described(&self, lowest: usize, highest: usize) -> String {
        if !self.description.is_empty() {
            return self.description.clone();
        }
        let answers: u64 = self.columns.iter().flatten().map(|(_, count)| count).sum();
        let show = |row: usize| Unit::Microseconds.show(bottom_of(row));
        format!("{} answers, between {} and {}", Unit::Count.show(answers as f64), show(lowest), show(highest + 1))
    }
}

// === rows ===

/// Six rows per factor of ten: each about half as much again as the one below.
const ROWS_PER_DECADE: usize = 6;
/// Up to 10^8 microseconds, a hundred seconds; the top row takes the rest.
const ROWS: usize = 8 * ROWS_PER_DECADE;

fn row_of(latency_us: u64) -> usize {
    let decades = (latency_us.max(1) as f64).log10();
    ((decades * ROWS_PER_DECADE as f64) as usize).min(ROWS - 1)
}

fn bottom_of(row: usize) -> f64 {
    10_f64.powf(row as f64 / ROWS_PER_DECADE as f64)
}

/// The rows from the lowest to the highest that hold anything; a decade around a millisecond when none does.
fn range(cells: &[[u64; ROWS]]) -> (usize, usize) {
    let mut filled = (0..ROWS).filter(|row| cells.iter().any(|column| column[*row] > 0));
    match filled.next() {
        Some(lowest) => (lowest, filled.next_back().unwrap_or(lowest)),
        None => (3 * ROWS_PER_DECADE, 4 * ROWS_PER_DECADE - 1),
    }
}

/// 1 to 5, by order of magnitude below the fullest cell: a single slow answer must stay visible beside thousands.
fn shade(count: u64, most: u64) -> usize {
    let share = (count as f64).ln_1p() / (most as f64).ln_1p();
    ((share * 5.0).ceil() as usize).clamp(1, 5)
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 22.0;

#[cfg(test)]
mod tests;
