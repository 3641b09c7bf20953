//! What is wrong with a configuration, and how it is told: place, key, value, remedy.

use std::{fmt, ops::Range};

use crate::Source;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody wrote it.
    Default,
    /// Bytes of the file's text.
    File(Range<usize>),
    /// The environment variable of that name.
    Environment(String),
    /// The command-line flag of that name.
    Flag(String),
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// The key as a path, `pool.app.workers`; empty when the text is not TOML at all.
    pub key: String,
    /// What is wrong, with the value. No full stop.
    pub what: String,
    /// What to do about it: a sentence.
    pub remedy: String,
}

/// Every mistake of one configuration, in the order of the file. Displays as what the user should read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: String,
    /// With passwords masked.
    text: String,
    /// The text could not be taken apart, so nobody knows where in it a password may stand.
    opaque: bool,
    problems: Vec<Problem>,
}

impl Problems {
    /// `secrets` are the places of passwords in the text; `None` if they are not known.
    pub(crate) fn new(source: &Source, mut problems: Vec<Problem>, secrets: Option<Vec<Range<usize>>>) -> Problems {
        problems.sort_by_key(|problem| match &problem.origin {
            Origin::File(span) => span.start,
            _ => usize::MAX,
        });
        let opaque = secrets.is_none();
        let text = masked(&source.text, secrets.unwrap_or_default());
        Problems { file: source.name.clone(), text, opaque, problems }
    }

    /// The mistakes of another kind of file, told the same way. The text must hold no secret: its lines are shown.
    pub fn in_text(source: &Source, problems: Vec<Problem>) -> Problems {
        Problems::new(source, problems, Some(Vec::new()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// Where the problem is: `pumasi.toml:3:10`, or the name of the variable or flag.
    pub fn place(&self, problem: &Problem) -> String {
        place(&self.file, &self.text, &problem.origin)
    }
}

impl Source {
    /// Where a value was written, for people: `pumasi.toml:3:10`, `PUMASI__EDGE__LISTEN`, `--listen`, `default`.
    pub fn place(&self, origin: &Origin) -> String {
        match origin {
            Origin::Default => "default".into(),
            origin => place(&self.name, &self.text, origin),
        }
    }
}

fn place(file: &str, text: &str, origin: &Origin) -> String {
    match origin {
        Origin::Default => file.to_owned(),
        Origin::File(span) => {
            let at = Position::of(text, span.start);
            format!("{file}:{}:{}", at.line, at.column)
        }
        Origin::Environment(name) | Origin::Flag(name) => name.clone(),
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            self.fmt_one(problem, f)?;
        }
        Ok(())
    }
}

impl Problems {
    fn fmt_one(&self, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place(problem))?;
        if !problem.key.is_empty() {
            write!(f, "{}: ", problem.key)?;
        }
        write!(f, "{}. {}", problem.what, problem.remedy)?;
        if let Origin::File(span) = &problem.origin {
            self.fmt_excerpt(span, f)?;
        }
        Ok(())
    }

    /// The line with a row of carets below the mistake.
    fn fmt_excerpt(&self, span: &Range<usize>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Position::of(&self.text, span.start);
        let line = &self.text[at.line_start..at.line_end];
        let may_hold_a_password = self.opaque && (line.contains("password") || line.contains("://"));
        if line.trim().is_empty() || may_hold_a_password {
            return Ok(());
        }
        let number = at.line.to_string();
        let before = &self.text[at.line_start..at.byte];
        let marked = &self.text[at.byte..span.end.clamp(at.byte, at.line_end)];
        let indent: String = before.chars().map(blank_as_wide_as).collect();
        let carets = "^".repeat(marked.chars().map(width).sum::<usize>().max(1));
        write!(f, "\n  {number} | {line}\n  {} | {indent}{carets}", " ".repeat(number.len()))
    }
}

/// The text with `*` for every byte of the secrets: offsets stay what they are.
fn masked(text: &str, secrets: Vec<Range<usize>>) -> String {
    let mut masked = text.to_owned();
    for span in secrets.into_iter().filter(|span| text.get(span.clone()).is_some()) {
        let stars: String = text[span.clone()].bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect();
        masked.replace_range(span, &stars);
    }
    masked
}

/// A byte offset as people count.
struct Position {
    /// From 1.
    line: usize,
    /// In characters, from 1: what an editor shows, whatever the characters' bytes.
    column: usize,
    /// The offset itself, moved back to a character's first byte and to the text's end at most.
    byte: usize,
    line_start: usize,
    /// Without the line's end.
    line_end: usize,
}

impl Position {
    fn of(text: &str, offset: usize) -> Position {
        let mut byte = offset.min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        let line_start = text[..byte].rfind('\n').map_or(0, |newline| newline + 1);
        let rest = &text[line_start..];
        let line_length = rest.find('\n').unwrap_or(rest.len());
        let line_end = line_start + rest[..line_length].trim_end_matches('\r').len();
        // A mistake in the line's end itself (an unterminated string) is shown at the end of the line.
        let byte = byte.min(line_end);
        Position {
            line: 1 + text[..line_start].matches('\n').count(),
            column: 1 + text[line_start..byte].chars().count(),
            byte,
            line_start,
            line_end,
        }
    }
}

/// Columns a terminal gives the character: two for East Asian wide ones (Unicode annex 11, the blocks that occur in text).
fn width(c: char) -> usize {
    match c as u32 {
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 => 2,
        0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

fn blank_as_wide_as(c: char) -> &'static str {
    match (c, width(c)) {
        ('\t', _) => "\t",
        (_, 2) => "  ",
        _ => " ",
    }
}
