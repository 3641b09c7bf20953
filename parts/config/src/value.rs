//! The kinds of value a key can have.

use crate::{
    declare::Reader,
    tree::{Data, Node},
};

// Before the modules: they use it.
macro_rules! written_as_string {
    ($($Kind:ty),*) => { $(
        impl $crate::declare::Value for $Kind {
            const KIND: &'static str = <$Kind as $crate::value::Text>::KIND;
            fn read(node: &$crate::tree::Node, path: &str, reader: &mut $crate::declare::Reader) -> Option<Self> {
                $crate::value::read_text(node, path, reader)
            }
            fn show(node: &$crate::tree::Node) -> String {
                if <$Kind as $crate::value::Text>::SECRET { "\"***\"".into() } else { node.toml() }
            }
        }
    )* };
}

mod amounts;
mod command;
mod containers;
mod database;
mod http;
mod network;
mod plain;
mod words;

pub(crate) use amounts::{ByteRate, Bytes, Span};
pub(crate) use command::{Command, Variables};
pub(crate) use containers::{List, Named, OneOrMany};
pub(crate) use database::{EngineName, ServerUrl};
use http::is_token;
pub(crate) use http::{CookieName, HostPattern, PathPattern};
use network::split_port;
pub(crate) use network::{Address, AddressOrOff, CollectorUrl, UpstreamSpec};
pub(crate) use plain::{Count, Path, Secret};
pub(crate) use words::LogLevel;

/// Why a text is not of the wanted kind: the reason, and what to write instead.
pub(crate) struct Wrong {
    what: String,
    remedy: String,
    /// `what` is a sentence about a part of the text; else it goes on after the text: `"x" is not a size`.
    names_a_part: bool,
}

impl Wrong {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Wrong {
        Wrong { what: what.into(), remedy: remedy.into(), names_a_part: false }
    }

    fn part(what: impl Into<String>, remedy: impl Into<String>) -> Wrong {
        Wrong { names_a_part: true, ..Wrong::new(what, remedy) }
    }
}

/// A kind that is written as a string.
pub(crate) trait Text: Sized {
    const KIND: &'static str;
    const SECRET: bool = false;
    fn parse(text: &str) -> Result<Self, Wrong>;
    /// How a bare number, which this is not, was probably meant.
    fn remedy_for_number(_: i64) -> String {
        "Write it in quotes.".into()
    }
}

fn read_text<T: Text>(node: &Node, path: &str, reader: &mut Reader) -> Option<T> {
    if T::SECRET {
        reader.secret(&node.origin);
    }
    let text = match &node.data {
        Data::String(text) | Data::Untyped(text) => text,
        _ => {
            let shown = if T::SECRET { "***".to_owned() } else { node.toml() };
            let remedy = match node.data {
                Data::Integer(number) => T::remedy_for_number(number),
                _ => "Write it in quotes.".into(),
            };
            reader.problem(&node.origin, path, format!("must be {}, not {} ({shown})", T::KIND, node.kind()), remedy);
            return None;
        }
    };
    match T::parse(text) {
        Ok(value) => Some(value),
        Err(wrong) => {
            let shown = if T::SECRET { "***".to_owned() } else { format!("{text:?}") };
            let colon = if wrong.names_a_part { ":" } else { "" };
            reader.problem(&node.origin, path, format!("{shown}{colon} {}", wrong.what), wrong.remedy);
            None
        }
    }
}
