//! Streams, as programs use them: tokio's `TcpListener`, `TcpStream`, `TcpSocket` and their halves.

use std::fmt;
use std::future::{pending, poll_fn};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ToSocketAddrs, try_each};
use crate::host::within_budget;
use crate::kernel::{self, Kernel};
use crate::streams::{Asker, Awaited, BoundRef, EndRef, ListenerRef};

/// As tokio's `TcpListener::bind` has it.
const BACKLOG: u32 = 1_024;

/// What Linux has by default.
const TIME_TO_LIVE: u32 = 64;

/// `ENOPROTOOPT` on Linux, which std has no kind for.
const NO_PROTOCOL_OPTION: i32 = 92;

/// A wait of a future of its own: when that is dropped, nobody is to be woken for it.
struct Waiting {
    awaited: Awaited,
    number: Option<NonZeroU64>,
}

impl Waiting {
    fn new(awaited: Awaited) -> Waiting {
        Waiting { awaited, number: None }
    }

    fn asker(&mut self) -> Asker<'_> {
        Asker::Future(&mut self.number)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let _ = kernel::try_with(|kernel| kernel.stop_waiting_for(self.awaited, number));
        }
    }
}

/// What can be set of a socket. What it becomes, a connection or a listener and then what that accepts, has the same.
#[derive(Debug)]
struct Options {
    keeps_alive: AtomicBool,
    reuses_address: AtomicBool,
    reuses_port: AtomicBool,
    has_no_delay: AtomicBool,
    acknowledges_quickly: AtomicBool,
    send_buffer_bytes: AtomicU32,
    receive_buffer_bytes: AtomicU32,
    time_to_live: AtomicU32,
    service_type: AtomicU32,
    traffic_class: AtomicU32,
    /// Or [`NO_LINGER`].
    linger_s: AtomicU64,
}

const NO_LINGER: u64 = u64::MAX;

impl Default for Options {
    fn default() -> Options {
        Options {
            keeps_alive: AtomicBool::default(),
            reuses_address: AtomicBool::default(),
            reuses_port: AtomicBool::default(),
            has_no_delay: AtomicBool::default(),
            acknowledges_quickly: AtomicBool::new(true),
            send_buffer_bytes: AtomicU32::default(),
            receive_buffer_bytes: AtomicU32::default(),
            time_to_live: AtomicU32::new(TIME_TO_LIVE),
            service_type: AtomicU32::default(),
            traffic_class: AtomicU32::default(),
            linger_s: AtomicU64::new(NO_LINGER),
        }
    }
}

impl Clone for Options {
    fn clone(&self) -> Options {
        let flag = |flag: &AtomicBool| AtomicBool::new(flag.load(Ordering::Relaxed));
        let number = |number: &AtomicU32| AtomicU32::new(number.load(Ordering::Relaxed));
        Options {
            keeps_alive: flag(&self.keeps_alive),
            reuses_address: flag(&self.reuses_address),
            reuses_port: flag(&self.reuses_port),
            has_no_delay: flag(&self.has_no_delay),
            acknowledges_quickly: flag(&self.acknowledges_quickly),
            send_buffer_bytes: number(&self.send_buffer_bytes),
            receive_buffer_bytes: number(&self.receive_buffer_bytes),
            time_to_live: number(&self.time_to_live),
            service_type: number(&self.service_type),
            traffic_class: number(&self.traffic_class),
            linger_s: AtomicU64::new(self.linger_s.load(Ordering::Relaxed)),
        }
    }
}

macro_rules! flag {
    ($get:ident, $set:ident, $field:ident) => {
        /// What was last set. Nothing depends on it.
        ///
        /// # Errors
        /// Never.
        pub fn $get(&self) -> io::Result<bool> {
            Ok(self.options.$field.load(Ordering::Relaxed))
        }

        /// Nothing depends on it.
        ///
        /// # Errors
        /// Never.
        pub fn $set(&self, value: bool) -> io::Result<()> {
            self.options.$field.store(value, Ordering::Relaxed);
            Ok(())
        }
    };
}

macro_rules! number {
    ($get:ident, $set:ident, $field:ident) => {
        /// What was last set. Nothing depends on it.
        ///
        /// # Errors
        /// Never.
        pub fn $get(&self) -> io::Result<u32> {
            Ok(self.options.$field.load(Ordering::Relaxed))
        }

        /// Nothing depends on it.
        ///
        /// # Errors
        /// Never.
        pub fn $set(&self, value: u32) -> io::Result<()> {
            self.options.$field.store(value, Ordering::Relaxed);
            Ok(())
        }
    };
}

