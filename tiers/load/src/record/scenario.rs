//! From recorded requests to a scenario file. Pure: requests in, TOML out.

use super::Recording;
use crate::quantity;
use pumasi_trace::{MASK, Recorded};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    time::Duration,
};

/// A visitor who comes back after so long begins anew.
const PAUSE_US: u64 = 30 * 60 * 1_000_000;
/// Steps of one journey; longer visits are told in pieces.
const STEPS_MAX: usize = 30;
/// Ways through the site that are told as such; the rest is told by its requests.
const JOURNEYS_MAX: usize = 20;
/// Values of one route's data.
const VALUES_MAX: usize = 300;
/// A pause shorter than this is the browser's, not the visitor's.
const THINK_MIN_US: u64 = 50_000;

/// Requests with one method and one path but for its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Route {
    method: String,
    pattern: String,
}

/// What is known of a route.
#[derive(Debug, Default)]
struct Seen {
    /// How often each address was asked for, without its first slash.
    targets: BTreeMap<String, u64>,
    /// How often each body was sent.
    bodies: BTreeMap<String, u64>,
    /// How often with a secret in it: cannot be asked again.
    masked: u64,
    status: BTreeMap<u16, u64>,
    content_type: String,
    read_bytes: u64,
    sent_bytes: u64,
    count: u64,
}

/// Visits that went the same way.
#[derive(Debug, Default)]
struct Way {
    visits: u64,
    /// Pauses after each step, in microseconds.
    pauses: Vec<Vec<u64>>,
}

/// The steps of each way, and who went it.
type Ways<'r> = Vec<(Vec<&'r Route>, Way)>;

/// The scenario file. Errors: nothing was recorded that could be asked again.
pub fn write(recording: &Recording, target: &str) -> Result<String, String> {
    let requests: Vec<&Recorded> =
        recording.requests.iter().filter(|request| request.status > 0 && request.target.starts_with('/')).collect();
    let mut routes: BTreeMap<Route, Seen> = BTreeMap::new();
    for request in &requests {
        routes.entry(Route::of(request)).or_default().add(request);
    }
    if !routes.iter().any(|(route, seen)| seen.repeatable(route)) {
        return Err("nothing was asked for that could be asked again; was there traffic?".to_string());
    }
    let names: HashMap<&Route, String> = routes.keys().enumerate().map(|(number, route)| (route, format!("r{}", number + 1))).collect();
    let (ways, singles) = journeys(&requests, &routes);
    let journeys: u64 = ways.iter().map(|(_, way)| way.visits).sum::<u64>() + singles.values().sum::<u64>();
    let lasted_s = recording.lasted.as_secs_f64().max(0.001);

    let mut out = String::new();
    let visitors: std::collections::HashSet<u64> = requests.iter().map(|request| request.visitor).collect();
    let lasted = quantity::show(Duration::from_secs(recording.lasted.as_secs().max(1)));
    let _ = writeln!(out, "# Recorded in {lasted}: {} requests of {} visitors.", requests.len(), visitors.len());
    let bodies = if recording.bodies { "Headers and cookies" } else { "Headers, cookies and bodies" };
    let _ = writeln!(out, "# {bodies} are never recorded; requests that held what may be a secret are left out.");
    if recording.bodies {
        let _ = writeln!(out, "# What was sent to be written is written again: run this against a copy, or look at each step first.");
    }
    if recording.lost > 0 {
        let _ = writeln!(out, "# {} more requests came too fast to be recorded: the rate below is too low by as much.", recording.lost);
    }
    let rate = quantity::significant((journeys as f64 / lasted_s).max(0.01));
    let _ = writeln!(
        out,
        "[load]\ntarget = {}\nrate = {rate}                 # journeys a second, as recorded\nfor = \"{lasted}\"\n",
        quoted(target)
    );
    let data: Vec<String> = routes.iter().flat_map(|(route, seen)| seen.data(route, &names[route])).collect();
    if !data.is_empty() {
        let _ = writeln!(out, "[data]\n{}", data.concat());
    }
    for (number, (steps, way)) in ways.iter().enumerate() {
        let _ = writeln!(out, "[[scenario]]\nname = \"way {}\"\nweight = {}\nsteps = [", number + 1, way.visits);
        for (at, route) in steps.iter().enumerate() {
            let think = way.pauses.get(at).and_then(|pauses| think(pauses));
            out += &routes[*route].step(route, &names[route], think.as_deref());
        }
        out += "]\n\n";
    }
    for (route, count) in &singles {
        let _ =
            writeln!(out, "[[scenario]]\nname = {}\nweight = {count}\nsteps = [", quoted(&format!("{} {}", route.method, route.pattern)));
        out += &routes[*route].step(route, &names[route], None);
        out += "]\n\n";
    }
    let writes: Vec<String> = routes.iter().filter(|(route, seen)| !seen.repeatable(route)).map(|(route, seen)| seen.line(route)).collect();
    if !writes.is_empty() {
        let _ = writeln!(
            out,
            "# Not asked again by itself: a body is needed that only you know, or there was a secret in it or in the address."
        );
        out += &writes.concat();
    }
    Ok(out)
}

