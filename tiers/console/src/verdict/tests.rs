use pumasi_status::{Cluster, Digest, DiskStore, Edge, Host, Member, Pool, Route, Sql, Store, Upstream, Worker};

use super::*;

/// A service that is well: two workers, one database, a page store, 40 requests a second for half a minute.
fn healthy() -> (Status, Status) {
    let at = |requests: u64| {
        let worker = |number: u32| Upstream {
            name: format!("app.{number}"),
            health: "up".into(),
            traffic: traffic(requests / 2, 20.0, 4_000),
            worker: Some(Worker { state: "ready".into(), pid: Some(100 + number), cpu_ms: requests / 10, ..Worker::default() }),
            ..Upstream::default()
        };
        let route = Route {
            route: "*/*".into(),
            pool: "app".into(),
            pages: "automatic".into(),
            traffic: traffic(requests, 40.0, 1_000),
            hits: requests * 8 / 10,
            misses: requests * 2 / 10,
            ..Route::default()
        };
        let digest = Digest { text: "SELECT ?".into(), count: requests, total_us: requests * 400, ..Digest::default() };
        Status {
            cpu_ms: requests / 2,
            edge: Edge {
                traffic: traffic(requests, 40.0, 1_000),
                routes: vec![route],
                pages: Some(Store { bytes_max: 64_000_000, hits: requests * 8 / 10, misses: requests * 2 / 10, ..Store::default() }),
                ..Edge::default()
            },
            pools: vec![Pool {
                name: "app".into(),
                policy: "round robin".into(),
                upstreams: vec![worker(1), worker(2)],
                ..Pool::default()
            }],
            sql: vec![Sql {
                name: "main".into(),
                connections: 4,
                connections_max: 100,
                traffic: traffic(requests, 40.0, 400),
                reads_total: requests,
                writes_total: requests / 50,
                digests: vec![digest],
                ..Sql::default()
            }],
            ..Status::default()
        }
    };
    (at(10_000), at(11_200))
}

fn traffic(requests_total: u64, rate: f64, p50: u64) -> pumasi_status::Traffic {
    pumasi_status::Traffic {
        requests_total,
        rate,
        success: 1.0,
        in_flight: 1,
        latency_us_p50: p50,
        latency_us_p95: p50 * 3,
        latency_us_p99: p50 * 4,
        latency_us_max: p50 * 6,
        ..Default::default()
    }
}

/// Changes the later of two healthy pictures and looks at what is said, and which box is marked.
fn check(change: impl Fn(&mut Status, &mut Status), rules: &[&str], bottleneck: Option<Place>) -> Findings {
    let (mut before, mut now) = healthy();
    change(&mut before, &mut now);
    let findings = judged(&Comparison { now: &now, before: &before, seconds: 30.0, cores: 4, best_p50_us: Some(900.0) });
    let found: Vec<&str> = findings.verdicts.iter().map(|verdict| verdict.rule).collect();
    assert_eq!((found.as_slice(), &findings.bottleneck), (rules, &bottleneck), "{findings:#?}");
    findings
}

fn pool() -> Option<Place> {
    Some(Place::Pool("app".into()))
}

fn database() -> Option<Place> {
    Some(Place::Sql("main".into()))
}

#[test]
fn a_healthy_service_is_quiet() {
    check(|_, _| {}, &[], None);
    check(|before, now| *before = now.clone(), &[], None);
    check(|before, now| (*before, *now) = (Status::default(), Status::default()), &[], None);
    check(|_, now| now.edge.traffic.latency_us_p99 = 400_000, &[], None);
}

#[test]
fn a_busy_service_that_keeps_up_is_quiet() {
    let busy = |before: &mut Status, now: &mut Status| {
        for (status, requests) in [(before, 100_000), (now, 160_000)] {
            status.edge.traffic.requests_total = requests;
            status.edge.traffic.rate = 2_000.0;
            status.edge.traffic.in_flight = 6;
            status.edge.routes[0].traffic.requests_total = requests;
            status.edge.routes[0].hits = requests * 9 / 10;
        }
    };
    check(busy, &[], None);
}

