//! The `tonic` workload of `squall-bench -- apps`, on tonic itself: `tonic NODES RPCS_PER_CLIENT`, one JSON line on standard output.
//!
//! Each client has a channel of its own, and begins the next call when it has the answer; every client checks that the answer is its own request's.

use std::error::Error;
use std::io;

use squall::net::TcpListener;
use squall::{TokioNode, World};
use squall_apps::adapters::{Listener, connect};
use squall_apps::tonic::bank::bank_client::BankClient;
use squall_apps::tonic::bank::bank_server::{Bank, BankServer};
use squall_apps::tonic::{Booking, From, Payment, Receipt};
use squall_bench::measurement::{Cell, Engine, Measurement, Workload};
use squall_bench::squall_engine;
use tokio_stream::Pending;
use tonic::transport::{Endpoint, Server, Uri};
use tonic::{Request, Response, Status};

/// Answers with both numbers in one, so that nobody's answer is another's.
struct Answers;

#[tonic::async_trait]
impl Bank for Answers {
    async fn pay(&self, request: Request<Payment>) -> Result<Response<Receipt>, Status> {
        let Payment { payment, cents, .. } = request.into_inner();
        Ok(Response::new(Receipt { number: number(cents, payment) }))
    }

    type WatchStream = Pending<Result<Booking, Status>>;

    async fn watch(&self, _request: Request<From>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("nobody watches here"))
    }
}

fn number(client: u64, rpc: u32) -> u64 {
    client << 32 | u64::from(rpc)
}

fn world(world: &mut World, nodes: u32, rpcs_per_client: u32) {
    let serve = || async {
        let listener = Listener(TcpListener::bind("0.0.0.0:50051").await?);
        let server = Server::builder().serve_with_incoming(BankServer::new(Answers), listener);
        server.await.map_err(io::Error::other)
    };
    world.node("server", serve).tokio();
    for client in 0..nodes {
        let call = move || async move {
            let endpoint = Endpoint::from_static("http://server:50051");
            let channel = endpoint.connect_with_connector_lazy(tower::service_fn(|uri: Uri| connect(uri)));
            let mut server = BankClient::new(channel);
            for payment in 0..rpcs_per_client {
                let cents = u64::from(client);
                let called = server.pay(Payment { payer: String::new(), payment, cents }).await;
                let answer = called.map_err(io::Error::other)?.into_inner();
                assert_eq!(answer.number, number(cents, payment));
            }
            squall::publish("finished", client);
            io::Result::Ok(())
        };
        world.client(format!("client-{client}"), call).tokio();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [workload, nodes, rpcs_per_client] = arguments.as_slice() else {
        return Err("usage: tonic NODES RPCS_PER_CLIENT".into());
    };
    if workload != "tonic" {
        return Err(format!("{workload} isn't run here: use squall-bench").into());
    }
    let (nodes, rpcs_per_client): (u32, u32) = (nodes.parse()?, rpcs_per_client.parse()?);
    let simulation = squall_engine::simulation_of(nodes, move |w| world(w, nodes, rpcs_per_client));
    let elapsed = squall_engine::measure(&simulation)?;
    let cell = Cell { workload: Workload::Tonic, nodes, engine: Engine::Squall };
    println!("{}", Measurement::new(cell, u64::from(nodes) * u64::from(rpcs_per_client), elapsed).to_json_line());
    Ok(())
}
