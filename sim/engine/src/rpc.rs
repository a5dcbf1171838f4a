//! Requests and answers over datagrams: typed calls, timeouts, handlers that serve calls concurrently.
//!
//! A call and its answer are single messages, each with an address of its own: "call 3 of Pay from alice to bank", "the
//! answer to" it. Nothing is sent again; whoever wants a retry writes one.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::{self, TaskName, TimerRef};
use crate::net::{Endpoint, ToSocketAddrs};
use crate::network::{Kind, Outgoing, Reply};
use crate::world::duration_ns;

/// How long [`Endpoint::call`] waits: as a connection in life, a call doesn't wait for ever.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A request and the type of its answer. `#[derive(Request)]` with `#[rtype("Answer")]` writes it.
pub trait Request: Serialize + DeserializeOwned + 'static {
    /// What comes back.
    type Response: Serialize + DeserializeOwned + 'static;

    /// The method's name, unique among those that a server handles: the type's path.
    const NAME: &'static str;

    /// The method's number, made of its name.
    const ID: u64 = method_id(Self::NAME);
}

/// FNV-1a of a name, with the highest bit set: methods and the tags of plain datagrams don't meet.
const fn method_id(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut at = 0;
    while at < bytes.len() {
        hash ^= bytes[at] as u64;
        hash = hash.wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash | 1 << 63
}

/// Most messages are short: their encoding needs no allocation.
#[derive(Default)]
struct Encoded {
    short: [u8; Encoded::SHORT_BYTES],
    length: usize,
    /// All of it, once it is longer.
    long: Vec<u8>,
}

impl Encoded {
    const SHORT_BYTES: usize = 32;

    fn bytes(&self) -> &[u8] {
        if self.long.is_empty() { &self.short[..self.length] } else { &self.long }
    }
}

impl Encoded {
    fn extend_by_many(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        match self.short.get_mut(self.length..end) {
            Some(place) if self.long.is_empty() => {
                place.copy_from_slice(bytes);
                self.length = end;
            }
            _ => {
                if self.long.is_empty() {
                    self.long.extend_from_slice(&self.short[..self.length]);
                }
                self.long.extend_from_slice(bytes);
            }
        }
    }
}

impl postcard::ser_flavors::Flavor for Encoded {
    type Output = Encoded;

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        match self.short.get_mut(self.length) {
            Some(place) if self.long.is_empty() => {
                *place = byte;
                self.length += 1;
                Ok(())
            }
            _ => {
                self.extend_by_many(&[byte]);
                Ok(())
            }
        }
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        // Numbers come so, written byte by byte just now: to load them wider would be to wait for them.
        if bytes.len() < 8 && self.length + bytes.len() <= Encoded::SHORT_BYTES && self.long.is_empty() {
            for (place, byte) in self.short[self.length..].iter_mut().zip(bytes) {
                *place = *byte;
            }
            self.length += bytes.len();
            return Ok(());
        }
        self.extend_by_many(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Encoded> {
        Ok(self)
    }
}

fn encode<T: Serialize>(value: &T) -> io::Result<Encoded> {
    postcard::serialize_with_flavor(value, Encoded::default())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("the message can't be encoded: {error}")))
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("the message can't be decoded: {error}")))
}

impl Endpoint {
    /// Sends `request` and waits for its answer, for at most [`CALL_TIMEOUT`].
    ///
    /// # Errors
    /// As [`Endpoint::call_timeout`].
    ///
    /// # Panics
    /// Outside of a run.
    #[track_caller]
    pub fn call<R: Request>(&self, address: impl ToSocketAddrs, request: R) -> Call<'_, R> {
        self.call_timeout(address, request, CALL_TIMEOUT)
    }

    /// Sends `request` and waits for its answer, for at most `timeout`.
    ///
    /// # Errors
    /// `TimedOut`: nobody knows whether the request was served. `ConnectionRefused`: the node is up, reachable, and has
    /// nothing bound to the port (known after a round trip). `HostUnreachable`: no node has the address. `InvalidData`: the
    /// answer isn't of the method's type.
    ///
    /// # Panics
    /// Outside of a run.
    #[inline]
    #[track_caller]
    pub fn call_timeout<R: Request>(&self, address: impl ToSocketAddrs, request: R, timeout: Duration) -> Call<'_, R> {
        let begun = address.to_socket_addr().and_then(|to| {
            let payload = encode(&request)?;
            kernel::with("squall::net::Endpoint::call", |kernel| {
                let caller = kernel.begin_call(R::ID, R::NAME);
                let outgoing = Outgoing {
                    from_port: self.port,
                    to_port: to.port(),
                    tag: R::ID,
                    kind: Kind::Call,
                    caller,
                    socket: self.socket,
                };
                match kernel.send(&to, outgoing, payload.bytes()) {
                    Ok(()) => Ok((caller, kernel.passes_at_ns(duration_ns(timeout)))),
                    Err(error) => {
                        kernel.stop_timer(caller);
                        Err(error)
                    }
                }
            })
        });
        let (endpoint, response) = (PhantomData, PhantomData);
        match begun {
            Ok((caller, deadline_ns)) => {
                Call { endpoint, caller, deadline_ns, error: None, state: CallState::Waiting, response }
            }
            Err(error) => {
                let (caller, error) = (TimerRef::default(), Some(error));
                Call { endpoint, caller, deadline_ns: 0, error, state: CallState::Failed, response }
            }
        }
    }

    /// Serves calls of `R` that arrive at this endpoint: `handle` is called for each, and calls are served concurrently,
    /// each in a task of its own.
    ///
    /// # Panics
    /// Outside of a run.
    #[track_caller]
    pub fn add_rpc_handler<R, H, Fut>(&self, handle: H)
    where
        R: Request,
        H: FnMut(R) -> Fut + 'static,
        Fut: Future<Output = R::Response> + 'static,
    {
        let endpoint = self.clone();
        let location = Location::caller();
        let name = TaskName::Given(format!("{} handler", kernel::short_type_name(R::NAME)).into());
        crate::task::spawn_named(name, None, location, serve::<R, H, Fut>(endpoint, handle, location));
    }
}

