//! A ledger that adds what it is told, and a client that tells it again when it hears nothing.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Result;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::net::Endpoint;

/// Adds an amount.
#[derive(Clone, Debug, Serialize, Deserialize, squall::Request)]
#[rtype(u64)]
pub struct Add {
    /// The same for each repetition.
    pub id: u64,
    /// How much.
    pub amount: u64,
}

/// The server. One that remembers knows a repetition when it sees one.
pub async fn serve(remembers: bool) -> Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:80").await?;
    let seen = Rc::new(RefCell::new(BTreeSet::new()));
    let total = Rc::new(RefCell::new(0));
    endpoint.add_rpc_handler(move |add: Add| {
        let (seen, total) = (Rc::clone(&seen), Rc::clone(&total));
        async move {
            let is_new = seen.borrow_mut().insert(add.id);
            squall::sometimes!(!is_new, "an addition comes twice");
            if is_new || !remembers {
                *total.borrow_mut() += add.amount;
                squall::publish("added", add);
            }
            *total.borrow()
        }
    });
    std::future::pending().await
}

/// The client.
pub async fn add(amounts: Vec<u64>) -> Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:0").await?;
    for (id, amount) in amounts.into_iter().enumerate() {
        let add = Add { id: id as u64, amount };
        while endpoint.call_timeout("ledger:80", add.clone(), Duration::from_millis(50)).await.is_err() {}
    }
    squall::publish("done", ());
    Ok(())
}
