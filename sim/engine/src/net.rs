//! The network, as nodes use it: [`TcpListener`], [`TcpStream`] and [`UdpSocket`] with tokio's names and traits, and datagrams with madsim's
//! [`Endpoint`].
//!
//! A message of an endpoint carries a tag; who receives names the tag that it waits for. Nothing tells a sender what became of a message:
//! it is lost, stopped or delivered as the network decides. What streams send arrives in order, or their connection breaks: see [`TcpStream`].

mod stream;
mod udp;

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::kernel::{self, Kernel, TimerRef};
use crate::network::{ArrivedCall, Kind, Outgoing, SocketRef, Wakes};
use crate::payload::Payload;

pub use stream::{TcpListener, TcpSocket, TcpStream};
pub use tcp::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use udp::UdpSocket;

/// The halves of a [`TcpStream`], where tokio has them.
pub mod tcp {
    pub use super::stream::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
}

/// What can be turned into an address: a `SocketAddr`, `(ip, port)`, `(name, port)`, or text such as `"store-0:80"` or
/// `"10.0.0.1:80"`. A slice holds several: who connects or binds tries one after the other.
pub trait ToSocketAddrs {
    /// Looks the address up: the first one, if there are several.
    ///
    /// # Errors
    /// If the text is no address, or no node has the name.
    fn to_socket_addr(&self) -> io::Result<SocketAddr>;

    /// Looks all its addresses up, in the order in which they are to be tried. Text and names have one each, a slice has several or none.
    ///
    /// # Errors
    /// If the text is no address, or no node has the name.
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.to_socket_addr().map(|address| vec![address])
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any address")
}

/// What `attempt` gives with the first of the addresses with which it does; else why it doesn't with the last one, as tokio has it. Nothing, where a crash has overtaken who asks.
async fn try_each<T>(
    address: impl ToSocketAddrs,
    mut attempt: impl AsyncFnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    if kernel::try_with(|kernel| kernel.waits_for_ever()) == Some(true) {
        return std::future::pending().await;
    }
    let mut last = no_address();
    for address in address.to_socket_addrs()? {
        match attempt(address).await {
            Ok(done) => return Ok(done),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl ToSocketAddrs for SocketAddr {
    #[inline]
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        Ok(*self)
    }
}

impl ToSocketAddrs for std::net::SocketAddrV4 {
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::V4(*self))
    }
}

impl ToSocketAddrs for std::net::SocketAddrV6 {
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::V6(*self))
    }
}

impl ToSocketAddrs for (std::net::Ipv4Addr, u16) {
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(IpAddr::V4(self.0), self.1))
    }
}

impl ToSocketAddrs for (std::net::Ipv6Addr, u16) {
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(IpAddr::V6(self.0), self.1))
    }
}

impl ToSocketAddrs for [SocketAddr] {
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        self.first().copied().ok_or_else(no_address)
    }

    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(self.to_vec())
    }
}

impl<const COUNT: usize> ToSocketAddrs for [SocketAddr; COUNT] {
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        self.as_slice().to_socket_addr()
    }

    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.as_slice().to_socket_addrs()
    }
}

impl ToSocketAddrs for Vec<SocketAddr> {
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        self.as_slice().to_socket_addr()
    }

    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.as_slice().to_socket_addrs()
    }
}

/// Looks a host up, such as `"store-0:80"`: the names of nodes are known, and nothing else. It takes no time and can't fail by the weather.
///
/// # Errors
/// As [`ToSocketAddrs::to_socket_addrs`].
///
/// # Panics
/// Outside of a run, if it is to look a name up.
pub async fn lookup_host<T: ToSocketAddrs>(host: T) -> io::Result<impl Iterator<Item = SocketAddr>> {
    host.to_socket_addrs().map(Vec::into_iter)
}

impl ToSocketAddrs for (IpAddr, u16) {
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(self.0, self.1))
    }
}

