//! Programs that use the network, as anybody would write them for tokio. Each tells what it saw.
//!
//! This file is compiled twice: `super` has the names of Squall, and those of tokio.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, ReadBuf};

use super::net::{TcpListener, TcpSocket, TcpStream, UdpSocket, lookup_host};
use super::{spawn, time};

pub type Seen = Vec<String>;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Long enough for all that is under way to arrive.
async fn settle() {
    time::sleep(ms(30)).await;
}

fn kind<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_string(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connecting = spawn(async move { TcpStream::connect(address).await.unwrap() });
    let (accepted, _) = listener.accept().await.unwrap();
    (connecting.await.unwrap(), accepted)
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes).await {
        Ok(_) => format!("{} then the end", String::from_utf8_lossy(&bytes)),
        Err(error) => format!("{} then {:?}", String::from_utf8_lossy(&bytes), error.kind()),
    }
}

/// What a poll gives with a waker that wakes nobody: nothing, if it waits.
fn poll_once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>) -> Option<String> {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(kind(result)),
        Poll::Pending => None,
    }
}

/// Whether it receives three bytes as they come. Where nobody wakes it, the timeout does.
async fn receives_three_bytes(socket: Arc<UdpSocket>) -> bool {
    let begun = time::Instant::now();
    let received = time::timeout(ms(1_000), socket.recv_from(&mut [0; 4])).await;
    received.is_ok_and(|received| received.unwrap().0 == 3) && begun.elapsed() < ms(1_000)
}

/// A socket that says whether it shares its port, and what comes of binding it.
fn bound(address: SocketAddr, shares: bool) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(shares).unwrap();
    socket.bind(address).map(|()| socket)
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

macro_rules! seen {
    ($($seen:expr),* $(,)?) => { vec![$(format!("{:?}", $seen)),*] };
}

/// Not one of those that see the same.
async fn connects_to_its_own_port() -> Seen {
    let socket = bound(any_port(), false).unwrap();
    let own = socket.local_addr().unwrap();
    match socket.connect(own).await {
        Ok(stream) => seen![stream.peer_addr().unwrap() == stream.local_addr().unwrap()],
        Err(error) => seen![error.kind()],
    }
}

