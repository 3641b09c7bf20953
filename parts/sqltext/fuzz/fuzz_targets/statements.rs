//! Any bytes are a statement: tokens cover it in order, the digest has no more operands than it has tokens, and the analysis ends.
#![no_main]
use libfuzzer_sys::fuzz_target;
use pumasi_sqltext::{Catalogue, Class, Digest, Modes, Relation, TOKENS_MAX, Tokens, analyse, asks_settings};

struct Nothing;

impl Catalogue for Nothing {
    fn relation(&self, _: Option<&str>, _: &str) -> Relation {
        Relation::Unknown
    }
}

fuzz_target!(|sql: &[u8]| {
    let mut tokens = Tokens::new(sql);
    let mut end = 0;
    while tokens.next().is_some() {
        assert!(tokens.began() >= end && tokens.end() > tokens.began() && tokens.end() <= sql.len());
        end = tokens.end();
    }
    let _ = (Class::of(sql), asks_settings(sql));
    // Read under other settings, nothing is lost but what quotes it.
    for (ansi_quotes, no_backslash_escapes) in [(true, false), (false, true), (true, true)] {
        let read = Modes { ansi_quotes, no_backslash_escapes, shifting: false }.read(sql);
        assert!(read.len() >= sql.len() - sql.iter().filter(|byte| **byte == b'"').count() && read.len() <= 2 * sql.len());
    }
    if let Ok(digest) = Digest::of(sql) {
        assert!(digest.operands.len() <= TOKENS_MAX);
        let analysis = analyse(&digest, &Nothing);
        // Nothing can be read of a database that has no tables.
        assert!(analysis.reads.is_err());
        if let Ok(template) = analysis.reads {
            let _ = template.deps(&digest.operands, &[]);
        }
    }
});