macro_rules! linger {
    () => {
        /// What was last set, in whole seconds.
        ///
        /// # Errors
        /// Never.
        pub fn linger(&self) -> io::Result<Option<Duration>> {
            let seconds = self.options.linger_s.load(Ordering::Relaxed);
            Ok((seconds != NO_LINGER).then(|| Duration::from_secs(seconds)))
        }

        /// With a time of less than a second, which counts as zero as on Linux, the connection is closed with a reset, and the other end may lose what it
        /// hasn't received. A longer time is as none: what was written still comes, and nobody waits for it.
        ///
        /// # Errors
        /// Never.
        pub fn set_linger(&self, time: Option<Duration>) -> io::Result<()> {
            self.options.linger_s.store(time.map_or(NO_LINGER, |time| time.as_secs()), Ordering::Relaxed);
            Ok(())
        }

        /// As `set_linger` with a time of zero: the connection is closed with a reset.
        ///
        /// # Errors
        /// Never.
        pub fn set_zero_linger(&self) -> io::Result<()> {
            self.set_linger(Some(Duration::ZERO))
        }
    };
}

/// Waits for connections, as tokio's `TcpListener` does.
///
/// A connection can be accepted when its handshake has come through: one and a half times the latency of its link after it was asked for. So many
/// connections may wait to be accepted as the backlog says, 1,024 by [`TcpListener::bind`]; to who asks for more nothing is answered, and they ask again
/// a second later, as on Linux.
#[derive(Debug)]
pub struct TcpListener {
    listener: ListenerRef,
    address: SocketAddr,
    /// What it accepts has them too.
    options: Options,
}

impl TcpListener {
    /// Listens on the running node: at the first of several addresses at which it can. Port 0 takes a free one. What is bound to a loopback address can be reached from the node alone.
    ///
    /// # Errors
    /// `AddrInUse` if the port is listened on already, or kept by a [`TcpSocket`] without [`TcpSocket::set_reuseaddr`], or a connection goes out from it;
    /// `AddrNotAvailable` if the address is another node's; if it can't be looked up.
    ///
    /// # Panics
    /// When awaited outside of a run.
    pub async fn bind<A: ToSocketAddrs>(address: A) -> io::Result<TcpListener> {
        try_each(address, async |address| {
            // As tokio has it on Unix: so it can be bound again while connections that it has accepted go on.
            let options = Options { reuses_address: AtomicBool::new(true), ..Options::default() };
            TcpListener::listen(address, BACKLOG, None, options)
        })
        .await
    }

    fn listen(address: SocketAddr, backlog: u32, own: Option<BoundRef>, options: Options) -> io::Result<TcpListener> {
        let backlog = usize::try_from(backlog).unwrap_or(usize::MAX);
        let shares_port = options.reuses_address.load(Ordering::Relaxed);
        let (listener, address) =
            kernel::with("squall::net::TcpListener::bind", |kernel| kernel.listen(address, backlog, shares_port, own))?;
        Ok(TcpListener { listener, address, options })
    }

    /// The next connection, and whose it is. Cancel safe.
    ///
    /// # Errors
    /// If the node has crashed.
    ///
    /// # Panics
    /// When awaited outside of a run.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut waiting = Waiting::new(Awaited::Connection(self.listener));
        poll_fn(|context| self.poll_accept_as(waiting.asker(), context)).await
    }

    /// As [`TcpListener::accept`]. Of several that poll, the last one is woken.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    ///
    /// # Panics
    /// Outside of a run.
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.poll_accept_as(Asker::Poller, context)
    }

    fn poll_accept_as(&self, asker: Asker<'_>, context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let accepted = within_budget(context, |context| {
            let other = kernel::other_waker(context);
            kernel::with("squall::net::TcpListener::accept", |kernel| kernel.poll_accept(self.listener, asker, other))
        });
        accepted.map(|accepted| {
            accepted.map(|(end, local, remote)| (TcpStream::new(end, local, remote, self.options.clone()), remote))
        })
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    /// Never: a result since tokio's has one.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    number!(ttl, set_ttl, time_to_live);
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let _ = kernel::try_with(|kernel| kernel.close_listener(self.listener));
    }
}

