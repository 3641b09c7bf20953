//! Addresses and what they answer.
use std::{future::IntoFuture, sync::Arc};

use axum::{
    Form, Router,
    extract::{DefaultBodyLimit, FromRequestParts, Path, Query, Request, State, rejection::FormRejection},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    middleware::{self, Next},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use pumasi_metrics::Exposition;
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::{
    Cluster, ClusterChange, Drain, Purge, Purged, Shared,
    bounded::Bounded,
    exposition, guard,
    history::Sample,
    live,
    load::{LoadTests, Wanted},
    pages::{self, Notice, Page, Question},
};

/// Serves until `stop` is dropped or sent. Connections still open then are closed: live pages never end by themselves.
pub async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>, stop: oneshot::Receiver<()>) -> std::io::Result<()> {
    let listener = Bounded::new(tokio::net::TcpListener::from_std(listener)?, CONNECTIONS_MAX);
    tokio::select! {
        served = axum::serve(listener, router(shared)).into_future() => served,
        _ = stop => Ok(()),
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(show))
        .route("/{page}", get(show))
        .route("/live/{page}", get(show_live))
        .route("/load/{id}", get(load_report))
        .route("/ladder", get(ladder))
        .route("/metrics", get(metrics))
        .route("/health", get(async || "ok\n"))
        .route("/style.css", get(async || asset("text/css; charset=utf-8", pages::style())))
        .route("/live.js", get(async || asset("text/javascript; charset=utf-8", include_str!("live.js").into())))
        .route("/icon.svg", get(async || asset("image/svg+xml", include_str!("icon.svg").into())))
        .route("/login", get(ask_for_token).post(log_in))
        .route("/logout", post(log_out))
        .route("/api/status", get(async |State(shared): State<Arc<Shared>>| json(&shared.service.status())))
        .route("/api/findings", get(async |State(shared): State<Arc<Shared>>| json(&shared.picture().findings)))
        .route("/api/configuration", get(async |State(shared): State<Arc<Shared>>| json(&shared.service.configuration())))
        .route("/api/history", get(history))
        .route("/api/explain", get(explain))
        .route("/api/record", post(record))
        .route("/api/reload", post(reload))
        .route("/api/upgrade", post(upgrade))
        .route("/api/purge", post(purge))
        .route("/api/load/start", post(start_load))
        .route("/api/load/stop", post(stop_load))
        .route("/api/drain", post(async |state, caller, form| drain(state, caller, form, Drain::Out).await))
        .route("/api/undrain", post(async |state, caller, form| drain(state, caller, form, Drain::Back).await))
        .route("/api/sql/promote", post(async |state, caller, form| cluster(state, caller, form, promote).await))
        .route("/api/sql/drain", post(async |state, caller, form| cluster(state, caller, form, |form| drained(form, Drain::Out)).await))
        .route("/api/sql/undrain", post(async |state, caller, form| cluster(state, caller, form, |form| drained(form, Drain::Back)).await))
        .route("/api/sql/rejoin", post(async |state, caller, form| cluster(state, caller, form, rejoin).await))
        .route("/api/weigh", post(weigh))
        .fallback(nothing_here)
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "This address does not take that method.\n"))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(machine_name(), guarded))
        .with_state(shared)
}

/// Every request passes here: the checks of [`guard`], then the headers that go with every answer.
async fn guarded(State(machine): State<Arc<str>>, request: Request, next: Next) -> Response {
    let mut response = match guard::check(request.method(), request.headers(), &machine) {
        Ok(()) => next.run(request).await,
        Err(refusal) => (refusal.status, format!("{}\n", refusal.reason)).into_response(),
    };
    for (name, value) in guard::SECURITY_HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn machine_name() -> Arc<str> {
    rustix::system::uname().nodename().to_string_lossy().into()
}

// === pages ===

async fn show(
    State(shared): State<Arc<Shared>>,
    page: Option<Path<String>>,
    Query(question): Query<Question>,
    headers: HeaderMap,
) -> Response {
    let name = page.map_or_else(String::new, |Path(name)| name);
    match Page::named(&name) {
        Some(page) => Html(pages::whole(&shared, page, &question, signed_in(&shared, &headers), None).into_string()).into_response(),
        None => not_found(),
    }
}

async fn show_live(State(shared): State<Arc<Shared>>, Path(name): Path<String>, Query(question): Query<Question>) -> Response {
    match Page::named(if name == "front" { "" } else { &name }) {
        Some(page) => live::stream(shared, page, question),
        None => not_found(),
    }
}

/// An address with a slash too many is the one without; everything else is unknown.
async fn nothing_here(uri: Uri) -> Response {
    match uri.path().trim_end_matches('/') {
        path if path.len() < uri.path().len() && path.starts_with('/') && !path.starts_with("//") => {
            Redirect::permanent(path).into_response()
        }
        _ => not_found(),
    }
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, Html(pages::not_found().into_string())).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CONTENT_TYPE, Exposition::CONTENT_TYPE)], exposition::text(&shared.service.status())).into_response()
}