async fn serve<R, H, Fut>(endpoint: Endpoint, handle: H, location: &'static Location<'static>)
where
    R: Request,
    H: FnMut(R) -> Fut + 'static,
    Fut: Future<Output = R::Response> + 'static,
{
    let handle = Rc::new(RefCell::new(handle));
    // An error means that the socket is gone.
    while let Ok(received) = endpoint.receive_call(R::ID).await {
        let Some((payload, call)) = received else { continue };
        // Bytes that are no request of this type are dropped, as a server in life drops them: the caller times out.
        let Ok(request) = decode::<R>(payload.as_slice()) else {
            tracing::warn!(method = R::NAME, "a request can't be decoded");
            continue;
        };
        let handle = Rc::clone(&handle);
        // All of the handler is the serving task's: if it panics at once, that is one call's matter too.
        let served = async move {
            let answer = (handle.borrow_mut())(request);
            let response = answer.await;
            match encode(&response) {
                Ok(payload) => {
                    let _ = kernel::try_with(|kernel| kernel.answer(call, payload.bytes()));
                }
                Err(error) => tracing::warn!(method = R::NAME, %error, "an answer can't be encoded"),
            }
        };
        crate::task::spawn_detached(TaskName::Serving(R::NAME), Some(call.serving_task()), location, served);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallState {
    /// The request was sent.
    Waiting,
    /// It couldn't be sent.
    Failed,
    /// The result was given.
    Done,
}

/// An outstanding call. Dropping it forgets the answer; the request is on its way all the same.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Call<'e, R: Request> {
    /// The socket must live as long as the call: its port takes the answer.
    endpoint: PhantomData<&'e Endpoint>,
    caller: TimerRef,
    deadline_ns: u64,
    /// Why the request couldn't be sent.
    error: Option<io::Error>,
    state: CallState,
    response: PhantomData<fn() -> R>,
}

impl<R: Request> Future for Call<'_, R> {
    type Output = io::Result<R::Response>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.state {
            CallState::Waiting => {}
            CallState::Failed => {
                this.state = CallState::Done;
                return Poll::Ready(Err(this.error.take().expect("a failed call has its error")));
            }
            CallState::Done => panic!("a call was polled after it gave its result"),
        }
        let other = kernel::other_waker(context);
        let reply = kernel::with("squall::net::Endpoint::call", |kernel| {
            if let Some(reply) = kernel.receive_reply(this.caller) {
                return Poll::Ready(Some(reply));
            }
            // It never comes to a call of another run either.
            if kernel.now_ns >= this.deadline_ns || !kernel.has_timer(this.caller) {
                return Poll::Ready(None);
            }
            let wake = kernel.wake_ref(other);
            kernel.await_timer(this.caller, this.deadline_ns, wake);
            Poll::Pending
        });
        let Poll::Ready(reply) = reply else { return Poll::Pending };
        this.finish();
        Poll::Ready(match reply {
            Some(Reply::Answer(payload)) => decode(payload.as_slice()),
            Some(Reply::Refused) => {
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, "nothing is bound to that port"))
            }
            None => Err(io::Error::new(io::ErrorKind::TimedOut, "the call timed out")),
        })
    }
}

impl<R: Request> Call<'_, R> {
    #[inline]
    fn finish(&mut self) {
        if self.state == CallState::Waiting {
            self.state = CallState::Done;
            let _ = kernel::try_with(|kernel| kernel.stop_timer(self.caller));
        }
    }
}

impl<R: Request> Drop for Call<'_, R> {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_any_length_come_back() {
        for length in 0..200usize {
            let text = "x".repeat(length);
            let value = (7u8, text.clone(), vec![1u64; length % 5], u64::MAX);
            let encoded = encode(&value).expect("it can be encoded");
            assert_eq!(encoded.bytes(), postcard::to_stdvec(&value).expect("it can be encoded"));
            assert_eq!(decode::<(u8, String, Vec<u64>, u64)>(encoded.bytes()).expect("it can be decoded"), value);
        }
    }
}