/// A socket that isn't connected yet, as tokio's `TcpSocket`. It keeps the port that it is bound to until it is dropped or its node crashes; what it becomes by
/// [`TcpSocket::connect`] or [`TcpSocket::listen`] takes the port and the options over. Whom it shares the port with is said by [`TcpSocket::set_reuseaddr`],
/// how its connection is closed by [`TcpSocket::set_linger`]; nothing depends on the other options.
#[derive(Debug, Default)]
pub struct TcpSocket {
    bound: Mutex<Option<(BoundRef, SocketAddr)>>,
    is_v6: bool,
    options: Options,
}

impl TcpSocket {
    /// For addresses of IPv4.
    ///
    /// # Errors
    /// Never.
    pub fn new_v4() -> io::Result<TcpSocket> {
        Ok(TcpSocket::default())
    }

    /// For addresses of IPv6.
    ///
    /// # Errors
    /// Never.
    pub fn new_v6() -> io::Result<TcpSocket> {
        Ok(TcpSocket { bound: Mutex::default(), is_v6: true, options: Options::default() })
    }

    flag!(keepalive, set_keepalive, keeps_alive);

    /// What was last set.
    ///
    /// # Errors
    /// Never.
    pub fn reuseaddr(&self) -> io::Result<bool> {
        Ok(self.options.reuses_address.load(Ordering::Relaxed))
    }

    /// Whether it shares its port. As on Linux several sockets can be bound to one, if each of them says so before; then one of them can listen, and from then on
    /// nobody else is bound to it. [`TcpListener::bind`] says so by itself.
    ///
    /// # Errors
    /// Never.
    pub fn set_reuseaddr(&self, value: bool) -> io::Result<()> {
        self.options.reuses_address.store(value, Ordering::Relaxed);
        Ok(())
    }

    flag!(reuseport, set_reuseport, reuses_port);
    flag!(nodelay, set_nodelay, has_no_delay);
    linger!();
    number!(tos_v4, set_tos_v4, service_type);

    /// As [`TcpSocket::tos_v4`].
    ///
    /// # Errors
    /// Never.
    #[deprecated = "it is named `tos_v4` now"]
    #[doc(hidden)]
    pub fn tos(&self) -> io::Result<u32> {
        self.tos_v4()
    }

    /// As [`TcpSocket::set_tos_v4`].
    ///
    /// # Errors
    /// Never.
    #[deprecated = "it is named `set_tos_v4` now"]
    #[doc(hidden)]
    pub fn set_tos(&self, value: u32) -> io::Result<()> {
        self.set_tos_v4(value)
    }

    /// What was last set. Nothing depends on it.
    ///
    /// # Errors
    /// `Unsupported` if the socket is for addresses of IPv4.
    pub fn tclass_v6(&self) -> io::Result<u32> {
        readable_by_v6(self.is_v6)?;
        Ok(self.options.traffic_class.load(Ordering::Relaxed))
    }

    /// Nothing depends on it.
    ///
    /// # Errors
    /// `ENOPROTOOPT` if the socket is for addresses of IPv4.
    pub fn set_tclass_v6(&self, value: u32) -> io::Result<()> {
        settable_by_v6(self.is_v6)?;
        self.options.traffic_class.store(value, Ordering::Relaxed);
        Ok(())
    }

    /// Nobody has told it of an error.
    ///
    /// # Errors
    /// Never.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    /// What was last set. How much may be under way says [`World::tcp`](crate::World::tcp).
    ///
    /// # Errors
    /// Never.
    pub fn send_buffer_size(&self) -> io::Result<u32> {
        Ok(self.options.send_buffer_bytes.load(Ordering::Relaxed))
    }

