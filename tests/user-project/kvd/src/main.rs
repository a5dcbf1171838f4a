//! `kvd ADDRESS LOG`: the service, until Ctrl-C or SIGTERM.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use kvd::{Config, SyncPolicy, serve};
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, log] = &arguments[..] else { return Err(io::Error::other("usage: kvd ADDRESS LOG")) };
    let config = Config { log: log.into(), sync: SyncPolicy::Always, idle: Duration::from_secs(60) };
    let mut terminated = signal(SignalKind::terminate())?;
    let stop = async {
        tokio::select! {
            _ = ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    };
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    serve(listener, config, stop).await
}
