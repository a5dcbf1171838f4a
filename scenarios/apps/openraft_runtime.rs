//! openraft's runtime on Squall: tasks, timers, randomness and channels, to be copied into tests of your own.
//!
//! openraft asks for all of these by its trait [`AsyncRuntime`]; with [`SquallRuntime`] as the `AsyncRuntime` of a type configuration it runs on the node's own tasks, without
//! tokio. Channels and the mutex are those of `tokio::sync`, which need no runtime. tokio's `watch` is left out, as it draws from a static of the process who is woken first.

use std::future::Future;
use std::io;
use std::ops::{Add, AddAssign, Deref, Sub, SubAssign};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use openraft_rt::{AsyncRuntime, OptionalSend, OptionalSync};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::blocking;

/// Squall's tasks, timers and randomness, for openraft. A run has one thread, whatever number is asked for.
#[derive(Debug)]
pub struct SquallRuntime;

impl AsyncRuntime for SquallRuntime {
    type JoinError = squall::task::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = squall::task::JoinHandle<T>;
    type Sleep = squall::time::Sleep;
    type Instant = Instant;
    type TimeoutError = squall::time::error::Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = squall::time::Timeout<T>;
    type ThreadLocalRng = squall::rand::TaskRng;
    type Mpsc = Mpsc;
    type Watch = Watch;
    type Oneshot = Oneshot;
    type Mutex<T: OptionalSend + 'static> = Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        squall::task::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        squall::time::sleep(duration)
    }

    fn sleep_until(deadline: Instant) -> Self::Sleep {
        squall::time::sleep_until(deadline.0)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        squall::time::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Instant, future: F) -> Self::Timeout<R, F> {
        squall::time::timeout_at(deadline.0, future)
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        error.is_panic()
    }

    /// The running task's own, which follows from the run's seed.
    fn thread_rng() -> Self::ThreadLocalRng {
        squall::rand::rng()
    }

    fn new(_threads: usize) -> SquallRuntime {
        SquallRuntime
    }

    /// openraft never calls this itself. A task can't stand still while others go on, so it needs [`blocking::on_own_stack`] around it.
    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        blocking::block_on(future)
    }

    /// Inline, as a task of its own: threads would be real ones.
    fn spawn_blocking<F, T>(work: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let task = squall::task::spawn_blocking(work);
        async { Ok(task.await?) }
    }
}

/// [`squall::time::Instant`], which shows the clock of its node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Instant(pub squall::time::Instant);

impl openraft_rt::Instant for Instant {
    fn now() -> Instant {
        Instant(squall::time::Instant::now())
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        Instant(self.0 + duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        self.0 += duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, duration: Duration) -> Instant {
        Instant(self.0 - duration)
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        self.0 -= duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.0 - earlier.0
    }
}

/// Channels with one receiver: tokio's.
#[derive(Debug)]
pub struct Mpsc;

/// The end that receives.
#[derive(Debug)]
pub struct Receiver<T>(mpsc::Receiver<T>);

impl openraft_rt::Mpsc for Mpsc {
    type Sender<T: OptionalSend> = mpsc::Sender<T>;
    type Receiver<T: OptionalSend> = Receiver<T>;
    type WeakSender<T: OptionalSend> = mpsc::WeakSender<T>;

    fn channel<T: OptionalSend>(buffer: usize) -> (mpsc::Sender<T>, Receiver<T>) {
        let (sender, receiver) = mpsc::channel(buffer);
        (sender, Receiver(receiver))
    }
}

impl<T: OptionalSend> openraft_rt::MpscSender<Mpsc, T> for mpsc::Sender<T> {
    async fn send(&self, message: T) -> Result<(), openraft_rt::SendError<T>> {
        self.send(message).await.map_err(|refused| openraft_rt::SendError(refused.0))
    }

    fn downgrade(&self) -> mpsc::WeakSender<T> {
        self.downgrade()
    }
}

impl<T: OptionalSend> openraft_rt::MpscWeakSender<Mpsc, T> for mpsc::WeakSender<T> {
    fn upgrade(&self) -> Option<mpsc::Sender<T>> {
        self.upgrade()
    }
}

impl<T: OptionalSend> openraft_rt::MpscReceiver<T> for Receiver<T> {
    fn recv(&mut self) -> impl Future<Output = Option<T>> + OptionalSend {
        self.0.recv()
    }

    fn try_recv(&mut self) -> Result<T, openraft_rt::TryRecvError> {
        self.0.try_recv().map_err(|error| match error {
            mpsc::error::TryRecvError::Empty => openraft_rt::TryRecvError::Empty,
            mpsc::error::TryRecvError::Disconnected => openraft_rt::TryRecvError::Disconnected,
        })
    }
}

/// Channels for one message: tokio's.
#[derive(Debug)]
pub struct Oneshot;

/// The end that sends the message.
#[derive(Debug)]
pub struct OneshotSender<T>(oneshot::Sender<T>);

impl openraft_rt::Oneshot for Oneshot {
    type Sender<T: OptionalSend> = OneshotSender<T>;
    type Receiver<T: OptionalSend> = oneshot::Receiver<T>;
    type ReceiverError = oneshot::error::RecvError;

