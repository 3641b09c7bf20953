//! What each rung is: its configuration and its load. Pure text.

use super::{DatabaseAddress, args::LadderArgs};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// One rung.
#[derive(Clone, Debug)]
pub struct Rung {
    pub number: &'static str,
    pub name: &'static str,
    pub workers: usize,
    /// Pages and results are kept and dropped by what writes touch.
    pub automatic: bool,
    pub cache: Option<CacheKind>,
    /// Share of the requests that write.
    pub writes: f64,
}

/// What the hand-written cache-aside stands on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CacheKind {
    Memcached,
    Redis,
}

/// All of them, from the bottom up.
pub fn all() -> Vec<Rung> {
    let rung = |number, name, workers, automatic, cache, writes| Rung { number, name, workers, automatic, cache, writes };
    vec![
        rung("1", "one worker on the database", 1, false, None, 0.0),
        rung("2", "one worker, memcached by hand", 1, false, Some(CacheKind::Memcached), 0.0),
        rung("3", "one worker, Redis by hand", 1, false, Some(CacheKind::Redis), 0.0),
        rung("4", "three workers", 3, false, None, 0.0),
        rung("5", "one worker, automatic caching", 1, true, None, 0.0),
        rung("6", "three workers, automatic caching", 3, true, None, 0.0),
        rung("7a", "as 6, with 1 % writes", 3, true, None, 0.01),
        rung("7b", "as 6, with 10 % writes", 3, true, None, 0.1),
    ]
}

/// The embedded database's file, relative to the state directory.
pub const FILE: &str = "askhy.db";
/// Its name in SQL.
pub const DATABASE: &str = "askhy";
/// Asks in the filled database; `pumasi demo` fills as many.
const ASKS: u32 = 50;

/// What is the same on all rungs.
#[derive(Debug)]
pub struct Setting {
    pub program: PathBuf,
    pub vusers: usize,
    pub lasts: Duration,
    pub database: Option<DatabaseAddress>,
    /// Somebody's own application.
    pub command: Option<String>,
    pub environment: Vec<(String, String)>,
    /// What is asked for; the first is compared between rungs.
    pub paths: Vec<String>,
    only: Vec<String>,
    /// Of this machine.
    pub cores: usize,
}

