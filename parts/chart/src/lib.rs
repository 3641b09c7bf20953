//! Charts as SVG text, for the console's pages and for reports in one file.
//!
//! Pure: numbers come in, an `<svg>` element comes out, the same for the same numbers. Nothing in it carries a colour or a
//! style: elements have classes, and [`STYLE`] gives them colours for light and dark. A page puts `STYLE` into its style sheet
//! (the console, whose policy allows no inline style) or into a `<style>` element (a report in one file).
//!
//! Every chart has a title and a description, which a screen reader reads in its place; a description left empty is made from
//! the numbers. Series differ by dash pattern as well as by colour.
mod axis;
mod bars;
mod heat;
mod line;
mod units;

pub use bars::{Bar, BarChart, Scale};
pub use heat::HeatMap;
pub use line::{LineChart, Series, Shape, XAxis};
pub use units::Unit;

/// Colours of the classes, by CSS variables that a page may set differently. Text takes the colour of the surrounding text.
pub const STYLE: &str = include_str!("style.css");

/// Text between tags or in a quoted attribute.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // XML 1.0 knows no control characters but these, not even escaped.
            control if control.is_control() && !matches!(control, '\t' | '\n' | '\r') => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

/// The element around a chart. The chart's own text is inside, so an id is not needed to name it.
fn frame(width: f64, height: f64, title: &str, description: &str, body: &str) -> String {
    let (title, description) = (escaped(title), escaped(description));
    format!(
        "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{title}. {description}\"><title>{title}</title><desc>{description}</desc>{body}</svg>"
    )
}

/// A coordinate with one decimal: finer is not visible, and a chart of an hour stays small.
fn at(coordinate: f64) -> String {
    let rounded = (coordinate * 10.0).round() / 10.0;
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}
