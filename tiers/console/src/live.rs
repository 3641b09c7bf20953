//! Changed parts of a page, as server-sent events.
//!
//! A page is a list of parts with ids. Once a second the parts are made again; those that differ from what this browser has are
//! sent as one event, a JSON object of id to HTML. The page's script puts them in place. A browser that reads slowly skips
//! pictures: nothing queues up for it.
use std::{collections::HashMap, convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::{
    Shared,
    pages::{Page, Question},
};

/// Live pages at once, over all browsers; the next one is answered 503 and stays as it is.
pub const PAGES_MAX: usize = 32;

pub fn stream(shared: Arc<Shared>, page: Page, question: Question) -> Response {
    let Ok(permit) = shared.live.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], "Too many live pages are open.\n").into_response();
    };
    let viewer = Viewer { ticks: shared.ticks.subscribe(), shared, page, question, shown: HashMap::new(), _permit: permit };
    let events = futures_util::stream::unfold(viewer, async |mut viewer| {
        let event = viewer.next_event().await?;
        Some((Ok::<_, Infallible>(event), viewer))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events)).into_response()
}

/// One browser that watches a page.
struct Viewer {
    shared: Arc<Shared>,
    page: Page,
    question: Question,
    ticks: watch::Receiver<u64>,
    /// What it has, by id.
    shown: HashMap<&'static str, String>,
    _permit: OwnedSemaphorePermit,
}

impl Viewer {
    /// The next event that says something, or a comment when nothing changed: a connection that is silent gets cut on its way.
    async fn next_event(&mut self) -> Option<String> {
        self.ticks.changed().await.ok()?;
        let mut changed = HashMap::new();
        for part in self.page.parts(&self.shared, &self.question) {
            let html = part.content.into_string();
            if self.shown.get(part.id) != Some(&html) {
                changed.insert(part.id, html.clone());
                self.shown.insert(part.id, html);
            }
        }
        // serde_json writes no line break within a value, so the whole object is one line of the event.
        let event = match changed.is_empty() {
            true => ":\n\n".to_owned(),
            false => format!("data: {}\n\n", serde_json::to_string(&changed).ok()?),
        };
        Some(event)
    }
}