/// The ways most visitors went, most frequent first, and how often each route was asked for by all others.
fn journeys<'r>(requests: &[&Recorded], routes: &'r BTreeMap<Route, Seen>) -> (Ways<'r>, BTreeMap<&'r Route, u64>) {
    let mut visitors: BTreeMap<u64, Vec<&Recorded>> = BTreeMap::new();
    for request in requests {
        visitors.entry(request.visitor).or_default().push(request);
    }
    let mut ways: HashMap<Vec<&Route>, Way> = HashMap::new();
    for mut visit in visitors.into_values() {
        visit.sort_by_key(|request| began_us(request));
        let pause = |a: &Recorded, b: &Recorded| began_us(b).saturating_sub(a.ended_unix_us);
        for journey in visit.chunk_by(|a, b| pause(a, b) < PAUSE_US).flat_map(|visit| visit.chunks(STEPS_MAX)) {
            let (mut steps, mut pauses) = (Vec::new(), Vec::new());
            for (at, request) in journey.iter().enumerate() {
                let Some((route, seen)) = routes.get_key_value(&Route::of(request)) else { continue };
                let after = journey.get(at + 1).map_or(0, |next| pause(request, next));
                if seen.repeatable(route) {
                    steps.push(route);
                    pauses.push(after);
                } else if let Some(before) = pauses.last_mut() {
                    // What is left out took its time as well.
                    *before += after;
                }
            }
            if steps.is_empty() {
                continue;
            }
            let way = ways.entry(steps).or_default();
            way.visits += 1;
            way.pauses.resize_with(pauses.len(), Vec::new);
            way.pauses.iter_mut().zip(pauses).for_each(|(all, pause)| all.push(pause));
        }
    }
    let mut ways: Ways = ways.into_iter().collect();
    // By the requests they stand for; by name where they are equal, so that the same recording makes the same file.
    ways.sort_by(|(a, x), (b, y)| (y.visits * b.len() as u64, &b).cmp(&(x.visits * a.len() as u64, &a)));
    let mut singles: BTreeMap<&Route, u64> = BTreeMap::new();
    for (steps, way) in ways.split_off(ways.len().min(JOURNEYS_MAX)) {
        steps.into_iter().for_each(|route| *singles.entry(route).or_default() += way.visits);
    }
    (ways, singles)
}

impl Route {
    fn of(request: &Recorded) -> Route {
        let path = request.target.split('?').next().unwrap_or_default();
        let number = |segment: &str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        let pattern: Vec<&str> = path.split('/').map(|segment| if number(segment) || segment == MASK { "*" } else { segment }).collect();
        Route { method: request.method.clone(), pattern: pattern.join("/") }
    }

