//! A client that asks again when it hears nothing, and marks where that is seen.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::net::Endpoint;
use squall::scenario::{NoArgs, Program};
use squall::{Request, World};

pub fn program() -> Program {
    Program::new("asking", "A client asks again when it hears nothing", world).in_module(module_path!())
}

#[derive(Clone, Serialize, Deserialize, Request)]
#[rtype(())]
struct Ask {
    question: u64,
}

fn world(world: &mut World, _: &NoArgs) {
    world.node("server", serve);
    world.client("client", ask);
}

async fn ask() -> io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:0").await?;
    for question in 0..3 {
        while endpoint.call_timeout("server:80", Ask { question }, Duration::from_millis(50)).await.is_err() {
            squall::reachable!("a question is repeated");
        }
    }
    Ok(())
}

async fn serve() -> io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:80").await?;
    let known = Rc::new(RefCell::new(BTreeSet::new()));
    endpoint.add_rpc_handler(move |ask: Ask| {
        let known = Rc::clone(&known);
        async move {
            let is_new = known.borrow_mut().insert(ask.question);
            squall::sometimes!(!is_new, "a question is known");
        }
    });
    std::future::pending().await
}
