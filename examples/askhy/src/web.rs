//! Addresses and what they answer.
use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
};

use axum::{
    Form, Router,
    extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Path, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::Markup;
use serde::Deserialize;

use crate::{
    Error,
    board::{Board, MESSAGE_CHARS_MAX},
    pages::{self, Refused},
    words::Language,
};

/// Answers requests until `stop` is ready, then finishes those in flight.
pub async fn serve(
    listener: tokio::net::TcpListener,
    board: Board,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let app = router(board).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

fn router(board: Board) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/ask", post(post_ask))
        .route("/ask/{id}", get(ask))
        .route("/ask/{id}/cheer", post(post_cheer))
        .route("/health", get(async || "ok\n"))
        .fallback(async |visitor: Visitor| visitor.trouble(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async |visitor: Visitor| visitor.trouble(StatusCode::METHOD_NOT_ALLOWED))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(board)
}

async fn front(State(board): State<Board>, visitor: Visitor) -> Response {
    match board.asks().await {
        Ok(asks) => visitor.page(StatusCode::OK, pages::front(visitor.language, &asks, None)),
        Err(error) => visitor.failed(&error),
    }
}

async fn ask(State(board): State<Board>, Path(id): Path<String>, visitor: Visitor) -> Response {
    let Ok(id) = id.parse() else { return visitor.trouble(StatusCode::NOT_FOUND) };
    match board.ask(id).await {
        Ok(Some((ask, cheers))) => visitor.page(StatusCode::OK, pages::ask(visitor.language, &ask, &cheers, None)),
        Ok(None) => visitor.trouble(StatusCode::NOT_FOUND),
        Err(error) => visitor.failed(&error),
    }
}

async fn post_ask(State(board): State<Board>, visitor: Visitor, form: Result<Form<Message>, FormRejection>) -> Response {
    let message = match form {
        Ok(Form(Message { message })) => message,
        Err(rejection) => return visitor.trouble(rejection.status()),
    };
    let posted = match checked(&message, visitor.language) {
        Ok(message) => board.post_ask(message, visitor.address).await.map(|id| Redirect::to(&format!("/ask/{id}")).into_response()),
        Err(refused) => board
            .asks()
            .await
            .map(|asks| visitor.page(StatusCode::UNPROCESSABLE_ENTITY, pages::front(visitor.language, &asks, Some(&refused)))),
    };
    posted.unwrap_or_else(|error| visitor.failed(&error))
}

async fn post_cheer(
    State(board): State<Board>,
    Path(id): Path<String>,
    visitor: Visitor,
    form: Result<Form<Message>, FormRejection>,
) -> Response {
    let Ok(id) = id.parse() else { return visitor.trouble(StatusCode::NOT_FOUND) };
    let message = match form {
        Ok(Form(Message { message })) => message,
        Err(rejection) => return visitor.trouble(rejection.status()),
    };
    let posted = match checked(&message, visitor.language) {
        Ok(message) => board.post_cheer(id, message, visitor.address).await.map(|taken| match taken {
            true => Redirect::to(&format!("/ask/{id}")).into_response(),
            false => visitor.trouble(StatusCode::NOT_FOUND),
        }),
        Err(refused) => board.ask(id).await.map(|ask| match ask {
            Some((ask, cheers)) => {
                let page = pages::ask(visitor.language, &ask, &cheers, Some(&refused));
                visitor.page(StatusCode::UNPROCESSABLE_ENTITY, page)
            }
            None => visitor.trouble(StatusCode::NOT_FOUND),
        }),
    };
    posted.unwrap_or_else(|error| visitor.failed(&error))
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

/// The message without surrounding white space, if it says something and fits the column.
fn checked(message: &str, language: Language) -> Result<&str, Refused<'_>> {
    let trimmed = message.trim();
    let chars = trimmed.chars().count();
    if chars == 0 {
        Err(Refused { message: "", reason: language.words().empty.into() })
    } else if chars > MESSAGE_CHARS_MAX {
        Err(Refused { message: trimmed, reason: language.too_long(chars) })
    } else {
        Ok(trimmed)
    }
}

/// Who asks: the language they read and the address they come from.
struct Visitor {
    language: Language,
    address: IpAddr,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visitor, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let address = forwarded_for(&parts.headers).or(peer).unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let language = Language::of(parts.headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()));
        Ok(Visitor { language, address })
    }
}

/// The first address of `X-Forwarded-For`: the client as the outermost proxy saw it. Shown on the page and nothing else, so it
/// does not matter that a client can invent one.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get("x-forwarded-for")?.to_str().ok()?.split(',').next()?.trim().parse().ok()
}

impl Visitor {
    fn page(&self, status: StatusCode, page: Markup) -> Response {
        (status, [(header::VARY, "Accept-Language")], Html(page.into_string())).into_response()
    }

    fn trouble(&self, status: StatusCode) -> Response {
        let words = self.language.words();
        let says = match status {
            StatusCode::NOT_FOUND => words.not_found,
            StatusCode::METHOD_NOT_ALLOWED => words.not_allowed,
            StatusCode::PAYLOAD_TOO_LARGE => words.too_large,
            StatusCode::SERVICE_UNAVAILABLE => words.unavailable,
            _ => words.not_a_form,
        };
        self.page(status, pages::trouble(self.language, status.as_u16(), says))
    }

    fn failed(&self, error: &Error) -> Response {
        eprintln!("askhy: {error}");
        self.trouble(StatusCode::SERVICE_UNAVAILABLE)
    }
}

/// A message of `MESSAGE_CHARS_MAX` characters is at most 2.4 KB as a form; what is longer than this is answered 413 unread.
const BODY_BYTES_MAX: usize = 16 << 10;