    fn channel<T: OptionalSend>() -> (OneshotSender<T>, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (OneshotSender(sender), receiver)
    }
}

impl<T: OptionalSend> openraft_rt::OneshotSender<T> for OneshotSender<T> {
    fn send(self, message: T) -> Result<(), T> {
        self.0.send(message)
    }
}

/// tokio's mutex, whose lock goes to who has waited longest.
#[derive(Debug)]
pub struct Mutex<T>(tokio::sync::Mutex<T>);

impl<T: OptionalSend + 'static> openraft_rt::Mutex<T> for Mutex<T> {
    type Guard<'a> = tokio::sync::MutexGuard<'a, T>;

    fn new(value: T) -> Mutex<T> {
        Mutex(tokio::sync::Mutex::new(value))
    }

    fn lock(&self) -> impl Future<Output = Self::Guard<'_>> + OptionalSend {
        self.0.lock()
    }
}

/// Channels that hold the last value. Those who wait are woken in the order in which they began to.
#[derive(Debug)]
pub struct Watch;

/// What both ends of such a channel share.
struct Watched<T> {
    value: RwLock<T>,
    /// How often it was changed.
    version: AtomicU64,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    changed: Notify,
}

impl<T> Watched<T> {
    fn borrow(&self) -> Ref<'_, T> {
        // Nobody panics while writing but who is asked to modify the value, and then it is as that left it.
        Ref(self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn receiver(self: &Arc<Watched<T>>, seen: u64) -> WatchReceiver<T> {
        self.receivers.fetch_add(1, Ordering::Relaxed);
        WatchReceiver { watched: Arc::clone(self), seen }
    }
}

/// Shows the value. As long as it lasts, nobody can change that.
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The end that changes the value.
pub struct WatchSender<T>(Arc<Watched<T>>);

/// An end that sees the value, and of which change it was told last.
pub struct WatchReceiver<T> {
    watched: Arc<Watched<T>>,
    seen: u64,
}

impl openraft_rt::Watch for Watch {
    type Sender<T: OptionalSend + OptionalSync> = WatchSender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = WatchReceiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (WatchSender<T>, WatchReceiver<T>) {
        let watched = Arc::new(Watched {
            value: RwLock::new(init),
            version: AtomicU64::new(0),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(0),
            changed: Notify::new(),
        });
        let receiver = watched.receiver(0);
        (WatchSender(watched), receiver)
    }
}

impl<T: OptionalSend + OptionalSync> openraft_rt::WatchSender<Watch, T> for WatchSender<T> {
    fn send(&self, value: T) -> Result<(), openraft_rt::watch::SendError<T>> {
        if self.0.receivers.load(Ordering::Relaxed) == 0 {
            return Err(openraft_rt::watch::SendError(value));
        }
        // The old value is dropped where nothing is locked.
        let mut value = value;
        self.send_if_modified(|current| {
            std::mem::swap(current, &mut value);
            true
        });
        Ok(())
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        let is_modified = modify(&mut self.0.value.write().unwrap_or_else(PoisonError::into_inner));
        if is_modified {
            self.0.version.fetch_add(1, Ordering::Relaxed);
            self.0.changed.notify_waiters();
        }
        is_modified
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        self.0.borrow()
    }

    fn subscribe(&self) -> WatchReceiver<T> {
        self.0.receiver(self.0.version.load(Ordering::Relaxed))
    }
}

impl<T: OptionalSend + OptionalSync> openraft_rt::WatchReceiver<Watch, T> for WatchReceiver<T> {
    async fn changed(&mut self) -> Result<(), openraft_rt::RecvError> {
        loop {
            // It hears of what comes from now on, so nothing is missed between the look and the wait.
            let change = self.watched.changed.notified();
            let version = self.watched.version.load(Ordering::Relaxed);
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if self.watched.senders.load(Ordering::Relaxed) == 0 {
                return Err(openraft_rt::RecvError(()));
            }
            change.await;
        }
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        self.watched.borrow()
    }

    fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.seen = self.watched.version.load(Ordering::Relaxed);
        self.watched.borrow()
    }
}

impl<T> Clone for WatchSender<T> {
    fn clone(&self) -> WatchSender<T> {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        WatchSender(Arc::clone(&self.0))
    }
}

impl<T> Drop for WatchSender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}

impl<T> Clone for WatchReceiver<T> {
    fn clone(&self) -> WatchReceiver<T> {
        self.watched.receiver(self.seen)
    }
}

impl<T> Drop for WatchReceiver<T> {
    fn drop(&mut self) {
        self.watched.receivers.fetch_sub(1, Ordering::Relaxed);
    }
}