    /// Nothing depends on it.
    ///
    /// # Errors
    /// Never.
    pub fn set_send_buffer_size(&self, bytes: u32) -> io::Result<()> {
        self.options.send_buffer_bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// What was last set. How much may be unread says [`World::tcp`](crate::World::tcp).
    ///
    /// # Errors
    /// Never.
    pub fn recv_buffer_size(&self) -> io::Result<u32> {
        Ok(self.options.receive_buffer_bytes.load(Ordering::Relaxed))
    }

    /// Nothing depends on it.
    ///
    /// # Errors
    /// Never.
    pub fn set_recv_buffer_size(&self, bytes: u32) -> io::Result<()> {
        self.options.receive_buffer_bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// The address that it is bound to; an unspecified one, if it is none.
    ///
    /// # Errors
    /// Never.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let any = match self.is_v6 {
            true => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            false => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        Ok(self.bound().map_or(SocketAddr::new(any, 0), |(_, address)| address))
    }

    /// From where it connects, or where it listens. Port 0 takes a free one. The port is kept: nobody else of the node can have it, but who shares it
    /// ([`TcpSocket::set_reuseaddr`]).
    ///
    /// # Errors
    /// `AddrInUse` if somebody has the port already; `AddrNotAvailable` if the address is another node's; `InvalidInput` if it is bound already.
    ///
    /// # Panics
    /// Outside of a run.
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        if bound.is_some() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket is bound already"));
        }
        let shares_port = self.options.reuses_address.load(Ordering::Relaxed);
        *bound =
            Some(kernel::with("squall::net::TcpSocket::bind", |kernel| kernel.bind_for_stream(address, shares_port))?);
        Ok(())
    }

    fn bound(&self) -> Option<(BoundRef, SocketAddr)> {
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`TcpStream::connect`], from where it is bound.
    ///
    /// # Errors
    /// As [`TcpStream::connect`]; `AddrNotAvailable` if another connection goes from there to the same address.
    ///
    /// # Panics
    /// When awaited outside of a run.
    pub async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        let from = self.bound().map(|(_, from)| from);
        // The connection has the port by the time the socket is dropped.
        TcpStream::connect_from(address, from, self.options.clone()).await
    }

    /// As [`TcpListener::bind`], with a backlog of that many connections, at least one.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    ///
    /// # Panics
    /// Outside of a run.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        let (address, own) = (self.local_addr()?, self.bound().map(|(own, _)| own));
        // The listener has the port by the time the socket is dropped.
        TcpListener::listen(address, backlog, own, self.options.clone())
    }
}

/// An error if an option of IPv6 is asked of another socket.
pub(super) fn readable_by_v6(is_v6: bool) -> io::Result<()> {
    let message = "the socket is for addresses of IPv4, and has no such option";
    if is_v6 { Ok(()) } else { Err(io::Error::new(io::ErrorKind::Unsupported, message)) }
}

/// An error if an option of IPv6 is set of another socket: Linux has another one for that.
pub(super) fn settable_by_v6(is_v6: bool) -> io::Result<()> {
    if is_v6 { Ok(()) } else { Err(io::Error::from_raw_os_error(NO_PROTOCOL_OPTION)) }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        if let Some((own, _)) = self.bound() {
            let _ = kernel::try_with(|kernel| kernel.network.streams.unbind(own));
        }
    }
}

/// A connection, as tokio's `TcpStream`.
///
/// What is written arrives in order, each write as one segment of at most 64 KiB, after the latency of its link. A segment that is lost
/// is sent again 200 ms later (then 400, and so on), and what was sent behind it waits for it; into a partition it is sent again and again, until
/// the partition is over or the connection gives up with `TimedOut`. At most a window of bytes, 64 KiB, is under way or unread: then who writes waits.
/// See [`World::tcp`](crate::World::tcp) for what of that can be set.
///
/// A node that crashes resets its connections. To write to an end that is gone resets the connection too, as with real TCP: the first write
/// still succeeds.
pub struct TcpStream {
    end: EndRef,
    local: SocketAddr,
    remote: SocketAddr,
    options: Options,
}

/// A future of connecting that nobody waits for any more lets go of its end.
struct Connecting(Option<EndRef>);

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some(end) = self.0 {
            let _ = kernel::try_with(|kernel| kernel.close_end(end, true));
        }
    }
}

impl TcpStream {
    fn new(end: EndRef, local: SocketAddr, remote: SocketAddr, options: Options) -> TcpStream {
        TcpStream { end, local, remote, options }
    }

    /// Connects. It takes as long as the link's latency there and back. Several addresses are tried one after the other; if each fails, the error is the last one's.
    ///
    /// # Errors
    /// `ConnectionRefused` if nobody listens there; `TimedOut` if nothing is answered, because of a partition, since the node is down or has
    /// no room in its backlog; `HostUnreachable` if no node has the address; if it can't be looked up.
    ///
    /// # Panics
    /// When awaited outside of a run.
    pub async fn connect<A: ToSocketAddrs>(address: A) -> io::Result<TcpStream> {
        try_each(address, async |remote| TcpStream::connect_from(remote, None, Options::default()).await).await
    }