impl Setting {
    /// Errors: a rung that does not exist, a database address that is none, a path that is none.
    pub fn of(args: &LadderArgs, program: &Path) -> Result<Setting, String> {
        let known: Vec<&str> = all().iter().map(|rung| rung.number).collect();
        if let Some(unknown) = args.only.iter().find(|number| !known.contains(&number.as_str())) {
            return Err(format!("there is no rung \"{unknown}\"; there are {}", known.join(", ")));
        }
        let paths = if args.urls.is_empty() {
            vec!["/".to_string()]
        } else {
            args.urls.iter().map(|url| path_of(url)).collect::<Result<_, _>>()?
        };
        Ok(Setting {
            program: program.to_path_buf(),
            vusers: usize::from(args.vusers),
            lasts: args.lasts,
            database: args.database.as_deref().map(DatabaseAddress::parse).transpose()?,
            command: args.command.clone(),
            environment: args.environment.clone(),
            paths,
            only: args.only.clone(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        })
    }

    pub fn wants(&self, rung: &Rung) -> bool {
        self.only.is_empty() || rung.number == "1" || self.only.iter().any(|number| number == rung.number)
    }

    /// Why the rung cannot be run in this setting, whatever is installed.
    pub fn obstacle(&self, rung: &Rung) -> Option<String> {
        match &self.command {
            Some(_) if rung.cache.is_some() => Some("your application has no hand-written variant that we could switch on".to_string()),
            Some(_) if rung.writes > 0.0 => {
                Some("we do not know how to write to your application; use a scenario with pumasi load".to_string())
            }
            _ => None,
        }
    }

    /// The rung's pumasi.toml.
    pub fn configuration(&self, rung: &Rung, state: &Path, cache: Option<&str>) -> String {
        let mode = if rung.automatic { "automatic" } else { "off" };
        let command = match &self.command {
            Some(command) => quoted(command),
            None => format!("[{}, \"askhy\"]", quoted(&self.program.display().to_string())),
        };
        let probe = if self.command.is_some() { self.paths[0].as_str() } else { "/health" };
        let engine = match &self.database {
            None => format!("engine = \"embedded:{FILE}\""),
            Some(database) => format!("primary = {}", quoted(&database.url())),
        };
        // What the team has today asks its database directly; only the automatic rungs need Pumasi in between.
        let direct = self.database.as_ref().filter(|_| !rung.automatic);
        let sql = if direct.is_some() {
            String::new()
        } else {
            format!("[sql.main]\nlisten = \"127.0.0.1:0\"\n{engine}\nresults = \"{mode}\"\n")
        };
        let environment: Vec<String> =
            self.worker_environment(direct, cache).iter().map(|(key, value)| format!("{key} = {}", quoted(value))).collect();
        format!(
            "state = {}\n[edge]\nlisten = \"127.0.0.1:0\"\n[[edge.route]]\npool = \"app\"\npages = \"{mode}\"\n\
             [pool.app]\ncommand = {command}\nworkers = {}\nprobe = {{ path = {} }}\nenv = {{ {} }}\n{sql}[console]\nlisten = \"off\"\n",
            quoted(&state.display().to_string()),
            rung.workers,
            quoted(probe),
            environment.join(", ")
        )
    }

    fn worker_environment(&self, direct: Option<&DatabaseAddress>, cache: Option<&str>) -> Vec<(String, String)> {
        if self.command.is_some() {
            return self.environment.clone();
        }
        let through = DatabaseAddress {
            host: "${sql.main.host}".to_string(),
            port: 0,
            user: self.database.as_ref().map_or("root", |database| &database.user).to_string(),
            password: self.database.as_ref().map_or(String::new(), |database| database.password.clone()),
            name: self.database.as_ref().map_or(DATABASE, |database| &database.name).to_string(),
        };
        let database = direct.unwrap_or(&through);
        let port = if direct.is_some() { database.port.to_string() } else { "${sql.main.port}".to_string() };
        let mut environment: Vec<(String, String)> = [
            ("DATABASE_HOST", &database.host),
            ("DATABASE_PORT", &port),
            ("DATABASE_USER", &database.user),
            ("DATABASE_PASSWORD", &database.password),
            ("DATABASE_NAME", &database.name),
        ]
        .map(|(key, value)| (key.to_string(), value.clone()))
        .into();
        environment.extend(cache.map(|url| ("ASKHY_CACHE".to_string(), url.to_string())));
        environment
    }

    /// The rung's load: the front page for four in five, else one ask, the popular ones more often; and the rung's share of cheers.
    pub fn scenario(&self, rung: &Rung) -> String {
        let mut out = String::from("[load]\nheaders = { Accept-Language = \"en\" }\n");
        if self.command.is_some() {
            for path in &self.paths {
                out += &format!("[[scenario]]\nsteps = [{{ get = {} }}]\n", quoted(&path.replace("${", "$${")));
            }
            return out;
        }
        let reads = 1.0 - rung.writes;
        out += &format!("[data]\nask = {{ range = [1, {ASKS}], order = \"zipf 0.9\" }}\n");
        out += &format!("[[scenario]]\nname = \"front\"\nweight = {}\nsteps = [{{ get = \"/\" }}]\n", reads * 80.0);
        out += &format!("[[scenario]]\nname = \"ask\"\nweight = {}\nsteps = [{{ get = \"/ask/${{ask}}\" }}]\n", reads * 20.0);
        if rung.writes > 0.0 {
            out += &format!(
                "[[scenario]]\nname = \"cheer\"\nweight = {}\nsteps = [{{ post = \"/ask/${{ask}}/cheer\", form = {{ message = \"fighting ${{counter}}\" }}, check = {{ status = 303 }} }}]\n",
                rung.writes * 100.0
            );
        }
        out
    }
}

impl DatabaseAddress {
    /// Reads `mysql://user:password@host:port/name`; the port is 3306 and the password empty unless written.
    pub fn parse(url: &str) -> Result<DatabaseAddress, String> {
        let wrong = || "a database is written mysql://user:password@host:3306/name".to_string();
        let rest = url.strip_prefix("mysql://").ok_or_else(wrong)?;
        let (who, place) = rest.rsplit_once('@').ok_or_else(wrong)?;
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let (address, name) = place.split_once('/').ok_or_else(wrong)?;
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "3306"));
        if [user, host, name].contains(&"") {
            return Err(wrong());
        }
        let text = |part: &str| part.to_string();
        Ok(DatabaseAddress {
            host: text(host),
            port: port.parse().map_err(|_| wrong())?,
            user: text(user),
            password: text(password),
            name: text(name),
        })
    }

    pub fn url(&self) -> String {
        format!("mysql://{}:{}@{}:{}/{}", self.user, self.password, self.host, self.port, self.name)
    }
}

/// The path of a URL, or the path itself.
fn path_of(url: &str) -> Result<String, String> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => url,
    };
    if path.starts_with('/') { Ok(path.to_string()) } else { Err(format!("\"{url}\" is not a path; write it as /items")) }
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}