macro_rules! bodies {
    ($($(#[$doc:meta])* async fn $name:ident() $body:block)*) => {
        $($(#[$doc])* pub async fn $name() -> Seen $body)*

        /// All of them, by name.
        #[allow(dead_code)]
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];

        pub async fn run(name: &str) -> Seen {
            match name {
                $(stringify!($name) => $name().await,)*
                "connects_to_its_own_port" => connects_to_its_own_port().await,
                _ => panic!("there is no body named {name}"),
            }
        }
    };
}

bodies! {
    // --- addresses ----------------------------------------------------------------------------------------------------

    async fn ends_know_each_others_addresses() {
        let (client, server) = pair().await;
        seen![
            client.local_addr().unwrap() == server.peer_addr().unwrap(),
            server.local_addr().unwrap() == client.peer_addr().unwrap(),
            client.local_addr().unwrap() != server.local_addr().unwrap(),
            client.peer_addr().unwrap().ip(),
            server.peer_addr().unwrap().ip(),
        ]
    }

    async fn accept_tells_who_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (server, from) = listener.accept().await.unwrap();
        seen![from == client.local_addr().unwrap(), from == server.peer_addr().unwrap()]
    }

    async fn a_listener_knows_its_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let any = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        seen![address.ip(), address.port() != 0, any.local_addr().unwrap().ip()]
    }

    async fn what_listens_everywhere_is_reached_by_loopback() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        seen![client.peer_addr().unwrap().ip(), server.local_addr().unwrap() == client.peer_addr().unwrap()]
    }

    async fn an_unspecified_address_is_this_machine() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        seen![client.peer_addr().unwrap().ip()]
    }

    async fn free_ports_differ() {
        let one = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
        seen![first.local_addr().unwrap() != second.local_addr().unwrap(), one.port() > 0]
    }

    async fn addresses_come_in_many_forms() {
        let listener = TcpListener::bind::<(Ipv4Addr, u16)>((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let SocketAddr::V4(v4) = address else { panic!("{address}") };
        let mut seen = Vec::new();
        seen.push(kind(TcpStream::connect::<SocketAddr>(address).await));
        seen.push(kind(TcpStream::connect(v4).await));
        seen.push(kind(TcpStream::connect(("127.0.0.1", address.port())).await));
        seen.push(kind(TcpStream::connect(("localhost".to_string(), address.port())).await));
        seen.push(kind(TcpStream::connect(format!("127.0.0.1:{}", address.port())).await));
        seen.push(kind(TcpStream::connect(format!("localhost:{}", address.port()).as_str()).await));
        seen.push(kind(TcpStream::connect(&[address][..]).await));
        seen.push(kind(TcpStream::connect((IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())).await));
        seen
    }

    async fn text_that_is_no_address_is_refused() {
        seen![
            kind(TcpStream::connect("nonsense").await),
            kind(TcpStream::connect("127.0.0.1:notaport").await),
            kind(TcpListener::bind("127.0.0.1").await),
            kind(TcpStream::connect(&[][..]).await),
        ]
    }

    async fn each_address_is_tried() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (open, any) = (listener.local_addr().unwrap(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let elsewhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 0));
        let stream = TcpStream::connect(&[gone, open][..]).await.unwrap();
        let bound = TcpListener::bind(&[open, elsewhere, any][..]).await.unwrap().local_addr().unwrap();
        let datagrams = UdpSocket::bind(&[elsewhere, any][..]).await.unwrap();
        let taken = datagrams.local_addr().unwrap();
        datagrams.connect(&[open, gone][..]).await.unwrap();
        seen![
            stream.peer_addr().unwrap() == open,
            kind(TcpStream::connect(&[open, gone][..]).await),
            kind(TcpStream::connect(&[gone, gone][..]).await),
            bound != open && bound.ip() == open.ip(),
            kind(TcpListener::bind(&[elsewhere, open][..]).await),
            kind(TcpListener::bind(&[open, elsewhere][..]).await),
            kind(TcpListener::bind(&[][..]).await),
            taken.ip(),
            kind(UdpSocket::bind(&[elsewhere, taken][..]).await),
            kind(UdpSocket::bind(&[taken, elsewhere][..]).await),
            kind(UdpSocket::bind(&[][..]).await),
            datagrams.peer_addr().unwrap() == open,
            kind(datagrams.connect(&[][..]).await),
            lookup_host(&[gone, open][..]).await.unwrap().collect::<Vec<_>>() == [gone, open],
            lookup_host(&[][..]).await.unwrap().count(),
        ]
    }

    async fn an_address_is_looked_up() {
        let found: Vec<SocketAddr> = lookup_host::<&str>("127.0.0.1:80").await.unwrap().collect();
        let local = lookup_host("localhost:81").await.unwrap().find(SocketAddr::is_ipv4);
        seen![found, local]
    }

    // --- binding ------------------------------------------------------------------------------------------------------

    async fn a_port_is_listened_on_once() {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = first.local_addr().unwrap();
        let second = kind(TcpListener::bind(address).await);
        drop(first);
        seen![second, kind(TcpListener::bind(address).await)]
    }

    async fn another_machines_address_cant_be_bound() {
        seen![
            kind(TcpListener::bind("192.0.2.1:0").await),
            kind(UdpSocket::bind("192.0.2.1:0").await),
        ]
    }

    async fn tcp_and_udp_have_ports_of_their_own() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let udp = UdpSocket::bind(tcp.local_addr().unwrap()).await;
        seen![kind(udp)]
    }

    async fn a_bound_socket_keeps_its_port() {
        let socket = bound(any_port(), false).unwrap();
        let address = socket.local_addr().unwrap();
        let meanwhile = [
            kind(TcpListener::bind(address).await),
            kind(bound(address, false)),
            kind(bound(address, true)),
            kind(UdpSocket::bind(address).await),
            kind(TcpStream::connect(address).await),
        ];
        drop(socket);
        seen![meanwhile, kind(bound(address, false)), kind(TcpListener::bind(address).await)]
    }

    async fn a_socket_is_bound_once() {
        let socket = bound(any_port(), true).unwrap();
        let again = kind(socket.bind(any_port()));
        seen![again, kind(socket.listen(1))]
    }

    async fn sockets_share_a_port_until_one_listens() {
        let first = bound(any_port(), true).unwrap();
        let address = first.local_addr().unwrap();
        let second = bound(address, true).unwrap();
        let alone = kind(bound(address, false));
        let listens_meanwhile = kind(TcpListener::bind(address).await);
        let listener = first.listen(8).unwrap();
        let beside_a_listener = [kind(bound(address, true)), kind(TcpListener::bind(address).await), kind(second.listen(8))];
        let client = kind(TcpStream::connect(address).await);
        drop(listener);
        seen![alone, listens_meanwhile, beside_a_listener, client]
    }

    async fn a_listener_takes_the_port_of_its_socket_over() {
        let listener = bound(any_port(), false).unwrap().listen(8).unwrap();
        let address = listener.local_addr().unwrap();
        let meanwhile = [kind(TcpListener::bind(address).await), kind(bound(address, true))];
        drop(listener);
        seen![meanwhile, kind(TcpListener::bind(address).await)]
    }

    async fn a_connection_takes_the_port_of_its_socket_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = bound(any_port(), false).unwrap();
        let address = socket.local_addr().unwrap();
        let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let meanwhile = [kind(TcpListener::bind(address).await), kind(bound(address, false)), kind(bound(address, true))];
        // Without it Linux keeps the port for a minute.
        client.set_zero_linger().unwrap();
        drop(client);
        seen![meanwhile, kind(bound(address, false)), kind(TcpListener::bind(address).await)]
    }

    async fn connecting_in_vain_gives_the_port_back() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let socket = bound(any_port(), false).unwrap();
        let address = socket.local_addr().unwrap();
        seen![kind(socket.connect(gone).await), kind(bound(address, false))]
    }

    async fn the_port_of_a_connection_isnt_listened_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let address = client.local_addr().unwrap();
        seen![kind(TcpListener::bind(address).await), kind(bound(address, true)), kind(bound(address, false))]
    }

    async fn a_port_is_listened_on_again_while_its_connections_go_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        drop(listener);
        let binding = [kind(bound(address, false)), kind(bound(address, true)), kind(TcpListener::bind(address).await)];
        drop(client);
        seen![binding, read_all(&mut server).await]
    }

    async fn a_listener_that_shares_no_port_leaves_it_to_its_connections() {
        let listener = bound(any_port(), false).unwrap().listen(8).unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        let (_server, _) = listener.accept().await.unwrap();
        drop(listener);
        seen![kind(TcpListener::bind(address).await), kind(bound(address, true))]
    }

    async fn connections_go_from_one_port_to_several_addresses() {
        let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sockets = [(); 3].map(|()| TcpSocket::new_v4().unwrap());
        let mut address = any_port();
        for socket in &sockets {
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            address = socket.local_addr().unwrap();
        }
        let [first, second, third] = sockets;
        let first = first.connect(one.local_addr().unwrap()).await;
        let second = second.connect(other.local_addr().unwrap()).await;
        let third = third.connect(one.local_addr().unwrap()).await;
        let meanwhile = [kind(TcpListener::bind(address).await), kind(bound(address, false))];
        seen![kind(first), kind(second), kind(third), meanwhile]
    }

    // --- connecting ---------------------------------------------------------------------------------------------------

    async fn nobody_listens() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        seen![kind(TcpStream::connect(address).await)]
    }

    async fn a_listener_that_is_gone_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        drop(listener);
        let refused = kind(TcpStream::connect(address).await);
        // What was accepted goes on.
        server.write_all(b"still here").await.unwrap();
        drop(server);
        seen![refused, read_all(&mut client).await]
    }

    async fn connections_nobody_accepted_are_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        settle().await;
        drop(listener);
        seen![read_all(&mut client).await]
    }

    async fn connecting_needs_nobody_to_accept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"early").await.unwrap();
        drop(client);
        settle().await;
        let (mut server, _) = listener.accept().await.unwrap();
        seen![read_all(&mut server).await]
    }

    async fn connections_are_accepted_in_their_order() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut order = Vec::new();
        for number in 0..5u8 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(&[number]).await.unwrap();
            settle().await;
        }
        for _ in 0..5 {
            order.push(listener.accept().await.unwrap().0.read_u8().await.unwrap());
        }
        seen![order]
    }

    async fn waiting_to_accept_can_be_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let given_up = time::timeout(ms(10), listener.accept()).await.is_err();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_, from) = listener.accept().await.unwrap();
        seen![given_up, from == client.local_addr().unwrap()]
    }

    async fn two_tasks_accept() {
        let listener = std::sync::Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let accepting: Vec<_> = (0..2)
            .map(|_| {
                let listener = std::sync::Arc::clone(&listener);
                spawn(async move { listener.accept().await.unwrap().1 })
            })
            .collect();
        let one = TcpStream::connect(address).await.unwrap();
        let other = TcpStream::connect(address).await.unwrap();
        let mut accepted = Vec::new();
        for accepting in accepting {
            accepted.push(accepting.await.unwrap());
        }
        accepted.sort_by_key(|address| *address != one.local_addr().unwrap());
        seen![accepted[0] == one.local_addr().unwrap(), accepted[1] == other.local_addr().unwrap()]
    }

    async fn a_socket_is_bound_before_it_connects() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let bound = socket.local_addr().unwrap();
        let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (_, from) = listener.accept().await.unwrap();
        seen![client.local_addr().unwrap() == bound, from == bound]
    }

    async fn a_socket_listens() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(8).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_, from) = listener.accept().await.unwrap();
        seen![from == client.local_addr().unwrap()]
    }

    // --- bytes --------------------------------------------------------------------------------------------------------

    async fn bytes_come_back() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"ping").await.unwrap();
        let mut bytes = [0; 4];
        server.read_exact(&mut bytes).await.unwrap();
        server.write_all(&bytes).await.unwrap();
        let mut back = [0; 4];
        client.read_exact(&mut back).await.unwrap();
        seen![back]
    }

    async fn writes_arrive_as_one_stream() {
        let (mut client, mut server) = pair().await;
        for piece in [&b"on"[..], b"e st", b"ream"] {
            client.write_all(piece).await.unwrap();
        }
        settle().await;
        let mut bytes = [0; 64];
        let first = server.read(&mut bytes).await.unwrap();
        seen![String::from_utf8_lossy(&bytes[..first])]
    }

    async fn a_small_buffer_takes_what_fits() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"abcdefgh").await.unwrap();
        settle().await;
        let mut bytes = [0; 3];
        let mut pieces = Vec::new();
        for _ in 0..3 {
            let read = server.read(&mut bytes).await.unwrap();
            pieces.push(String::from_utf8_lossy(&bytes[..read]).into_owned());
        }
        seen![pieces]
    }

    async fn nothing_can_be_read_into_nothing() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"x").await.unwrap();
        settle().await;
        seen![server.read(&mut []).await.unwrap(), server.read_u8().await.unwrap()]
    }

    async fn nothing_can_be_written() {
        let (mut client, mut server) = pair().await;
        let written = client.write(&[]).await.unwrap();
        drop(client);
        seen![written, read_all(&mut server).await]
    }

    async fn numbers_are_written_and_read() {
        let (mut client, mut server) = pair().await;
        client.write_u32(7).await.unwrap();
        client.write_u64_le(1 << 40).await.unwrap();
        seen![server.read_u32().await.unwrap(), server.read_u64_le().await.unwrap()]
    }

    async fn an_end_in_the_midst_of_what_is_wanted() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"abc").await.unwrap();
        drop(client);
        let mut bytes = [0; 5];
        seen![kind(server.read_exact(&mut bytes).await)]
    }

    async fn lines_are_read() {
        let (mut client, server) = pair().await;
        client.write_all(b"one\ntwo\r\nthree").await.unwrap();
        drop(client);
        let mut lines = BufReader::new(server).lines();
        let mut read = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            read.push(line);
        }
        seen![read]
    }

    async fn several_slices_are_one_write() {
        let (mut client, mut server) = pair().await;
        let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        let written = client.write_vectored(&slices).await.unwrap();
        drop(client);
        seen![written, read_all(&mut server).await]
    }

    async fn several_buffers_are_one_read() {
        let (mut client, server) = pair().await;
        client.write_all(b"abcde").await.unwrap();
        server.readable().await.unwrap();
        let (mut one, mut other) = ([0; 2], [0; 8]);
        let read = server.try_read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)]).unwrap();
        seen![read, one, other]
    }

    async fn a_large_transfer_is_whole() {
        let (mut client, mut server) = pair().await;
        let writing = spawn(async move {
            for number in 0..40_000u32 {
                client.write_u32(number).await.unwrap();
            }
            let block: Vec<u8> = (0..1_000_000u32).map(|byte| (byte % 251) as u8).collect();
            client.write_all(&block).await.unwrap();
        });
        let mut bytes = Vec::new();
        server.read_to_end(&mut bytes).await.unwrap();
        writing.await.unwrap();
        let sum = bytes.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        seen![bytes.len(), sum]
    }

    async fn both_ways_at_once() {
        let (client, server) = pair().await;
        let run = |stream: TcpStream| async move {
            let (mut reader, mut writer) = stream.into_split();
            let writing = spawn(async move {
                writer.write_all(&vec![7; 300_000]).await.unwrap();
                writer.shutdown().await.unwrap();
            });
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).await.unwrap();
            writing.await.unwrap();
            bytes.len()
        };
        let (one, other) = (spawn(run(client)), spawn(run(server)));
        seen![one.await.unwrap(), other.await.unwrap()]
    }

    async fn a_stream_is_copied() {
        let (mut client, server) = pair().await;
        let (back, mut end) = pair().await;
        let copying = spawn(async move {
            let (mut from, mut to) = (server, back);
            let copied = tokio::io::copy(&mut from, &mut to).await.unwrap();
            to.shutdown().await.unwrap();
            copied
        });
        client.write_all(b"over two connections").await.unwrap();
        drop(client);
        seen![read_all(&mut end).await, copying.await.unwrap()]
    }

    async fn a_proxy_copies_both_ways() {
        let (mut client, mut inner) = pair().await;
        let (mut outer, mut server) = pair().await;
        let proxy = spawn(async move { tokio::io::copy_bidirectional(&mut inner, &mut outer).await.unwrap() });
        client.write_all(b"question").await.unwrap();
        let mut question = [0; 8];
        server.read_exact(&mut question).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let answer = read_all(&mut client).await;
        drop(client);
        seen![String::from_utf8_lossy(&question), answer, proxy.await.unwrap()]
    }

    async fn a_read_that_is_given_up_loses_nothing() {
        let (mut client, mut server) = pair().await;
        let mut bytes = [0; 8];
        let given_up = time::timeout(ms(10), server.read(&mut bytes)).await.is_err();
        client.write_all(b"late").await.unwrap();
        let read = server.read(&mut bytes).await.unwrap();
        seen![given_up, String::from_utf8_lossy(&bytes[..read])]
    }

    async fn many_connections_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = spawn(async move {
            for _ in 0..40 {
                let (mut stream, _) = listener.accept().await.unwrap();
                spawn(async move {
                    let number = stream.read_u32().await.unwrap();
                    stream.write_u32(number * 2).await.unwrap();
                });
            }
        });
        let asking: Vec<_> = (0..40u32)
            .map(|number| {
                spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    stream.write_u32(number).await.unwrap();
                    stream.read_u32().await.unwrap()
                })
            })
            .collect();
        let mut answers = Vec::new();
        for asking in asking {
            answers.push(asking.await.unwrap());
        }
        serving.await.unwrap();
        seen![answers]
    }

    // --- the window ---------------------------------------------------------------------------------------------------

    async fn a_writer_waits_for_a_reader_that_sleeps() {
        let (mut client, mut server) = pair().await;
        let bytes = vec![1u8; 32 << 20];
        let waits = time::timeout(ms(100), client.write_all(&bytes)).await.is_err();
        let reading = spawn(async move {
            let mut read = 0;
            let mut buffer = vec![0; 1 << 16];
            loop {
                match server.read(&mut buffer).await.unwrap() {
                    0 => return read,
                    bytes => read += bytes,
                }
            }
        });
        let rest = client.write_all(&bytes[..1 << 20]).await;
        drop(client);
        seen![waits, kind(rest), reading.await.unwrap() > 1 << 20]
    }

    async fn a_full_window_would_block() {
        let (client, mut server) = pair().await;
        let block = vec![0; 1 << 16];
        let mut written = 0;
        let full = loop {
            match client.try_write(&block) {
                Ok(bytes) => written += bytes,
                Err(error) => {
                    // What is under way may still make room.
                    settle().await;
                    if client.try_write(&block).map(|bytes| written += bytes).is_err() {
                        break error.kind();
                    }
                }
            }
        };
        let waits = time::timeout(ms(10), client.writable()).await.is_err();
        let mut left = written;
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            left -= server.read(&mut buffer).await.unwrap();
        }
        client.writable().await.unwrap();
        seen![full, waits, written > 0, kind(client.try_write(b"again"))]
    }

    // --- the end ------------------------------------------------------------------------------------------------------

    async fn the_end_comes_after_the_bytes() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"all of it").await.unwrap();
        drop(client);
        let first = read_all(&mut server).await;
        seen![first, server.read(&mut [0; 4]).await.unwrap(), server.read(&mut [0; 4]).await.unwrap()]
    }

    async fn half_closed_still_reads() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let question = read_all(&mut server).await;
        server.write_all(b"answer").await.unwrap();
        drop(server);
        seen![question, read_all(&mut client).await]
    }

    async fn nothing_is_written_after_a_shutdown() {
        let (mut client, _server) = pair().await;
        client.shutdown().await.unwrap();
        let again = client.shutdown().await;
        seen![kind(again), kind(client.write(b"x").await)]
    }

    async fn an_end_with_unread_bytes_resets() {
        let (mut client, server) = pair().await;
        client.write_all(b"never read").await.unwrap();
        settle().await;
        drop(server);
        settle().await;
        seen![read_all(&mut client).await, kind(client.write(b"x").await)]
    }

    async fn writing_to_an_end_that_is_gone() {
        let (mut client, server) = pair().await;
        drop(server);
        settle().await;
        let first = kind(client.write(b"x").await);
        settle().await;
        let second = kind(client.write(b"y").await);
        let third = kind(client.write(b"z").await);
        seen![first, second, third, read_all(&mut client).await]
    }

    async fn writing_to_an_end_that_is_gone_before_it_is_read() {
        let (mut client, server) = pair().await;
        drop(server);
        settle().await;
        client.write_all(b"x").await.unwrap();
        settle().await;
        seen![read_all(&mut client).await]
    }

    async fn without_linger_it_is_reset() {
        let (client, mut server) = pair().await;
        client.set_zero_linger().unwrap();
        drop(client);
        settle().await;
        let first = read_all(&mut server).await;
        let then = read_all(&mut server).await;
        seen![first, then, kind(server.write(b"x").await)]
    }

    async fn what_came_before_a_reset_is_read() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"before").await.unwrap();
        settle().await;
        client.set_zero_linger().unwrap();
        drop(client);
        settle().await;
        seen![read_all(&mut server).await, read_all(&mut server).await]
    }

    async fn a_reset_is_told_once() {
        let (client, server) = pair().await;
        let before = server.take_error().unwrap().map(|error| error.kind());
        client.set_zero_linger().unwrap();
        drop(client);
        settle().await;
        let first = server.take_error().unwrap().map(|error| error.kind());
        seen![before, first, server.take_error().unwrap().map(|error| error.kind())]
    }

    async fn shutting_down_after_a_reset() {
        let (client, mut server) = pair().await;
        client.set_zero_linger().unwrap();
        drop(client);
        settle().await;
        let first = kind(server.shutdown().await);
        seen![first, read_all(&mut server).await, kind(server.shutdown().await)]
    }

    async fn a_reset_wakes_who_reads() {
        let (client, mut server) = pair().await;
        let reading = spawn(async move { read_all(&mut server).await });
        settle().await;
        client.set_zero_linger().unwrap();
        drop(client);
        seen![reading.await.unwrap()]
    }

    async fn a_reset_wakes_who_writes() {
        let (mut client, server) = pair().await;
        let writing = spawn(async move { kind(client.write_all(&vec![0; 32 << 20]).await) });
        time::sleep(ms(60)).await;
        drop(server);
        seen![writing.await.unwrap()]
    }

    // --- halves -------------------------------------------------------------------------------------------------------

    async fn borrowed_halves_read_and_write() {
        let (mut client, mut server) = pair().await;
        let (mut reader, mut writer) = client.split();
        writer.write_all(b"there").await.unwrap();
        let mut there = [0; 5];
        server.read_exact(&mut there).await.unwrap();
        server.write_all(b"back").await.unwrap();
        let mut back = [0; 4];
        reader.read_exact(&mut back).await.unwrap();
        let same = reader.peer_addr().unwrap() == writer.peer_addr().unwrap();
        writer.shutdown().await.unwrap();
        seen![String::from_utf8_lossy(&there), String::from_utf8_lossy(&back), same, read_all(&mut server).await]
    }

    async fn the_end_comes_when_the_writing_half_is_dropped() {
        let (client, mut server) = pair().await;
        let (mut reader, mut writer) = client.into_split();
        writer.write_all(b"bye").await.unwrap();
        drop(writer);
        let read = read_all(&mut server).await;
        server.write_all(b"still").await.unwrap();
        drop(server);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).await.unwrap();
        seen![read, rest]
    }

    async fn a_forgotten_half_doesnt_end_it() {
        let (client, mut server) = pair().await;
        let (reader, writer) = client.into_split();
        writer.forget();
        let waits = time::timeout(ms(20), server.read_u8()).await.is_err();
        drop(reader);
        seen![waits, read_all(&mut server).await]
    }

    async fn halves_are_put_together() {
        let (client, mut server) = pair().await;
        let (reader, writer) = client.into_split();
        let mut client = reader.reunite(writer).unwrap();
        client.write_all(b"whole").await.unwrap();
        drop(client);
        seen![read_all(&mut server).await]
    }

    async fn halves_of_different_streams_arent() {
        let (client, server) = pair().await;
        let (reader, _writer) = client.into_split();
        let (_other_reader, other_writer) = server.into_split();
        let error = reader.reunite(other_writer).unwrap_err();
        seen![error.to_string()]
    }

    // --- without waiting ----------------------------------------------------------------------------------------------

    async fn reading_at_once_would_block() {
        let (mut client, server) = pair().await;
        let mut bytes = [0; 8];
        let before = kind(server.try_read(&mut bytes));
        client.write_all(b"now").await.unwrap();
        server.readable().await.unwrap();
        let read = server.try_read(&mut bytes).unwrap();
        let after = kind(server.try_read(&mut bytes));
        drop(client);
        server.readable().await.unwrap();
        settle().await;
        seen![before, String::from_utf8_lossy(&bytes[..read]), after, server.try_read(&mut bytes).unwrap()]
    }

    async fn readable_may_be_wrong_but_reading_isnt() {
        let (mut client, server) = pair().await;
        let mut bytes = [0; 8];
        let mut read = async || loop {
            server.readable().await.unwrap();
            match server.try_read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => break kind(read),
            }
        };
        let waits = time::timeout(ms(10), read()).await.is_err();
        client.write_all(b"x").await.unwrap();
        seen![waits, read().await]
    }

    async fn peeked_bytes_stay() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"peek").await.unwrap();
        settle().await;
        let mut bytes = [0; 8];
        let first = server.peek(&mut bytes).await.unwrap();
        let second = server.peek(&mut bytes[..2]).await.unwrap();
        let read = server.read(&mut bytes).await.unwrap();
        seen![first, second, String::from_utf8_lossy(&bytes[..read])]
    }

    async fn the_end_can_be_peeked() {
        let (client, mut server) = pair().await;
        drop(client);
        let mut bytes = [0; 8];
        seen![server.peek(&mut bytes).await.unwrap(), server.read(&mut bytes).await.unwrap()]
    }

    async fn options_are_kept() {
        let (client, _server) = pair().await;
        client.set_nodelay(true).unwrap();
        client.set_ttl(42).unwrap();
        let linger = client.linger().unwrap();
        client.set_zero_linger().unwrap();
        seen![client.nodelay().unwrap(), client.ttl().unwrap(), linger, client.linger().unwrap()]
    }

    async fn what_isnt_read_of_a_stream_isnt_written() {
        let (mut client, mut server) = pair().await;
        let mut space = [MaybeUninit::uninit(); 64];
        let mut buffer = ReadBuf::uninit(&mut space);
        let waits = poll_once(|context| Pin::new(&mut server).poll_read(context, &mut buffer));
        let before = buffer.initialized().len();
        client.write_all(b"abc").await.unwrap();
        poll_fn(|context| server.poll_peek(context, &mut buffer)).await.unwrap();
        let peeked = buffer.initialized().len();
        poll_fn(|context| Pin::new(&mut server).poll_read(context, &mut buffer)).await.unwrap();
        seen![waits, before, peeked, buffer.initialized(), buffer.filled()]
    }

    async fn what_isnt_received_isnt_written() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut space = [MaybeUninit::uninit(); 64];
        let mut buffer = ReadBuf::uninit(&mut space);
        let waits = poll_once(|context| other.poll_recv(context, &mut buffer));
        let before = buffer.initialized().len();
        one.send_to(b"abc", other.local_addr().unwrap()).await.unwrap();
        poll_fn(|context| other.poll_peek_from(context, &mut buffer)).await.unwrap();
        let peeked = buffer.initialized().len();
        poll_fn(|context| other.poll_recv_from(context, &mut buffer)).await.unwrap();
        seen![waits, before, peeked, buffer.initialized(), buffer.filled()]
    }

    async fn owned_halves_do_at_once_what_streams_do() {
        let (client, server) = pair().await;
        let (mut reader, _other_writer) = server.into_split();
        let (_other_reader, writer) = client.into_split();
        let (mut one, mut other) = ([0; 2], [0; 8]);
        let before = kind(reader.try_read_vectored(&mut [IoSliceMut::new(&mut one)]));
        let mut bytes = [0; 8];
        let mut peeked = ReadBuf::new(&mut bytes);
        let waits = poll_once(|context| reader.poll_peek(context, &mut peeked));
        writer.writable().await.unwrap();
        let written = writer.try_write_vectored(&[IoSlice::new(b"abc"), IoSlice::new(b"de")]).unwrap();
        let first = poll_fn(|context| reader.poll_peek(context, &mut peeked)).await.unwrap();
        let mut buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
        let read = reader.try_read_vectored(&mut buffers).unwrap();
        seen![before, waits, written, first, peeked.filled(), read, one, other]
    }

    async fn borrowed_halves_do_at_once_what_streams_do() {
        let (mut client, mut server) = pair().await;
        let (mut reader, _other_writer) = server.split();
        let (_other_reader, writer) = client.split();
        let (mut one, mut other) = ([0; 2], [0; 8]);
        let before = kind(reader.try_read_vectored(&mut [IoSliceMut::new(&mut one)]));
        let mut bytes = [0; 3];
        let mut peeked = ReadBuf::new(&mut bytes);
        let waits = poll_once(|context| reader.poll_peek(context, &mut peeked));
        writer.writable().await.unwrap();
        let written = writer.try_write_vectored(&[IoSlice::new(b"abc"), IoSlice::new(b"de")]).unwrap();
        let first = poll_fn(|context| reader.poll_peek(context, &mut peeked)).await.unwrap();
        let mut buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
        let read = reader.try_read_vectored(&mut buffers).unwrap();
        seen![before, waits, written, first, peeked.filled(), read, one, other]
    }

    async fn a_stream_is_a_reference_to_a_stream() {
        fn to<S: AsRef<TcpStream>>(stream: &S) -> SocketAddr {
            stream.as_ref().peer_addr().unwrap()
        }
        let (client, server) = pair().await;
        let (address, (reader, writer)) = (server.local_addr().unwrap(), client.into_split());
        let halves = (to(&reader) == address, to(&writer) == address);
        seen![halves, to(&reader.reunite(writer).unwrap()) == address]
    }

    #[allow(deprecated)]
    async fn options_of_a_socket_are_kept() {
        let socket = TcpSocket::new_v4().unwrap();
        let before = (socket.linger().unwrap(), socket.nodelay().unwrap(), socket.reuseaddr().unwrap());
        let numbers = (socket.tos_v4().unwrap(), socket.tos().unwrap());
        socket.set_linger(Some(ms(2_700))).unwrap();
        let linger = socket.linger().unwrap();
        socket.set_zero_linger().unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_tos_v4(0x10).unwrap();
        let first = socket.tos_v4().unwrap();
        socket.set_tos(0x20).unwrap();
        let v6 = [kind(socket.tclass_v6()), kind(socket.set_tclass_v6(1))];
        let error = socket.take_error().unwrap().is_none();
        seen![before, numbers, linger, socket.linger().unwrap(), socket.nodelay().unwrap(), first, socket.tos().unwrap(), v6, error]
    }

    #[allow(deprecated)]
    async fn a_connection_has_the_options_of_its_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_linger(Some(ms(5_000))).unwrap();
        let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        seen![client.nodelay().unwrap(), client.linger().unwrap(), server.nodelay().unwrap(), server.linger().unwrap()]
    }

    async fn what_is_accepted_has_the_options_of_its_listener() {
        let socket = bound(any_port(), false).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_zero_linger().unwrap();
        let listener = socket.listen(8).unwrap();
        let before = listener.ttl().unwrap();
        listener.set_ttl(33).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let options = (server.nodelay().unwrap(), server.linger().unwrap(), server.ttl().unwrap());
        drop(server);
        seen![before, options, client.ttl().unwrap(), read_all(&mut client).await]
    }

    #[allow(deprecated)]
    async fn less_than_a_second_of_linger_is_none() {
        let (client, mut server) = pair().await;
        client.set_linger(Some(ms(900))).unwrap();
        let less = client.linger().unwrap();
        drop(client);
        let reset = read_all(&mut server).await;
        let (client, mut server) = pair().await;
        client.set_linger(Some(ms(1_000))).unwrap();
        let more = client.linger().unwrap();
        drop(client);
        seen![less, reset, more, read_all(&mut server).await]
    }

    async fn acknowledging_quickly_is_an_option() {
        let (client, _server) = pair().await;
        client.set_quickack(false).unwrap();
        let off = client.quickack().unwrap();
        client.set_quickack(true).unwrap();
        seen![off, client.quickack().unwrap()]
    }

    // --- datagrams ----------------------------------------------------------------------------------------------------

    async fn a_datagram_comes_with_its_sender() {
        let one = UdpSocket::bind::<&str>("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let sent = one.send_to::<SocketAddr>(b"hello", other.local_addr().unwrap()).await.unwrap();
        let mut bytes = [0; 16];
        let (read, from) = other.recv_from(&mut bytes).await.unwrap();
        other.send_to(b"back", from).await.unwrap();
        let (back, _) = one.recv_from(&mut bytes[8..]).await.unwrap();
        seen![sent, read, from == one.local_addr().unwrap(), back]
    }

    async fn datagrams_keep_their_bounds_and_order() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for piece in [&b"a"[..], b"bc", b"", b"def"] {
            one.send_to(piece, other.local_addr().unwrap()).await.unwrap();
            // Those of one instant may come in any order.
            time::sleep(ms(1)).await;
        }
        let mut lengths = Vec::new();
        let mut bytes = [0; 16];
        for _ in 0..4 {
            lengths.push(other.recv_from(&mut bytes).await.unwrap().0);
        }
        seen![lengths]
    }

    async fn what_doesnt_fit_is_cut_off() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        one.send_to(b"abcdef", other.local_addr().unwrap()).await.unwrap();
        one.send_to(b"gh", other.local_addr().unwrap()).await.unwrap();
        let mut bytes = [0; 4];
        let (first, _) = other.recv_from(&mut bytes).await.unwrap();
        let seen = bytes;
        let (second, _) = other.recv_from(&mut bytes).await.unwrap();
        seen![first, seen, second]
    }

    async fn a_connected_socket_hears_one_peer() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        one.connect::<SocketAddr>(other.local_addr().unwrap()).await.unwrap();
        stranger.send_to(b"strange", one.local_addr().unwrap()).await.unwrap();
        other.send_to(b"known", one.local_addr().unwrap()).await.unwrap();
        let mut bytes = [0; 16];
        let read = one.recv(&mut bytes).await.unwrap();
        let sent = one.send(b"answer").await.unwrap();
        let (back, _) = other.recv_from(&mut bytes[8..]).await.unwrap();
        seen![String::from_utf8_lossy(&bytes[..read]), sent, back, one.peer_addr().unwrap() == other.local_addr().unwrap()]
    }

    async fn a_socket_that_isnt_connected_cant_just_send() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let error = one.send(b"x").await.unwrap_err();
        seen![error.raw_os_error(), kind(one.peer_addr())]
    }

    async fn the_longest_datagram() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let sent = one.send_to(&vec![1; 65_507], other.local_addr().unwrap()).await.unwrap();
        let mut bytes = vec![0; 70_000];
        let (read, _) = other.recv_from(&mut bytes).await.unwrap();
        let error = one.send_to(&vec![1; 65_508], other.local_addr().unwrap()).await.unwrap_err();
        seen![sent, read, error.raw_os_error()]
    }

    async fn a_port_of_datagrams_is_bound_once() {
        let first = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = first.local_addr().unwrap();
        let second = kind(UdpSocket::bind(address).await);
        drop(first);
        seen![second, kind(UdpSocket::bind(address).await)]
    }

    async fn a_datagram_at_once() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut bytes = [0; 4];
        let before = kind(other.try_recv_from(&mut bytes));
        one.send_to(b"x", other.local_addr().unwrap()).await.unwrap();
        other.readable().await.unwrap();
        let read = other.try_recv_from(&mut bytes).unwrap().0;
        seen![before, read, kind(other.try_recv_from(&mut bytes))]
    }

    async fn a_peeked_datagram_stays() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        one.send_to(b"first", other.local_addr().unwrap()).await.unwrap();
        let mut bytes = [0; 8];
        let (peeked, from) = other.peek_from(&mut bytes).await.unwrap();
        let (read, _) = other.recv_from(&mut bytes).await.unwrap();
        seen![peeked, read, from == one.local_addr().unwrap()]
    }

    async fn a_connected_socket_peeks_at_one_peer() {
        let (peer, stranger) =
            (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        socket.connect(peer.local_addr().unwrap()).await.unwrap();
        stranger.send_to(b"strange", address).await.unwrap();
        settle().await;
        let mut bytes = [0; 8];
        let nothing = time::timeout(ms(20), socket.peek(&mut bytes)).await.is_err();
        let not_readable = time::timeout(ms(20), socket.readable()).await.is_err();
        stranger.send_to(b"strange", address).await.unwrap();
        peer.send_to(b"known", address).await.unwrap();
        let readable = kind(socket.readable().await);
        let (peeked, from) = socket.peek_from(&mut bytes).await.unwrap();
        seen![nothing, not_readable, readable, peeked, from == peer.local_addr().unwrap(), socket.recv(&mut bytes).await.unwrap()]
    }

    async fn a_socket_bound_to_any_address_is_at_the_one_it_is_asked_at() {
        let server = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let client = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        client.connect(("127.0.0.1", port)).await.unwrap();
        client.send(b"ask").await.unwrap();
        let mut bytes = [0; 8];
        let (asked, from) = server.recv_from(&mut bytes).await.unwrap();
        server.send_to(b"told", from).await.unwrap();
        seen![asked, from.ip(), client.recv(&mut bytes).await.unwrap()]
    }

    async fn receiving_can_be_given_up() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut bytes = [0; 8];
        let given_up = time::timeout(ms(10), other.recv_from(&mut bytes)).await.is_err();
        one.send_to(b"late", other.local_addr().unwrap()).await.unwrap();
        seen![given_up, other.recv_from(&mut bytes).await.unwrap().0]
    }

    async fn two_tasks_share_a_socket() {
        let one = std::sync::Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let reading = {
            let one = std::sync::Arc::clone(&one);
            spawn(async move {
                let mut bytes = [0; 8];
                one.recv_from(&mut bytes).await.unwrap().0
            })
        };
        one.send_to(b"ask", other.local_addr().unwrap()).await.unwrap();
        let mut bytes = [0; 8];
        let (_, from) = other.recv_from(&mut bytes).await.unwrap();
        other.send_to(b"told", from).await.unwrap();
        seen![reading.await.unwrap()]
    }

    async fn options_of_datagrams_are_kept() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let before = socket.broadcast().unwrap();
        socket.set_broadcast(true).unwrap();
        socket.set_ttl(9).unwrap();
        seen![before, socket.broadcast().unwrap(), socket.ttl().unwrap(), ErrorKind::NotFound]
    }

    async fn peeking_at_once_would_block() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (from, mut bytes) = (one.local_addr().unwrap(), [0; 4]);
        let before =
            [kind(other.try_peek(&mut bytes)), kind(other.try_peek_from(&mut bytes)), kind(other.try_peek_sender())];
        one.send_to(b"abcdef", other.local_addr().unwrap()).await.unwrap();
        other.readable().await.unwrap();
        let peeked = other.try_peek(&mut bytes[..2]).unwrap();
        let (again, whose) = other.try_peek_from(&mut bytes).unwrap();
        let sender = other.try_peek_sender().unwrap();
        let mut whole = [0; 8];
        let read = other.try_recv(&mut whole).unwrap();
        seen![before, peeked, again, bytes, whose == from, sender == from, read, kind(other.try_peek(&mut bytes))]
    }

    async fn who_has_sent_is_known_before_it_is_received() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let waits = time::timeout(ms(10), other.peek_sender()).await.is_err();
        one.send_to(b"abc", other.local_addr().unwrap()).await.unwrap();
        let sender = other.peek_sender().await.unwrap();
        let mut bytes = [0; 8];
        seen![waits, sender == one.local_addr().unwrap(), other.recv_from(&mut bytes).await.unwrap().0]
    }

    async fn who_polls_peeks() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut bytes = [0; 4];
        let mut buffer = ReadBuf::new(&mut bytes);
        let waits = (
            poll_once(|context| other.poll_peek(context, &mut buffer)),
            poll_once(|context| other.poll_peek_sender(context)),
        );
        one.send_to(b"abcdef", other.local_addr().unwrap()).await.unwrap();
        let sender = poll_fn(|context| other.poll_peek_sender(context)).await.unwrap();
        poll_fn(|context| other.poll_peek(context, &mut buffer)).await.unwrap();
        let mut whole = [0; 8];
        let read = other.recv(&mut whole).await.unwrap();
        seen![waits, sender == one.local_addr().unwrap(), buffer.filled(), read]
    }

    async fn who_has_polled_and_gone_on_takes_nothing_away() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let polled = Arc::clone(&other);
        let gives_up = spawn(async move {
            let mut bytes = [0; 4];
            let mut buffer = ReadBuf::new(&mut bytes);
            let waits = time::timeout(ms(1), poll_fn(|context| polled.poll_recv_from(context, &mut buffer))).await.is_err();
            // It lives on, and could be woken.
            time::sleep(ms(60)).await;
            waits
        });
        time::sleep(ms(10)).await;
        let receives = spawn(receives_three_bytes(Arc::clone(&other)));
        time::sleep(ms(10)).await;
        one.send_to(b"abc", other.local_addr().unwrap()).await.unwrap();
        seen![receives.await.unwrap(), gives_up.await.unwrap()]
    }

    async fn who_waits_to_read_takes_nothing_away() {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let ready = Arc::clone(&other);
        spawn(async move { poll_fn(|context| ready.poll_recv_ready(context)).await });
        let receives = spawn(receives_three_bytes(Arc::clone(&other)));
        time::sleep(ms(10)).await;
        one.send_to(b"abc", other.local_addr().unwrap()).await.unwrap();
        seen![receives.await.unwrap()]
    }

    async fn a_connected_socket_peeks_at_its_peers_alone() {
        let (peer, stranger) =
            (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        socket.connect(peer.local_addr().unwrap()).await.unwrap();
        stranger.send_to(b"strange", address).await.unwrap();
        settle().await;
        let mut bytes = [0; 8];
        let nothing = [kind(socket.try_peek(&mut bytes)), kind(socket.try_peek_sender())];
        peer.send_to(b"known", address).await.unwrap();
        seen![nothing, socket.peek_sender().await.unwrap() == peer.local_addr().unwrap(), socket.recv(&mut bytes).await.unwrap()]
    }

    #[allow(deprecated)]
    async fn more_options_of_datagrams_are_kept() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let before = (
            socket.tos_v4().unwrap(),
            socket.multicast_loop_v4().unwrap(),
            socket.multicast_ttl_v4().unwrap(),
            socket.ttl().unwrap(),
        );
        socket.set_tos_v4(0x10).unwrap();
        let first = socket.tos().unwrap();
        socket.set_tos(0x20).unwrap();
        socket.set_multicast_loop_v4(false).unwrap();
        socket.set_multicast_ttl_v4(3).unwrap();
        let v6 = [
            kind(socket.tclass_v6()),
            kind(socket.set_tclass_v6(1)),
            kind(socket.multicast_loop_v6()),
            kind(socket.set_multicast_loop_v6(false)),
        ];
        let after =
            (socket.tos_v4().unwrap(), socket.multicast_loop_v4().unwrap(), socket.multicast_ttl_v4().unwrap());
        seen![before, first, after, v6]
    }

    async fn who_reads_nothing_waits_all_the_same() {
        let (mut one, mut other) = pair().await;
        let tried = kind(one.try_read(&mut []));
        let waits = time::timeout(ms(20), one.read(&mut [])).await.is_err();
        other.write_all(b"ab").await.unwrap();
        let none = one.read(&mut []).await.unwrap();
        let mut bytes = [0; 4];
        seen![tried, waits, none, kind(one.try_read(&mut [])), one.read(&mut bytes).await.unwrap()]
    }

    async fn what_is_answered_before_all_was_read_comes_before_the_reset() {
        let (mut one, mut other) = pair().await;
        one.write_all(&[7; 1_000]).await.unwrap();
        other.read_exact(&mut [0; 10]).await.unwrap();
        other.write_all(b"413 ").await.unwrap();
        other.write_all(b"too large").await.unwrap();
        drop(other);
        seen![read_all(&mut one).await]
    }

    async fn an_end_comes_before_a_reset() {
        let (mut one, mut other) = pair().await;
        one.write_all(b"unread").await.unwrap();
        settle().await;
        other.shutdown().await.unwrap();
        drop(other);
        settle().await;
        seen![read_all(&mut one).await, kind(one.write_all(b"more").await)]
    }

    async fn where_both_have_ended_nobody_is_told_of_a_reset() {
        let (mut one, mut other) = pair().await;
        one.write_all(b"unread").await.unwrap();
        one.shutdown().await.unwrap();
        settle().await;
        other.shutdown().await.unwrap();
        settle().await;
        drop(other);
        settle().await;
        let error = one.take_error().unwrap().map(|error| error.kind());
        seen![error, read_all(&mut one).await]
    }

    async fn who_is_heard_is_decided_when_a_datagram_comes() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        stranger.send_to(b"early", address).await.unwrap();
        settle().await;
        socket.connect(peer.local_addr().unwrap()).await.unwrap();
        stranger.send_to(b"stopped", address).await.unwrap();
        peer.send_to(b"heard", address).await.unwrap();
        settle().await;
        socket.connect(stranger.local_addr().unwrap()).await.unwrap();
        let mut all = Vec::new();
        let mut bytes = [0; 16];
        while let Ok(Ok((read, from))) = time::timeout(ms(20), socket.recv_from(&mut bytes)).await {
            let who = if from == peer.local_addr().unwrap() { "peer" } else { "stranger" };
            all.push(format!("{} from {who}", String::from_utf8_lossy(&bytes[..read])));
        }
        seen![all]
    }

    async fn a_datagram_goes_to_the_machine_itself_and_back() {
        let peer = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        socket.connect(("0.0.0.0", peer.local_addr().unwrap().port())).await.unwrap();
        let is_itself = socket.peer_addr().unwrap().ip().is_loopback();
        socket.send(b"there").await.unwrap();
        let mut bytes = [0; 8];
        let (_, from) = peer.recv_from(&mut bytes).await.unwrap();
        peer.send_to(b"back", from).await.unwrap();
        let heard = time::timeout(ms(50), socket.recv(&mut bytes)).await.map(|heard| heard.unwrap()).ok();
        seen![is_itself, heard]
    }
}
