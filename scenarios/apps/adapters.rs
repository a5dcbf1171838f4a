//! What hyper, axum and tonic want of tasks, timers and sockets, in Squall's names: to be copied into tests of your own.
//!
//! hyper asks for tasks and timers by its traits [`hyper::rt::Executor`] and [`hyper::rt::Timer`]; [`Tasks`] has them on Squall's own tasks, without tokio. In a node that
//! tokio executes hyper-util's `TokioExecutor` and `TokioTimer` do as well. [`Listener`] is what `axum::serve` and tonic's `serve_with_incoming` take
//! connections from, [`Connection`] tells tonic whose it is, and [`connect`] is a connector of tonic's.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use squall::net::{TcpListener, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::Uri;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Squall's tasks and timers, for hyper.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tasks;

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        drop(squall::task::spawn(future));
    }
}

impl hyper::rt::Timer for Tasks {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(squall::time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(squall::time::sleep_until(squall::time::Instant::from_std(deadline))))
    }

    fn now(&self) -> Instant {
        squall::time::Instant::now().into_std()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(ours) => Pin::new(&mut ours.get_mut().0).reset(squall::time::Instant::from_std(deadline)),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// [`squall::time::Sleep`], as hyper wants it.
struct Sleep(squall::time::Sleep);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl hyper::rt::Sleep for Sleep {}

/// A connection that tells tonic whose it is.
#[derive(Debug)]
pub struct Connection(TcpStream);

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: self.0.local_addr().ok(), remote_addr: self.0.peer_addr().ok() }
    }
}

/// Where `axum::serve` and tonic's `serve_with_incoming` take connections from.
///
/// With axum's `tap_io`, which may do nothing, handlers can ask for `ConnectInfo<SocketAddr>`: axum has that for its own listeners and for what `tap_io` makes of any
/// other, and nobody else may say it of `SocketAddr`.
#[derive(Debug)]
pub struct Listener(pub TcpListener);

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.0.accept().await {
            Ok((stream, remote)) => (Connection(stream), remote),
            // It fails when its node has crashed, and then nobody polls this again.
            Err(_) => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl tokio_stream::Stream for Listener {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Connection>>> {
        self.0.poll_accept(context).map(|accepted| Some(accepted.map(|(stream, _)| Connection(stream))))
    }
}

/// Connects to where an address such as `http://bank:50051` says, for hyper and for tonic's `connect_with_connector`.
///
/// # Errors
/// As [`TcpStream::connect`]; `InvalidInput` if no node is named.
pub async fn connect(uri: Uri) -> io::Result<TokioIo<TcpStream>> {
    let host = uri.host().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{uri} names no node")))?;
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    Ok(TokioIo::new(stream))
}