#[test]
fn too_few_workers_show_in_the_queue() {
    let findings = check(
        |_, now| {
            now.edge.routes[0].queue_us_p95 = 80_000;
            now.edge.routes[0].traffic.latency_us_p95 = 120_000;
        },
        &["too_few_workers"],
        pool(),
    );
    assert_eq!(findings.verdicts[0].sentence, "Requests wait 80 ms for a free worker, before anyone looks at them.");
    assert_eq!(findings.verdicts[0].advice, "2 workers are too few for 40/s: raise workers in [pool.app].");
    check(|_, now| now.edge.routes[0].queue_us_p95 = 4_000, &[], None);
    check(
        |_, now| {
            now.edge.routes[0].queue_us_p95 = 50_000;
            now.edge.routes[0].traffic.latency_us_p95 = 5_000_000;
        },
        &[],
        None,
    );
}

#[test]
fn the_pool_whose_route_waits_is_named() {
    let two = |before: &mut Status, now: &mut Status| {
        for status in [before, now] {
            let mut other = status.pools[0].clone();
            other.name = "api".into();
            other.upstreams.iter_mut().for_each(|upstream| upstream.traffic.in_flight = 1);
            status.pools[0].upstreams.iter_mut().for_each(|upstream| upstream.traffic.in_flight = 3);
            status.pools.push(other);
            let route = Route { route: "*/api/*".into(), pool: "api".into(), queue_us_p95: 30_000, ..status.edge.routes[0].clone() };
            status.edge.routes.push(route);
        }
    };
    check(two, &["too_few_workers"], Some(Place::Pool("api".into())));
}

#[test]
fn a_machine_that_others_keep_busy_wants_no_more_workers() {
    let findings = check(
        |before, now| {
            now.edge.routes[0].queue_us_p95 = 80_000;
            before.host = Host { cores: 4, cpu_user_ms: 1_000, cpu_idle_ms: 1_000, ..Host::default() };
            now.host = Host { cores: 4, cpu_user_ms: 116_000, cpu_idle_ms: 6_000, ..Host::default() };
        },
        &["too_few_workers"],
        pool(),
    );
    assert!(findings.verdicts[0].advice.starts_with("All 4 cores are busy"), "{findings:#?}");
}

#[test]
fn too_few_workers_show_in_their_cpu_time() {
    let compute = |now: &mut Status, ms: u64| now.pools[0].upstreams.iter_mut().for_each(|u| u.worker.as_mut().unwrap().cpu_ms += ms);
    let findings = check(|_, now| compute(now, 28_000), &["too_few_workers"], pool());
    assert_eq!(findings.verdicts[0].sentence, "All 2 workers of pool app compute without a pause.");
    check(|_, now| compute(now, 20_000), &[], None);
    let full = check(
        |_, now| {
            compute(now, 29_000);
            now.cpu_ms += 60_000;
        },
        &["too_few_workers"],
        pool(),
    );
    assert!(full.verdicts[0].advice.starts_with("All 4 cores are busy"), "more workers would not help: {full:?}");
    check(|_, now| now.pools[0].upstreams[0].worker.as_mut().unwrap().cpu_ms += 29_000, &[], None);
}

#[test]
fn too_few_workers_show_in_requests_that_crowd_into_them() {
    let crowd = |now: &mut Status, in_flight: u64, p50: u64| {
        for upstream in &mut now.pools[0].upstreams {
            (upstream.traffic.in_flight, upstream.traffic.latency_us_p50) = (in_flight, p50);
        }
    };
    let findings = check(|_, now| crowd(now, 20, 60_000), &["too_few_workers"], pool());
    assert_eq!(findings.verdicts[0].sentence, "40 requests crowd into 2 workers of pool app; alone, one takes 900 µs.");
    assert!(findings.verdicts[0].advice.starts_with("They hardly compute"), "{findings:?}");
    let computing = |_: &mut Status, now: &mut Status| {
        crowd(now, 20, 60_000);
        now.pools[0].upstreams.iter_mut().for_each(|u| u.worker.as_mut().unwrap().cpu_ms += 12_000);
    };
    let findings = check(computing, &["too_few_workers"], pool());
    assert_eq!(findings.verdicts[0].advice, "2 workers are too few for 40/s: raise workers in [pool.app].");
    check(|_, now| crowd(now, 20, 2_000), &[], None);
    check(|_, now| crowd(now, 3, 60_000), &[], None);
    let at_the_database = |_: &mut Status, now: &mut Status| {
        crowd(now, 20, 60_000);
        now.sql[0].traffic.in_flight = 30;
    };
    check(at_the_database, &[], None);
}