impl ToSocketAddrs for (&str, u16) {
    #[track_caller]
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        let (name, port) = *self;
        let may_be_ip = name.contains(':') || name.starts_with(|first: char| first.is_ascii_digit());
        if may_be_ip && let Ok(address) = name.parse() {
            return Ok(SocketAddr::new(address, port));
        }
        if name == "localhost" {
            return Ok(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port));
        }
        kernel::with("looking a node up by name", |kernel| {
            let node = kernel.node_by_name(name)?;
            Some(SocketAddr::new(kernel.nodes[node.index()].address, port))
        })
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no node is named {name:?}")))
    }
}

impl ToSocketAddrs for (String, u16) {
    #[track_caller]
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        (self.0.as_str(), self.1).to_socket_addr()
    }
}

impl ToSocketAddrs for str {
    #[track_caller]
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        if let Ok(address) = self.parse() {
            return Ok(address);
        }
        let parsed = self.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)));
        match parsed {
            Some((name, port)) => (name, port).to_socket_addr(),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("expected an address such as \"store-0:80\" or \"10.0.0.1:80\", found {self:?}"),
            )),
        }
    }
}

impl ToSocketAddrs for String {
    #[track_caller]
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        self.as_str().to_socket_addr()
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    #[track_caller]
    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        (**self).to_socket_addr()
    }

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        (**self).to_socket_addrs()
    }
}

/// A socket of datagrams. Cloning it gives another handle to the same socket, which is closed with the last one.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(crate) socket: SocketRef,
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

/// What all handles of a socket share. What each message needs lies in the handle itself.
#[derive(Debug)]
struct Shared {
    socket: SocketRef,
    address: SocketAddr,
    peer: Option<SocketAddr>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = kernel::try_with(|kernel| kernel.close(self.socket));
    }
}

impl Endpoint {
    /// Binds a socket on the running node. `"0.0.0.0:0"` takes a free port.
    ///
    /// # Errors
    /// `AddrInUse` if the port is bound, `AddrNotAvailable` if the address is another node's, `NotConnected` in a
    /// destructor of a crashed node.
    ///
    /// # Panics
    /// Outside of a run.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> std::future::Ready<io::Result<Endpoint>> {
        std::future::ready(address.to_socket_addr().and_then(|address| Endpoint::bind_now(address, None)))
    }

    /// Binds a free port and remembers `address` for [`Endpoint::send`] and [`Endpoint::recv`]. Nothing is sent.
    ///
    /// # Errors
    /// As [`Endpoint::bind`], and if the address can't be looked up.
    ///
    /// # Panics
    /// Outside of a run.
    pub async fn connect(address: impl ToSocketAddrs) -> io::Result<Endpoint> {
        let peer = address.to_socket_addr()?;
        let any = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
        Endpoint::bind_now(any, Some(peer))
    }

    #[track_caller]
    fn bind_now(address: SocketAddr, peer: Option<SocketAddr>) -> io::Result<Endpoint> {
        let (socket, address) = kernel::with("squall::net::Endpoint::bind", |kernel| kernel.bind(address))?;
        Ok(Endpoint { socket, port: address.port(), shared: Arc::new(Shared { socket, address, peer }) })
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    /// Never: a result since madsim's has one.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.shared.address)
    }

    /// The address that it is connected to.
    ///
    /// # Errors
    /// `NotConnected` if it isn't.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.peer.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the endpoint isn't connected"))
    }

    /// Sends `bytes` to `address` under `tag`. That it returns says nothing about whether they arrive.
    ///
    /// # Errors
    /// If the address can't be looked up, or no node has it.
    ///
    /// # Panics
    /// Outside of a run.
    #[inline]
    pub fn send_to(&self, address: impl ToSocketAddrs, tag: u64, bytes: &[u8]) -> std::future::Ready<io::Result<()>> {
        let to = match address.to_socket_addr() {
            Ok(to) => to,
            Err(error) => return std::future::ready(Err(error)),
        };
        std::future::ready(kernel::with("squall::net::Endpoint::send_to", |kernel| {
            let outgoing = Outgoing {
                from_port: self.port,
                to_port: to.port(),
                tag,
                kind: Kind::Datagram,
                caller: TimerRef::default(),
                socket: self.socket,
            };
            kernel.send(&to, outgoing, bytes)
        }))
    }

    /// Receives the next message under `tag` into `buffer`; what doesn't fit is cut off. Gives its length (at most the
    /// buffer's) and where it came from. Cancel safe.
    ///
    /// # Errors
    /// If the socket is closed.
    ///
    /// # Panics
    /// When awaited outside of a run.
    pub fn recv_from<'b>(&'b self, tag: u64, buffer: &'b mut [u8]) -> RecvFrom<'b> {
        RecvFrom { receive: self.receive(tag), buffer }
    }

    /// Sends to the connected address.
    ///
    /// # Errors
    /// `NotConnected` if there is none; else as [`Endpoint::send_to`].
    pub async fn send(&self, tag: u64, bytes: &[u8]) -> io::Result<()> {
        self.send_to(self.peer_addr()?, tag, bytes).await
    }

    /// Receives from the connected address; messages from elsewhere are dropped.
    ///
    /// # Errors
    /// `NotConnected` if there is none; else as [`Endpoint::recv_from`].
    pub async fn recv(&self, tag: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let peer = self.peer_addr()?;
        loop {
            let (length, from) = self.recv_from(tag, buffer).await?;
            if from == peer {
                return Ok(length);
            }
        }
    }

    fn receive(&self, tag: u64) -> Receive<'_> {
        Receive { socket: self.socket, tag, waiter: None, endpoint: PhantomData }
    }

    /// Receives the next call of a method.
    pub(crate) fn receive_call(&self, tag: u64) -> ReceiveCall<'_> {
        ReceiveCall { receive: self.receive(tag) }
    }
}

