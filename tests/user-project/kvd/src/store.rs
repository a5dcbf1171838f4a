//! The one task that has the map and the log.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::time::interval;

use crate::log::{Log, Record};

/// When what was written is on the disk for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before it is acknowledged.
    Always,
    /// Within a second. A crash may lose what was acknowledged in the last one.
    EverySecond,
}

/// How often keys that have expired are looked for: nobody sees them any more, they only take place.
const SWEEP: Duration = Duration::from_millis(100);

/// So many requests share a sync.
const BATCH: usize = 64;

pub enum Command {
    Get(String),
    Write { key: String, value: Option<String>, lives: Option<Duration> },
}

pub struct Request {
    pub command: Command,
    pub answer: oneshot::Sender<Option<String>>,
}

struct Entry {
    value: String,
    expires_at_ms: Option<u64>,
}

pub struct Store {
    log: Log,
    map: BTreeMap<String, Entry>,
    sync: SyncPolicy,
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl Store {
    pub fn new(log: Log, records: Vec<Record>, sync: SyncPolicy) -> Store {
        let mut store = Store { log, map: BTreeMap::new(), sync };
        for record in records {
            store.apply(record);
        }
        store
    }

    /// Serves requests until nobody can ask any more. It ends where the log can't be written: what is on the disk then, nobody knows.
    pub async fn run(mut self, mut requests: mpsc::Receiver<Request>) -> io::Result<()> {
        let mut sweep = interval(SWEEP);
        let mut sync = interval(Duration::from_secs(1));
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                count = requests.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return self.log.sync().await;
                    }
                    self.serve(&mut batch).await?;
                }
                _ = sweep.tick() => {
                    let now_ms = now_ms();
                    self.map.retain(|_, entry| is_alive(entry, now_ms));
                }
                _ = sync.tick(), if self.sync == SyncPolicy::EverySecond => self.log.sync().await?,
            }
        }
    }

    async fn serve(&mut self, batch: &mut Vec<Request>) -> io::Result<()> {
        let now_ms = now_ms();
        let record = |request: &Request| match &request.command {
            Command::Get(_) => None,
            Command::Write { key, value, lives } => {
                let expires_at_ms = lives.map(|lives| now_ms + lives.as_millis() as u64);
                Some(Record { key: key.clone(), value: value.clone(), expires_at_ms })
            }
        };
        let records: Vec<Option<Record>> = batch.iter().map(record).collect();
        if records.iter().any(Option::is_some) {
            self.log.append(records.iter().flatten()).await?;
            if self.sync == SyncPolicy::Always {
                self.log.sync().await?;
            }
        }
        for (request, record) in batch.drain(..).zip(records) {
            let answer = match (request.command, record) {
                (Command::Get(key), _) => self.get(&key),
                (Command::Write { .. }, record) => {
                    record.into_iter().for_each(|record| self.apply(record));
                    None
                }
            };
            // Who has gone doesn't want it.
            let _ = request.answer.send(answer);
        }
        Ok(())
    }

    fn get(&self, key: &str) -> Option<String> {
        let now_ms = now_ms();
        self.map.get(key).filter(|entry| is_alive(entry, now_ms)).map(|entry| entry.value.clone())
    }

    fn apply(&mut self, record: Record) {
        let Record { key, value, expires_at_ms } = record;
        match value {
            Some(value) => self.map.insert(key, Entry { value, expires_at_ms }),
            None => self.map.remove(&key),
        };
    }
}

fn is_alive(entry: &Entry, now_ms: u64) -> bool {
    entry.expires_at_ms.is_none_or(|at_ms| now_ms < at_ms)
}
