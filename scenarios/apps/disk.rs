//! What a node keeps on its disk: one state, which is written as a whole.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use squall::fs::{self, File};

const STATE: &str = "/state";
const NEW: &str = "/state.new";

/// What is on this node's disk; nothing at the first start.
///
/// # Errors
/// If it can't be read.
pub async fn load<S: DeserializeOwned + Default>() -> io::Result<Option<S>> {
    match fs::read(STATE).await {
        // What was never synced may be cut short.
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).unwrap_or_default())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts it there in place of what was there before: after a crash it is the one or the other, and, if it is synced, it is this one once this returns.
///
/// # Errors
/// If it can't be written.
pub async fn save(state: &impl Serialize, syncs: bool) -> io::Result<()> {
    let bytes = serde_json::to_vec(state)?;
    let file = File::create(NEW).await?;
    file.write_all_at(&bytes, 0).await?;
    if syncs {
        file.sync_all().await?;
    }
    fs::rename(NEW, STATE).await?;
    if syncs {
        File::open("/").await?.sync_all().await?;
    }
    Ok(())
}
