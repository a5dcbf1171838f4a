//! The same service on real sockets and files.

use std::future::pending;
use std::path::Path;
use std::time::Duration;

use kvd::{Client, Config, SyncPolicy, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A store, its address, and what stops it.
async fn start(log: &Path) -> (String, oneshot::Sender<()>, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let config = Config { log: log.into(), sync: SyncPolicy::Always, idle: Duration::from_millis(300) };
    let stopped = async move {
        if stopped.await.is_err() {
            pending().await
        }
    };
    (address, stop, tokio::spawn(serve(listener, config, stopped)))
}

#[tokio::test]
async fn what_is_written_is_there_after_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("kvd.log");
    let (address, stop, serving) = start(&log).await;
    let mut client = Client::connect(&address).await.unwrap();
    client.set("a", "1", None).await.unwrap();
    client.set("b", "2", None).await.unwrap();
    client.delete("b").await.unwrap();
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(client.get("a").await.is_err(), "the connection is closed");

    // What a crash leaves of a last write is no obstacle.
    let mut bytes = std::fs::read(&log).unwrap();
    bytes.extend_from_slice(b"0badbeef {\"key\":\"a\",\"val");
    std::fs::write(&log, bytes).unwrap();
    let (address, _stop, _serving) = start(&log).await;
    let mut client = Client::connect(&address).await.unwrap();
    assert_eq!(client.get("a").await.unwrap().as_deref(), Some("1"));
    assert_eq!(client.get("b").await.unwrap(), None);
}

#[tokio::test]
async fn keys_expire_and_idle_connections_are_closed() {
    let place = tempfile::tempdir().unwrap();
    let (address, _stop, _serving) = start(&place.path().join("kvd.log")).await;
    let mut client = Client::connect(&address).await.unwrap();
    client.set("a", "1", Some(Duration::from_millis(50))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(client.get("a").await.unwrap(), None);
    assert_eq!(client.set("a b", "1", None).await.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(client.get("a").await.is_err());
}
