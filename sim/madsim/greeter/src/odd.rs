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
    /// It aborts the process.
    Abort,
    /// It ends the process as if nothing was wrong.
    Exit,
    /// The process is ended from outside.
    Killed,
    /// It wants more memory than there is.
    Memory,
    /// It crashes with a value on its stack whose destructor panics.
    Drop,
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
            Does::Exit => std::process::exit(0),
            Does::Killed => {
                let process = std::process::id().to_string();
                let _ = std::process::Command::new("kill").args(["-KILL", &process]).status();
                std::future::pending().await
            }
            Does::Memory => {
                let mut kept = Vec::new();
                loop {
                    kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
                }
            }
            Does::Drop => {
                let _panics = PanicsInDrop;
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            Does::Lie => client.invoke("read", ()).ok(2),
        }
        Ok(())
    });
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("as it was told");
    }
}
