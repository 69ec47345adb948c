//! Accepting HTTP connections and serving them, with a limit for everything.

use super::HttpError;
use super::places::{Place, Places};
use super::state::State;
use super::stream::Unstuck;
use super::{api, guard};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long a request's head may take to arrive, and a connection may be idle.
const HEAD: Duration = Duration::from_secs(10);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Longest head of a request, bytes; also what is buffered for a connection in each direction.
const HEAD_BYTES: usize = 16 * 1024;

/// Most header lines.
const HEADERS: usize = 64;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 128;

/// Pause after the system refused to give us a connection, for instance for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Makes the listening socket.
///
/// # Errors
/// The address can't be bound.
pub(super) fn bind(address: SocketAddr) -> Result<std::net::TcpListener, HttpError> {
    let bound = || {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bound().map_err(|error| HttpError::Bind { address, error })
}

/// Serves until it is told to stop.
pub(super) async fn run(
    state: Arc<State>,
    listener: std::net::TcpListener,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("HTTP is off: {error}");
            return wait_for_stop(stopped).await;
        }
    };
    let places = Places::new(state.max_connections);
    let router = router(&state);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, address)) => match places.take(address.ip()) {
                Some(place) => drop(tokio::spawn(connection(
                    state.clone(),
                    router.clone(),
                    stream,
                    place,
                ))),
                None => state.metrics().http_refused("connections"),
            },
            Err(error) => {
                tracing::debug!("can't accept an HTTP connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Waits until the arbiter stops.
pub(super) async fn wait_for_stop(mut stopped: watch::Receiver<bool>) {
    // Without a sender there is nobody left to serve.
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn router(state: &Arc<State>) -> Router {
    // A cluster may have no name, and {name} is at least one character.
    let clusters = ["/api/v1/clusters/{name}", "/api/v1/clusters/"].into_iter();
    let clusters = clusters.fold(Router::new(), |router, path| {
        router
            .route(path, get(api::cluster))
            .route(&format!("{path}/nodes"), get(api::nodes))
            .route(&format!("{path}/decisions"), get(api::cluster_decisions))
            .route(&format!("{path}/release"), post(api::release))
    });
    clusters
        .route("/", get(super::page::page))
        .route("/metrics", get(api::metrics))
        .route("/healthz", get(api::healthz))
        .route("/readyz", get(api::readyz))
        .route("/api/v1/openapi.json", get(api::openapi))
        .route("/api/v1/arbiter", get(api::arbiter))
        .route("/api/v1/overview", get(super::overview::overview))
        .route("/api/v1/certificates", get(api::certificates))
        .route("/api/v1/clusters", get(api::clusters))
        .route("/api/v1/decisions", get(api::decisions))
        .route("/api/v1/events", get(super::events::events))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::wrong_method)
        .layer(from_fn_with_state(state.clone(), guard::guard))
        .with_state(state.clone())
}

async fn connection(state: Arc<State>, router: Router, stream: TcpStream, _place: Place) {
    let open = &state.metrics().http_connections;
    open.inc();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("HTTP connection: {error}");
    }
    let stream = Unstuck::new(stream);
    let keys = state.keys();
    let outcome = match &keys.https {
        None => serve(stream, router).await,
        Some(https) => match timeout(HANDSHAKE, https.accept(stream)).await {
            Ok(Ok(stream)) => serve(stream, router).await,
            Ok(Err(error)) => {
                state.metrics().http_refused("tls");
                Err(error.to_string())
            }
            Err(_) => {
                state.metrics().http_refused("tls");
                Err("the TLS handshake took too long".to_owned())
            }
        },
    };
    if let Err(error) = outcome {
        tracing::debug!("HTTP connection: {error}");
    }
    open.dec();
}

async fn serve<S>(stream: S, router: Router) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
        .map_err(|error| error.to_string())
}
