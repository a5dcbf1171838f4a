//! A program that goes wrong in each way that a run has to survive.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::World;
use squall_madsim::history_client;

/// `[args]` of a scenario.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// What its client does after a second.
    does: Does,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Does {
    /// It returns.
    #[default]
    Nothing,
    /// It panics in a task that it has spawned.
    Panic,
    /// It returns an error.
    Error,
    /// It never yields.
    Hang,
    /// It waits for what never comes.
    Deadlock,
    /// It sleeps for ever, again and again.
    Endless,
    /// It ends the process.
    Abort,
    /// It records an operation whose result isn't what was written.
    Lie,
}

/// A client alone.
pub fn world(world: &mut World, args: &Args) {
    let does = args.does;
    world.client("client", move || async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tracing::info!(?does, "about to");
        let mut client = history_client();
        client.invoke("write", 1).ok(1);
        match does {
            Does::Nothing => {}
            Does::Panic => {
                let task = tokio::spawn(async { panic!("as it was told") });
                let _ = task.await;
            }
            Does::Error => return Err("as it was told".to_string()),
            #[allow(clippy::empty_loop)]
            Does::Hang => loop {
                std::hint::spin_loop();
            },
            Does::Deadlock => std::future::pending().await,
            Does::Endless => loop {
                tokio::time::sleep(Duration::from_secs(60)).await;
            },
            Does::Abort => std::process::abort(),
            Does::Lie => client.invoke("read", ()).ok(2),
        }
        Ok(())
    });
}