fn json(value: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("The status could not be written: {error}\n")).into_response(),
    }
}

#[derive(Deserialize)]
struct Asked {
    of: Reach,
}

/// How far back, and how fine.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reach {
    /// Each second of the last hour.
    Seconds,
    /// Each minute of the last week.
    Minutes,
}

/// What the charts are drawn from, oldest first.
async fn history(State(shared): State<Arc<Shared>>, Query(Asked { of }): Query<Asked>) -> Response {
    let history = shared.history();
    let now = shared.picture().unix_s;
    let samples: Vec<Sample> = match of {
        Reach::Seconds => history.seconds(now, u64::MAX).copied().collect(),
        Reach::Minutes => history.minutes(now, u64::MAX).copied().collect(),
    };
    drop(history);
    json(&samples)
}

#[derive(Deserialize)]
struct Explain {
    url: Option<String>,
}

/// Names of tables and shapes of statements, as the status shows them: no values, and so no token.
async fn explain(State(shared): State<Arc<Shared>>, Query(Explain { url }): Query<Explain>) -> Response {
    let Some(url) = url else {
        let error = "Say which page by the parameter `url`: http://example.org/path?query, or /path?query on every host.";
        return (StatusCode::UNPROCESSABLE_ENTITY, json(&serde_json::json!({ "error": error }))).into_response();
    };
    let service = shared.service.clone();
    // Linear in the stored pages: not on the thread that answers everybody.
    match tokio::task::spawn_blocking(move || service.explain(&url)).await {
        Ok(Ok(told)) => json(&told),
        Ok(Err(error)) => (StatusCode::UNPROCESSABLE_ENTITY, json(&serde_json::json!({ "error": error }))).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("It ended in a bug of ours: {error}\n")).into_response(),
    }
}

fn asset(content_type: &'static str, text: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type)], text)
}

// === changes ===

/// Single requests are somebody's: only who may change something may read them.
async fn record(State(shared): State<Arc<Shared>>, _: Caller, Query(Recorded { bodies }): Query<Recorded>) -> Response {
    match shared.service.record(bodies) {
        Ok(recording) => json(&recording),
        Err(text) => (StatusCode::CONFLICT, format!("{text}\n")).into_response(),
    }
}

#[derive(Deserialize)]
struct Recorded {
    /// Also what forms and programs sent.
    #[serde(default)]
    bodies: bool,
}

async fn reload(State(shared): State<Arc<Shared>>, caller: Caller) -> Response {
    let service = shared.service.clone();
    caller.answer(&shared, Page::Configuration, tokio::task::spawn_blocking(move || service.reload()).await)
}

async fn upgrade(State(shared): State<Arc<Shared>>, caller: Caller) -> Response {
    let service = shared.service.clone();
    caller.answer(&shared, Page::Configuration, tokio::task::spawn_blocking(move || service.upgrade()).await)
}

/// Exactly one of the first four.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PurgeForm {
    path: Option<String>,
    url: Option<String>,
    tag: Option<String>,
    everything: Option<String>,
    soft: Option<String>,
}

impl PurgeForm {
    fn wish(self) -> Result<Purge, String> {
        let soft = self.soft.is_some();
        let address = |text: String| match text.starts_with('/') || text.starts_with("http://") || text.starts_with("https://") {
            true => Ok(text),
            false => Err(format!("{text:?} is no address: it begins with a slash, or with http:// and a host.")),
        };
        let pages =
            match (self.path, self.url, self.tag, self.everything) {
                (Some(prefix), None, None, None) => Purged::Prefix(address(prefix)?),
                (None, Some(url), None, None) => Purged::Url(address(url)?),
                (None, None, Some(tag), None) if !tag.is_empty() => Purged::Tag(tag),
                (None, None, None, Some(_)) => Purged::Everything,
                _ => return Err(
                    "Say what to drop by one of the form fields `path` (a beginning; `/` is everything), `url`, `tag` and `everything`."
                        .into(),
                ),
            };
        Ok(Purge { pages, soft })
    }
}

