//! Settings from the environment.
use mysql_async::{Opts, OptsBuilder, PoolConstraints, PoolOpts};

use crate::{Error, cache::CacheAddress};

/// Everything the application is told from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub database: Database,
    pub(crate) cache: Option<CacheAddress>,
}

/// Where the board's tables are.
#[derive(Clone)]
pub struct Database {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub name: String,
}

impl Settings {
    /// Errors: `Setting` for a port that is no port and for a cache address of another form.
    pub fn from_environment() -> Result<Settings, Error> {
        Ok(Settings {
            host: variable("HOST").unwrap_or_else(|| "127.0.0.1".into()),
            port: port("PORT", 8000)?,
            database: Database::from_environment()?,
            cache: variable("ASKHY_CACHE").map(CacheAddress::parse).transpose()?,
        })
    }
}

impl Database {
    /// Errors: `Setting` for a port that is no port.
    pub fn from_environment() -> Result<Database, Error> {
        Ok(Database {
            host: variable("DATABASE_HOST").unwrap_or_else(|| "127.0.0.1".into()),
            port: port("DATABASE_PORT", 3306)?,
            user: variable("DATABASE_USER").unwrap_or_else(|| "root".into()),
            password: variable("DATABASE_PASSWORD").unwrap_or_default(),
            name: variable("DATABASE_NAME").unwrap_or_else(|| "askhy".into()),
        })
    }

    /// The driver's form, with a pool of at most [`CONNECTIONS_MAX`] connections.
    pub(crate) fn options(&self) -> Opts {
        let pool = PoolOpts::new()
            .with_constraints(PoolConstraints::new(1, CONNECTIONS_MAX).expect("1 <= CONNECTIONS_MAX"))
            // No request leaves session state behind, so there is nothing to reset, and prepared statements stay prepared.
            .with_reset_connection(false);
        OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .user(Some(self.user.clone()))
            .pass(Some(self.password.clone()))
            .db_name(Some(self.name.clone()))
            // The configured address is meant: the driver would otherwise ask the server for its socket file and go there.
            .prefer_socket(false)
            .tcp_nodelay(true)
            .pool_opts(pool)
            .into()
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mysql://{}@{}:{}/{}", self.user, self.host, self.port, self.name)
    }
}

// === helpers ===

/// Per process. The database works on few statements at once anyway; requests beyond this wait here and not there.
const CONNECTIONS_MAX: usize = 8;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn port(name: &'static str, default: u16) -> Result<u16, Error> {
    variable(name).map_or(Ok(default), |value| value.parse().map_err(|_| Error::Setting { name, value, wanted: "a port number" }))
}