/// Waits for a message.
#[derive(Debug)]
struct Receive<'e> {
    socket: SocketRef,
    tag: u64,
    /// The number under which it waits.
    waiter: Option<NonZeroU64>,
    /// The socket must live as long.
    endpoint: PhantomData<&'e Endpoint>,
}

impl Receive<'_> {
    /// The number of the message, once it is there.
    #[inline]
    fn poll(&mut self, kernel: &mut Kernel, other: Option<Waker>) -> Poll<io::Result<u32>> {
        kernel.poll_receive(self.socket, self.tag, Wakes::One, &mut self.waiter, other)
    }
}

impl Drop for Receive<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.waiter.take() {
            let _ = kernel::try_with(|kernel| kernel.stop_waiting(self.socket, self.tag, id));
        }
    }
}

/// See [`Endpoint::recv_from`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct RecvFrom<'e> {
    receive: Receive<'e>,
    buffer: &'e mut [u8],
}

impl Future for RecvFrom<'_> {
    type Output = io::Result<(usize, SocketAddr)>;

    // In line in the program's future, so that what it gives stays in registers.
    #[inline(always)]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let other = kernel::other_waker(context);
        let received = kernel::with("squall::net::Endpoint::recv_from", |kernel| {
            this.receive
                .poll(kernel, other)
                .map(|received| received.map(|index| kernel.take_datagram(index, this.buffer)))
        });
        received.map(|received| received.map(|(length, origin)| (length, origin.address())))
    }
}

/// See [`Endpoint::receive_call`].
pub(crate) struct ReceiveCall<'e> {
    receive: Receive<'e>,
}

impl Future for ReceiveCall<'_> {
    /// `None`: a plain datagram came under the method's tag.
    type Output = io::Result<Option<(Payload, ArrivedCall)>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let other = kernel::other_waker(context);
        kernel::with("an rpc handler", |kernel| {
            this.receive.poll(kernel, other).map(|received| received.map(|index| kernel.take_call(index)))
        })
    }
}

const fn is_send_and_sync<T: Send + Sync>() {}
const _: () = is_send_and_sync::<Endpoint>();