async fn purge(State(shared): State<Arc<Shared>>, caller: Caller, form: Result<Form<PurgeForm>, FormRejection>) -> Response {
    let wish = match form {
        Ok(Form(form)) => form.wish(),
        Err(rejection) => Err(rejection.body_text()),
    };
    let purge = match wish {
        Ok(purge) => purge,
        Err(text) => return caller.answer(&shared, Page::Stores, Ok(Err(text))),
    };
    let service = shared.service.clone();
    caller.answer(&shared, Page::Stores, tokio::task::spawn_blocking(move || service.purge(&purge)).await)
}

#[derive(Deserialize)]
struct LoadForm {
    path: String,
    rate: String,
    lasts_s: String,
    #[serde(default)]
    name: String,
}

async fn start_load(State(shared): State<Arc<Shared>>, caller: Caller, form: Result<Form<LoadForm>, FormRejection>) -> Response {
    let wanted = match form {
        Ok(Form(form)) => Wanted::checked(&form.path, &form.rate, &form.lasts_s, &form.name),
        Err(_) => Err("Say what to load by the form fields `path`, `rate` and `lasts_s`.".into()),
    };
    let outcome = match wanted {
        Ok(wanted) => with_load_tests(&shared, move |tests| tests.start(&wanted)).await,
        Err(refused) => Ok(Err(refused)),
    };
    caller.answer(&shared, Page::Load, outcome)
}

async fn stop_load(State(shared): State<Arc<Shared>>, caller: Caller) -> Response {
    caller.answer(&shared, Page::Load, with_load_tests(&shared, |tests| tests.stop()).await)
}

/// A report is a page in one piece with its own style inside: it gets a policy that allows just that.
async fn load_report(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    report(with_load_tests(&shared, move |tests| tests.report(&id)).await)
}

async fn ladder(State(shared): State<Arc<Shared>>) -> Response {
    report(with_load_tests(&shared, |tests| tests.ladder()).await)
}

fn report(outcome: Outcome) -> Response {
    match outcome {
        Ok(Ok(page)) => ([(header::CONTENT_SECURITY_POLICY, guard::REPORT_POLICY)], Html(page)).into_response(),
        _ => not_found(),
    }
}

type Outcome = Result<Result<String, String>, tokio::task::JoinError>;

/// Load tests are files and processes: asked on a thread that may wait for them.
async fn with_load_tests(shared: &Arc<Shared>, ask: impl FnOnce(&dyn LoadTests) -> Result<String, String> + Send + 'static) -> Outcome {
    let service = shared.service.clone();
    tokio::task::spawn_blocking(move || match service.load_tests() {
        Some(tests) => ask(tests),
        None => Err("This Pumasi cannot run load tests.".into()),
    })
    .await
}

#[derive(Deserialize)]
struct Drained {
    upstream: String,
}

async fn drain(State(shared): State<Arc<Shared>>, caller: Caller, form: Result<Form<Drained>, FormRejection>, way: Drain) -> Response {
    let Ok(Form(Drained { upstream })) = form else {
        return caller.answer(&shared, Page::Workers, Ok(Err("Say which upstream by the form field `upstream`, such as app.1.".into())));
    };
    let service = shared.service.clone();
    caller.answer(&shared, Page::Workers, tokio::task::spawn_blocking(move || service.drain(&upstream, way)).await)
}

/// What a change of a database's servers is asked with.
#[derive(Deserialize)]
struct ClusterForm {
    database: Option<String>,
    member: Option<String>,
    accept_loss: Option<String>,
    rebuild: Option<String>,
}

async fn cluster(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    form: Result<Form<ClusterForm>, FormRejection>,
    change: fn(&ClusterForm) -> Option<ClusterChange>,
) -> Response {
    let asked = form.ok().and_then(|Form(form)| change(&form).map(|change| Cluster { database: form.database.clone(), change }));
    let Some(order) = asked else {
        return caller.answer(&shared, Page::Sql, Ok(Err("Say which server by the form field `member`, such as main.2.".into())));
    };
    let service = shared.service.clone();
    caller.answer(&shared, Page::Sql, tokio::task::spawn_blocking(move || service.cluster(&order)).await)
}

