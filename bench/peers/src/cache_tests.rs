//! The public HTTP cache test suite against Pumasi and the peers: what each passes, by its own verdict rules.
//!
//! `cache-tests` installs the npm package `http-cache-tests`; `cache-tests --suite DIR` runs a checkout of its repository, whose current
//! state has more tests (targeted Cache-Control, interim responses) under the same version number. Nothing of it is kept in our tree but
//! the results. Every cache runs near its defaults: switched on for everything, one origin, no lifetime for answers without one, nothing
//! tuned to the suite.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    machine,
    process::{Running, free_port, start, wait_for},
};

pub fn run(options: &[&str]) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let suite = match options {
        [] => Suite::install(directory.path())?,
        ["--suite", checkout] => Suite::at(Path::new(checkout))?,
        _ => bail!("cache-tests takes --suite DIR or nothing"),
    };
    let mut results = Vec::new();
    for cache in Cache::ALL {
        let Some(version) = cache.version() else {
            eprintln!("{}: not installed, left out", cache.name());
            continue;
        };
        eprintln!("{}: {version}", cache.name());
        match suite.run(cache, directory.path()) {
            Ok(verdicts) => results.push(Outcome { cache, version, verdicts }),
            Err(error) if cache == Cache::Pumasi => return Err(error),
            // A peer that does not start here is a row less, not a run less.
            Err(error) => eprintln!("{}: left out: {error:#}", cache.name()),
        }
    }
    let report = report(&suite, &results);
    print!("{report}");
    let runs = machine::run_directory()?;
    fs::write(runs.join(format!("cache-tests-{}.md", suite.label)), &report)?;
    fs::write(runs.join(format!("cache-tests-{}.json", suite.label)), json(&suite, &results))?;
    println!("written to {}", runs.display());
    Ok(())
}

/// Where the suite lies, and how this version of it is laid out.
struct Suite {
    root: PathBuf,
    server: &'static str,
    client: &'static str,
    verdicts: &'static str,
    label: &'static str,
}

impl Suite {
    /// The published package and what its client needs, in a folder that goes away.
    fn install(directory: &Path) -> Result<Suite> {
        let status = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"])
            .arg(directory)
            .arg("http-cache-tests@0.4.5")
            .stdout(Stdio::null())
            .status()
            .context("running npm: install nodejs and npm")?;
        ensure!(status.success(), "npm could not install http-cache-tests");
        Suite::at(&directory.join("node_modules/http-cache-tests"))
    }

    fn at(root: &Path) -> Result<Suite> {
        let root = root.canonicalize().with_context(|| format!("looking for the suite at {}", root.display()))?;
        let of = |server, client, verdicts, label| Suite { root: root.clone(), server, client, verdicts, label };
        if root.join("test-engine/cli.mjs").exists() {
            return Ok(of("test-engine/server/server.mjs", "test-engine/cli.mjs", "test-engine/lib/results.mjs", "repository"));
        }
        ensure!(root.join("cli.mjs").exists(), "{} is not the suite: it has no cli.mjs", root.display());
        Ok(of("server/server.mjs", "cli.mjs", "lib/display.mjs", "package"))
    }

    /// Runs every test through `cache`; verdicts by test kind.
    fn run(&self, cache: Cache, directory: &Path) -> Result<Vec<Verdict>> {
        let origin = free_port()?;
        let _origin = self.node(self.server, &[("npm_config_port", &origin.to_string()), ("npm_config_protocol", "http")], directory)?;
        wait_for(origin)?;
        let port = free_port()?;
        let _cache = cache.start(port, origin, directory)?;
        wait_for(port)?;
        let results = directory.join(format!("{}.json", cache.name()));
        let base = format!("http://127.0.0.1:{port}");
        let output = Command::new("node")
            .args(["--no-warnings", self.client])
            .current_dir(&self.root)
            .envs([("npm_config_base", base.as_str()), ("npm_config_id", ""), ("npm_package_config_id", "")])
            .output()
            .context("running the suite's client")?;
        ensure!(output.status.success(), "the suite failed: {}", String::from_utf8_lossy(&output.stderr));
        fs::write(&results, &output.stdout)?;
        self.judge(&results)
    }

