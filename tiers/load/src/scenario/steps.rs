//! `[[scenario]]`: its steps, what they check, what they take from the answers.

use super::section::Section;
use crate::{
    plan::{Check, Extract, ExtractFrom, Request, Scenario, Step},
    quantity,
    reply::Expect,
    template::{Escape, Names, Template},
};
use regex::bytes::Regex;
use std::time::Duration;
use toml_edit::{Item, Value};

/// What a step's request is made of besides the step itself.
pub struct Context<'c> {
    pub authority: &'c str,
    /// The target's path, before every step's own.
    pub base: &'c str,
    /// Headers of every request.
    pub common: &'c [(String, String)],
    /// From 1, for a scenario without a name.
    pub number: usize,
}

/// Steps of one scenario.
const STEPS_MAX: usize = 1_000;

const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

/// Reads one scenario and appends its steps. The caller sets their range.
pub fn read_scenario(section: &Section, context: &Context, names: &mut Names, steps: &mut Vec<Step>) -> Scenario {
    let name = section.string("name").map_or_else(|| context.number.to_string(), |(name, _)| name);
    let weight = section.number("weight", f64::MIN_POSITIVE, 1e9).map_or(1.0, |(weight, _)| weight);
    let cookies = section.boolean("cookies").unwrap_or(true);
    let headers: Vec<(String, String)> = context.common.iter().cloned().chain(section.pairs("headers")).collect();
    let slots_before = names.slots.len();
    let first = steps.len();
    let mut feeds = Vec::new();
    let sections = section.array_of_sections("steps", STEPS_MAX);
    let several = sections.len() > 1;
    for step in &sections {
        let mut reading = Reading { section: step, context, headers: &headers, names, feeds: &mut feeds };
        if let Some(step) = reading.step(&name) {
            steps.push(step);
        }
        step.finish();
    }
    // A name no template can write hides them from the scenarios that follow.
    names.slots[slots_before..].iter_mut().for_each(|slot| slot.insert(0, '\0'));
    feeds.sort();
    feeds.dedup();
    // Cookies of a journey with one step are never sent, so they need not be read.
    let cookies = cookies && several;
    if cookies {
        steps[first..].iter_mut().for_each(|step| step.expect.keep_head = true);
    }
    Scenario { name, weight, first: 0, last: 0, feeds, cookies }
}

struct Reading<'r, 'd> {
    section: &'r Section<'d>,
    context: &'r Context<'r>,
    headers: &'r [(String, String)],
    names: &'r mut Names,
    feeds: &'r mut Vec<usize>,
}

impl Reading<'_, '_> {
    fn step(&mut self, scenario: &str) -> Option<Step> {
        let section = self.section;
        let method_and_path = self.method_and_path();
        let name = section.string("name").map(|(name, _)| name);
        let own_headers = section.pairs("headers");
        let think = self.think();
        let mut checks = self.checks();
        let (body, content_type) = self.body();
        // Extraction comes last: a step's own request does not know what its answer will bring.
        let (method, path) = method_and_path?;
        let head = self.head(&method, &path, &own_headers, content_type)?;
        let extracts = self.extracts();
        if !checks.iter().any(|check| matches!(check, Check::Status(_))) {
            checks.insert(0, Check::Status(vec![(200, 399)]));
        }
        let expect = Expect {
            no_body: method == "HEAD",
            keep_body: checks.iter().any(Check::body) || extracts.iter().any(|extract| extract.from.body()),
            keep_head: checks.iter().any(|check| matches!(check, Check::Header { .. }))
                || extracts.iter().any(|extract| !extract.from.body()),
        };
        let named = name.unwrap_or_else(|| format!("{method} {path}"));
        Some(Step {
            name: if scenario.is_empty() { named } else { format!("{scenario}: {named}") },
            idempotent: matches!(method.as_str(), "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS"),
            request: Request::new(head, body),
            expect,
            checks,
            extracts,
            think,
        })
    }

