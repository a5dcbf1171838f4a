//! [`tonic`](https://docs.rs/tonic) 0.14, its own server and client: payers have payments booked by a bank, and an auditor watches all of them in a stream.
//!
//! The server takes connections from Squall's listener by `serve_with_incoming` ([`Listener`]), and an interceptor lets in only who has an address, by tonic's own
//! `TcpConnectInfo`. Channels connect by [`connect`], and again by themselves. The bank keeps its bookings on its disk before it says that it has them. A call that fails is made
//! again, with the same number, by which the bank knows it; a stream that breaks is asked for again from where it was.
//!
//! [`bank`] is what tonic-build generates: no protoc is needed.

pub mod bank;

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::tonic::service::interceptor::InterceptedService;
use ::tonic::transport::{Channel, Endpoint, Server, Uri};
use ::tonic::{Code, Request, Response, Status};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use squall::net::TcpListener;
use squall::prelude::*;
use squall::scenario::Program;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;

use crate::adapters::{Listener, connect};
use crate::disk;

/// How many payers there are, if a scenario file doesn't say.
const PAYERS: u32 = 2;

/// The longest that a payer rests between two payments.
const REST_MS_MAX: u64 = 1_000;

/// How long a caller waits for an answer.
const TIMEOUT: Duration = Duration::from_millis(500);

/// How long it waits before it tries again.
const BACKOFF: Duration = Duration::from_millis(50);

/// How long a connection may say nothing before it is asked whether anybody is there, and for an answer to that.
const KEEP_ALIVE: Duration = Duration::from_millis(1_000);

/// What the scenario file says in `[args]`.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
struct Args {
    /// How many payments each payer makes.
    payments: u32,
    /// Whether the bank syncs what it books before it says so. Not to do so is a planted fault.
    syncs: bool,
}

impl Default for Args {
    fn default() -> Args {
        Args { payments: 5, syncs: true }
    }
}

/// A payment: of whom, which of theirs, and how much.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct Payment {
    /// The payer's name.
    #[prost(string, tag = "1")]
    pub payer: String,
    /// Which of theirs.
    #[prost(uint32, tag = "2")]
    pub payment: u32,
    /// How much.
    #[prost(uint64, tag = "3")]
    pub cents: u64,
}

/// Where a payment was booked.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct Receipt {
    /// Its place among all bookings.
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

