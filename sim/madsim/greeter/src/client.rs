//! Clients of the greeter: each calls in its own way, gives up a call that takes too long, and begins again with a new connection.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::greeter::greeter_client::GreeterClient;
use crate::messages::{Greeting, Name};

/// How long a call may take.
const CALL_MAX: Duration = Duration::from_secs(1);

/// How long it waits before it calls again.
const PAUSE: Duration = Duration::from_millis(300);

/// How a client calls.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One name, one greeting.
    Unary,
    /// One name, many greetings.
    Often,
    /// Many names, and their count.
    All,
    /// A greeting for each name, as they come.
    Chat,
}

impl Kind {
    /// All kinds, so that some number of clients has them in turn.
    pub const ALL: [Kind; 4] = [Kind::Unary, Kind::Often, Kind::All, Kind::Chat];
}

/// Makes so many calls that succeed, and tells each greeting that comes.
pub async fn call(server: String, name: String, kind: Kind, calls: u32, mut tell: impl FnMut(Greeting)) {
    let mut client = None;
    let mut left = calls;
    while left > 0 {
        let called = tokio::time::timeout(CALL_MAX, attempt(&mut client, &server, &name, kind, &mut tell)).await;
        match called {
            Ok(Ok(())) => left -= 1,
            Ok(Err(status)) => {
                tracing::debug!(%status, "a call failed");
                client = None;
            }
            Err(_) => {
                tracing::debug!("a call took too long");
                client = None;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn attempt(
    client: &mut Option<GreeterClient<Channel>>,
    server: &str,
    name: &str,
    kind: Kind,
    tell: &mut impl FnMut(Greeting),
) -> Result<(), Status> {
    let client = match client {
        Some(client) => client,
        None => {
            let connected = GreeterClient::connect(server.to_string()).await;
            client.insert(connected.map_err(|error| Status::unavailable(error.to_string()))?)
        }
    };
    let name = Name { name: name.to_string() };
    let names = stream::iter(vec![name.clone(); 3]);
    let mut greetings = match kind {
        Kind::Unary => {
            tell(client.greet(name).await?.into_inner());
            return Ok(());
        }
        Kind::All => {
            let count = client.greet_all(names).await.map(Response::into_inner)?;
            return if count.greeted == 3 { Ok(()) } else { Err(Status::data_loss("not all were greeted")) };
        }
        Kind::Often => client.greet_often(name).await?.into_inner(),
        Kind::Chat => client.chat(names).await?.into_inner(),
    };
    while let Some(greeting) = greetings.next().await {
        tell(greeting?);
    }
    Ok(())
}
