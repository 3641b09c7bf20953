//! The rules, each with its thresholds.
mod storage;

use pumasi_chart::Unit;
use pumasi_status::{Digest, Host, Pool, Route, Sql, Traffic, Upstream};

use super::{Comparison, Level, Place, Verdict};

pub type Found = Vec<(Verdict, Option<Place>)>;

/// In the order in which sentences of the same urgency are shown, and in which the bottleneck is looked for: a cause before what
/// it causes. A dead worker makes the others too few, a slow statement makes every worker wait.
pub const ALL: [fn(&Comparison) -> Found; 11] = [
    nobody_can_take_requests,
    storage::nobody_can_be_written_to,
    a_worker_keeps_dying,
    one_slow_digest,
    too_few_workers,
    answers_fail,
    connections_run_out,
    a_page_is_made_anew_each_time,
    a_store_is_too_small,
    storage::a_replica_is_not_used,
    storage::pages_on_disk_fail,
];

/// Below this rate a percentage is an anecdote.
const REQUESTS_PER_SECOND_MIN: f64 = 1.0;

// === something is down ===

fn nobody_can_take_requests(c: &Comparison) -> Found {
    let down = |pool: &&Pool| !pool.upstreams.is_empty() && !pool.upstreams.iter().any(takes_requests);
    let say = |pool: &Pool| {
        let states: Vec<String> = pool.upstreams.iter().map(|u| format!("{} is {}", u.name, state_of(u))).collect();
        let verdict = Verdict {
            level: Level::Act,
            rule: "pool_down",
            sentence: format!("Nobody in pool {} takes requests: {}.", pool.name, states.join(", ")),
            quote: last_words(pool.upstreams.iter()),
            advice: "Until one of them is up, its visitors are answered 503.".into(),
            page: "/workers",
        };
        (verdict, Some(Place::Pool(pool.name.clone())))
    };
    c.now.pools.iter().filter(down).map(say).collect()
}

/// Restarts within a comparison that are more than bad luck.
const RESTARTS_MIN: u64 = 2;

fn a_worker_keeps_dying(c: &Comparison) -> Found {
    let mut found = Vec::new();
    for pool in &c.now.pools {
        for upstream in &pool.upstreams {
            let Some(worker) = &upstream.worker else { continue };
            let before = before(c, pool, upstream).and_then(|upstream| upstream.worker.as_ref());
            let restarts = worker.restarts.saturating_sub(before.map_or(worker.restarts, |before| before.restarts));
            let given_up = worker.state == "given up";
            let backing_off = worker.state == "backing off" && worker.restarts >= RESTARTS_MIN;
            if !given_up && !backing_off && restarts < RESTARTS_MIN {
                continue;
            }
            let sentence = match given_up {
                true => format!("Worker {} died right after every start and was given up.", upstream.name),
                false => {
                    let lately =
                        if restarts > 0 { format!(", {restarts} of them in the last {:.0} seconds", c.seconds) } else { String::new() };
                    format!("Worker {} keeps dying: {} restarts{lately}.", upstream.name, worker.restarts)
                }
            };
            let advice = match given_up {
                true => "Its last lines say why. Mend the cause, then run `pumasi reload`.",
                false => "Its last lines say why. The other workers take its requests meanwhile.",
            };
            let quote = last_words(std::iter::once(upstream));
            let verdict = Verdict { level: Level::Act, rule: "worker_dies", sentence, quote, advice: advice.into(), page: "/workers" };
            found.push((verdict, Some(Place::Pool(pool.name.clone()))));
        }
    }
    found
}

/// One failed answer in a hundred is no longer an accident.
const ERRORS_SHARE: f64 = 0.01;
/// And at least this many, so that a handful of requests is not judged.
const ERRORS_MIN: u64 = 5;

