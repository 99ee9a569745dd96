//! The witness's HTTP server: `POST /add-checkpoint`, and limits for everything that a stranger can
//! send, keep open or wait for.
//!
//! One thread serves all connections; the answer itself, which waits for the disk, is made on another,
//! one at a time. Left out: TLS and limits per client, which are for the proxy in front.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use carbon_ops::ledger::witness::{ADD_CHECKPOINT, Answer, DirState, MAX_REQUEST_BYTES, Witness};
use carbon_ops_words::said::{Level, Manner, Say as _};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use carbon_ops::env::Env;

/// How many connections are open at a time; others wait to be accepted. Ours: a few hundred logs that
/// ask now and then.
const MAX_CONNECTIONS: usize = 128;
/// How long a client may take for the head of a request, and to send the next one.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The same while half of the places are taken, so that who says nothing keeps nobody waiting for long.
const BUSY_HEAD_TIME: Duration = Duration::from_secs(1);
/// How long a client may take for the body of a request.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a connection lives, so that nobody occupies one for ever.
const CONNECTION_TIME: Duration = Duration::from_secs(120);
/// How long to wait after an accept that failed, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The longest head of a request.
const HEAD_BYTES: usize = 16 << 10;

type Shared = Arc<Mutex<Witness<DirState>>>;

/// Serves until the process ends. Every answer's state is durable before it is sent, so any end is
/// a good one.
pub(super) fn serve(
    listener: TcpListener,
    witness: Witness<DirState>,
    manner: Manner,
) -> Result<()> {
    let cannot = "cannot serve";
    listener.set_nonblocking(true).context(cannot)?;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_io().enable_time().build().context(cannot)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).context(cannot)?;
        accept(listener, Arc::new(Mutex::new(witness)), manner).await;
        Ok(())
    })
}

async fn accept(listener: tokio::net::TcpListener, witness: Shared, manner: Manner) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Never closed, so there is always a place in the end.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let busy = places.available_permits() < MAX_CONNECTIONS / 2;
        let head_time = if busy { BUSY_HEAD_TIME } else { HEAD_TIME };
        let witness = Arc::clone(&witness);
        tokio::spawn(async move {
            let respond = move |request| respond(Arc::clone(&witness), manner, request);
            let service = service_fn(respond);
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(head_time).max_buf_size(HEAD_BYTES);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            // However a connection ends, nobody is left to be told.
            let _ = timeout(CONNECTION_TIME, connection).await;
            drop(place);
        });
    }
}

async fn respond(
    witness: Shared,
    manner: Manner,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path().strip_prefix('/') != Some(ADD_CHECKPOINT) {
        return Ok(text(StatusCode::NOT_FOUND, "there is only /add-checkpoint here\n"));
    }
    if request.method() != Method::POST {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "this takes POST\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Ok(refused);
    }
    let body = Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect();
    let body = match timeout(BODY_TIME, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long\n")),
        Err(_) => return Ok(text(StatusCode::REQUEST_TIMEOUT, "the request took too long\n")),
    };
    let answer = tokio::task::spawn_blocking(move || answer(&witness, manner, &body)).await;
    let failed = || text(StatusCode::INTERNAL_SERVER_ERROR, "the witness failed\n");
    let Ok(Some(answer)) = answer else { return Ok(failed()) };
    let status = StatusCode::from_u16(answer.status()).unwrap_or_default();
    let mut response = text(status, answer.body());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type()));
    Ok(response)
}

/// None when an earlier request panicked in the middle: the state on the disk is whole, that in memory
/// is not trusted.
fn answer(witness: &Shared, manner: Manner, request: &[u8]) -> Option<Answer> {
    let mut witness = witness.lock().ok()?;
    let now = u64::try_from(Env::now().as_second()).unwrap_or_default();
    let answer = witness.add_checkpoint(request, now);
    drop(witness);
    let words = match &answer {
        Answer::Failed(error) => format!("nothing was cosigned: {error}"),
        Answer::Conflict { size, forked: true } => format!(
            "FORK: a log signed two trees of {size} entries; the second was refused, and kept in the directory \
             `evidence`"
        ),
        _ => return Some(answer),
    };
    manner.stderr().say(Level::Error, &words);
    Some(answer)
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