    async fn connect_from(remote: SocketAddr, from: Option<SocketAddr>, options: Options) -> io::Result<TcpStream> {
        const WHAT: &str = "squall::net::TcpStream::connect";
        let shares_port = options.reuses_address.load(Ordering::Relaxed);
        let asked =
            kernel::with(WHAT, |kernel| (!kernel.waits_for_ever()).then(|| kernel.connect(remote, from, shares_port)));
        let Some(asked) = asked else { return pending().await };
        let (end, local, remote) = asked?;
        let mut connecting = Connecting(Some(end));
        poll_fn(|context| {
            let other = kernel::other_waker(context);
            kernel::with(WHAT, |kernel| kernel.poll_connected(end, other))
        })
        .await?;
        connecting.0 = None;
        Ok(TcpStream::new(end, local, remote, options))
    }

    /// This end's address.
    ///
    /// # Errors
    /// Never.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    /// The other end's address.
    ///
    /// # Errors
    /// Never: a result since tokio's has one.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.remote)
    }

    /// The error that the connection broke with, if nobody has been told of it yet.
    ///
    /// # Errors
    /// Never.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(kernel::try_with(|kernel| kernel.take_stream_error(self.end)).flatten())
    }

    flag!(nodelay, set_nodelay, has_no_delay);
    flag!(quickack, set_quickack, acknowledges_quickly);
    number!(ttl, set_ttl, time_to_live);
    linger!();

    /// Waits until there is something to read, or the end, or an error. Cancel safe.
    ///
    /// # Errors
    /// If the node has crashed.
    pub async fn readable(&self) -> io::Result<()> {
        let mut waiting = Waiting::new(Awaited::Bytes(self.end));
        poll_fn(|context| self.poll_readable_as(waiting.asker(), context)).await
    }

    /// As [`TcpStream::readable`]. Of several that poll, the last one is woken.
    ///
    /// # Errors
    /// As [`TcpStream::readable`].
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        within_budget(context, |context| self.poll_readable_as(Asker::Poller, context))
    }

    fn poll_readable_as(&self, asker: Asker<'_>, context: &Context<'_>) -> Poll<io::Result<()>> {
        let other = kernel::other_waker(context);
        kernel::with("squall::net::TcpStream::readable", |kernel| kernel.poll_readable(self.end, asker, other))
    }

    /// Waits until something can be written, or there is an error. Cancel safe.
    ///
    /// # Errors
    /// If the node has crashed.
    pub async fn writable(&self) -> io::Result<()> {
        let mut waiting = Waiting::new(Awaited::Room(self.end));
        poll_fn(|context| self.poll_writable_as(waiting.asker(), context)).await
    }

    /// As [`TcpStream::writable`]. Of several that poll, the last one is woken.
    ///
    /// # Errors
    /// As [`TcpStream::writable`].
    pub fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        within_budget(context, |context| self.poll_writable_as(Asker::Poller, context))
    }

    fn poll_writable_as(&self, asker: Asker<'_>, context: &Context<'_>) -> Poll<io::Result<()>> {
        let other = kernel::other_waker(context);
        kernel::with("squall::net::TcpStream::writable", |kernel| kernel.poll_writable(self.end, asker, other))
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is; else as reading.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        at_once(self.poll_read_into(&mut [&mut ReadBuf::new(buffer)], false, Asker::Tries, None))
    }

    /// Likewise, into several buffers.
    ///
    /// # Errors
    /// As [`TcpStream::try_read`].
    pub fn try_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut buffers: Vec<ReadBuf<'_>> = buffers.iter_mut().map(|buffer| ReadBuf::new(buffer)).collect();
        let mut buffers: Vec<&mut ReadBuf<'_>> = buffers.iter_mut().collect();
        at_once(self.poll_read_into(&mut buffers, false, Asker::Tries, None))
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; else as writing.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(bytes)])
    }

    /// Likewise, from several buffers.
    ///
    /// # Errors
    /// As [`TcpStream::try_write`].
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        at_once(self.poll_write_from(slices, Asker::Tries, None))
    }

    /// Reads, and leaves what is read where it is. Cancel safe.
    ///
    /// # Errors
    /// As reading.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut waiting = Waiting::new(Awaited::Bytes(self.end));
        poll_fn(|context| {
            within_budget(context, |context| {
                let other = kernel::other_waker(context);
                self.poll_read_into(&mut [&mut ReadBuf::new(buffer)], true, waiting.asker(), other)
            })
        })
        .await
    }

    /// As [`TcpStream::peek`]. Of several that poll, the last one is woken.
    ///
    /// # Errors
    /// As reading.
    pub fn poll_peek(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        within_budget(context, |context| {
            self.poll_read_into(&mut [buffer], true, Asker::Poller, kernel::other_waker(context))
        })
    }

    fn poll_read_into(
        &self,
        buffers: &mut [&mut ReadBuf<'_>],
        peeks: bool,
        asker: Asker<'_>,
        other: Option<Waker>,
    ) -> Poll<io::Result<usize>> {
        kernel::with("reading from a squall::net::TcpStream", |kernel| {
            kernel.poll_read(self.end, buffers, peeks, asker, other)
        })
    }

    fn poll_write_from(
        &self,
        slices: &[IoSlice<'_>],
        asker: Asker<'_>,
        other: Option<Waker>,
    ) -> Poll<io::Result<usize>> {
        kernel::with("writing to a squall::net::TcpStream", |kernel| kernel.poll_write(self.end, slices, asker, other))
    }

    fn poll_write_slices(&self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        within_budget(context, |context| self.poll_write_from(slices, Asker::Poller, kernel::other_waker(context)))
    }

    fn poll_read_buffer(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Not one byte that isn't read is written: who reads by large buffers (hyper) has them anew each time, and not initialised.
        let read = within_budget(context, |context| {
            self.poll_read_into(&mut [buffer], false, Asker::Poller, kernel::other_waker(context))
        });
        read.map_ok(|_| ())
    }

    fn shut_down_writing(&self) -> io::Result<()> {
        kernel::with("shutting a squall::net::TcpStream down", |kernel: &mut Kernel| kernel.shut_down(self.end))
    }

    /// Two halves that borrow it.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// Two halves that own it together. When the half that writes is dropped, no more is written.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let stream = Arc::new(self);
        let writer = OwnedWriteHalf { stream: Arc::clone(&stream), shuts_down: true };
        (OwnedReadHalf { stream }, writer)
    }
}

