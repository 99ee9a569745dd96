//! Metrics over HTTP: `GET /metrics`, and limits for everything that a stranger can send, keep open or wait for.
//!
//! One thread serves all connections, from a text that is ready: whoever asks causes no reading and keeps nobody
//! waiting. Left out: TLS, and who may ask, which are for the proxy in front.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many connections are open at a time. A host has one or two that scrape it.
const MAX_CONNECTIONS: usize = 16;

/// How long a client may take for the head of a request, and to send the next one.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a connection lives, so that a reader that takes a byte a minute occupies nothing for ever. Scrapers wait
/// ten seconds by default, and come again with a new one.
const CONNECTION_TIME: Duration = Duration::from_secs(30);

/// How long to wait after an accept that failed, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The longest head of a request; hyper takes no less.
const HEAD_BYTES: usize = 8 << 10;

/// What the format is called.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The text that is served, which is replaced as a whole.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<RwLock<Bytes>>);

impl Metrics {
    /// Serves this from now on.
    pub fn set(&self, text: String) {
        if let Ok(mut bytes) = self.0.write() {
            *bytes = text.into();
        }
    }

    fn get(&self) -> Bytes {
        self.0.read().map(|bytes| bytes.clone()).unwrap_or_default()
    }
}

/// Serves on a thread of its own until the process ends.
///
/// # Errors
/// When there is no thread, or the system gives no means to wait.
pub fn serve(listener: TcpListener, metrics: Metrics) -> Result<()> {
    let cannot = "cannot serve metrics";
    listener.set_nonblocking(true).context(cannot)?;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_io().enable_time().build().context(cannot)?;
    let thread = std::thread::Builder::new().name("metrics".into());
    thread
        .spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                accept(listener, metrics).await;
            });
        })
        .context(cannot)?;
    Ok(())
}

async fn accept(listener: tokio::net::TcpListener, metrics: Metrics) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Never closed, so there is always a place in the end.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = respond(&metrics, &request);
                async { Ok::<_, Infallible>(response) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            // However a connection ends, nobody is left to be told.
            let _ = timeout(CONNECTION_TIME, connection).await;
            drop(place);
        });
    }
}

fn respond(metrics: &Metrics, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let answer = |status, kind, body| {
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    };
    let plain = "text/plain; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, plain, "this takes GET\n".into());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => match metrics.get() {
            empty if empty.is_empty() => {
                answer(StatusCode::SERVICE_UNAVAILABLE, plain, "no look was taken yet\n".into())
            }
            text => answer(StatusCode::OK, FORMAT, text),
        },
        "/health" => answer(StatusCode::OK, plain, "ok\n".into()),
        _ => answer(StatusCode::NOT_FOUND, plain, "there are /metrics and /health here\n".into()),
    }
}
