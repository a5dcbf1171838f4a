//! Datagrams, as programs use them: tokio's `UdpSocket`.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use squall_trace::TaskId;
use tokio::io::ReadBuf;

use super::stream::{readable_by_v6, settable_by_v6};
use super::{ToSocketAddrs, try_each};
use crate::host::{act_within_budget, within_budget};
use crate::kernel::{self, TimerRef};
use crate::network::{Kind, Origin, Outgoing, SocketRef, Wakes};

/// So many bytes fit into a datagram of UDP over IPv4.
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// `EMSGSIZE` on Linux, which std has no kind for.
const MESSAGE_TOO_LONG: i32 = 90;

/// `EDESTADDRREQ` on Linux, which std has no kind for either.
const DESTINATION_REQUIRED: i32 = 89;

/// Under that tag are all its messages.
const TAG: u64 = 0;

/// A socket of datagrams, as tokio's `UdpSocket`.
///
/// A datagram is lost, comes twice or in another order, as its link's weather has it; one to a port where nobody listens is gone, and nobody is
/// told, as between real machines that don't send ICMP. The decisions about what it sends are known by the socket, not by the task: by its node, boot and port.
#[derive(Debug)]
pub struct UdpSocket {
    socket: SocketRef,
    address: SocketAddr,
    /// By whom its flows are known.
    sender: TaskId,
    /// Whether there is a peer: to look behind the lock costs a datagram more than to receive it.
    is_connected: AtomicBool,
    peer: Mutex<Option<SocketAddr>>,
    /// Under which number the last poll waits.
    waiter: Mutex<Option<NonZeroU64>>,
    options: Options,
}

/// What can be set, and nothing depends on.
#[derive(Debug)]
struct Options {
    has_broadcast: AtomicBool,
    time_to_live: AtomicU32,
    service_type: AtomicU32,
    traffic_class: AtomicU32,
    loops_multicast_v4: AtomicBool,
    loops_multicast_v6: AtomicBool,
    multicast_time_to_live: AtomicU32,
}

impl Default for Options {
    /// What Linux has.
    fn default() -> Options {
        Options {
            has_broadcast: AtomicBool::default(),
            time_to_live: AtomicU32::new(64),
            service_type: AtomicU32::default(),
            traffic_class: AtomicU32::default(),
            loops_multicast_v4: AtomicBool::new(true),
            loops_multicast_v6: AtomicBool::new(true),
            multicast_time_to_live: AtomicU32::new(1),
        }
    }
}

macro_rules! option {
    ($type:ty, $get:ident, $set:ident, $field:ident, $what:literal) => {
        /// What was last set.
        #[doc = $what]
        ///
        /// # Errors
        /// Never.
        pub fn $get(&self) -> io::Result<$type> {
            Ok(self.options.$field.load(Ordering::Relaxed))
        }

        #[doc = $what]
        ///
        /// # Errors
        /// Never.
        pub fn $set(&self, value: $type) -> io::Result<()> {
            self.options.$field.store(value, Ordering::Relaxed);
            Ok(())
        }
    };
}

/// Likewise of IPv6 alone.
macro_rules! option_v6 {
    ($type:ty, $get:ident, $set:ident, $field:ident, $what:literal) => {
        /// What was last set.
        #[doc = $what]
        ///
        /// # Errors
        /// `Unsupported` if the socket is bound to an address of IPv4.
        pub fn $get(&self) -> io::Result<$type> {
            readable_by_v6(self.address.is_ipv6())?;
            Ok(self.options.$field.load(Ordering::Relaxed))
        }

        #[doc = $what]
        ///
        /// # Errors
        /// `ENOPROTOOPT` if the socket is bound to an address of IPv4.
        pub fn $set(&self, value: $type) -> io::Result<()> {
            settable_by_v6(self.address.is_ipv6())?;
            self.options.$field.store(value, Ordering::Relaxed);
            Ok(())
        }
    };
}

/// The loopback address of that one's family.
fn loopback_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
    }
}