/// "Tell me of all bookings from here on."
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct From {
    /// The first that is wanted.
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

/// A payment that was booked.
#[derive(Clone, PartialEq, Eq, ::prost::Message, Serialize, Deserialize)]
pub struct Booking {
    /// Its place among all bookings.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// The payer's name.
    #[prost(string, tag = "2")]
    pub payer: String,
    /// Which of theirs.
    #[prost(uint32, tag = "3")]
    pub payment: u32,
}

/// The program, as scenario files name it.
#[must_use]
pub fn program() -> Program {
    Program::new("tonic", "tonic: a bank books payments, and an auditor watches them in a stream", world)
        .in_module(module_path!())
}

fn world(world: &mut World, args: &Args) {
    let args = *args;
    let payers = world.count("payer", PAYERS);
    world.node("bank", move || serve(args)).tokio();
    world.clients("payer", payers, move |_| payer(args)).tokio();
    world.client("auditor", move || auditor(u64::from(payers * args.payments))).tokio();

    let bookings = BTreeMap::<u64, Booking>::new();
    world.check(always("one-ledger", bookings).on("told", |bookings, told: Booking| {
        let first = bookings.entry(told.number).or_insert_with(|| told.clone());
        ensure!(*first == told, "{first:?} was told, and so is {told:?}");
        let twice = bookings
            .values()
            .find(|other| other.number != told.number && (&other.payer, other.payment) == (&told.payer, told.payment));
        ensure!(twice.is_none(), "{told:?} was booked before, as {twice:?}");
        Ok(())
    }));
    world.check(always("in-order", 0).on("told", |next, told: Booking| {
        ensure!(told.number == *next, "the auditor has seen all bookings before {next}, and is told of {told:?}");
        *next += 1;
        Ok(())
    }));
    world.check(always("address", ()).on("from", |(), (payer, at, from): (String, String, String)| {
        ensure!(at == from, "{payer} is at {at}, and the interceptor saw its call come from {from}");
        Ok(())
    }));
}

/// The bank's bookings, and who waits for more.
struct Book {
    bookings: Mutex<Vec<Booking>>,
    more: Notify,
    syncs: bool,
}

/// The address that the interceptor saw.
#[derive(Clone)]
struct Caller(String);

/// Lets in who has an address.
fn intercept(mut request: Request<()>) -> Result<Request<()>, Status> {
    let address = request.remote_addr().ok_or_else(|| Status::unauthenticated("nobody knows who calls"))?;
    request.extensions_mut().insert(Caller(address.ip().to_string()));
    Ok(request)
}

#[derive(Clone)]
struct Bank(Arc<Book>);

#[::tonic::async_trait]
impl bank::bank_server::Bank for Bank {
    async fn pay(&self, request: Request<Payment>) -> Result<Response<Receipt>, Status> {
        let Caller(from) = request.extensions().get().cloned().ok_or_else(|| Status::internal("no interceptor"))?;
        let Payment { payer, payment, .. } = request.into_inner();
        let at = squall::net::lookup_host((&*payer, 0)).await.ok().and_then(|mut addresses| addresses.next());
        let at = at.ok_or_else(|| Status::permission_denied("a payer who isn't there"))?;
        squall::publish("from", (payer.clone(), at.ip().to_string(), from));
        let mut bookings = self.0.bookings.lock().await;
        let known = bookings.iter().find(|booking| (&booking.payer, booking.payment) == (&payer, payment));
        let number = match known {
            Some(booking) => {
                squall::reachable!("a payment comes again");
                booking.number
            }
            None => {
                let number = bookings.len() as u64;
                // When its caller has gone or waits no longer, tonic drops this future wherever it is: so nobody may see what isn't saved yet.
                let mut next = bookings.clone();
                next.push(Booking { number, payer, payment });
                disk::save(&next, self.0.syncs).await?;
                *bookings = next;
                self.0.more.notify_waiters();
                number
            }
        };
        Ok(Response::new(Receipt { number }))
    }

    type WatchStream = ReceiverStream<Result<Booking, Status>>;

    async fn watch(&self, request: Request<From>) -> Result<Response<Self::WatchStream>, Status> {
        let mut next = request.into_inner().number as usize;
        let (sender, receiver) = mpsc::channel(4);
        let book = Arc::clone(&self.0);
        tokio::spawn(async move {
            loop {
                let more = book.more.notified();
                let mut more = Pin::from(Box::new(more));
                // From here on it is told, so nothing is missed in between.
                more.as_mut().enable();
                let new = book.bookings.lock().await.get(next..).unwrap_or_default().to_vec();
                next += new.len();
                for booking in new {
                    if sender.send(Ok(booking)).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    biased;
                    () = sender.closed() => return,
                    () = more => {}
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

async fn serve(args: Args) -> io::Result<()> {
    let bookings = Mutex::new(disk::load().await?.unwrap_or_default());
    let bank = Bank(Arc::new(Book { bookings, more: Notify::new(), syncs: args.syncs }));
    let service = InterceptedService::new(bank::bank_server::BankServer::new(bank), intercept);
    let listener = Listener(TcpListener::bind("0.0.0.0:50051").await?);
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .serve_with_incoming(service, listener)
        .await
        .map_err(io::Error::other)
}

/// A channel to the bank, which connects when it is used, and again when its connection has broken.
fn channel() -> Channel {
    Endpoint::from_static("http://bank:50051")
        .timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(tower::service_fn(|uri: Uri| connect(uri)))
}

async fn payer(args: Args) -> io::Result<()> {
    let payer = squall::node_name();
    let mut bank = bank::bank_client::BankClient::new(channel());
    for payment in 0..args.payments {
        let rest_ms = squall::rand::rng().random_range(0..=REST_MS_MAX);
        sleep(Duration::from_millis(rest_ms)).await;
        let cents = 100 * u64::from(payment + 1);
        loop {
            match bank.pay(Payment { payer: payer.clone(), payment, cents }).await {
                Ok(_) => break,
                Err(status) if status.code() == Code::Cancelled => squall::reachable!("tonic's timeout ends a call"),
                Err(_) => squall::reachable!("a call ends with a status that is an error"),
            }
            sleep(BACKOFF).await;
        }
    }
    Ok(())
}

async fn auditor(bookings: u64) -> io::Result<()> {
    let mut bank = bank::bank_client::BankClient::new(channel());
    let mut next = 0;
    while next < bookings {
        if let Ok(stream) = bank.watch(From { number: next }).await {
            let mut stream = stream.into_inner();
            while next < bookings {
                match stream.message().await {
                    Ok(Some(booking)) => {
                        next += 1;
                        squall::publish("told", booking);
                    }
                    Ok(None) => break,
                    Err(_) => {
                        squall::reachable!("a stream breaks, and is asked for again");
                        break;
                    }
                }
            }
        }
        sleep(BACKOFF).await;
    }
    Ok(())
}
