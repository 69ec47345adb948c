//! What stands before every request: tokens, and what browsers need to be told.
//!
//! A page of somebody else's in an operator's browser must neither read nor change anything here:
//!
//! - Changes need a token, which no browser sends by itself.
//! - No answer has a header that would let another page read it (CORS).
//! - While we listen on this machine only and reading needs no token, a request must name this
//!   machine as its host: a page whose name was made to point here (DNS rebinding) names its own.

use super::reply::Form;
use super::state::State;
use super::tokens::{Access, Tokens};
use axum::extract::{Request, State as Of};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, REFERRER_POLICY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Lets a request through, or answers it.
pub(super) async fn guard(Of(state): Of<Arc<State>>, request: Request, next: Next) -> Response {
    let form = Form::wanted(request.headers());
    let mut response = match refusal(&state, &request, form) {
        Some(refusal) => refusal,
        None => match timeout(PATIENCE, next.run(request)).await {
            Ok(response) => response,
            Err(_) => form.problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "this takes too long at the moment",
            ),
        },
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    state.metrics().http_answered(response.status().as_u16());
    response
}

fn refusal(state: &State, request: &Request, form: Form) -> Option<Response> {
    let keys = state.keys();
    let tokens = &keys.tokens;
    if !names_this_machine(state, tokens, request) {
        state.metrics().http_refused("host");
        return Some(form.problem(
            StatusCode::MISDIRECTED_REQUEST,
            "this arbiter answers on this machine only: ask for localhost or an IP address, or \
             set a token for reading",
        ));
    }
    let path = request.uri().path();
    // The page is the same for everybody; what it shows it has to ask for, with a token.
    if matches!(path, "/" | "/healthz" | "/readyz") {
        return None;
    }
    let authorization = request.headers().get(AUTHORIZATION);
    let access = tokens.access(authorization.map(HeaderValue::as_bytes));
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD);
    match access {
        Access::Admin => None,
        Access::Read if !is_change => None,
        _ if is_change && !tokens.allows_changes() => Some(form.problem(
            StatusCode::FORBIDDEN,
            "nothing can be changed over HTTP, since no token for that is set; \
             use the command line (qarbiter release)",
        )),
        // A valid token for reading does not open this.
        Access::Read if tokens.guards_reading() => Some(form.problem(
            StatusCode::FORBIDDEN,
            "this needs the token for changes; yours is for reading",
        )),
        Access::Read | Access::None => {
            state.metrics().http_refused("token");
            let mut refused = form.problem(
                StatusCode::UNAUTHORIZED,
                "a token is needed: Authorization: Bearer TOKEN",
            );
            let bearer = HeaderValue::from_static("Bearer realm=\"qarbiter\"");
            refused.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            Some(refused)
        }
    }
}

fn names_this_machine(state: &State, tokens: &Tokens, request: &Request) -> bool {
    let is_local = state.listen.is_some_and(|listen| listen.ip().is_loopback());
    if !is_local || tokens.guards_reading() {
        return true;
    }
    let named = request.headers().get_all(HOST).into_iter();
    let mut named = named.map(|host| host.to_str().unwrap_or_default());
    // A target with a host (RFC 9112, 3.2.2) counts more than the header.
    let in_target = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    in_target.is_none_or(is_this_machine) && named.all(is_this_machine)
}

/// Whether a host, with or without port, is no name that somebody else could make point here.
fn is_this_machine(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, ""),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    port.bytes().all(|byte| byte.is_ascii_digit())
        && (name.eq_ignore_ascii_case("localhost")
            || address.unwrap_or(name).parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_others_control_are_not_this_machine() {
        for ours in [
            "localhost",
            "LOCALHOST:8403",
            "localhost.:80",
            "127.0.0.1",
            "127.0.0.1:8403",
            "[::1]",
            "[::1]:8403",
            "192.0.2.1:80",
        ] {
            assert!(is_this_machine(ours), "{ours}");
        }
        for theirs in [
            "",
            "evil.example",
            "evil.example:8403",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "evil.example:127.0.0.1",
            "[::1].evil.example",
        ] {
            assert!(!is_this_machine(theirs), "{theirs}");
        }
    }
}
