//! [`hyper`](https://docs.rs/hyper) 1, server and client, HTTP/1 and HTTP/2: a store of texts, which is to be linearizable.
//!
//! hyper brings no runtime. With `runtime = "squall"` it runs on Squall's own tasks and timers, by the traits that it has for that
//! ([`Tasks`]); with `runtime = "tokio"` each node has a real tokio runtime, and hyper has hyper-util's adapters for it. The rest is the same.
//!
//! The server writes all texts to its disk before it answers. A client's two users share a connection of HTTP/2, and have one each of HTTP/1. Who hears nothing, or of an error, drops the
//! connection and makes another one; what became of a write is then open, and it is made again with a new text.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use squall::history::Client;
use squall::net::{TcpListener, TcpStream};
use squall::prelude::*;
use squall::scenario::Program;
use squall::time::{sleep, timeout};
use tokio::sync::Mutex;

use crate::adapters::Tasks;
use crate::disk;

/// How many clients there are, if a scenario file doesn't say.
const CLIENTS: u32 = 2;

/// How many users each client has.
const USERS: u64 = 2;

/// How many texts there are.
const KEYS: u64 = 2;

/// How long a user waits for an answer.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The longest that one rests between two operations.
const REST_MS_MAX: u64 = 800;

/// How long a connection may say nothing before HTTP/2 asks whether the other end is there, and for an answer to that.
const KEEP_ALIVE: Duration = Duration::from_millis(1_500);

/// What the scenario file says in `[args]`.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
struct Args {
    /// Whose tasks and timers hyper runs on.
    runtime: Runtime,
    /// The version of HTTP: 1 or 2.
    version: Version,
    /// How many operations each user makes.
    operations: u64,
    /// Whether the server syncs what it writes before it answers. Not to do so is a planted fault.
    syncs: bool,
}

impl Default for Args {
    fn default() -> Args {
        Args { runtime: Runtime::Squall, version: Version::Http1, operations: 6, syncs: true }
    }
}

/// Whose tasks and timers hyper runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Runtime {
    Squall,
    Tokio,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Version {
    #[serde(rename = "1")]
    Http1,
    #[serde(rename = "2")]
    Http2,
}

impl<F> hyper::rt::Executor<F> for Runtime
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        match self {
            Runtime::Squall => Tasks.execute(future),
            Runtime::Tokio => TokioExecutor::new().execute(future),
        }
    }
}

impl hyper::rt::Timer for Runtime {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        match self {
            Runtime::Squall => Tasks.sleep(duration),
            Runtime::Tokio => TokioTimer::new().sleep(duration),
        }
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        match self {
            Runtime::Squall => Tasks.sleep_until(deadline),
            Runtime::Tokio => TokioTimer::new().sleep_until(deadline),
        }
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match self {
            Runtime::Squall => Tasks.reset(sleep, deadline),
            Runtime::Tokio => TokioTimer::new().reset(sleep, deadline),
        }
    }
}

/// The program, as scenario files name it.
#[must_use]
pub fn program() -> Program {
    Program::new("hyper", "hyper: a store of texts over HTTP/1 or HTTP/2, on Squall's tasks or on tokio's", world)
        .in_module(module_path!())
}

fn world(world: &mut World, args: &Args) {
    let args = *args;
    let mut store = world.node("store", move || serve(args));
    if args.runtime == Runtime::Tokio {
        store.tokio();
    }
    let mut clients = world.clients("client", CLIENTS, move |number| client(number, args));
    if args.runtime == Runtime::Tokio {
        clients.tokio();
    }
}

type Texts = Arc<Mutex<BTreeMap<String, String>>>;

async fn serve(args: Args) -> io::Result<()> {
    let texts: Texts = Arc::new(Mutex::new(disk::load().await?.unwrap_or_default()));
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let texts = Arc::clone(&texts);
        let service = service_fn(move |request| answer(Arc::clone(&texts), request, args.syncs));
        let Args { runtime, version, .. } = args;
        hyper::rt::Executor::execute(&runtime, async move {
            let io = TokioIo::new(stream);
            let ended = match version {
                Version::Http1 => {
                    let mut builder = hyper::server::conn::http1::Builder::new();
                    builder.timer(runtime).header_read_timeout(Duration::from_secs(5));
                    builder.serve_connection(io, service).await
                }
                Version::Http2 => {
                    let mut builder = hyper::server::conn::http2::Builder::new(runtime);
                    builder.timer(runtime).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
                    builder.serve_connection(io, service).await
                }
            };
            if ended.is_err() {
                squall::reachable!("the server sees a connection break");
            }
        });
    }
}