fn answers_fail(c: &Comparison) -> Found {
    let mut found = Vec::new();
    let (now, before) = (&c.now.edge.traffic, &c.before.edge.traffic);
    if let Some((share, errors)) = failing(now, before) {
        let verdict = Verdict {
            level: Level::Act,
            rule: "answers_fail",
            sentence: format!(
                "{} of all requests fail: {errors} answers of 5xx in the last {:.0} seconds.",
                Unit::Share.show(share),
                c.seconds
            ),
            quote: None,
            advice: "The events say what happened last; the routes and workers pages say where.".into(),
            page: "/events",
        };
        found.push((verdict, None));
    }
    for sql in &c.now.sql {
        let Some(then) = c.before.sql.iter().find(|then| then.name == sql.name) else { continue };
        if let Some((share, errors)) = failing(&sql.traffic, &then.traffic) {
            let verdict = Verdict {
                level: Level::Look,
                rule: "statements_fail",
                sentence: format!(
                    "{} of the statements to {} end in an error: {errors} in the last {:.0} seconds.",
                    Unit::Share.show(share),
                    sql.name,
                    c.seconds
                ),
                quote: most_failing(sql).map(|digest| shortened(&digest.text)),
                advice: "The log at level debug has each error's code and text.".into(),
                page: "/sql",
            };
            found.push((verdict, None));
        }
    }
    found
}

fn failing(now: &Traffic, before: &Traffic) -> Option<(f64, u64)> {
    let requests = now.requests_total.saturating_sub(before.requests_total);
    let errors = now.errors_total.saturating_sub(before.errors_total);
    let share = errors as f64 / requests.max(1) as f64;
    (errors >= ERRORS_MIN && share >= ERRORS_SHARE).then_some((share.min(1.0), errors))
}

fn most_failing(sql: &Sql) -> Option<&Digest> {
    sql.digests.iter().filter(|digest| digest.errors > 0).max_by_key(|digest| digest.errors)
}

/// Nine tenths of the sessions taken: the next burst is refused.
const CONNECTIONS_SHARE: f64 = 0.9;

fn connections_run_out(c: &Comparison) -> Found {
    let full = |sql: &&Sql| sql.connections_max > 0 && sql.connections as f64 >= CONNECTIONS_SHARE * sql.connections_max as f64;
    let say = |sql: &Sql| {
        let verdict = Verdict {
            level: Level::Look,
            rule: "connections_run_out",
            sentence: format!("{} of {} database sessions of {} are open.", sql.connections, sql.connections_max, sql.name),
            quote: None,
            advice: format!("Make the application's pools smaller, or raise connections_max in [sql.{}].", sql.name),
            page: "/sql",
        };
        (verdict, None)
    };
    c.now.sql.iter().filter(full).map(say).collect()
}

// === something is slow ===

/// A statement is slow from here on, on average.
const DIGEST_MEAN_US: f64 = 20_000.0;
/// And it is the cause when it takes at least this share of the database's time...
const DIGEST_SHARE: f64 = 0.5;
/// ... of at least this much of one core.
const DIGEST_LOAD: f64 = 0.2;
/// Its calls within a comparison; fewer say little.
const DIGEST_CALLS_MIN: u64 = 20;
/// Statements in execution per core from which on they wait for each other.
const STATEMENTS_PER_CORE: f64 = 1.0;

fn one_slow_digest(c: &Comparison) -> Found {
    let mut found = Vec::new();
    for sql in &c.now.sql {
        let Some(then) = c.before.sql.iter().find(|then| then.name == sql.name) else { continue };
        let spent = |digest: &Digest| {
            let before = then.digests.iter().find(|before| before.text == digest.text);
            let (count, total) = before.map_or((0, 0), |before| (before.count, before.total_us));
            // Statements answered from kept results cost nothing here.
            (digest.count.saturating_sub(count), digest.total_us.saturating_sub(total) as f64)
        };
        let all_us: f64 = sql.digests.iter().map(|digest| spent(digest).1).sum();
        let Some(worst) = sql.digests.iter().max_by(|a, b| spent(a).1.total_cmp(&spent(b).1)) else { continue };
        let (calls, us) = spent(worst);
        let (mean_us, share) = (us / calls.max(1) as f64, us / all_us.max(1.0));
        let load = us / 1e6 / c.seconds;
        if calls < DIGEST_CALLS_MIN || mean_us < DIGEST_MEAN_US || share < DIGEST_SHARE || load < DIGEST_LOAD {
            continue;
        }
        // It holds everything up when statements wait for each other; otherwise it is merely slow.
        let holds_up = load >= STATEMENTS_PER_CORE * c.cores as f64;
        let advice = match &worst.bypass {
            Some(reason) => format!("An index or a simpler statement helps most. Its results are not kept: {reason}."),
            None if sql.results.is_none() => format!(
                "An index or a simpler statement helps most. Until then `results = \"automatic\"` in [sql.{}] answers repeats without it.",
                sql.name
            ),
            None => "An index or a simpler statement helps most.".to_owned(),
        };
        let verdict = Verdict {
            level: if holds_up { Level::Act } else { Level::Look },
            rule: "slow_digest",
            sentence: format!(
                "One statement takes {} of the time of {}: {} of {} each.",
                Unit::Share.show((share * 100.0).floor() / 100.0),
                sql.name,
                Unit::PerSecond.show(calls as f64 / c.seconds),
                Unit::Microseconds.show(mean_us)
            ),
            quote: Some(shortened(&worst.text)),
            advice,
            page: "/sql",
        };
        found.push((verdict, Some(Place::Sql(sql.name.clone()))));
    }
    found
}