    fn method_and_path(&self) -> Option<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        for method in METHODS {
            if let Some((path, _)) = self.section.string(method) {
                found.push((method.to_uppercase(), path));
            }
        }
        if let (Some((method, at)), Some((path, _))) = (self.section.string("request"), self.section.string("path")) {
            if !pumasi_http1::is_token(method.as_bytes()) {
                self.section.problem_at(at, "request", format!("\"{method}\" is not a method"), "Methods are words such as GET.");
                return None;
            }
            found.push((method, path));
        }
        match found.len() {
            1 => found.pop(),
            0 => {
                self.section
                    .problem("has no request", "Write it as { get = \"/\" }; there are get, post, put, patch, delete, head, options.");
                None
            }
            _ => {
                self.section.problem("has several requests", "Make each a step of its own.");
                None
            }
        }
    }

    fn head(&mut self, method: &str, path: &str, own: &[(String, String)], content_type: Option<&str>) -> Option<Template> {
        let at = METHODS.iter().find(|known| known.eq_ignore_ascii_case(method)).copied().unwrap_or("path");
        let place = self.section.place_of(at);
        if !path.starts_with('/') {
            let remedy = "Write the path only, /items; the host is load.target's.";
            self.section.problem_at(place, at, format!("\"{path}\" does not start with /"), remedy);
            return None;
        }
        if path.split("${").map(|part| part.rsplit_once('}').map_or(part, |(_, rest)| rest)).any(|text| text.contains([' ', '\r', '\n'])) {
            self.section.problem_at(place, at, format!("\"{path}\" contains a space or a line break"), "Write %20 for a space.");
            return None;
        }
        let mut head = Template::text(format!("{method} {}", self.context.base));
        head.append(self.template(&encode_non_ascii(path), Escape::Url, at)?);
        head.append(Template::text(format!(" HTTP/1.1\r\nHost: {}\r\n", self.context.authority)));
        // The step's headers win over the scenario's, those over the file's.
        let mut all: Vec<(&str, &str)> = Vec::new();
        let generated = [("User-Agent", USER_AGENT), ("Accept", "*/*")];
        let typed = content_type.map(|value| ("Content-Type", value));
        let written = self.headers.iter().chain(own).map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in generated.into_iter().chain(typed).chain(written) {
            all.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            all.push((name, value));
        }
        for (name, value) in all {
            if !self.sendable(name, value) {
                return None;
            }
            head.append(Template::text(format!("{name}: ")));
            head.append(self.template(value, Escape::Raw, "headers")?);
            head.append(Template::text("\r\n"));
        }
        Some(head)
    }

    fn sendable(&self, name: &str, value: &str) -> bool {
        let reserved = ["host", "content-length", "transfer-encoding", "connection"];
        let (what, remedy) = if !pumasi_http1::is_token(name.as_bytes()) {
            (format!("\"{name}\" is not a header's name"), "Names are words such as Accept-Language.")
        } else if name.eq_ignore_ascii_case("host") && !value.is_empty() || reserved[1..].iter().any(|r| name.eq_ignore_ascii_case(r)) {
            (format!("\"{name}\" is set by the generator"), "Leave it out.")
        } else if value.chars().any(char::is_control) {
            (format!("the value of \"{name}\" contains a control character"), "A header is one line.")
        } else {
            return true;
        };
        self.section.problem_at(self.section.place_of("headers"), "headers", what, remedy);
        false
    }

    fn body(&mut self) -> (Option<Template>, Option<&'static str>) {
        let form = self.section.has("form").then(|| self.section.pairs("form"));
        let json = self.section.raw("json");
        let body = self.section.string("body");
        match (body, form, json) {
            (None, None, None) => (None, None),
            (Some((text, _)), None, None) => (self.template(&text, Escape::Raw, "body"), None),
            (None, Some(form), None) => {
                let mut out = Template::text("");
                for (i, (name, value)) in form.iter().enumerate() {
                    let separator = if i == 0 { "" } else { "&" };
                    out.append(Template::text(format!("{separator}{}=", crate::template::form_encode(name))));
                    // The literal parts are encoded as the values are.
                    let Some(value) = self.template(&encode_form_literals(value), Escape::Form, "form") else { return (None, None) };
                    out.append(value);
                }
                (Some(out), Some("application/x-www-form-urlencoded"))
            }
            (None, None, Some(item)) => {
                let text = item
                    .as_value()
                    .map(json_text)
                    .or_else(|| item.as_table().map(|table| json_text(&Value::InlineTable(table.clone().into_inline_table()))));
                match text {
                    Some(text) => (self.template(&text, Escape::Json, "json"), Some("application/json")),
                    None => {
                        self.section.problem("json must be a value", "Write it as json = { name = \"value\" }.");
                        (None, None)
                    }
                }
            }
            _ => {
                self.section.problem("has more than one of body, form and json", "Keep one.");
                (None, None)
            }
        }
    }

    fn think(&self) -> Option<(Duration, Duration)> {
        let (text, place) = self.section.string("think")?;
        let (from, to) = text.split_once("..").unwrap_or((&text, &text));
        match (quantity::duration(from), quantity::duration(to)) {
            (Ok(from), Ok(to)) if from <= to => Some((from, to)),
            (Err(reason), _) | (_, Err(reason)) => {
                self.section.problem_at(place, "think", reason, "Write it as \"2s\" or \"1s..3s\".");
                None
            }
            _ => {
                self.section.problem_at(place, "think", format!("\"{text}\" ends before it starts"), "Write the shorter time first.");
                None
            }
        }
    }

    fn checks(&self) -> Vec<Check> {
        let Some(check) = self.section.section("check") else { return Vec::new() };
        let mut checks = Vec::new();
        if let Some(item) = check.raw("status") {
            match status_ranges(item) {
                Some(ranges) => checks.push(Check::Status(ranges)),
                None => check.problem_at(
                    check.place_of("status"),
                    "status",
                    "is not a status",
                    "Write it as 200, \"2xx\", \"200-299\" or an array of these.",
                ),
            }
        }
        checks.extend(check.string("contains").map(|(text, _)| Check::Contains(text)));
        checks.extend(regex_of(&check, "matches").map(Check::Matches));
        if let Some(json) = check.section("json") {
            for (pointer, place, item) in json.entries() {
                let equals = match item.as_value() {
                    Some(Value::String(text)) => Some(text.value().clone()),
                    Some(Value::Boolean(exists)) if *exists.value() => None,
                    Some(value) => Some(value.to_string().trim().to_string()),
                    None => None,
                };
                match pointer_ok(&pointer) {
                    true => checks.push(Check::Json { pointer, equals }),
                    false => json.problem_at(place, &pointer, "is not a JSON pointer", "Pointers start with /: \"/items/0/id\"."),
                }
            }
        }
        for (name, contains) in check.pairs("header") {
            checks.push(Check::Header { name, contains });
        }
        checks.extend(check.integer("body_min", 0, i64::MAX).map(|bytes| Check::BodyMin(bytes as u64)));
        check.finish();
        checks
    }

    fn extracts(&mut self) -> Vec<Extract> {
        let Some(extract) = self.section.section("extract") else { return Vec::new() };
        let mut extracts = Vec::new();
        for (name, place, item) in extract.entries() {
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                extract.problem_at(place, &name, "is not a name for a value", "Use letters, digits and _.");
                continue;
            }
            let Some(how) = Section::of(item, &format!("extract.{name}"), place, extract.reader()) else { continue };
            let pointer = how.string("json");
            let regex = regex_of(&how, "regex");
            let header = how.string("header").map(|(header, _)| ExtractFrom::Header(header));
            let cookie = how.string("cookie").map(|(cookie, _)| ExtractFrom::Cookie(cookie));
            how.finish();
            if let Some((pointer, at)) = pointer.as_ref().filter(|(pointer, _)| !pointer_ok(pointer)) {
                how.problem_at(
                    at.clone(),
                    "json",
                    format!("\"{pointer}\" is not a JSON pointer"),
                    "Pointers start with /: \"/items/0/id\".",
                );
                continue;
            }
            let json = pointer.map(|(pointer, _)| ExtractFrom::Json(pointer));
            let mut given: Vec<ExtractFrom> = [json, regex.map(ExtractFrom::Regex), header, cookie].into_iter().flatten().collect();
            match (given.pop(), given.pop()) {
                (Some(from), None) => {
                    let slot = self.names.slots.iter().position(|slot| *slot == name).unwrap_or_else(|| {
                        self.names.slots.push(name.clone());
                        self.names.slots.len() - 1
                    });
                    extracts.push(Extract { slot, from });
                }
                _ => how.problem("needs exactly one of json, regex, header and cookie", "Write it as { json = \"/0/id\" }."),
            }
        }
        extracts
    }

    fn template(&mut self, text: &str, escape: Escape, key: &str) -> Option<Template> {
        match Template::compile(text, escape, self.names) {
            Ok(template) => {
                self.feeds.extend(template.feeds());
                Some(template)
            }
            Err(reason) => {
                let remedy = "A literal ${ is written $${.";
                self.section.problem_at(self.section.place_of(key), key, reason, remedy);
                None
            }
        }
    }
}