/// A wait of a future of its own.
struct Waiting<'s> {
    socket: &'s UdpSocket,
    waiter: Option<NonZeroU64>,
    /// Whose datagram it has received.
    from: Origin,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.waiter.take() {
            let _ = kernel::try_with(|kernel| kernel.stop_waiting(self.socket.socket, TAG, id));
        }
    }
}

impl Waiting<'_> {
    fn new(socket: &UdpSocket) -> Waiting<'_> {
        Waiting { socket, waiter: None, from: Origin::UNKNOWN }
    }

    /// How many bytes it has received. Whose they are is beside that then, and becomes an address where it is asked for: one is written in pieces, and whoever moves it waits for them.
    async fn receive(&mut self, buffer: &mut [u8], peeks: bool) -> io::Result<usize> {
        let buffer = &mut ReadBuf::new(buffer);
        poll_fn(|context| {
            within_budget(context, |context| self.poll_receive(buffer, peeks, kernel::other_waker(context)))
        })
        .await
    }

    fn poll_receive(&mut self, buffer: &mut ReadBuf<'_>, peeks: bool, other: Option<Waker>) -> Poll<io::Result<usize>> {
        self.socket.poll_receive(&mut self.waiter, buffer, peeks, other, &mut self.from)
    }
}

impl UdpSocket {
    /// Binds a socket on the running node: to the first of several addresses to which it can be. Port 0 takes a free one.
    ///
    /// # Errors
    /// `AddrInUse` if the port is bound, `AddrNotAvailable` if the address is another node's; if it can't be looked up.
    ///
    /// # Panics
    /// When awaited outside of a run.
    pub async fn bind<A: ToSocketAddrs>(address: A) -> io::Result<UdpSocket> {
        let (socket, address, sender) = try_each(address, async |wanted| {
            kernel::with("squall::net::UdpSocket::bind", |kernel| {
                let (socket, bound) = kernel.bind(wanted)?;
                let address = SocketAddr::new(wanted.ip(), bound.port());
                Ok((socket, address, kernel.sender_of_port(bound.port())))
            })
        })
        .await?;
        Ok(UdpSocket {
            socket,
            address,
            sender,
            is_connected: AtomicBool::new(false),
            peer: Mutex::new(None),
            waiter: Mutex::new(None),
            options: Options::default(),
        })
    }

    /// Sends by [`UdpSocket::send`] go there from now on, and what comes from elsewhere is dropped; what has come before can still be received. Nothing is sent.
    ///
    /// # Errors
    /// If the address can't be looked up, or the node has crashed.
    ///
    /// # Panics
    /// When awaited outside of a run.
    pub async fn connect<A: ToSocketAddrs>(&self, address: A) -> io::Result<()> {
        // Nothing is sent, so with the first one it succeeds.
        let peer = try_each(address, async |peer| Ok(peer)).await?;
        // An unspecified address is this node, as on Linux.
        let ip = if peer.ip().is_unspecified() { loopback_of(peer.ip()) } else { peer.ip() };
        let peer = SocketAddr::new(ip, peer.port());
        kernel::with("squall::net::UdpSocket::connect", |kernel| kernel.connect_socket(self.socket, peer))?;
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = Some(peer);
        self.is_connected.store(true, Ordering::Release);
        Ok(())
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    /// Never: a result since tokio's has one.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    /// The address that it is connected to.
    ///
    /// # Errors
    /// `NotConnected` if it isn't.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer().ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the socket isn't connected"))
    }