/// Waiting for a place is worth a sentence from this share of the latency on...
const QUEUE_SHARE: f64 = 0.1;
/// ... and from this long on.
const QUEUE_US: u64 = 5_000;
/// A worker that computes this much of one core all the time has no time left, if it is single-threaded as most are.
const WORKER_BUSY: f64 = 0.85;
/// One that crowds and computes less than this is waiting for somebody else.
const WORKER_IDLE: f64 = 0.3;
/// The machine is full at this share of its cores.
const MACHINE_FULL: f64 = 0.9;
/// Requests in flight per worker from which on they may be waiting inside it...
const IN_FLIGHT_PER_WORKER: f64 = 4.0;
/// ... and do, when they take this much longer than the best of the last hour.
const SLOWER_THAN_BEST: f64 = 3.0;

fn too_few_workers(c: &Comparison) -> Found {
    if c.now.edge.traffic.rate < REQUESTS_PER_SECOND_MIN {
        return Vec::new();
    }
    let waiting_in_database = c.now.sql.iter().map(|sql| sql.traffic.in_flight).sum::<u64>() as f64;
    let mut found = Vec::new();
    for pool in &c.now.pools {
        let workers = workers_up(pool);
        if workers == 0 {
            continue;
        }
        let busy = pool.upstreams.iter().filter(|u| u.worker.is_some() && takes_requests(u)).all(|u| cores_used(c, pool, u) >= WORKER_BUSY);
        let in_flight: u64 = pool.upstreams.iter().map(|upstream| upstream.traffic.in_flight).sum();
        let slower = c.best_p50_us.is_some_and(|best| median_us(pool) as f64 >= SLOWER_THAN_BEST * best);
        let crowded = in_flight as f64 >= IN_FLIGHT_PER_WORKER * workers as f64 && slower && waiting_in_database <= workers as f64;
        let queue_us = queued_us(c, pool);
        let said = if queue_us > 0 {
            format!("Requests wait {} for a free worker, before anyone looks at them", Unit::Microseconds.show(queue_us as f64))
        } else if busy {
            format!(
                "{} of pool {} compute without a pause",
                if workers == 1 { "The only worker".into() } else { format!("All {workers} workers") },
                pool.name
            )
        } else if crowded {
            let best = Unit::Microseconds.show(c.best_p50_us.unwrap_or_default());
            format!("{in_flight} requests crowd into {} of pool {}; alone, one takes {best}", counted(workers, "worker"), pool.name)
        } else {
            continue;
        };
        let full = total_cores_used(c) >= MACHINE_FULL * c.cores as f64 || machine_busy(c) >= MACHINE_FULL;
        let computing: f64 = pool.upstreams.iter().map(|upstream| cores_used(c, pool, upstream)).sum();
        let idle = crowded && computing < WORKER_IDLE * workers as f64;
        let advice = match full {
            _ if idle => "They hardly compute, so they wait for something that Pumasi does not see: a database or a service elsewhere. \
                          More workers help only if that can do more at once."
                .to_owned(),
            true => format!(
                "All {} cores are busy, so more workers would only share them. Keeping pages or results spares the work; else a larger machine.",
                c.cores
            ),
            false => format!("{} too few for {}: raise workers in [pool.{}].", are(workers), Unit::PerSecond.show(rate(pool)), pool.name),
        };
        let verdict = Verdict { level: Level::Act, rule: "too_few_workers", sentence: said + ".", quote: None, advice, page: "/workers" };
        found.push((verdict, Some(Place::Pool(pool.name.clone()))));
    }
    found
}

/// How long requests wait for a place in this pool, if that is worth a sentence; 0 otherwise.
fn queued_us(c: &Comparison, pool: &Pool) -> u64 {
    let routes = c.now.edge.routes.iter().filter(|route| route.pool == pool.name);
    let worth =
        |route: &&Route| route.queue_us_p95 >= QUEUE_US && route.queue_us_p95 as f64 >= QUEUE_SHARE * route.traffic.latency_us_p95 as f64;
    routes.filter(worth).map(|route| route.queue_us_p95).max().unwrap_or(0)
}