    /// Without a body and without an effect.
    fn safe(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

impl Seen {
    fn add(&mut self, request: &Recorded) {
        self.count += 1;
        self.read_bytes += request.read_bytes;
        self.sent_bytes += request.sent_bytes;
        *self.status.entry(request.status).or_default() += 1;
        if self.content_type.is_empty() {
            self.content_type.clone_from(&request.content_type);
        }
        if request.target.contains(MASK) || request.body.as_ref().is_some_and(|body| body.contains(MASK)) {
            self.masked += 1;
        } else {
            if let Some(body) = &request.body {
                *self.bodies.entry(body.clone()).or_default() += 1;
            }
            *self.targets.entry(request.target.trim_start_matches('/').to_string()).or_default() += 1;
        }
    }

    fn repeatable(&self, route: &Route) -> bool {
        (route.safe() || !self.bodies.is_empty()) && !self.targets.is_empty()
    }

    /// The addresses that were asked for and the bodies that were sent, each as often as its share; none of what there was one only.
    fn data(&self, route: &Route, name: &str) -> Vec<String> {
        if !self.repeatable(route) {
            return Vec::new();
        }
        let lists = [(name.to_string(), &self.targets), (format!("{name}_body"), &self.bodies)];
        lists.into_iter().filter(|(_, values)| values.len() > 1).map(|(name, values)| shares(&name, values)).collect()
    }

    fn step(&self, route: &Route, name: &str, think: Option<&str>) -> String {
        let path = match self.targets.len() {
            1 => format!("/{}", self.targets.keys().next().map_or(String::new(), |target| target.replace("${", "$${"))),
            _ => format!("/${{raw {name}}}"),
        };
        let label = format!("{} {}", route.method, route.pattern);
        let mut step = format!("  {{ {} = {}, name = {}", route.method.to_lowercase(), quoted(&path), quoted(&label));
        if !route.safe() {
            let body = match self.bodies.len() {
                1 => self.bodies.keys().next().map_or(String::new(), |body| body.replace("${", "$${")),
                _ => format!("${{raw {name}_body}}"),
            };
            let _ = write!(step, ", body = {}, headers = {{ Content-Type = {} }}", quoted(&body), quoted(&self.content_type));
        }
        // What was answered 404 then is no error when it is answered 404 again.
        if self.status.keys().any(|status| !(200..=399).contains(status)) {
            let all: Vec<String> = self.status.keys().filter(|status| **status < 500).map(u16::to_string).collect();
            if !all.is_empty() {
                let _ = write!(step, ", check = {{ status = [{}] }}", all.join(", "));
            }
        }
        if let Some(think) = think {
            let _ = write!(step, ", think = \"{think}\"");
        }
        format!("{step} }},   # {} times, {} B answers\n", self.count, self.sent_bytes / self.count.max(1))
    }

    /// A comment on what is not repeated.
    fn line(&self, route: &Route) -> String {
        let kind = if self.content_type.is_empty() { String::new() } else { format!(", {}", self.content_type) };
        format!("#   {} {}: {} times{kind}, {} B requests\n", route.method, route.pattern, self.count, self.read_bytes / self.count.max(1))
    }
}

/// A list of values, each as often as its share.
fn shares(name: &str, values: &BTreeMap<String, u64>) -> String {
    let mut values: Vec<(&String, &u64)> = values.iter().collect();
    values.sort_by_key(|(value, count)| (std::cmp::Reverse(**count), value.as_str()));
    values.truncate(VALUES_MAX);
    let all: u64 = values.iter().map(|(_, count)| **count).sum();
    let mut list = Vec::new();
    for (value, count) in values {
        let times = if all <= VALUES_MAX as u64 { *count } else { (count * VALUES_MAX as u64 / all).max(1) };
        list.extend(std::iter::repeat_n(quoted(value), times as usize));
    }
    format!("{name} = {{ values = [{}], order = \"random\" }}\n", list.join(", "))
}

fn began_us(request: &Recorded) -> u64 {
    request.ended_unix_us.saturating_sub(request.took_us)
}

/// The middle half of the pauses: `1.2s..3s`. None if they are too short to be anybody's.
fn think(pauses: &[u64]) -> Option<String> {
    let mut pauses = pauses.to_vec();
    pauses.sort_unstable();
    let at = |share: f64| pauses[((pauses.len() - 1) as f64 * share) as usize];
    let (from, to) = (at(0.25), at(0.75));
    let show = |us: u64| quantity::show(Duration::from_millis(us / 1000));
    (to >= THINK_MIN_US).then(|| format!("{}..{}", show(from), show(to)))
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}
