//! Collations: names as MySQL knows them, and how strings compare under them.
//!
//! Four behaviours carry all names: letters folded or exact, trailing spaces ignored (PAD SPACE) or not (NO PAD). Folding is by
//! character: upper case, accents taken off; as in MySQL's `general_ci`, one character never equals two.

use std::cmp::Ordering;

use unicode_normalization::char::decompose_canonical;

/// How two strings compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collating {
    /// Case and accents do not matter, nor trailing spaces.
    FoldPad,
    /// Case and accents do not matter, trailing spaces do (MySQL 8's 0900 family).
    Fold,
    /// Code points, trailing spaces do not matter (`utf8mb4_bin`).
    ExactPad,
    /// Bytes, all of them (`binary`, `utf8mb4_0900_bin`).
    Exact,
}

/// A collation by its MySQL name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collation {
    pub id: u16,
    pub name: &'static str,
    pub charset: &'static str,
    pub collating: Collating,
    /// What `CHARACTER SET x` without a collation means.
    pub default: bool,
}

use Collating::*;

macro_rules! collations {
    ($($id:literal $name:literal $charset:literal $collating:ident $default:literal;)*) => {
        /// All collations that can be named, by id.
        pub const COLLATIONS: &[Collation] =
            &[$(Collation { id: $id, name: $name, charset: $charset, collating: $collating, default: $default }),*];
    };
}

collations! {
    8 "latin1_swedish_ci" "latin1" FoldPad true;
    11 "ascii_general_ci" "ascii" FoldPad true;
    33 "utf8mb3_general_ci" "utf8mb3" FoldPad true;
    45 "utf8mb4_general_ci" "utf8mb4" FoldPad true;
    46 "utf8mb4_bin" "utf8mb4" ExactPad false;
    47 "latin1_bin" "latin1" ExactPad false;
    48 "latin1_general_ci" "latin1" FoldPad false;
    63 "binary" "binary" Exact true;
    65 "ascii_bin" "ascii" ExactPad false;
    83 "utf8mb3_bin" "utf8mb3" ExactPad false;
    192 "utf8mb3_unicode_ci" "utf8mb3" FoldPad false;
    224 "utf8mb4_unicode_ci" "utf8mb4" FoldPad false;
    246 "utf8mb4_unicode_520_ci" "utf8mb4" FoldPad false;
    255 "utf8mb4_0900_ai_ci" "utf8mb4" Fold false;
    309 "utf8mb4_0900_bin" "utf8mb4" Exact false;
}

/// What strings without a named collation have.
pub const DEFAULT: &Collation = &COLLATIONS[3];
pub const BINARY: &Collation = &COLLATIONS[7];

impl Collation {
    /// By name, in any case; `utf8_` is `utf8mb3_`.
    pub fn by_name(name: &str) -> Option<&'static Collation> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix("utf8_").map_or(name.clone(), |rest| format!("utf8mb3_{rest}"));
        COLLATIONS.iter().find(|c| c.name == name)
    }

    pub fn by_id(id: u16) -> Option<&'static Collation> {
        COLLATIONS.iter().find(|c| c.id == id)
    }

    /// The default collation of a character set.
    pub fn of_charset(charset: &str) -> Option<&'static Collation> {
        let charset = charset.to_ascii_lowercase();
        let charset = if charset == "utf8" { "utf8mb3" } else { &charset };
        COLLATIONS.iter().find(|c| c.charset == charset && c.default)
    }

    /// Bytes per character at most.
    pub fn char_bytes(&self) -> u32 {
        match self.charset {
            "utf8mb4" => 4,
            "utf8mb3" => 3,
            _ => 1,
        }
    }
}

impl Collating {
    pub const ALL: [Collating; 4] = [FoldPad, Fold, ExactPad, Exact];

    /// The collation's name inside SQLite.
    pub fn sqlite_name(self) -> &'static str {
        match self {
            FoldPad => "PM_CI",
            Fold => "PM_CI_NOPAD",
            ExactPad => "PM_BIN",
            Exact => "BINARY",
        }
    }

    pub fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            FoldPad => fold_compare::<true>(a, b),
            Fold => fold_compare::<false>(a, b),
            ExactPad => pad_compare(a.as_bytes(), b.as_bytes()),
            Exact => a.cmp(b),
        }
    }

    pub fn folds(self) -> bool {
        matches!(self, FoldPad | Fold)
    }
}

/// A character as `general_ci` compares it: upper case without accents.
pub fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    match c {
        'ß' => return 'S',
        // Hangul decomposes into its letters and kana into sounds with marks; MySQL compares those whole.
        '\u{ac00}'..='\u{d7a3}' | '\u{3000}'..='\u{30ff}' => return c,
        _ => {}
    }
    let mut base = c;
    let mut first = true;
    decompose_canonical(c, |part| {
        if std::mem::take(&mut first) {
            base = part;
        }
    });
    // Й is a letter of its own in general_ci, not И with a breve.
    if matches!(c, 'й' | 'Й') {
        base = c;
    }
    let mut upper = base.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => base,
    }
}

/// The folded form: equal exactly when the strings compare equal. For hash keys of DISTINCT and GROUP BY.
pub fn key(collating: Collating, text: &str) -> String {
    let text = if matches!(collating, FoldPad | ExactPad) { text.trim_end_matches(' ') } else { text };
    if collating.folds() { text.chars().map(fold).collect() } else { text.to_owned() }
}

fn fold_compare<const PAD: bool>(a: &str, b: &str) -> Ordering {
    let (x, y) = (a.as_bytes(), b.as_bytes());
    let shorter = x.len().min(y.len());
    for i in 0..shorter {
        if x[i] == y[i] && x[i] < 0x80 {
            continue;
        }
        if (x[i] | y[i]) >= 0x80 {
            // All before `i` was ASCII on both sides, so `i` is a boundary in both.
            return fold_compare_chars::<PAD>(&a[i..], &b[i..]);
        }
        match x[i].to_ascii_uppercase().cmp(&y[i].to_ascii_uppercase()) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    if x.len() == y.len() {
        return Ordering::Equal;
    }
    fold_compare_chars::<PAD>(&a[shorter..], &b[shorter..])
}

fn fold_compare_chars<const PAD: bool>(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.chars(), b.chars());
    loop {
        match (x.next(), y.next()) {
            (None, None) => return Ordering::Equal,
            (Some(p), Some(q)) => match fold(p).cmp(&fold(q)) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
            (Some(p), None) => {
                if !PAD {
                    return Ordering::Greater;
                }
                match fold(p).cmp(&' ') {
                    Ordering::Equal => {}
                    unequal => return unequal,
                }
            }
            (None, Some(q)) => {
                if !PAD {
                    return Ordering::Less;
                }
                match ' '.cmp(&fold(q)) {
                    Ordering::Equal => {}
                    unequal => return unequal,
                }
            }
        }
    }
}

fn pad_compare(a: &[u8], b: &[u8]) -> Ordering {
    let shorter = a.len().min(b.len());
    match a[..shorter].cmp(&b[..shorter]) {
        Ordering::Equal => {}
        unequal => return unequal,
    }
    let rest = |s: &[u8]| s.iter().copied().find(|&x| x != b' ').map(|x| x.cmp(&b' '));
    match a.len().cmp(&b.len()) {
        Ordering::Equal => Ordering::Equal,
        Ordering::Greater => rest(&a[shorter..]).unwrap_or(Ordering::Equal),
        Ordering::Less => rest(&b[shorter..]).map_or(Ordering::Equal, Ordering::reverse),
    }
}
