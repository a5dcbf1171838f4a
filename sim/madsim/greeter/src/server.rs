//! The greeter's server: each greeting has the next number. `Durable` servers keep the number in a file, and so never give one twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use madsim::fs::File;
use tokio::sync::Mutex;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::greeter::greeter_server::{Greeter, GreeterServer};
use crate::messages::{Count, Greeting, Name};

/// Where it listens.
pub const PORT: u16 = 50_051;

/// Where the last number is kept.
const FILE: &str = "/greetings";

/// How many greetings who asks for many gets.
const OFTEN: usize = 3;

/// Numbers its greetings.
struct Greetings {
    /// The last number.
    last: Mutex<u64>,
    is_durable: bool,
}

impl Greetings {
    /// Goes on behind the last number, if that was kept.
    async fn open(is_durable: bool) -> std::io::Result<Greetings> {
        let last = match (is_durable, File::open(FILE).await) {
            (true, Ok(file)) => {
                let mut bytes = [0; 8];
                let read = file.read_at(&mut bytes, 0).await?;
                if read == bytes.len() { u64::from_le_bytes(bytes) } else { 0 }
            }
            _ => 0,
        };
        Ok(Greetings { last: Mutex::new(last), is_durable })
    }

    async fn greet(&self, name: &Name) -> Result<Greeting, Status> {
        let mut last = self.last.lock().await;
        let number = *last + 1;
        if self.is_durable {
            // Before anybody hears of it.
            let file = File::create(FILE).await?;
            file.write_all_at(&number.to_le_bytes(), 0).await?;
            file.sync_all().await?;
        }
        *last = number;
        Ok(Greeting { number, text: format!("hello, {}", name.name) })
    }
}

/// The service: calls of all four kinds.
struct Service(Arc<Greetings>);

/// Answers that come one after the other.
type Greets = BoxStream<'static, Result<Greeting, Status>>;

#[tonic::async_trait]
impl Greeter for Service {
    type GreetOftenStream = Greets;
    type ChatStream = Greets;

    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        let greeting = self.0.greet(request.get_ref()).await?;
        tracing::info!(number = greeting.number, name = %request.get_ref().name, "greeted");
        Ok(Response::new(greeting))
    }

    async fn greet_often(&self, request: Request<Name>) -> Result<Response<Greets>, Status> {
        let (greetings, name) = (Arc::clone(&self.0), request.into_inner());
        let stream = async_stream::try_stream! {
            for _ in 0..OFTEN {
                yield greetings.greet(&name).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        Ok(Response::new(stream.boxed()))
    }

    async fn greet_all(&self, request: Request<Streaming<Name>>) -> Result<Response<Count>, Status> {
        let mut names = request.into_inner();
        let mut greeted = 0;
        while let Some(name) = names.next().await {
            self.0.greet(&name?).await?;
            greeted += 1;
        }
        Ok(Response::new(Count { greeted }))
    }

    async fn chat(&self, request: Request<Streaming<Name>>) -> Result<Response<Greets>, Status> {
        let (greetings, mut names) = (Arc::clone(&self.0), request.into_inner());
        let stream = async_stream::try_stream! {
            while let Some(name) = names.next().await {
                yield greetings.greet(&name?).await?;
            }
        };
        Ok(Response::new(stream.boxed()))
    }
}

/// Serves until it is stopped.
pub async fn serve(is_durable: bool) -> Result<(), Box<dyn std::error::Error>> {
    let service = Service(Arc::new(Greetings::open(is_durable).await?));
    let address = SocketAddr::from(([0, 0, 0, 0], PORT));
    Server::builder().add_service(GreeterServer::new(service)).serve(address).await?;
    Ok(())
}