/// Answers one request. What is read has been synced, and so is what is written before it is said that it was.
async fn answer(texts: Texts, request: Request<Incoming>, syncs: bool) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    // A connection that breaks in the midst of a request ends it.
    let Ok(body) = body.collect().await else { return Err(io::ErrorKind::ConnectionAborted.into()) };
    let mut response = Response::new(Full::default());
    let mut texts = texts.lock().await;
    match head.method {
        Method::GET => {
            let text = texts.get(head.uri.path()).cloned().unwrap_or_default();
            *response.body_mut() = Full::from(text);
        }
        Method::PUT => {
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            // When the connection breaks, hyper drops this future wherever it is: so nobody may read what isn't saved yet.
            let mut next = texts.clone();
            next.insert(head.uri.path().to_string(), text);
            disk::save(&next, syncs).await?;
            *texts = next;
        }
        _ => *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED,
    }
    Ok(response)
}

/// What sends requests over a connection.
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A client's connections: one of each user, which of HTTP/2 all use the first of.
struct Connections {
    args: Args,
    shared: RefCell<Option<http2::SendRequest<Full<Bytes>>>>,
}

impl Connections {
    async fn open(&self) -> Result<Sender, hyper::Error> {
        if let Some(shared) = &*self.shared.borrow()
            && !shared.is_closed()
        {
            return Ok(Sender::Http2(shared.clone()));
        }
        let runtime = self.args.runtime;
        let stream = loop {
            match TcpStream::connect("store:80").await {
                Ok(stream) => break stream,
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        };
        let io = TokioIo::new(stream);
        Ok(match self.args.version {
            Version::Http1 => {
                let (sender, connection) = http1::handshake(io).await?;
                hyper::rt::Executor::execute(&runtime, async { drop(connection.await) });
                Sender::Http1(sender)
            }
            Version::Http2 => {
                let mut builder = http2::Builder::new(runtime);
                builder.timer(runtime).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
                let (sender, connection) = builder.handshake(io).await?;
                hyper::rt::Executor::execute(&runtime, async { drop(connection.await) });
                *self.shared.borrow_mut() = Some(sender.clone());
                Sender::Http2(sender)
            }
        })
    }

    /// Nobody uses the shared connection any more.
    fn give_up(&self) {
        *self.shared.borrow_mut() = None;
    }
}

async fn client(number: u32, args: Args) -> io::Result<()> {
    let connections = Connections { args, shared: RefCell::default() };
    let (first, second) = squall::join!(user(number, 0, &connections), user(number, 1, &connections));
    first.and(second)
}

async fn user(client: u32, user: u64, connections: &Connections) -> io::Result<()> {
    let mut history = Client::numbered(u64::from(client) * USERS + user);
    let mut rng = squall::rand::rng();
    let mut sender = None;
    for operation in 0..connections.args.operations {
        sleep(Duration::from_millis(rng.random_range(0..=REST_MS_MAX))).await;
        let key = rng.random_range(0..KEYS);
        let writes = rng.random_bool(0.5);
        for attempt in 0.. {
            let text = format!("{client}.{user}.{operation}.{attempt}");
            let open = match writes {
                true => history.invoke_on("put", key as i64, &*text),
                false => history.invoke_on("get", key as i64, ()),
            };
            let request = Request::builder()
                .method(if writes { Method::PUT } else { Method::GET })
                .uri(match connections.args.version {
                    Version::Http1 => format!("/texts/{key}"),
                    Version::Http2 => format!("http://store/texts/{key}"),
                })
                .header("host", "store")
                .body(Full::from(if writes { text.clone() } else { String::new() }))
                .map_err(io::Error::other)?;
            match timeout(TIMEOUT, exchange(connections, &mut sender, request)).await {
                Ok(Ok(answer)) => {
                    open.ok(if writes { text } else { answer });
                    break;
                }
                failed => {
                    match failed {
                        Ok(_) => squall::reachable!("a connection breaks under a request"),
                        Err(_) => squall::reachable!("nothing is answered in time"),
                    }
                    // A read that wasn't answered changes nothing.
                    if writes {
                        open.info()
                    } else {
                        open.fail()
                    }
                    (sender, _) = (None, connections.give_up());
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    Ok(())
}

/// A request, and the text that is answered.
async fn exchange(
    connections: &Connections,
    sender: &mut Option<Sender>,
    request: Request<Full<Bytes>>,
) -> Result<String, hyper::Error> {
    let open = match sender {
        Some(open) => open,
        None => sender.insert(connections.open().await?),
    };
    let response = match open {
        Sender::Http1(sender) => {
            sender.ready().await?;
            sender.send_request(request).await?
        }
        Sender::Http2(sender) => {
            sender.ready().await?;
            sender.send_request(request).await?
        }
    };
    let body = response.into_body().collect().await?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}
