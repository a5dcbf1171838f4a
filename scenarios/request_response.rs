//! The simplest case there is: a client sends a request and waits, a server works for a while and answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::World;
use squall::net::Endpoint;
use squall::rpc::Request;
use squall::scenario::Program;
use squall::time::{Instant, sleep};

/// A question, and how it is answered: with its length, after some thought.
#[derive(Serialize, Deserialize)]
struct Ask {
    question: String,
}

impl Request for Ask {
    type Response = usize;
    const NAME: &'static str = "Ask";
}

/// What the scenario file says in `[args]`.
#[derive(Serialize, Deserialize)]
struct Args {
    /// How many questions each client asks.
    questions: u32,
    /// How long the server works on each.
    #[serde(with = "squall::scenario::duration")]
    work: Duration,
}

impl Default for Args {
    fn default() -> Args {
        Args { questions: 2, work: Duration::from_millis(20) }
    }
}

/// The program, as scenario files name it.
#[must_use]
pub fn program() -> Program {
    Program::new("request_response", "A client asks, a server works for a while and answers", world)
}

fn world(world: &mut World, args: &Args) {
    let &Args { questions, work } = args;
    world.node("server", move || server(work));
    world.clients("client", 1, move |_| client(questions));
}

async fn server(work: Duration) -> std::io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:80").await?;
    endpoint.add_rpc_handler(move |Ask { question }| async move {
        tracing::info!("received {question:?}, working");
        sleep(work).await;
        tracing::info!("answering {question:?}");
        question.len()
    });
    std::future::pending().await
}

async fn client(questions: u32) -> std::io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:0").await?;
    for number in 1..=questions {
        let question = format!("question {number}");
        tracing::info!("asking {question:?}");
        let asked = Instant::now();
        let length = endpoint.call("server:80", Ask { question }).await?;
        tracing::info!("answered with {length} after {:?}", asked.elapsed());
    }
    Ok(())
}