/// What came at once, or that nothing did.
fn at_once<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let resets = *self.options.linger_s.get_mut() == 0;
        let _ = kernel::try_with(|kernel| kernel.close_end(self.end, resets));
    }
}

impl AsRef<TcpStream> for TcpStream {
    fn as_ref(&self) -> &TcpStream {
        self
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream").field("addr", &self.local).field("peer", &self.remote).finish()
    }
}

/// Reading, by whatever gives a stream.
macro_rules! reads {
    ($type:ty, $this:ident => $stream:expr) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let $this = &*self;
                $stream.poll_read_buffer(context, buffer)
            }
        }
    };
}

/// Writing, by whatever gives a stream.
macro_rules! writes {
    ($type:ty, $this:ident => $stream:expr, $after_shutdown:expr) => {
        impl AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $stream.poll_write_slices(context, &[IoSlice::new(bytes)])
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $stream.poll_write_slices(context, slices)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            /// What was written is on its way already.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                let shut_down = $stream.shut_down_writing();
                if shut_down.is_ok() {
                    ($after_shutdown)(&mut *self);
                }
                Poll::Ready(shut_down)
            }
        }
    };
}

/// The half of a [`TcpStream`] that reads; see [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'s>(&'s TcpStream);

/// The half of a [`TcpStream`] that writes; see [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'s>(&'s TcpStream);

/// The half of a [`TcpStream`] that reads; see [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf {
    stream: Arc<TcpStream>,
}

/// The half of a [`TcpStream`] that writes; see [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
    /// When it is dropped.
    shuts_down: bool,
}

reads!(TcpStream, this => this);
writes!(TcpStream, this => this, |_: &mut TcpStream| {});
reads!(ReadHalf<'_>, this => this.0);
writes!(WriteHalf<'_>, this => this.0, |_: &mut WriteHalf<'_>| {});
reads!(OwnedReadHalf, this => this.stream);
writes!(OwnedWriteHalf, this => this.stream, |this: &mut OwnedWriteHalf| this.shuts_down = false);

/// Two halves that aren't of one stream: see [`OwnedReadHalf::reunite`].
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tried to reunite halves that are not from the same socket")
    }
}