/// Where a page costs less than this, keeping it gains nothing anyone would notice.
const PAGE_P50_US: u64 = 3_000;
/// Of the statements, at most this share writes: pages live long enough to be asked for again.
const WRITE_SHARE: f64 = 0.1;
/// At most this share of a route's requests is answered from kept pages.
const KEPT_SHARE: f64 = 0.1;

fn a_page_is_made_anew_each_time(c: &Comparison) -> Found {
    let (reads, writes) = c.now.sql.iter().fold((0, 0), |(reads, writes), sql| {
        let then = c.before.sql.iter().find(|then| then.name == sql.name);
        let (reads_then, writes_then) = then.map_or((sql.reads_total, sql.writes_total), |then| (then.reads_total, then.writes_total));
        (reads + sql.reads_total.saturating_sub(reads_then), writes + sql.writes_total.saturating_sub(writes_then))
    });
    let mut found = Vec::new();
    for route in &c.now.edge.routes {
        let Some(then) = c.before.edge.routes.iter().find(|then| then.route == route.route) else { continue };
        let requests = route.traffic.requests_total.saturating_sub(then.traffic.requests_total);
        let kept = route.hits.saturating_sub(then.hits) as f64 / requests.max(1) as f64;
        let rate = requests as f64 / c.seconds;
        if rate < REQUESTS_PER_SECOND_MIN || route.traffic.latency_us_p50 < PAGE_P50_US || kept > KEPT_SHARE {
            continue;
        }
        let mostly_reads = reads > 0 && writes as f64 <= WRITE_SHARE * (reads + writes) as f64;
        let (why, advice) = match &*route.pages {
            "automatic" => match most_frequent_bypass(route, then, requests) {
                Some((reason, share)) => (
                    format!("{} of them cannot be kept: {reason}", Unit::Share.show((share * 100.0).floor() / 100.0)),
                    "The manual's page on automatic pages says what would lift this reason.".to_owned(),
                ),
                None => continue,
            },
            _ if !mostly_reads => continue,
            mode => {
                let written = match writes {
                    0 => "no statement writes".to_owned(),
                    _ => format!("only {} of the statements write", Unit::Share.show(writes as f64 / (reads + writes) as f64)),
                };
                let why = format!("{written} anything, and its pages are `{mode}`");
                (why, "`pages = \"automatic\"` on this route keeps each page until a write changes a row it was made of.".to_owned())
            }
        };
        let verdict = Verdict {
            level: Level::Look,
            rule: "page_not_kept",
            sentence: format!(
                "Route {} makes its pages anew each time, {} of {} each; {why}.",
                route.route,
                Unit::PerSecond.show(rate),
                Unit::Microseconds.show(route.traffic.latency_us_p50 as f64)
            ),
            quote: None,
            advice,
            page: "/routes",
        };
        found.push((verdict, None));
    }
    found
}

/// A reason counts when it keeps at least this share of the requests out.
const BYPASS_SHARE: f64 = 0.5;

fn most_frequent_bypass<'a>(route: &'a pumasi_status::Route, then: &pumasi_status::Route, requests: u64) -> Option<(&'a str, f64)> {
    let grown = route.bypasses.iter().map(|(reason, count)| {
        let before = then.bypasses.iter().find(|(known, _)| known == reason).map_or(0, |(_, count)| *count);
        (reason.as_str(), count.saturating_sub(before) as f64 / requests.max(1) as f64)
    });
    grown.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, share)| *share >= BYPASS_SHARE).map(|(reason, share)| (reason, share.min(1.0)))
}

/// Of the lookups, at least this share misses while entries are evicted.
const MISS_SHARE: f64 = 0.2;
/// Evictions per second that are more than the tail of a large catalogue.
const EVICTIONS_PER_SECOND: f64 = 1.0;

