//! kill -9, of workers and of Pumasi itself, while it is being used.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mysql_async::{prelude::*, *};

use crate::{
    engines::{Engine, on_either_engine},
    service::{Service, alive, signal},
};

on_either_engine! {
    a_killed_worker_costs_no_get: 0,
    a_killed_pumasi_leaves_nobody_and_loses_nothing_acknowledged: 2,
}

fn a_killed_worker_costs_no_get(engine: Engine) {
    let mut service = Service::demo_on(engine, &["--workers", "3"]);
    let stop = Arc::new(AtomicBool::new(false));
    let good = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (stop, good, site) = (stop.clone(), good.clone(), service.site.clone());
            std::thread::spawn(move || {
                let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
                let mut bad = vec![];
                // A new address each time: a kept page would spare the workers the question.
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let read = agent
                        .get(format!("{site}/ask/7?{client}-{n}"))
                        .call()
                        .and_then(|mut answer| Ok((answer.status(), answer.body_mut().read_to_string()?)));
                    match read {
                        Ok((status, _)) if status == 200 => _ = good.fetch_add(1, Ordering::Relaxed),
                        Ok((status, body)) => bad.push(format!("{status} {body}")),
                        Err(error) => bad.push(error.to_string()),
                    }
                }
                bad
            })
        })
        .collect();
    for round in 0..6 {
        let before = good.load(Ordering::Relaxed);
        let victim = service.worker_pids()[round % 3];
        signal(victim, "KILL");
        service.wait_until("three workers are there again", |service| {
            let pids = service.worker_pids();
            pids.len() == 3 && !pids.contains(&victim) && all_ready(service)
        });
        service.wait_until("requests went on", |_| good.load(Ordering::Relaxed) > before + 20);
    }
    stop.store(true, Ordering::Relaxed);
    let bad: Vec<String> = clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
    assert!(bad.is_empty(), "{} of {} failed: {:?}", bad.len(), good.load(Ordering::Relaxed), &bad[..bad.len().min(10)]);
}

fn all_ready(service: &Service) -> bool {
    let status = service.status();
    let upstreams = status["pools"][0]["upstreams"].as_array().cloned().unwrap_or_default();
    upstreams.iter().all(|upstream| upstream["worker"]["state"] == "ready")
}

fn a_killed_pumasi_leaves_nobody_and_loses_nothing_acknowledged(engine: Engine) {
    let mut service = Service::demo_on(engine, &["--workers", "2"]);
    let (home, workers, database) = (service.home.clone(), service.worker_pids(), service.database());
    let acknowledged = Arc::new(AtomicU64::new(0));
    let counter = acknowledged.clone();
    let writer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let options = OptsBuilder::default()
                .ip_or_hostname(database.ip().to_string())
                .tcp_port(database.port())
                .user(Some("root"))
                .db_name(Some("askhy"));
            let mut connection = Conn::new(options).await.expect("it connects");
            "CREATE TABLE written (n BIGINT PRIMARY KEY)".ignore(&mut connection).await.expect("created");
            for n in 1u64.. {
                if "INSERT INTO written VALUES (?)".with((n,)).ignore(&mut connection).await.is_err() {
                    return;
                }
                counter.store(n, Ordering::SeqCst);
            }
        });
    });
    service.wait_until("some rows are acknowledged", |_| acknowledged.load(Ordering::SeqCst) > 200);
    service.kill();
    let killed = Instant::now();
    writer.join().expect("no panic");
    while workers.iter().any(|pid| alive(*pid)) {
        assert!(killed.elapsed() < Duration::from_secs(10), "a worker is left after kill -9");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let last = acknowledged.load(Ordering::SeqCst);

    let again = Service::demo_on_in(home, engine, &["--workers", "1"]);
    let database = again.database();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (count, largest): (u64, u64) = runtime.block_on(async {
        let options = OptsBuilder::default()
            .ip_or_hostname(database.ip().to_string())
            .tcp_port(database.port())
            .user(Some("root"))
            .db_name(Some("askhy"));
        let mut connection = Conn::new(options).await.expect("it connects");
        "SELECT COUNT(*), MAX(n) FROM written".first(&mut connection).await.expect("read").expect("a row")
    });
    // The one in flight when the process died may be there or not.
    assert!(count == largest && (largest == last || largest == last + 1), "acknowledged {last}, found {count} rows up to {largest}");
    assert_eq!(again.get("/").body.matches("href=\"/ask/").count(), 50, "the board is as it was, not filled twice");
}
