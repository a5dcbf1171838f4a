//! [`axum`](https://docs.rs/axum), with [`tower`](https://docs.rs/tower) at its clients: shops that have orders paid by a bank over HTTP.
//!
//! The bank is a router under `axum::serve`, whose listener is Squall's ([`Listener`]). A shop's client is hyper's under tower's timeout and retry: what isn't answered
//! in time is sent again. A payment may be made though its answer is lost, so a retry pays twice, unless each order's attempts have one key (`Idempotency-Key`)
//! that the bank keeps beside the payment. Without (`idempotency_key = false`) the scenario has a planted fault.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::axum::Json;
use ::axum::extract::{ConnectInfo, State};
use ::axum::http::HeaderMap;
use ::axum::routing::{get, post};
use ::axum::serve::ListenerExt;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioExecutor;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use squall::net::TcpListener;
use squall::prelude::*;
use squall::scenario::Program;
use tokio::sync::Mutex;
use tower::retry::Policy;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use crate::adapters::{Listener, connect};
use crate::disk;

/// How many shops there are, if a scenario file doesn't say.
const SHOPS: u32 = 2;

/// The longest that a shop rests between two orders.
const REST_MS_MAX: u64 = 1_000;

/// How long a shop waits for an answer before it sends its request again.
const TIMEOUT: Duration = Duration::from_millis(200);

/// How long it waits before that.
const BACKOFF: Duration = Duration::from_millis(50);

/// How often it sends a request before it gives up: for longer than any storm lasts.
const ATTEMPTS_MAX: u32 = 60;

/// What the scenario file says in `[args]`.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
struct Args {
    /// How many orders each shop has.
    orders: u32,
    /// Whether attempts to pay an order have a key by which the bank knows one that it has seen. Not to have it is a planted fault.
    idempotency_key: bool,
    /// Whether a payment is in memory only after it is on the disk. Otherwise a handler that axum drops in between, as its caller is gone, leaves one there that
    /// a crash takes away, though it was answered when it came again. Not to do so is a planted fault.
    is_cancel_safe: bool,
    /// What the bank's handler does instead of paying a shop's first order.
    instead: Instead,
}

impl Default for Args {
    fn default() -> Args {
        Args { orders: 5, idempotency_key: true, is_cancel_safe: true, instead: Instead::Nothing }
    }
}

/// What a handler does that doesn't do what it is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Instead {
    /// It does.
    Nothing,
    Panic,
    /// Never to answer.
    Wait,
    Abort,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Payment {
    shop: String,
    order: u32,
    cents: u64,
}

/// What the bank keeps.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Ledger {
    payments: Vec<Payment>,
    /// The keys that were seen, and the number of the payment of each.
    keys: BTreeMap<String, usize>,
}

impl Ledger {
    /// Enters a payment, and gives its number.
    fn enter(&mut self, payment: &Payment, key: Option<&str>) -> usize {
        let number = self.payments.len();
        self.payments.push(payment.clone());
        self.keys.extend(key.map(|key| (key.to_string(), number)));
        number
    }
}

/// A payment that was made, and from where it was asked for.
#[derive(Serialize, Deserialize)]
struct Paid {
    payment: Payment,
    from: String,
    shops_address: String,
}

/// The program, as scenario files name it.
#[must_use]
pub fn program() -> Program {
    Program::new("axum", "axum and tower: shops pay orders at a bank, and try again when nothing is answered", world)
        .in_module(module_path!())
}

fn world(world: &mut World, args: &Args) {
    let args = *args;
    world.node("bank", move || bank(args)).tokio();
    world.clients("shop", SHOPS, move |_| shop(args)).tokio();
    let times = BTreeMap::<(String, u32), u32>::new();
    world.check(always("paid-once", times).on("paid", |times, Paid { payment, .. }: Paid| {
        let Payment { shop, order, .. } = payment;
        let times = times.entry((shop.clone(), order)).or_default();
        *times += 1;
        ensure!(*times == 1, "order {order} of {shop} was paid {times} times");
        Ok(())
    }));
    world.check(always("address", ()).on("paid", |(), paid: Paid| {
        let Paid { payment, from, shops_address } = paid;
        ensure!(from == shops_address, "{} is at {shops_address}, and its request came from {from}", payment.shop);
        Ok(())
    }));
    world.check(always("answered-is-kept", ()).on("statement", move |(), (shop, orders): (String, Vec<u32>)| {
        for order in 0..args.orders {
            ensure!(orders.contains(&order), "order {order} of {shop} was paid, and the bank knows nothing of it");
        }
        Ok(())
    }));
}

struct Bank {
    args: Args,
    ledger: Mutex<Ledger>,
}

async fn bank(args: Args) -> io::Result<()> {
    let ledger = Mutex::new(disk::load().await?.unwrap_or_default());
    let router = ::axum::Router::new()
        .route("/payments", post(pay))
        .route("/payments/{shop}", get(statement))
        .with_state(Arc::new(Bank { args, ledger }));
    let listener = Listener(TcpListener::bind("0.0.0.0:80").await?);
    // So that handlers can ask for `ConnectInfo<SocketAddr>`.
    let listener = listener.tap_io(|_| {});
    ::axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await
}