fn a_store_is_too_small(c: &Comparison) -> Found {
    let pages = c
        .now
        .edge
        .pages
        .as_ref()
        .zip(c.before.edge.pages.as_ref())
        .map(|(now, then)| (now, then, "pages", "memory in [edge.pages]".to_owned()));
    let results = c.now.sql.iter().filter_map(|sql| {
        let then = c.before.sql.iter().find(|then| then.name == sql.name)?;
        Some((sql.results.as_ref()?, then.results.as_ref()?, "results", format!("results_memory in [sql.{}]", sql.name)))
    });
    let mut found = Vec::new();
    for (now, then, what, key) in pages.into_iter().chain(results) {
        let evicted = now.evicted.saturating_sub(then.evicted);
        let (hits, misses) = (now.hits.saturating_sub(then.hits), now.misses.saturating_sub(then.misses));
        let missed = misses as f64 / (hits + misses).max(1) as f64;
        if evicted as f64 / c.seconds < EVICTIONS_PER_SECOND || missed < MISS_SHARE {
            continue;
        }
        let verdict = Verdict {
            level: Level::Look,
            rule: "store_too_small",
            sentence: format!(
                "The store of {what} is full: {} are dropped to make room, and {} of lookups miss.",
                Unit::PerSecond.show(evicted as f64 / c.seconds),
                Unit::Share.show(missed)
            ),
            quote: None,
            advice: format!("Raise {key}; it is {} now.", Unit::Bytes.show(now.bytes_max as f64)),
            page: "/stores",
        };
        found.push((verdict, None));
    }
    found
}

// === reading a status ===

fn takes_requests(upstream: &Upstream) -> bool {
    upstream.health == "up" && upstream.worker.as_ref().is_none_or(|worker| worker.state == "ready")
}

fn state_of(upstream: &Upstream) -> &str {
    upstream.worker.as_ref().map_or(&upstream.health, |worker| if worker.state == "ready" { &upstream.health } else { &worker.state })
}

fn workers_up(pool: &Pool) -> usize {
    pool.upstreams.iter().filter(|upstream| upstream.worker.is_some() && takes_requests(upstream)).count()
}

fn rate(pool: &Pool) -> f64 {
    pool.upstreams.iter().map(|upstream| upstream.traffic.rate).sum()
}

/// The slowest upstream's median.
fn median_us(pool: &Pool) -> u64 {
    pool.upstreams.iter().map(|upstream| upstream.traffic.latency_us_p50).max().unwrap_or(0)
}

fn before<'a>(c: &'a Comparison, pool: &Pool, upstream: &Upstream) -> Option<&'a Upstream> {
    c.before.pools.iter().find(|then| then.name == pool.name)?.upstreams.iter().find(|then| then.name == upstream.name)
}

/// Cores' worth of CPU that a worker used; 0 for one that was replaced meanwhile.
fn cores_used(c: &Comparison, pool: &Pool, upstream: &Upstream) -> f64 {
    let before = before(c, pool, upstream).and_then(|upstream| upstream.worker.as_ref());
    match (&upstream.worker, before) {
        (Some(worker), Some(before)) if worker.pid == before.pid => worker.cpu_ms.saturating_sub(before.cpu_ms) as f64 / 1000.0 / c.seconds,
        _ => 0.0,
    }
}

fn total_cores_used(c: &Comparison) -> f64 {
    let own = c.now.cpu_ms.saturating_sub(c.before.cpu_ms) as f64 / 1000.0 / c.seconds;
    own + c.now.pools.iter().flat_map(|pool| pool.upstreams.iter().map(move |upstream| cores_used(c, pool, upstream))).sum::<f64>()
}

/// The share of the machine's cores that was at work, whoever's: a database beside Pumasi takes them as well. 0 where the system does not tell.
fn machine_busy(c: &Comparison) -> f64 {
    let (now, before) = (&c.now.host, &c.before.host);
    let grown = |of: fn(&Host) -> u64| of(now).saturating_sub(of(before)) as f64;
    let worked = grown(|host| host.cpu_user_ms) + grown(|host| host.cpu_system_ms) + grown(|host| host.cpu_steal_ms);
    let rested = grown(|host| host.cpu_idle_ms) + grown(|host| host.cpu_iowait_ms);
    worked / (worked + rested).max(1.0)
}

fn last_words<'a>(mut upstreams: impl Iterator<Item = &'a Upstream>) -> Option<String> {
    upstreams.find_map(|upstream| upstream.worker.as_ref()?.last_exit.clone())
}

/// Enough of a statement to know it by.
fn shortened(text: &str) -> String {
    const CHARS: usize = 160;
    let mut characters = text.chars();
    let start: String = characters.by_ref().take(CHARS).collect();
    if characters.next().is_some() { start + "…" } else { start }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn are(workers: usize) -> String {
    if workers == 1 { "One worker is".into() } else { format!("{workers} workers are") }
}