impl std::error::Error for ReuniteError {}

fn reunite(reader: OwnedReadHalf, mut writer: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
    if !Arc::ptr_eq(&reader.stream, &writer.stream) {
        return Err(ReuniteError(reader, writer));
    }
    writer.shuts_down = false;
    drop(writer);
    Ok(Arc::into_inner(reader.stream).expect("there are two halves"))
}

macro_rules! addresses {
    () => {
        /// The other end's address.
        ///
        /// # Errors
        /// Never.
        pub fn peer_addr(&self) -> io::Result<SocketAddr> {
            self.stream().peer_addr()
        }

        /// This end's address.
        ///
        /// # Errors
        /// Never.
        pub fn local_addr(&self) -> io::Result<SocketAddr> {
            self.stream().local_addr()
        }
    };
}

macro_rules! reading {
    () => {
        /// As [`TcpStream::readable`].
        ///
        /// # Errors
        /// As [`TcpStream::readable`].
        pub async fn readable(&self) -> io::Result<()> {
            self.stream().readable().await
        }

        /// As [`TcpStream::try_read`].
        ///
        /// # Errors
        /// As [`TcpStream::try_read`].
        pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
            self.stream().try_read(buffer)
        }

        /// As [`TcpStream::try_read_vectored`].
        ///
        /// # Errors
        /// As [`TcpStream::try_read`].
        pub fn try_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
            self.stream().try_read_vectored(buffers)
        }

        /// As [`TcpStream::peek`].
        ///
        /// # Errors
        /// As reading.
        pub async fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.stream().peek(buffer).await
        }

        /// As [`TcpStream::poll_peek`].
        ///
        /// # Errors
        /// As reading.
        pub fn poll_peek(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
            self.stream().poll_peek(context, buffer)
        }
    };
}

macro_rules! writing {
    () => {
        /// As [`TcpStream::writable`].
        ///
        /// # Errors
        /// As [`TcpStream::writable`].
        pub async fn writable(&self) -> io::Result<()> {
            self.stream().writable().await
        }

        /// As [`TcpStream::try_write`].
        ///
        /// # Errors
        /// As [`TcpStream::try_write`].
        pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            self.stream().try_write(bytes)
        }

        /// As [`TcpStream::try_write_vectored`].
        ///
        /// # Errors
        /// As [`TcpStream::try_write`].
        pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.stream().try_write_vectored(slices)
        }
    };
}

impl ReadHalf<'_> {
    fn stream(&self) -> &TcpStream {
        self.0
    }

    addresses!();
    reading!();
}

impl WriteHalf<'_> {
    fn stream(&self) -> &TcpStream {
        self.0
    }

    addresses!();
    writing!();
}

impl AsRef<TcpStream> for ReadHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.0
    }
}

impl AsRef<TcpStream> for WriteHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.0
    }
}

impl OwnedReadHalf {
    fn stream(&self) -> &TcpStream {
        &self.stream
    }

    addresses!();
    reading!();

    /// The stream again.
    ///
    /// # Errors
    /// If the halves aren't of one stream.
    pub fn reunite(self, other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        reunite(self, other)
    }
}

impl OwnedWriteHalf {
    fn stream(&self) -> &TcpStream {
        &self.stream
    }

    addresses!();
    writing!();

    /// The stream again.
    ///
    /// # Errors
    /// If the halves aren't of one stream.
    pub fn reunite(self, other: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        reunite(other, self)
    }

    /// Drops it, and leaves the stream open for writing.
    pub fn forget(mut self) {
        self.shuts_down = false;
    }
}

impl AsRef<TcpStream> for OwnedReadHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsRef<TcpStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.shuts_down {
            let _ = kernel::try_with(|kernel| kernel.shut_down(self.stream.end));
        }
    }
}

const fn is_send_and_sync<T: Send + Sync>() {}
const _: () = {
    is_send_and_sync::<TcpListener>();
    is_send_and_sync::<TcpSocket>();
    is_send_and_sync::<TcpStream>();
    is_send_and_sync::<OwnedReadHalf>();
    is_send_and_sync::<OwnedWriteHalf>();
};
