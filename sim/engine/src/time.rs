//! Virtual time, with tokio's names: `sleep`, `timeout`, `interval`, `Instant`.
//!
//! Time is integer nanoseconds. It jumps to the next thing that is due and is never rounded.

use std::cmp::Ordering;
use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

pub use std::time::Duration;

use squall_trace::NodeId;

use crate::kernel::{self, TimerRef};
use crate::world::duration_ns;

/// A moment on the running node's monotonic clock.
///
/// It says nothing until it is compared with another one, or shown. That is when a program goes by a clock, and it is counted: of such a program a
/// state that comes back doesn't prove a livelock. To sleep for a while, or up to a moment, isn't.
#[derive(Clone, Copy)]
pub struct Instant {
    /// Nanoseconds since the run's start, plus an hour-scale offset so that moments before the start can be written.
    ns: u64,
}

/// The offset of [`Instant`] from the run's start: earlier moments exist.
const START_NS: u64 = 1 << 62;

impl Instant {
    /// Now.
    ///
    /// # Panics
    /// Outside of a run.
    #[must_use]
    #[track_caller]
    pub fn now() -> Instant {
        kernel::with("squall::time::Instant::now", |kernel| Instant::at(kernel.shown_ns()))
    }

    fn at(run_ns: u64) -> Instant {
        Instant { ns: START_NS.saturating_add(run_ns) }
    }

    /// Later by `duration`; beyond what the clock can show is for ever.
    fn saturating_add(self, duration: Duration) -> Instant {
        self.checked_add(duration).unwrap_or(Instant { ns: u64::MAX })
    }

    /// For a program that goes by it. That is counted, since a run whose state comes back goes on otherwise all the same if a node waits for a
    /// time.
    fn read(self) -> u64 {
        let _ = kernel::try_with(|kernel| kernel.clock_reads += 1);
        self.ns
    }

    /// On the run's time; moments before the start are the start.
    fn run_ns(self) -> u64 {
        self.ns.saturating_sub(START_NS)
    }

    /// Since `earlier`; zero if that is later.
    #[must_use]
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.read().saturating_sub(earlier.ns))
    }

    /// Since `earlier`; `None` if that is later.
    #[must_use]
    pub fn checked_duration_since(&self, earlier: Instant) -> Option<Duration> {
        self.read().checked_sub(earlier.ns).map(Duration::from_nanos)
    }

    /// As [`Instant::duration_since`].
    #[must_use]
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }

    /// How long ago it was.
    ///
    /// # Panics
    /// Outside of a run.
    #[must_use]
    #[track_caller]
    pub fn elapsed(&self) -> Duration {
        Instant::now().duration_since(*self)
    }

    /// Later by `duration`, if that can be written.
    #[must_use]
    pub fn checked_add(&self, duration: Duration) -> Option<Instant> {
        let ns = u64::try_from(duration.as_nanos()).ok()?;
        self.ns.checked_add(ns).map(|ns| Instant { ns })
    }

    /// Earlier by `duration`, if that can be written.
    #[must_use]
    pub fn checked_sub(&self, duration: Duration) -> Option<Instant> {
        let ns = u64::try_from(duration.as_nanos()).ok()?;
        self.ns.checked_sub(ns).map(|ns| Instant { ns })
    }

    /// The same moment as std's type. Inside of a run std's `Instant::now` follows the same clock.
    ///
    /// # Panics
    /// Outside of a run.
    #[must_use]
    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "inside of a run std's clock is the run's own")]
    pub fn into_std(self) -> std::time::Instant {
        let (now, std_now) = (Instant::now(), std::time::Instant::now());
        if self >= now { std_now + (self - now) } else { std_now - (now - self) }
    }

    /// The same moment as std's type gives it.
    ///
    /// # Panics
    /// Outside of a run.
    #[must_use]
    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "inside of a run std's clock is the run's own")]
    pub fn from_std(std: std::time::Instant) -> Instant {
        let (now, std_now) = (Instant::now(), std::time::Instant::now());
        if std >= std_now { now + (std - std_now) } else { now - (std_now - std) }
    }
}

impl PartialEq for Instant {
    fn eq(&self, other: &Instant) -> bool {
        self.read() == other.ns
    }
}

impl Eq for Instant {}