#[test]
fn one_slow_digest_is_quoted() {
    let slow = |now: &mut Status, count: u64, each_us: u64| {
        let text = format!("SELECT `a` FROM b {}", "x".repeat(300));
        now.sql[0].digests.push(Digest { text, count, total_us: count * each_us, ..Digest::default() });
    };
    let findings = check(|_, now| slow(now, 1_200, 31_000), &["slow_digest"], database());
    let verdict = &findings.verdicts[0];
    assert_eq!(verdict.sentence, "One statement takes 98 % of the time of main: 40/s of 31 ms each.");
    assert_eq!((verdict.level, verdict.quote.as_ref().unwrap().chars().count()), (Level::Look, 161));
    assert!(verdict.advice.contains("results = \"automatic\""));
    let over = check(|_, now| slow(now, 1_200, 150_000), &["slow_digest"], database());
    assert_eq!(over.verdicts[0].level, Level::Act, "six cores' worth of it on four");
    check(|_, now| slow(now, 1_200, 15_000), &[], None);
    check(|_, now| slow(now, 10, 500_000), &[], None);
    let reports = |before: &mut Status, now: &mut Status| {
        slow(before, 50, 2_000_000);
        slow(now, 51, 2_000_000);
    };
    check(reports, &[], None);
    let said = check(
        |_, now| {
            slow(now, 1_200, 31_000);
            now.sql[0].digests[1].bypass = Some("it calls NOW()".into());
        },
        &["slow_digest"],
        database(),
    );
    assert!(said.verdicts[0].advice.ends_with("Its results are not kept: it calls NOW()."));
}

#[test]
fn a_page_that_could_be_kept_is_pointed_out() {
    let made_anew = |mode: &'static str| {
        move |before: &mut Status, now: &mut Status| {
            for status in [before, now] {
                let route = &mut status.edge.routes[0];
                (route.pages, route.hits, route.traffic.latency_us_p50) = (mode.into(), 0, 31_000);
            }
        }
    };
    let findings = check(made_anew("off"), &["page_not_kept"], None);
    assert_eq!(
        findings.verdicts[0].sentence,
        "Route */* makes its pages anew each time, 40/s of 31 ms each; only 1.96 % of the statements write anything, and its pages are `off`."
    );
    check(made_anew("standard"), &["page_not_kept"], None);
    check(made_anew("automatic"), &[], None);
    let bypassed = |before: &mut Status, now: &mut Status| {
        made_anew("automatic")(before, now);
        now.edge.routes[0].bypasses = vec![("the answer sets a cookie".into(), 1_180), ("POST".into(), 20)];
    };
    let findings = check(bypassed, &["page_not_kept"], None);
    assert!(findings.verdicts[0].sentence.ends_with("98 % of them cannot be kept: the answer sets a cookie."), "{findings:?}");
    let written_often = |before: &mut Status, now: &mut Status| {
        made_anew("off")(before, now);
        now.sql[0].writes_total += 1_000;
    };
    check(written_often, &[], None);
    let cheap = |before: &mut Status, now: &mut Status| {
        made_anew("off")(before, now);
        now.edge.routes[0].traffic.latency_us_p50 = 800;
    };
    check(cheap, &[], None);
}

#[test]
fn a_worker_that_keeps_dying_is_named_with_its_last_words() {
    let dies = |now: &mut Status, restarts: u64, state: &str| {
        let worker = now.pools[0].upstreams[1].worker.as_mut().unwrap();
        (worker.restarts, worker.state) = (restarts, state.into());
        worker.last_exit = Some("exit status 1: cannot open the socket".into());
    };
    let findings = check(|_, now| dies(now, 5, "backing off"), &["worker_dies"], pool());
    let verdict = &findings.verdicts[0];
    assert_eq!(verdict.sentence, "Worker app.2 keeps dying: 5 restarts, 5 of them in the last 30 seconds.");
    assert_eq!(verdict.quote.as_deref(), Some("exit status 1: cannot open the socket"));
    check(|_, now| dies(now, 3, "ready"), &["worker_dies"], pool());
    check(|_, now| dies(now, 1, "ready"), &[], None);
    let long_ago = |before: &mut Status, now: &mut Status| {
        dies(before, 7, "ready");
        dies(now, 7, "ready");
    };
    check(long_ago, &[], None);
    let findings = check(|_, now| dies(now, 5, "given up"), &["worker_dies"], pool());
    assert!(findings.verdicts[0].sentence.ends_with("was given up."));
}

#[test]
fn a_pool_without_anyone_up_comes_first() {
    let down = |_: &mut Status, now: &mut Status| {
        now.pools[0].upstreams[0].worker.as_mut().unwrap().state = "starting".into();
        now.pools[0].upstreams[1].health = "ejected".into();
        now.edge.traffic.errors_total = 900;
    };
    let findings = check(down, &["pool_down", "answers_fail"], pool());
    assert_eq!(findings.verdicts[0].sentence, "Nobody in pool app takes requests: app.1 is starting, app.2 is ejected.");
    assert_eq!(findings.verdicts[1].sentence, "75 % of all requests fail: 900 answers of 5xx in the last 30 seconds.");
}