async fn pay(
    State(bank): State<Arc<Bank>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json(payment): Json<Payment>,
) -> Result<Json<usize>, StatusCode> {
    if payment.order == 0 {
        match bank.args.instead {
            Instead::Nothing => {}
            Instead::Panic => panic!("a handler that panics"),
            Instead::Wait => std::future::pending().await,
            Instead::Abort => std::process::abort(),
        }
    }
    let mut ledger = bank.ledger.lock().await;
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    if let Some(number) = key.and_then(|key| ledger.keys.get(key)) {
        squall::reachable!("the bank is asked again for what it has paid");
        return Ok(Json(*number));
    }
    let failed = |_: io::Error| StatusCode::INTERNAL_SERVER_ERROR;
    let number = if bank.args.is_cancel_safe {
        // When the connection breaks, axum drops this future wherever it is.
        let mut next = ledger.clone();
        let number = next.enter(&payment, key);
        disk::save(&next, true).await.map_err(failed)?;
        *ledger = next;
        number
    } else {
        let number = ledger.enter(&payment, key);
        disk::save(&*ledger, true).await.map_err(failed)?;
        number
    };
    let addresses = squall::net::lookup_host((&*payment.shop, 0)).await;
    let shops_address = addresses.ok().and_then(|mut addresses| addresses.next()).ok_or(StatusCode::FORBIDDEN)?;
    let (from, shops_address) = (from.ip().to_string(), shops_address.ip().to_string());
    squall::publish("paid", Paid { payment, from, shops_address });
    Ok(Json(number))
}

/// The orders of a shop that were paid.
async fn statement(
    State(bank): State<Arc<Bank>>,
    ::axum::extract::Path(shop): ::axum::extract::Path<String>,
) -> Json<Vec<u32>> {
    let ledger = bank.ledger.lock().await;
    Json(ledger.payments.iter().filter(|payment| payment.shop == shop).map(|payment| payment.order).collect())
}

/// An HTTP client that makes a connection for each request.
#[derive(Clone, Copy)]
struct Http;

impl Service<Request<Full<Bytes>>> for Http {
    type Response = Response<Bytes>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Self::Future {
        Box::pin(async move {
            let (mut sender, connection) =
                ::hyper::client::conn::http1::handshake(connect(request.uri().clone()).await?).await?;
            // It ends with the sender, when nothing more can be answered.
            ::hyper::rt::Executor::execute(&TokioExecutor::new(), async { drop(connection.await) });
            request.headers_mut().insert("host", http::HeaderValue::from_static("bank"));
            *request.uri_mut() = request.uri().path().parse()?;
            let (head, body) = sender.send_request(request).await?.into_parts();
            if !head.status.is_success() {
                return Err(format!("the bank answers {}", head.status).into());
            }
            Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
        })
    }
}

/// tower's retry: whatever has failed is sent again.
#[derive(Clone, Copy)]
struct Retries {
    left: u32,
}

impl Policy<Request<Full<Bytes>>, Response<Bytes>, BoxError> for Retries {
    type Future = tokio::time::Sleep;

    fn retry(
        &mut self,
        _: &mut Request<Full<Bytes>>,
        result: &mut Result<Response<Bytes>, BoxError>,
    ) -> Option<tokio::time::Sleep> {
        let error = result.as_ref().err()?;
        match error.is::<tower::timeout::error::Elapsed>() {
            true => squall::reachable!("tower's timeout ends a request"),
            false => squall::reachable!("a request fails before its timeout"),
        }
        self.left = self.left.checked_sub(1)?;
        Some(tokio::time::sleep(BACKOFF))
    }

    fn clone_request(&mut self, request: &Request<Full<Bytes>>) -> Option<Request<Full<Bytes>>> {
        Some(request.clone())
    }
}

async fn shop(args: Args) -> io::Result<()> {
    let name = squall::node_name();
    let client = ServiceBuilder::new().retry(Retries { left: ATTEMPTS_MAX }).timeout(TIMEOUT).service(Http);
    for order in 0..args.orders {
        let rest_ms = squall::rand::rng().random_range(0..=REST_MS_MAX);
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
        let payment = Payment { shop: name.clone(), order, cents: 100 * u64::from(order + 1) };
        let mut request = Request::post("http://bank/payments").header("content-type", "application/json");
        if args.idempotency_key {
            request = request.header("idempotency-key", format!("{name}.{order}"));
        }
        let request = request.body(Full::from(serde_json::to_vec(&payment)?)).map_err(io::Error::other)?;
        client.clone().oneshot(request).await.map_err(io::Error::other)?;
    }
    let request =
        Request::get(format!("http://bank/payments/{name}")).body(Full::default()).map_err(io::Error::other)?;
    let statement = client.oneshot(request).await.map_err(io::Error::other)?;
    let orders: Vec<u32> = serde_json::from_slice(statement.body())?;
    squall::publish("statement", (name, orders));
    Ok(())
}
