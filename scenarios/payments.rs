//! A client that pays, and a bank that a lost answer makes pay twice.
//!
//! Alice doesn't hear from the bank in time, so she asks again; nobody can tell a lost request from a lost answer. A bank
//! that isn't idempotent debits her a second time. With an idempotency key it knows the payment again.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::World;
use squall::net::Endpoint;
use squall::rpc::Request;
use squall::scenario::Program;
use squall::time::sleep;
use squall::trace::verdict::Judgement;
use squall::trace::{Ending, Event, EventKind, EventMask, Property};

/// "Pay that much." The key stays the same when a payment is asked for again.
#[derive(Clone, Serialize, Deserialize)]
struct Pay {
    key: u64,
    cents: u64,
}

/// The bank's answer: what is left on the account.
#[derive(Clone, Serialize, Deserialize)]
struct Receipt {
    balance_cents: i64,
}

impl Request for Pay {
    type Response = Receipt;
    const NAME: &'static str = "Pay";
}

/// What the scenario file says in `[args]`.
#[derive(Clone, Serialize, Deserialize)]
struct Args {
    /// Whether the bank knows a payment again by its key.
    idempotent: bool,
    /// How many payments Alice makes.
    payments: u64,
    /// How long she waits for an answer before she asks again.
    #[serde(with = "squall::scenario::duration")]
    timeout: Duration,
}

impl Default for Args {
    fn default() -> Args {
        Args { idempotent: false, payments: 3, timeout: Duration::from_millis(100) }
    }
}

/// The program, as scenario files name it.
#[must_use]
pub fn program() -> Program {
    Program::new(
        "payments",
        "A client pays and asks again when it hears nothing; a lost answer must not cost twice",
        world,
    )
    .in_module(module_path!())
}

fn world(world: &mut World, args: &Args) {
    let Args { idempotent, payments, timeout } = *args;
    world.node("bank", move || bank(idempotent));
    world.client("alice", move || alice(payments, timeout));
    world.check(PaidOnce::default());
}

async fn alice(payments: u64, timeout: Duration) -> io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:0").await?;
    for key in 1..=payments {
        let pay = Pay { key, cents: 100 * key };
        let receipt = loop {
            match endpoint.call_timeout("bank:80", pay.clone(), timeout).await {
                Ok(receipt) => break receipt,
                Err(error) => {
                    squall::reachable!("a payment is asked for again");
                    tracing::warn!("payment {key}: {error}, asking again");
                }
            }
        };
        tracing::info!("payment {key} is confirmed, {} cents are left", receipt.balance_cents);
        squall::publish("confirmed", key);
    }
    Ok(())
}

struct Account {
    balance_cents: i64,
    receipts: BTreeMap<u64, Receipt>,
}

async fn bank(idempotent: bool) -> io::Result<()> {
    let account = Rc::new(RefCell::new(Account { balance_cents: 100_000, receipts: BTreeMap::new() }));
    let endpoint = Endpoint::bind("0.0.0.0:80").await?;
    endpoint.add_rpc_handler(move |pay: Pay| {
        let account = Rc::clone(&account);
        async move {
            // The ledger takes a moment.
            sleep(Duration::from_millis(5)).await;
            let mut account = account.borrow_mut();
            if idempotent && let Some(receipt) = account.receipts.get(&pay.key) {
                squall::reachable!("a payment is known already");
                tracing::info!("payment {} is known already", pay.key);
                return receipt.clone();
            }
            account.balance_cents -= pay.cents as i64;
            let receipt = Receipt { balance_cents: account.balance_cents };
            account.receipts.insert(pay.key, receipt.clone());
            tracing::info!("payment {}: {} cents debited", pay.key, pay.cents);
            squall::publish("debited", pay.key);
            receipt
        }
    });
    std::future::pending().await
}

/// Each payment is debited once at most, and once at least if it was confirmed.
#[derive(Default)]
struct PaidOnce {
    debited: BTreeSet<u64>,
}

impl Property for PaidOnce {
    fn name(&self) -> &str {
        "paid-once"
    }

    fn interest(&self) -> EventMask {
        EventMask::PUBLISH
    }

    fn on_event(&mut self, event: &Event<'_>) -> Result<(), String> {
        let EventKind::Publish { topic, value } = &event.kind else { return Ok(()) };
        let key: u64 = serde_json::from_str(value).map_err(|error| format!("{topic} {value}: {error}"))?;
        match topic.as_ref() {
            "debited" if !self.debited.insert(key) => Err(format!("payment {key} was debited twice")),
            "confirmed" if !self.debited.contains(&key) => {
                Err(format!("payment {key} was confirmed, but never debited"))
            }
            _ => Ok(()),
        }
    }

    fn on_end(&mut self, _ending: &Ending) -> Judgement {
        if self.debited.is_empty() {
            return Judgement::Open("no payment was debited, so nothing was checked".to_string());
        }
        Judgement::Held
    }
}