fn cluster(primary: Option<&str>, replica: &str) -> Option<Cluster> {
    let member = |name: &str, role: &str, state: &str| Member {
        name: name.into(),
        role: role.into(),
        state: state.into(),
        trouble: (state != "following").then(|| "connection refused".into()),
        ..Member::default()
    };
    let members =
        vec![member("db.1", if primary.is_some() { "primary" } else { "replica" }, "following"), member("db.2", "replica", replica)];
    Some(Cluster { primary: primary.map(Into::into), failover: "manual".into(), members, ..Cluster::default() })
}

#[test]
fn a_database_without_a_primary_and_a_replica_that_is_away_are_told() {
    let findings = check(|_, now| now.sql[0].cluster = cluster(None, "unreachable"), &["no_primary"], database());
    let verdict = &findings.verdicts[0];
    assert_eq!(verdict.sentence, "Database main has no primary, so nothing can be written: db.1 is following, db.2 is unreachable.");
    assert!(verdict.advice.contains("pumasi sql promote"), "{verdict:?}");
    let set = |state: &'static str| {
        move |before: &mut Status, now: &mut Status| [before, now].map(|status| status.sql[0].cluster = cluster(Some("db.1"), state))
    };
    let quiet = |state| check(|before, now| _ = set(state)(before, now), &[], None);
    quiet("following");
    quiet("drained");
    let findings = check(|before, now| _ = set("not following")(before, now), &["replica_away"], None);
    assert_eq!(findings.verdicts[0].quote.as_deref(), Some("connection refused"));
    // A restart of a few seconds is no finding.
    check(|_, now| now.sql[0].cluster = cluster(Some("db.1"), "unreachable"), &[], None);
}

#[test]
fn a_failing_disk_under_the_pages_is_told_while_it_fails() {
    let disk = |errors, corrupt| Some(DiskStore { errors, corrupt, ..DiskStore::default() });
    check(|before, now| (before.edge.pages_disk, now.edge.pages_disk) = (disk(5, 1), disk(5, 1)), &[], None);
    let findings =
        check(|before, now| (before.edge.pages_disk, now.edge.pages_disk) = (disk(5, 1), disk(7, 2)), &["disk_store_fails"], None);
    assert!(findings.verdicts[0].sentence.contains("failed 3 times"), "{findings:?}");
}

#[test]
fn other_findings_have_their_thresholds() {
    check(|_, now| now.sql[0].connections = 90, &["connections_run_out"], None);
    check(|_, now| now.sql[0].connections = 89, &[], None);
    check(|_, now| now.sql[0].traffic.errors_total = 200, &["statements_fail"], None);
    check(|_, now| now.sql[0].traffic.errors_total = 4, &[], None);
    check(|_, now| now.edge.pages.as_mut().unwrap().evicted = 600, &["store_too_small"], None);
    check(|_, now| now.edge.pages.as_mut().unwrap().evicted = 20, &[], None);
}

#[test]
fn memory_compares_with_half_a_minute_ago_and_then_forgets() {
    let (before, now) = healthy();
    let mut memory = Memory::default();
    let dying = |mut status: Status| {
        status.pools[0].upstreams[0].worker.as_mut().unwrap().restarts = 4;
        status
    };
    let quiet = |well: &'static str| Findings { well: Some(well), ..Findings::default() };
    assert_eq!(memory.judge(&before, 1_000, None), quiet(TOO_EARLY), "one picture is no comparison");
    assert_eq!(memory.judge(&dying(now.clone()), 1_004, None), quiet(TOO_EARLY), "four seconds are too few");
    assert_eq!(memory.judge(&dying(now.clone()), 1_010, None).verdicts.len(), 1);
    for second in 1_011..1_060 {
        memory.judge(&dying(now.clone()), second, None);
    }
    assert_eq!(
        memory.judge(&dying(now.clone()), 1_060, None),
        quiet("All is well. Nothing waits, nothing fails."),
        "nothing died for forty seconds"
    );
    assert!(memory.pictures.len() as u64 <= REACH_S / STEP_S + 1);
    assert_eq!(memory.judge(&now, 500, None), quiet(TOO_EARLY), "a clock that was set back is no reason to panic");
}
