//! Connections, and the end of the service.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::log::Log;
use crate::os::net::{TcpListener, TcpStream};
use crate::store::{Command, Request, Store, SyncPolicy};

/// How the service is to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// The log's file.
    pub log: PathBuf,
    /// When it is synced.
    pub sync: SyncPolicy,
    /// A connection on which nothing is asked for so long is closed.
    pub idle: Duration,
}

/// Serves until `stop` comes: then what was asked is answered, and the connections are closed.
///
/// # Errors
/// If the log can't be read or written.
pub async fn serve(listener: TcpListener, config: Config, stop: impl Future<Output = ()>) -> io::Result<()> {
    let Config { log, sync, idle } = config;
    let (log, records) = Log::open(&log).await?;
    let (requests, inbox) = mpsc::channel(64);
    let mut store = tokio::spawn(Store::new(log, records, sync).run(inbox));
    let (closing, _) = broadcast::channel::<()>(1);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        // Who is told to stop accepts nobody more.
        tokio::select! {
            biased;
            () = &mut stop => break,
            // Somebody can ask, so it has ended by an error.
            ended = &mut store => return ended?,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, requests.clone(), closing.subscribe(), idle));
                }
                // Too many open files, say.
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
        }
    }
    drop((listener, closing, requests));
    while connections.join_next().await.is_some() {}
    store.await?
}

async fn connection(
    stream: TcpStream,
    requests: mpsc::Sender<Request>,
    mut closing: broadcast::Receiver<()>,
    idle: Duration,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    loop {
        let line = tokio::select! {
            line = timeout(idle, lines.next_line()) => line,
            _ = closing.recv() => return Ok(()),
        };
        let Ok(Some(line)) = line.unwrap_or(Ok(None)) else { return Ok(()) };
        let answer = match parse(&line) {
            Ok(command) => ask(&requests, command).await?,
            Err(message) => format!("ERROR {message}"),
        };
        writer.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

async fn ask(requests: &mpsc::Sender<Request>, command: Command) -> io::Result<String> {
    let gets = matches!(command, Command::Get(_));
    let (answer, answered) = oneshot::channel();
    requests.send(Request { command, answer }).await.map_err(io::Error::other)?;
    let answer = answered.await.map_err(io::Error::other)?;
    Ok(match answer {
        Some(value) => format!("VALUE {value}"),
        None if gets => "NONE".to_string(),
        None => "OK".to_string(),
    })
}

fn parse(line: &str) -> Result<Command, &'static str> {
    let write = |key: &str, value: Option<&str>, lives| {
        Ok(Command::Write { key: key.to_string(), value: value.map(str::to_string), lives })
    };
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["GET", key] => Ok(Command::Get(key.to_string())),
        ["SET", key, value] => write(key, Some(value), None),
        ["SET", key, value, lives_ms] => {
            let lives_ms = lives_ms.parse::<u32>().map_err(|_| "expected a number of milliseconds")?;
            write(key, Some(value), Some(Duration::from_millis(lives_ms.into())))
        }
        ["DELETE", key] => write(key, None, None),
        _ => Err("expected GET KEY, SET KEY VALUE [MILLISECONDS] or DELETE KEY"),
    }
}