const USER_AGENT: &str = concat!("pumasi-load/", env!("CARGO_PKG_VERSION"));

fn regex_of(section: &Section, key: &'static str) -> Option<Regex> {
    let (text, place) = section.string(key)?;
    let short = |error: regex::Error| error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_string();
    Regex::new(&text).map_err(|error| section.problem_at(place, key, short(error), "The syntax is that of Rust's regex crate.")).ok()
}

fn pointer_ok(pointer: &str) -> bool {
    pointer.is_empty() || pointer.starts_with('/')
}

fn status_ranges(item: &Item) -> Option<Vec<(u16, u16)>> {
    match item.as_value()? {
        Value::Array(array) if !array.is_empty() => array.iter().map(status_range).collect(),
        value => status_range(value).map(|range| vec![range]),
    }
}

fn status_range(value: &Value) -> Option<(u16, u16)> {
    let valid = |status: i64| (100..=599).contains(&status).then_some(status as u16);
    if let Some(status) = value.as_integer() {
        return valid(status).map(|status| (status, status));
    }
    let text = value.as_str()?;
    if let Some(class) = text.strip_suffix("xx") {
        let first = valid(class.parse::<i64>().ok()? * 100)?;
        return Some((first, first + 99));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (valid(first.parse().ok()?)?, valid(last.parse().ok()?)?);
    (first <= last).then_some((first, last))
}

/// A path may be written with any letters; on the wire it is ASCII (RFC 3986 section 2.5).
fn encode_non_ascii(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

/// Form-encodes what is outside `${...}`.
fn encode_form_literals(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let end = rest[at..].find('}').map_or(rest.len(), |end| at + end + 1);
        out.push_str(&crate::template::form_encode(&rest[..at]));
        out.push_str(&rest[at..end]);
        rest = &rest[end..];
    }
    out.push_str(&crate::template::form_encode(rest));
    out
}

/// A TOML value as JSON text. Templates stay in the strings; their literal parts are escaped here, their values when rendered.
fn json_text(value: &Value) -> String {
    match value {
        Value::String(text) => serde_json::Value::from(text.value().as_str()).to_string(),
        Value::Integer(number) => number.value().to_string(),
        Value::Float(number) => serde_json::Value::from(*number.value()).to_string(),
        Value::Boolean(value) => value.value().to_string(),
        Value::Datetime(time) => serde_json::Value::from(time.value().to_string()).to_string(),
        Value::Array(array) => format!("[{}]", array.iter().map(json_text).collect::<Vec<_>>().join(",")),
        Value::InlineTable(table) => {
            let pairs = table.iter().map(|(key, value)| format!("{}:{}", serde_json::Value::from(key), json_text(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
    }
}
