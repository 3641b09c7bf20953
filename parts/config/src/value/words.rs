//! One word out of a few.

use super::{Span, Text, Wrong, is_token};
use crate::{
    nearest::nearest,
    plan::{
        AccessLog, Attribution, BalancePolicy, CompressCoding, EvictionPolicy, FailoverMode, HashBy, PagesMode, ProbeKind, ProxyProtocol,
        ReadsMode, ResultsMode, ServerTls, UpstreamProtocol,
    },
};

/// Declares an enum of the plan as a kind: `choice!(PagesMode, "...", "off" => Off, ...)`.
macro_rules! choice {
    ($Kind:ty: $($word:literal => $value:expr),+ $(,)?) => {
        impl Text for $Kind {
            const KIND: &'static str = concat!("one of", $(" \"", $word, "\"",)+);
            fn parse(text: &str) -> Result<Self, Wrong> {
                match text {
                    $($word => Ok($value),)+
                    other => Err(not_a_choice(other, &[$($word),+])),
                }
            }
        }
        written_as_string!($Kind);
    };
}

choice!(AccessLog: "off" => AccessLog::Off, "common" => AccessLog::Common, "json" => AccessLog::Json);
choice!(ProxyProtocol: "off" => ProxyProtocol::Off, "v1" => ProxyProtocol::V1, "v2" => ProxyProtocol::V2);
choice!(CompressCoding: "gzip" => CompressCoding::Gzip, "br" => CompressCoding::Brotli, "zstd" => CompressCoding::Zstd);
choice!(PagesMode: "off" => PagesMode::Off, "standard" => PagesMode::Standard, "automatic" => PagesMode::Automatic);
choice!(
    BalancePolicy: "round-robin" => BalancePolicy::RoundRobin, "least-in-flight" => BalancePolicy::LeastInFlight,
    "power-of-two" => BalancePolicy::PowerOfTwo, "ring" => BalancePolicy::Ring, "maglev" => BalancePolicy::Maglev,
    "rendezvous" => BalancePolicy::Rendezvous,
);
choice!(
    EvictionPolicy: "s3-fifo" => EvictionPolicy::S3Fifo, "lru" => EvictionPolicy::Lru, "lfu" => EvictionPolicy::Lfu,
    "fifo" => EvictionPolicy::Fifo,
);
choice!(Attribution: "window" => Attribution::Window, "traceparent" => Attribution::Traceparent, "alone" => Attribution::Alone);
choice!(ServerTls: "off" => ServerTls::Off, "encrypted" => ServerTls::Encrypted, "verified" => ServerTls::Verified);
choice!(ProbeKind: "http" => ProbeKind::Http, "tcp" => ProbeKind::Tcp);
choice!(UpstreamProtocol: "http1" => UpstreamProtocol::Http1, "http2" => UpstreamProtocol::Http2);
choice!(ResultsMode: "off" => ResultsMode::Off, "automatic" => ResultsMode::Automatic);
choice!(FailoverMode: "automatic" => FailoverMode::Automatic, "manual" => FailoverMode::Manual);

impl Text for ReadsMode {
    const KIND: &'static str = "\"fresh\", \"primary\" or \"bounded 2s\"";
    fn parse(text: &str) -> Result<ReadsMode, Wrong> {
        match text.split_once(' ') {
            None if text == "fresh" => Ok(ReadsMode::Fresh),
            None if text == "primary" => Ok(ReadsMode::Primary),
            None if text == "bounded" => Err(Wrong::new("names no bound", "Write it as in \"bounded 2s\".")),
            Some(("bounded", span)) => Span::parse(span).map(|span| ReadsMode::Bounded(span.0)),
            _ => Err(not_a_choice(text, &["fresh", "primary", "bounded 2s"])),
        }
    }
}
written_as_string!(ReadsMode);

impl Text for HashBy {
    const KIND: &'static str = "\"address\", \"url\", \"header:NAME\" or \"cookie:NAME\"";
    fn parse(text: &str) -> Result<HashBy, Wrong> {
        let token = is_token;
        match text.split_once(':') {
            None if text == "address" => Ok(HashBy::Address),
            None if text == "url" => Ok(HashBy::Url),
            Some(("header", name)) if token(name) => Ok(HashBy::Header(name.to_ascii_lowercase())),
            Some(("cookie", name)) if token(name) => Ok(HashBy::Cookie(name.to_owned())),
            Some(("header" | "cookie", _)) => Err(Wrong::new("has no valid name behind the colon", "Write it as in \"cookie:session\".")),
            _ => Err(not_a_choice(text, &["address", "url", "header:NAME", "cookie:NAME"])),
        }
    }
}
written_as_string!(HashBy);

fn not_a_choice(written: &str, words: &[&str]) -> Wrong {
    let list = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    match nearest(written, words.iter().copied()) {
        Some(near) => Wrong::new("is not known here", format!("Did you mean {near:?}? Possible: {list}.")),
        None => Wrong::new("is not known here", format!("Possible: {list}.")),
    }
}

/// `info`, or tracing's directives: `info,pumasi_edge=debug`.
#[derive(Clone, Debug)]
pub(crate) struct LogLevel(pub String);

impl Text for LogLevel {
    const KIND: &'static str = "a level such as \"info\"";
    fn parse(text: &str) -> Result<LogLevel, Wrong> {
        const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
        for directive in text.split(',') {
            let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim();
            if !LEVELS.contains(&level) {
                return Err(not_a_choice(level, &LEVELS));
            }
        }
        Ok(LogLevel(text.to_owned()))
    }
}

written_as_string!(LogLevel);