    /// Asks the suite's own rules what each result means.
    fn judge(&self, results: &Path) -> Result<Vec<Verdict>> {
        let script = format!(
            "import fs from 'fs'\n\
             const suites = [...(await import('{root}/tests/index.mjs')).default]\n\
             try {{ suites.push((await import('{root}/tests/surrogate-control.mjs')).default) }} catch {{}}\n\
             const rules = await import('{root}/{verdicts}')\n\
             const results = JSON.parse(fs.readFileSync('{results}'))\n\
             for (const suite of suites) for (const test of suite.tests) {{\n\
               if (test.browser_only) continue\n\
               const sign = rules.determineTestResult(suites, test.id, results)[2]\n\
               const detail = Array.isArray(results[test.id]) ? results[test.id][1] : ''\n\
               console.log([suite.id, test.kind || 'required', test.id, sign, detail].join('\\t'))\n\
             }}\n",
            root = self.root.display(),
            verdicts = self.verdicts,
            results = results.display(),
        );
        let path = results.with_extension("mjs");
        fs::write(&path, script)?;
        let output = Command::new("node").arg("--no-warnings").arg(&path).current_dir(&self.root).output()?;
        ensure!(output.status.success(), "judging failed: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout)?.lines().map(Verdict::parse).collect()
    }

    fn node(&self, script: &str, environment: &[(&str, &str)], directory: &Path) -> Result<Running> {
        let mut environment = environment.to_vec();
        let pid_file = directory.join("origin.pid").display().to_string();
        environment.push(("npm_config_pidfile", &pid_file));
        let path = self.root.join(script);
        let mut arguments: Vec<String> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        arguments.extend(["node".into(), "--no-warnings".into(), path.display().to_string()]);
        start(0, "env", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// The edge near its defaults, with the page store on.
pub(crate) fn pumasi_with_pages(port: u16, origin: u16) -> String {
    format!(
        "[edge]\nlisten = \"127.0.0.1:{port}\"\nthreads = 1\n[[edge.route]]\npool = \"app\"\npages = \"standard\"\n\
         [pool.app]\nupstreams = [\"127.0.0.1:{origin}\"]\n"
    )
}

/// One test's result, in the suite's own terms.
struct Verdict {
    suite: String,
    kind: String,
    id: String,
    sign: Sign,
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Pass,
    Fail,
    /// Something the test stands on did not happen, so it says nothing.
    Undecided,
    Yes,
    No,
}

impl Verdict {
    fn parse(line: &str) -> Result<Verdict> {
        let parts: Vec<&str> = line.splitn(5, '\t').collect();
        let [suite, kind, id, sign, detail] = parts[..] else { bail!("the verdict script said {line:?}") };
        let sign = match sign {
            "✅" => Sign::Pass,
            "⛔️" | "⚠️" => Sign::Fail,
            "Y" => Sign::Yes,
            "N" => Sign::No,
            _ => Sign::Undecided,
        };
        Ok(Verdict { suite: suite.into(), kind: kind.into(), id: id.into(), sign, detail: detail.into() })
    }

    /// The suites about fields only CDNs follow are counted apart.
    fn group(&self) -> &'static str {
        match (self.suite.as_str(), self.kind.as_str()) {
            ("cdn-cache-control", "check") | (_, "check") => "behaviour",
            ("cdn-cache-control", _) => "CDN-Cache-Control",
            ("surrogate-control", _) => "Surrogate-Control",
            (_, "optimal") => "optimal",
            _ => "required",
        }
    }
}

struct Outcome {
    cache: Cache,
    version: String,
    verdicts: Vec<Verdict>,
}

impl Outcome {
    /// Passed, failed, undecided of one group.
    fn count(&self, group: &str) -> (usize, usize, usize) {
        let of = |signs: &[Sign]| self.verdicts.iter().filter(|v| v.group() == group && signs.contains(&v.sign)).count();
        (of(&[Sign::Pass, Sign::Yes]), of(&[Sign::Fail, Sign::No]), of(&[Sign::Undecided]))
    }
}

fn report(suite: &Suite, outcomes: &[Outcome]) -> String {
    let mut out = format!(
        "# HTTP cache tests ({})\n\n",
        if suite.label == "package" { "npm package http-cache-tests 0.4.5" } else { "the suite's repository" }
    );
    out += "passed / failed / undecided, by the suite's own rules; browser-only tests left out; each cache near its defaults.\n\n";
    let groups: Vec<&str> = ["required", "optimal", "CDN-Cache-Control", "Surrogate-Control"]
        .into_iter()
        .filter(|group| outcomes.iter().any(|outcome| outcome.count(group) != (0, 0, 0)))
        .collect();
    let _ = writeln!(out, "| cache | {} |\n|---|{}", groups.join(" | "), "---|".repeat(groups.len()));
    for outcome in outcomes {
        let cells: Vec<String> = groups
            .iter()
            .map(|group| {
                let (pass, fail, undecided) = outcome.count(group);
                format!("{pass} / {fail} / {undecided}")
            })
            .collect();
        let _ = writeln!(out, "| {} | {} |", outcome.version, cells.join(" | "));
    }
    for outcome in outcomes.iter().filter(|outcome| outcome.cache == Cache::Pumasi) {
        out += "\nWhat Pumasi does not pass:\n\n";
        for verdict in outcome.verdicts.iter().filter(|v| matches!(v.sign, Sign::Fail | Sign::Undecided) && v.kind != "check") {
            let _ = writeln!(out, "- {} `{}`: {}", verdict.group(), verdict.id, verdict.detail);
        }
    }
    let _ = writeln!(out, "\n{}", machine::describe());
    out
}

fn json(suite: &Suite, outcomes: &[Outcome]) -> String {
    let of = |outcome: &Outcome| {
        let word = |sign| match sign {
            Sign::Pass => "pass",
            Sign::Fail => "fail",
            Sign::Undecided => "undecided",
            Sign::Yes => "yes",
            Sign::No => "no",
        };
        let tests: BTreeMap<&str, &str> = outcome.verdicts.iter().map(|v| (v.id.as_str(), word(v.sign))).collect();
        serde_json::json!({ "version": outcome.version, "tests": tests })
    };
    let caches: BTreeMap<&str, _> = outcomes.iter().map(|outcome| (outcome.cache.name(), of(outcome))).collect();
    format!("{:#}\n", serde_json::json!({ "suite": suite.label, "machine": machine::describe(), "caches": caches }))
}

// === the caches ===

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cache {
    Pumasi,
    Nginx,
    Varnish,
    Squid,
    TrafficServer,
}

impl Cache {
    const ALL: [Cache; 5] = [Cache::Pumasi, Cache::Nginx, Cache::Varnish, Cache::Squid, Cache::TrafficServer];

    fn name(self) -> &'static str {
        match self {
            Cache::Pumasi => "pumasi",
            Cache::Nginx => "nginx",
            Cache::Varnish => "varnish",
            Cache::Squid => "squid",
            Cache::TrafficServer => "trafficserver",
        }
    }

    fn version(self) -> Option<String> {
        let (program, flag) = match self {
            Cache::Pumasi => return Some(format!("pumasi {}", env!("CARGO_PKG_VERSION"))),
            Cache::Nginx => ("nginx", "-v"),
            Cache::Varnish => ("varnishd", "-V"),
            Cache::Squid => ("squid", "-v"),
            Cache::TrafficServer => ("traffic_server", "--version"),
        };
        let version = machine::version_of(program, flag);
        (!version.ends_with("not installed")).then_some(version)
    }

    fn start(self, port: u16, origin: u16, directory: &Path) -> Result<Running> {
        let home = directory.join(self.name());
        fs::create_dir_all(&home)?;
        let path = home.join("configuration");
        let written = |text: String| fs::write(&path, text).map(|()| path.display().to_string());
        match self {
            Cache::Pumasi => {
                let own = std::env::current_exe()?;
                let configuration = written(pumasi_with_pages(port, origin))?;
                start(1, &own.to_string_lossy(), &["serve-edge", &configuration])
            }
            Cache::Nginx => {
                let configuration = written(format!(
                    "daemon off; worker_processes 1; pid nginx.pid; error_log /dev/null; events {{}}\n\
                     http {{ client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; access_log off;\n\
                     proxy_cache_path c keys_zone=z:10m; server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{origin};\n\
                     proxy_cache z; proxy_cache_revalidate on; proxy_cache_background_update on; proxy_cache_lock on;\n\
                     proxy_cache_use_stale error timeout updating; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n"
                ))?;
                start(1, "nginx", &["-e", "/dev/null", "-p", &home.to_string_lossy(), "-c", &configuration])
            }
            Cache::Varnish => start(
                1,
                "varnishd",
                &[
                    "-F",
                    "-n",
                    &home.join("v").to_string_lossy(),
                    "-a",
                    &format!("127.0.0.1:{port}"),
                    "-b",
                    &format!("127.0.0.1:{origin}"),
                    "-s",
                    "malloc,64m",
                    "-p",
                    "default_ttl=0", // otherwise it keeps what has no lifetime, and most tests say nothing
                ],
            ),
            Cache::Squid => {
                let configuration = written(format!(
                    "http_port 127.0.0.1:{port} accel defaultsite=127.0.0.1\ncache_peer 127.0.0.1 parent {origin} 0 no-query originserver\n\
                     http_access allow all\ncache_mem 64 MB\npid_filename none\naccess_log none\ncache_log /dev/null\ncache_store_log none\n\
                     coredump_dir {home}\nshutdown_lifetime 0 seconds\n",
                    home = home.display()
                ))?;
                start(1, "squid", &["-N", "-f", &configuration])
            }
            Cache::TrafficServer => traffic_server(port, origin, &home),
        }
    }
}

/// Traffic Server reads its paths from a file: all of them in `home`, the program's own where its package put them.
fn traffic_server(port: u16, origin: u16, home: &Path) -> Result<Running> {
    let of = |name: &str| -> Result<String> {
        let path = home.join(name);
        fs::create_dir_all(&path)?;
        Ok(path.display().to_string())
    };
    let (etc, cache, run, log) = (of("etc")?, of("cache")?, of("run")?, of("log")?);
    for file in fs::read_dir("/etc/trafficserver").context("reading Traffic Server's configuration")? {
        let file = file?;
        if file.file_type()?.is_file() {
            fs::copy(file.path(), Path::new(&etc).join(file.file_name()))?;
        }
    }
    let modules = ["/usr/lib/trafficserver/modules", "/usr/lib/x86_64-linux-gnu/trafficserver/modules"];
    let modules = modules.into_iter().find(|path| Path::new(path).exists()).unwrap_or("/usr/lib");
    let runroot = home.join("runroot.yaml");
    fs::write(
        &runroot,
        format!(
            "prefix: /usr\nexec_prefix: /usr\nbindir: /usr/bin\nsbindir: /usr/sbin\nsysconfdir: {etc}\ndatadir: {cache}\nincludedir: /usr/include\n\
             libdir: /usr/lib\nlibexecdir: {modules}\nlocalstatedir: {run}\nruntimedir: {run}\nlogdir: {log}\ncachedir: {cache}\n"
        ),
    )?;
    let etc = Path::new(&etc);
    fs::write(etc.join("remap.config"), format!("map / http://127.0.0.1:{origin}/\n"))?;
    fs::write(etc.join("storage.config"), format!("{cache} 64M\n"))?;
    let mut records = fs::read_to_string(etc.join("records.config")).unwrap_or_default();
    let _ = write!(
        records,
        "\nCONFIG proxy.config.http.server_ports STRING {port}\nCONFIG proxy.config.url_remap.pristine_host_hdr INT 1\n\
         CONFIG proxy.config.admin.user_id STRING #-1\n"
    );
    fs::write(etc.join("records.config"), records)?;
    start(1, "traffic_server", &[&format!("--run-root={}", runroot.display())])
}