fn promote(form: &ClusterForm) -> Option<ClusterChange> {
    Some(ClusterChange::Promote { member: form.member.clone(), accept_loss: form.accept_loss.is_some() })
}

fn drained(form: &ClusterForm, way: Drain) -> Option<ClusterChange> {
    Some(ClusterChange::Drain { member: form.member.clone()?, way })
}

fn rejoin(form: &ClusterForm) -> Option<ClusterChange> {
    Some(ClusterChange::Rejoin { member: form.member.clone()?, rebuild: form.rebuild.is_some() })
}

#[derive(Deserialize)]
struct Weighed {
    upstream: String,
    weight: u32,
}

async fn weigh(State(shared): State<Arc<Shared>>, caller: Caller, form: Result<Form<Weighed>, FormRejection>) -> Response {
    let Ok(Form(Weighed { upstream, weight })) = form else {
        let missing = "Say which upstream and how much by the form fields `upstream`, such as app.1, and `weight`, from 1 to 1000.";
        return caller.answer(&shared, Page::Workers, Ok(Err(missing.into())));
    };
    let service = shared.service.clone();
    caller.answer(&shared, Page::Workers, tokio::task::spawn_blocking(move || service.weigh(&upstream, weight)).await)
}

/// Somebody who may change something.
enum Caller {
    /// A program with the token: gets JSON.
    Program,
    /// A browser that is signed in: gets the page with a notice.
    Browser,
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Caller, Response> {
        let headers = &parts.headers;
        let bearer = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
        match bearer {
            Some(value) if value.strip_prefix("Bearer ").is_some_and(|shown| shared.token.matches(shown)) => Ok(Caller::Program),
            Some(_) => Err(refused(shared, "This is not the console's token")),
            None if signed_in(shared, headers) => Ok(Caller::Browser),
            // A browser that was sent here by a form is led to where it can sign in.
            None if wants_html(headers) => Err(Redirect::to("/login").into_response()),
            None => Err(refused(shared, "Changes need the console's token: send `Authorization: Bearer TOKEN`")),
        }
    }
}

impl Caller {
    fn answer(&self, shared: &Shared, page: Page, outcome: Outcome) -> Response {
        let outcome = outcome.unwrap_or_else(|error| Err(format!("It ended in a bug of ours: {error}")));
        let status = if outcome.is_ok() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        match self {
            Caller::Program => {
                let (key, text) = match &outcome {
                    Ok(text) => ("message", text),
                    Err(text) => ("error", text),
                };
                (status, json(&serde_json::json!({ key: text }))).into_response()
            }
            Caller::Browser => {
                let notice = Notice::of(outcome);
                (status, Html(pages::whole(shared, page, &Question::default(), true, Some(&notice)).into_string())).into_response()
            }
        }
    }
}

fn refused(shared: &Shared, reason: &str) -> Response {
    let error = format!("{reason}. The token is in {}.", shared.token.file().display());
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], json(&serde_json::json!({ "error": error }))).into_response()
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

// === signing in ===

#[derive(Deserialize)]
struct Login {
    token: String,
}

async fn ask_for_token(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    Html(pages::login(&shared, signed_in(&shared, &headers), false).into_string()).into_response()
}

async fn log_in(State(shared): State<Arc<Shared>>, Form(login): Form<Login>) -> Response {
    if !shared.token.matches(&login.token) {
        return (StatusCode::FORBIDDEN, Html(pages::login(&shared, false, true).into_string())).into_response();
    }
    match shared.sessions.open() {
        // Lives until the browser or the console is closed. Strict: no other site's link or form ever carries it.
        Ok(id) => ([(header::SET_COOKIE, format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict"))], Redirect::to("/")).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("No session could be made: {error}\n")).into_response(),
    }
}

async fn log_out(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Some(id) = session(&headers) {
        shared.sessions.close(id);
    }
    ([(header::SET_COOKIE, format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"))], Redirect::to("/")).into_response()
}

fn signed_in(shared: &Shared, headers: &HeaderMap) -> bool {
    session(headers).is_some_and(|id| shared.sessions.knows(id))
}

fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

const COOKIE: &str = "pumasi-console";

// === bounds ===

/// Browsers, scrapers and scripts together. A connection beyond waits in the kernel's queue until another ends.
const CONNECTIONS_MAX: usize = 256;

/// Forms of one short field.
const BODY_BYTES_MAX: usize = 4 << 10;