impl PartialOrd for Instant {
    fn partial_cmp(&self, other: &Instant) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Instant {
    fn cmp(&self, other: &Instant) -> Ordering {
        self.read().cmp(&other.ns)
    }
}

impl Hash for Instant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.read().hash(state);
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        self.checked_add(duration).expect("overflow when adding a duration to an instant")
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, duration: Duration) -> Instant {
        self.checked_sub(duration).expect("overflow when subtracting a duration from an instant")
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = Instant { ns: self.read() };
        write!(f, "Instant({})", squall_trace::trace::format_ns(moment.run_ns()))
    }
}

/// Waits for a moment.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sleep {
    deadline: Instant,
    timer: Option<TimerRef>,
    /// The deadline is one of the run's time, whatever the node's clock shows: a device's.
    is_of_run: bool,
}

/// Waits for `duration` of the run's time, whatever the node's clock shows: for a device. To be called where a run is.
pub(crate) fn sleep_run_time(duration: Duration) -> Sleep {
    let now = kernel::with("squall::time::sleep", |kernel| Instant::at(kernel.now_ns));
    Sleep { deadline: now.saturating_add(duration), timer: None, is_of_run: true }
}

/// Waits until the running node's clock shows that moment, in nanoseconds of the run's time. To be called where a run is.
pub(crate) fn sleep_until_shown(shown_ns: u64) -> Sleep {
    sleep_until(Instant::at(shown_ns))
}

/// Waits for `duration`. A zero sleep is ready at once.
///
/// # Panics
/// When awaited outside of a run.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { deadline: Instant::now().saturating_add(duration), timer: None, is_of_run: false }
}

/// Waits for `deadline`.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, timer: None, is_of_run: false }
}

impl Sleep {
    /// When it is over.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Another one with the same deadline.
    pub(crate) fn again(&self) -> Sleep {
        Sleep { deadline: self.deadline, timer: None, is_of_run: self.is_of_run }
    }

    /// Whether it is over.
    ///
    /// # Panics
    /// Outside of a run.
    #[must_use]
    #[track_caller]
    pub fn is_elapsed(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Another deadline. Whoever waits for it is woken then.
    pub fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        self.deadline = deadline;
        if let Some(timer) = self.timer.take() {
            self.timer = kernel::try_with(|kernel| {
                let at_ns = kernel.shows_at_ns(deadline.run_ns());
                kernel.move_timer(timer, at_ns)
            })
            .flatten();
        }
    }

    /// When it is over on the run's time, and no timer that it may have been given for another one: a clock that ran otherwise meanwhile shows
    /// the deadline at another time than was thought.
    #[cold]
    fn ask_own_clock(&mut self, kernel: &mut kernel::Kernel) -> u64 {
        if kernel.has_own_clock()
            && let Some(timer) = self.timer.take()
        {
            kernel.stop_timer(timer);
        }
        let deadline_ns = self.deadline.run_ns();
        if self.is_of_run { deadline_ns } else { kernel.shows_at_ns(deadline_ns) }
    }

    fn stop(&mut self) {
        if let Some(timer) = self.timer.take() {
            let _ = kernel::try_with(|kernel| kernel.stop_timer(timer));
        }
    }
}

impl Future for Sleep {
    type Output = ();

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let deadline_ns = this.deadline.run_ns();
        let other = kernel::other_waker(context);
        kernel::with("squall::time::sleep", |kernel| {
            let due_ns = if kernel.all_clocks_run_true() { deadline_ns } else { this.ask_own_clock(kernel) };
            if kernel.now_ns >= due_ns {
                if let Some(timer) = this.timer.take() {
                    kernel.stop_timer(timer);
                }
                return Poll::Ready(());
            }
            let wake = kernel.wake_ref(other);
            match this.timer {
                Some(timer) if kernel.has_timer(timer) => kernel.await_timer(timer, due_ns, wake),
                _ if kernel.is_live() => {
                    let clock = if this.is_of_run { NodeId::WORLD } else { kernel.current.node };
                    this.timer = Some(kernel.start_timer(due_ns, clock, wake));
                }
                _ => kernel.forget(wake),
            }
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.stop();
    }
}

pin_project! {
    /// A future with a deadline.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

impl<F> Timeout<F> {
    /// The future without its deadline.
    pub fn into_inner(self) -> F {
        self.future
    }
}

/// Gives `future` that long.
///
/// # Panics
/// When awaited outside of a run.
#[track_caller]
pub fn timeout<F: std::future::IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), sleep: sleep(duration) }
}