    #[inline]
    fn peer(&self) -> Option<SocketAddr> {
        if !self.is_connected.load(Ordering::Acquire) {
            return None;
        }
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a datagram. That it returns says nothing about whether it arrives.
    ///
    /// # Errors
    /// If it has more than 65,507 bytes; if the address can't be looked up, or no node has it.
    ///
    /// # Panics
    /// When awaited outside of a run.
    pub async fn send_to<A: ToSocketAddrs>(&self, bytes: &[u8], address: A) -> io::Result<usize> {
        let address = address.to_socket_addr()?;
        poll_fn(|context| self.poll_send_to(context, bytes, address)).await
    }

    /// Sends at once: there is always room.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`].
    ///
    /// # Panics
    /// Outside of a run.
    pub fn try_send_to(&self, bytes: &[u8], address: SocketAddr) -> io::Result<usize> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(io::Error::from_raw_os_error(MESSAGE_TOO_LONG));
        }
        kernel::with("squall::net::UdpSocket::send_to", |kernel| {
            let outgoing = Outgoing {
                from_port: self.address.port(),
                to_port: address.port(),
                tag: TAG,
                kind: Kind::Datagram,
                caller: TimerRef::default(),
                socket: self.socket,
            };
            let sender = kernel.sender_unless_in_operation(self.sender);
            kernel.send_as(sender, &address, outgoing, bytes)
        })?;
        Ok(bytes.len())
    }

    /// As [`UdpSocket::send_to`].
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`].
    ///
    /// # Panics
    /// Outside of a run.
    pub fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
        address: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        act_within_budget(context, || self.try_send_to(bytes, address))
    }

    /// Sends to the connected address.
    ///
    /// # Errors
    /// `NotConnected` if there is none; else as [`UdpSocket::send_to`].
    pub async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_send(context, bytes)).await
    }

    /// Likewise, at once.
    ///
    /// # Errors
    /// As [`UdpSocket::send`].
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        // EDESTADDRREQ, as Linux has it.
        let peer = self.peer_addr().map_err(|_| io::Error::from_raw_os_error(DESTINATION_REQUIRED))?;
        self.try_send_to(bytes, peer)
    }

    /// As [`UdpSocket::send`].
    ///
    /// # Errors
    /// As [`UdpSocket::send`].
    pub fn poll_send(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        act_within_budget(context, || self.try_send(bytes))
    }

    /// Receives a datagram; what doesn't fit is cut off. Cancel safe.
    ///
    /// # Errors
    /// If the socket is closed, as by a crash of its node.
    ///
    /// # Panics
    /// When awaited outside of a run.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut waiting = Waiting::new(self);
        let bytes = waiting.receive(buffer, false).await?;
        Ok((bytes, self.as_seen_here(waiting.from)))
    }

    /// Likewise, from the connected address.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Waiting::new(self).receive(buffer, false).await
    }

    /// Receives a datagram, and leaves it where it is.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    pub async fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut waiting = Waiting::new(self);
        let bytes = waiting.receive(buffer, true).await?;
        Ok((bytes, self.as_seen_here(waiting.from)))
    }

    /// Likewise.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Waiting::new(self).receive(buffer, true).await
    }

    /// Whose datagram is the next one, which is left where it is. Cancel safe.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    pub async fn peek_sender(&self) -> io::Result<SocketAddr> {
        Ok(self.peek_from(&mut []).await?.1)
    }

    /// As [`UdpSocket::recv_from`]. Of several that poll, the last one is woken.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    ///
    /// # Panics
    /// Outside of a run.
    pub fn poll_recv_from(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<SocketAddr>> {
        self.poll_into(context, buffer, false)
    }

    /// As [`UdpSocket::recv`]. Of several that poll, the last one is woken.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    ///
    /// # Panics
    /// Outside of a run.
    pub fn poll_recv(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_into(context, buffer, false).map(|received| received.map(|_| ()))
    }

    /// As [`UdpSocket::peek_from`]. Of several that poll, the last one is woken.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    ///
    /// # Panics
    /// Outside of a run.
    pub fn poll_peek_from(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<SocketAddr>> {
        self.poll_into(context, buffer, true)
    }

    /// As [`UdpSocket::peek`]. Of several that poll, the last one is woken.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    ///
    /// # Panics
    /// Outside of a run.
    pub fn poll_peek(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_into(context, buffer, true).map(|received| received.map(|_| ()))
    }

    /// As [`UdpSocket::peek_sender`]. Of several that poll, the last one is woken.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    ///
    /// # Panics
    /// Outside of a run.
    pub fn poll_peek_sender(&self, context: &mut Context<'_>) -> Poll<io::Result<SocketAddr>> {
        self.poll_into(context, &mut ReadBuf::new(&mut []), true)
    }

    fn poll_into(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        peeks: bool,
    ) -> Poll<io::Result<SocketAddr>> {
        within_budget(context, |context| {
            let other = kernel::other_waker(context);
            let mut waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner);
            let mut from = Origin::UNKNOWN;
            let received = self.poll_receive(&mut waiter, buffer, peeks, other, &mut from);
            received.map_ok(|_| self.as_seen_here(from))
        })
    }

    /// Waits until a datagram is there. Cancel safe.
    ///
    /// # Errors
    /// If the socket is closed.
    pub async fn readable(&self) -> io::Result<()> {
        let mut waiting = Waiting::new(self);
        let nothing = &mut ReadBuf::new(&mut []);
        // No budget of cooperative tasks is used up by that, nor with tokio.
        poll_fn(|context| waiting.poll_receive(nothing, true, kernel::other_waker(context))).await.map(|_| ())
    }

    /// As [`UdpSocket::readable`].
    ///
    /// # Errors
    /// As [`UdpSocket::readable`].
    pub fn poll_recv_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_into(context, &mut ReadBuf::new(&mut []), true).map(|received| received.map(|_| ()))
    }

    /// There is always room to send.
    ///
    /// # Errors
    /// Never.
    pub async fn writable(&self) -> io::Result<()> {
        Ok(())
    }

    /// There is always room to send.
    ///
    /// # Errors
    /// Never.
    pub fn poll_send_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Receives what is there.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is; else as [`UdpSocket::recv_from`].
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.try_receive(buffer, false)
    }

    /// Receives what is there, and leaves it where it is.
    ///
    /// # Errors
    /// As [`UdpSocket::try_recv_from`].
    pub fn try_peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.try_receive(buffer, true)
    }

    /// Likewise.
    ///
    /// # Errors
    /// As [`UdpSocket::try_recv_from`].
    pub fn try_peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.try_receive(buffer, true)?.0)
    }

    /// Whose datagram is there, which is left where it is.
    ///
    /// # Errors
    /// As [`UdpSocket::try_recv_from`].
    pub fn try_peek_sender(&self) -> io::Result<SocketAddr> {
        Ok(self.try_receive(&mut [], true)?.1)
    }

    fn try_receive(&self, buffer: &mut [u8], peeks: bool) -> io::Result<(usize, SocketAddr)> {
        let mut waiting = Waiting::new(self);
        match waiting.poll_receive(&mut ReadBuf::new(buffer), peeks, Some(Waker::noop().clone())) {
            Poll::Ready(received) => received.map(|bytes| (bytes, self.as_seen_here(waiting.from))),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Likewise.
    ///
    /// # Errors
    /// As [`UdpSocket::try_recv_from`].
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.try_recv_from(buffer)?.0)
    }

    /// A datagram's origin: a loopback one is of this socket's family.
    fn as_seen_here(&self, origin: Origin) -> SocketAddr {
        let from = origin.address();
        if !origin.is_loopback() {
            return from;
        }
        let ip = match self.address.ip() {
            own if own.is_loopback() => own,
            own => loopback_of(own),
        };
        SocketAddr::new(ip, from.port())
    }

    /// How many bytes were received. Whose they are is put beside that: what fits into two registers is moved by nobody.
    fn poll_receive(
        &self,
        waiter: &mut Option<NonZeroU64>,
        buffer: &mut ReadBuf<'_>,
        peeks: bool,
        other: Option<Waker>,
        from: &mut Origin,
    ) -> Poll<io::Result<usize>> {
        const WHAT: &str = "receiving from a squall::net::UdpSocket";
        // Apart from what follows: the waker isn't dropped where the run's state is taken, as that is user code.
        if peeks
            && let Some((bytes, origin)) = kernel::with(WHAT, |kernel| kernel.peek_datagram(self.socket, TAG, buffer))
        {
            *from = origin;
            buffer.advance(bytes);
            return Poll::Ready(Ok(bytes));
        }
        let received = kernel::with(WHAT, |kernel| {
            let index = ready!(kernel.poll_receive(self.socket, TAG, Wakes::All, waiter, other))?;
            // What isn't received isn't written: who polls by large buffers has them anew each time, and not initialised.
            let bytes = kernel.datagram_bytes(index).min(buffer.remaining());
            let (bytes, origin) = kernel.take_datagram(index, buffer.initialize_unfilled_to(bytes));
            *from = origin;
            Poll::Ready(Ok(bytes))
        });
        if let Poll::Ready(Ok(bytes)) = received {
            buffer.advance(bytes);
        }
        received
    }

    option!(bool, broadcast, set_broadcast, has_broadcast, "Nothing depends on it: there is no broadcast address.");
    option!(u32, ttl, set_ttl, time_to_live, "Nothing depends on it.");
    option!(u32, tos_v4, set_tos_v4, service_type, "Nothing depends on it.");
    option_v6!(u32, tclass_v6, set_tclass_v6, traffic_class, "Nothing depends on it.");
    option!(
        bool,
        multicast_loop_v4,
        set_multicast_loop_v4,
        loops_multicast_v4,
        "Nothing depends on it: there is no multicast."
    );
    option_v6!(
        bool,
        multicast_loop_v6,
        set_multicast_loop_v6,
        loops_multicast_v6,
        "Nothing depends on it: there is no multicast."
    );
    option!(
        u32,
        multicast_ttl_v4,
        set_multicast_ttl_v4,
        multicast_time_to_live,
        "Nothing depends on it: there is no multicast."
    );

    /// As [`UdpSocket::tos_v4`].
    ///
    /// # Errors
    /// Never.
    #[deprecated = "it is named `tos_v4` now"]
    #[doc(hidden)]
    pub fn tos(&self) -> io::Result<u32> {
        self.tos_v4()
    }

    /// As [`UdpSocket::set_tos_v4`].
    ///
    /// # Errors
    /// Never.
    #[deprecated = "it is named `set_tos_v4` now"]
    #[doc(hidden)]
    pub fn set_tos(&self, value: u32) -> io::Result<()> {
        self.set_tos_v4(value)
    }

    /// There is no multicast here.
    ///
    /// # Errors
    /// Always: `Unsupported`.
    pub fn join_multicast_v4(&self, _: Ipv4Addr, _: Ipv4Addr) -> io::Result<()> {
        Err(no_multicast())
    }

    /// There is no multicast here.
    ///
    /// # Errors
    /// Always: `Unsupported`.
    pub fn join_multicast_v6(&self, _: &Ipv6Addr, _: u32) -> io::Result<()> {
        Err(no_multicast())
    }

    /// There is no multicast here.
    ///
    /// # Errors
    /// Always: `Unsupported`.
    pub fn leave_multicast_v4(&self, _: Ipv4Addr, _: Ipv4Addr) -> io::Result<()> {
        Err(no_multicast())
    }

    /// There is no multicast here.
    ///
    /// # Errors
    /// Always: `Unsupported`.
    pub fn leave_multicast_v6(&self, _: &Ipv6Addr, _: u32) -> io::Result<()> {
        Err(no_multicast())
    }

    /// Nobody has told it of an error.
    ///
    /// # Errors
    /// Never.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }
}

fn no_multicast() -> io::Error {
    let message = "the simulated network has no multicast: send to each node by itself";
    io::Error::new(io::ErrorKind::Unsupported, message)
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let _ = kernel::try_with(|kernel| kernel.close(self.socket));
    }
}

const fn is_send_and_sync<T: Send + Sync>() {}
const _: () = is_send_and_sync::<UdpSocket>();