/// Gives `future` until `deadline`.
pub fn timeout_at<F: std::future::IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), sleep: sleep_until(deadline) }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, error::Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.future.poll(context) {
            return Poll::Ready(Ok(value));
        }
        this.sleep.poll(context).map(|()| Err(error::Elapsed(())))
    }
}

/// Errors of time.
pub mod error {
    /// A deadline passed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Elapsed(pub(super) ());

    impl std::fmt::Display for Elapsed {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("deadline has elapsed")
        }
    }

    impl std::error::Error for Elapsed {}

    impl From<Elapsed> for std::io::Error {
        fn from(_: Elapsed) -> std::io::Error {
            std::io::ErrorKind::TimedOut.into()
        }
    }
}

/// What an interval does about ticks that were missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// Ticks as fast as it can until it has caught up.
    #[default]
    Burst,
    /// Ticks a period after the late tick from then on.
    Delay,
    /// Skips to the next multiple of the period.
    Skip,
}

/// Ticks, one a period.
#[derive(Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    behavior: MissedTickBehavior,
    sleep: Option<Sleep>,
}

/// Ticks at once and then each `period`.
///
/// # Panics
/// If the period is zero, or outside of a run.
#[must_use]
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now(), period)
}

/// Ticks at `start` and then each `period`.
///
/// # Panics
/// If the period is zero.
#[must_use]
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "`period` must be non-zero.");
    Interval { next: start, period, behavior: MissedTickBehavior::default(), sleep: None }
}

impl Interval {
    /// Waits for the next tick and says when it was due. Cancel safe.
    pub async fn tick(&mut self) -> Instant {
        std::future::poll_fn(|context| self.poll_tick(context)).await
    }

    /// As [`Interval::tick`], to be polled.
    pub fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<Instant> {
        let due = self.next;
        let sleep = self.sleep.get_or_insert_with(|| sleep_until(due));
        if Pin::new(sleep).poll(context).is_pending() {
            return Poll::Pending;
        }
        self.sleep = None;
        let now = Instant::now();
        self.next = if now.ns <= due.saturating_add(Duration::from_millis(5)).ns
            || self.behavior == MissedTickBehavior::Burst
        {
            // tokio: a tick that is at most 5 ms late isn't missed.
            due.saturating_add(self.period)
        } else if self.behavior == MissedTickBehavior::Delay {
            now.saturating_add(self.period)
        } else {
            let period_ns = duration_ns(self.period);
            let late_ns = now.ns.saturating_sub(due.ns);
            now.saturating_add(Duration::from_nanos(period_ns - late_ns % period_ns))
        };
        Poll::Ready(due)
    }

    /// The next tick comes a period from now.
    ///
    /// # Panics
    /// Outside of a run.
    #[track_caller]
    pub fn reset(&mut self) {
        self.next = Instant::now().saturating_add(self.period);
        self.sleep = None;
    }

    /// The next tick comes at once.
    ///
    /// # Panics
    /// Outside of a run.
    #[track_caller]
    pub fn reset_immediately(&mut self) {
        self.next = Instant::now();
        self.sleep = None;
    }

    /// The period.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What is done about missed ticks.
    #[must_use]
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.behavior
    }

    /// What is to be done about missed ticks.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.behavior = behavior;
    }
}

/// Durations that read well: `10.ms()`.
pub trait DurationExt {
    /// Nanoseconds.
    fn ns(self) -> Duration;
    /// Microseconds.
    fn us(self) -> Duration;
    /// Milliseconds.
    fn ms(self) -> Duration;
    /// Seconds.
    fn secs(self) -> Duration;
}

impl DurationExt for u64 {
    fn ns(self) -> Duration {
        Duration::from_nanos(self)
    }

    fn us(self) -> Duration {
        Duration::from_micros(self)
    }

    fn ms(self) -> Duration {
        Duration::from_millis(self)
    }

    fn secs(self) -> Duration {
        Duration::from_secs(self)
    }
}

const fn is_send_and_sync<T: Send + Sync>() {}
const _: () = is_send_and_sync::<Sleep>();
const _: () = is_send_and_sync::<Interval>();
const _: () = is_send_and_sync::<Timeout<()>>();
