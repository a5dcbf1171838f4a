//! Latency distributions: how long a message or an operation takes in virtual time.
//!
//! [`Latency`] is the plain description a user writes. [`Latency::compile`] turns it into an
//! [`InverseTable`], which maps one 64-bit random word to one latency by the inverse of the
//! distribution function: with `p = word / 2^64`, the answer is the `p`-quantile.
//!
//! Three properties are worth the trouble of a table:
//!
//! * **One word, one draw.** There is no rejection and no loop, so a change of distribution never
//!   shifts the words that later draws see.
//! * **Order.** The latency never falls as the word rises, so `0` is the fastest delivery,
//!   `u64::MAX` the slowest, and `1 << 63` the median ("calm weather"). A shrinker may move a word
//!   and know the direction in which the latency moves.
//! * **The same bits everywhere.** A draw uses integers only. Floating point appears while a table
//!   is built, and there only through IEEE 754 basic operations and the pure-Rust `libm` crate, not
//!   through the platform's mathematical library.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The greatest latency in nanoseconds: 2^62, about 146 years.
///
/// A parameter above it is an error; a quantile above it is answered as this value. Two such
/// latencies still add up within a `u64`.
pub const LATENCY_NS_MAX: u64 = 1 << 62;

/// A distribution of latencies.
///
/// This is plain data: any value can be written down, and [`Latency::validate`] says whether it
/// makes sense. Durations have the resolution of one nanosecond and may be at most
/// [`LATENCY_NS_MAX`] long.
///
/// # Examples
///
/// ```
/// use squall_engine::latency::Latency;
/// use std::time::Duration;
///
/// let latency = Latency::lognormal(Duration::from_millis(2), Duration::from_millis(20));
/// let table = latency.compile()?;
/// assert_eq!(table.median_ns(), 2_000_000);
/// assert!(table.quantile_ns(u64::MAX) > 20_000_000);
/// # Ok::<(), squall_engine::latency::LatencyError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Latency {
    /// Always the same latency.
    Fixed(Duration),
    /// Every whole nanosecond from `min` to `max`, both included, equally likely.
    Uniform {
        /// The shortest latency.
        min: Duration,
        /// The longest latency; at least `min`.
        max: Duration,
    },
    /// `min` plus an exponentially distributed time.
    Exponential {
        /// The mean of the exponential part, without `min`; above zero.
        mean: Duration,
        /// A floor that is added to every draw; may be zero.
        min: Duration,
    },
    /// A latency whose logarithm is normally distributed.
    Lognormal {
        /// The latency that half of the draws stay below; above zero.
        median: Duration,
        /// The latency that 99 % of the draws stay below; above `median`.
        p99: Duration,
    },
    /// A heavy tail: a draw exceeds `x` with probability `(min / x)^shape`, for every `x >= min`.
    ///
    /// The mean is infinite for a `shape` of 1 or less.
    Pareto {
        /// The scale, which is also the shortest latency; above zero.
        min: Duration,
        /// The tail index, without unit; finite and above zero. The smaller, the heavier the tail.
        shape: f64,
    },
    /// One of the measured latencies, each entry of the list equally likely.
    ///
    /// The order of the list does not matter; a latency that occurs twice is twice as likely.
    Empirical(Vec<Duration>),
    /// A recording that is replayed: whatever begins at an instant takes the latency that was recorded for it.
    ///
    /// Each entry is a time, from the run's start, and the latency from that time on, up to the time of the next one. The times begin at zero and rise.
    /// The last entry is as long as the one before it; then all begins anew. A single entry is a fixed latency.
    ///
    /// It is drawn from nothing: what a message takes follows from when it leaves. As a distribution it is that of the latencies over time, so that its
    /// median, which is calm weather, is the latency that half of the time stays below.
    Trace(Arc<[(Duration, Duration)]>),
}

/// A [`Latency::Trace`] has so many entries at the most.
pub const TRACE_ENTRIES_MAX: usize = 1_000_000;

impl Latency {
    /// Always `latency`.
    #[must_use]
    pub const fn fixed(latency: Duration) -> Self {
        Self::Fixed(latency)
    }

    /// Uniform from `min` to `max`, both included.
    #[must_use]
    pub const fn uniform(min: Duration, max: Duration) -> Self {
        Self::Uniform { min, max }
    }

    /// Exponential with the given `mean`, starting at zero.
    ///
    /// For a floor under the exponential part write [`Latency::Exponential`] out.
    #[must_use]
    pub const fn exponential(mean: Duration) -> Self {
        Self::Exponential { mean, min: Duration::ZERO }
    }

    /// Lognormal, given by its `median` and its 99th percentile.
    #[must_use]
    pub const fn lognormal(median: Duration, p99: Duration) -> Self {
        Self::Lognormal { median, p99 }
    }

    /// Pareto with the scale `min` and the tail index `shape`.
    #[must_use]
    pub const fn pareto(min: Duration, shape: f64) -> Self {
        Self::Pareto { min, shape }
    }

    /// One entry of `latencies`, each equally likely.
    #[must_use]
    pub fn empirical(latencies: impl Into<Vec<Duration>>) -> Self {
        Self::Empirical(latencies.into())
    }

    /// A recording that is replayed: times from the run's start, and the latency from each on. See [`Latency::Trace`].
    #[must_use]
    pub fn trace(entries: impl Into<Vec<(Duration, Duration)>>) -> Self {
        Self::Trace(entries.into().into())
    }

    /// Says whether the parameters describe a distribution.
    ///
    /// # Errors
    ///
    /// The first fault found, as the variant of [`LatencyError`] that describes it.
    pub fn validate(&self) -> Result<(), LatencyError> {
        match self {
            Self::Fixed(latency) => {
                checked_ns("latency", *latency)?;
            }
            Self::Uniform { min, max } => {
                checked_ns("min", *min)?;
                checked_ns("max", *max)?;
                if min > max {
                    return Err(LatencyError::MinAboveMax { min: *min, max: *max });
                }
            }
            Self::Exponential { mean, min } => {
                checked_positive_ns("mean", *mean)?;
                checked_ns("min", *min)?;
            }
            Self::Lognormal { median, p99 } => {
                checked_positive_ns("median", *median)?;
                checked_ns("p99", *p99)?;
                if p99 <= median {
                    return Err(LatencyError::P99NotAboveMedian { median: *median, p99: *p99 });
                }
            }
            Self::Pareto { min, shape } => {
                checked_positive_ns("min", *min)?;
                if !(shape.is_finite() && *shape > 0.0) {
                    return Err(LatencyError::ShapeOutOfRange { shape: *shape });
                }
            }
            Self::Empirical(latencies) => {
                if latencies.is_empty() {
                    return Err(LatencyError::EmptyList);
                }
                for latency in latencies {
                    checked_ns("empirical latency", *latency)?;
                }
            }
            Self::Trace(entries) => {
                let Some((first, _)) = entries.first() else { return Err(LatencyError::EmptyTrace) };
                if entries.len() > TRACE_ENTRIES_MAX {
                    return Err(LatencyError::TraceTooLong { entries: entries.len() });
                }
                if !first.is_zero() {
                    return Err(LatencyError::TraceStartsLate { first: *first });
                }
                for pair in entries.windows(2) {
                    if pair[1].0 <= pair[0].0 {
                        return Err(LatencyError::TraceOutOfOrder { before: pair[0].0, at: pair[1].0 });
                    }
                }
                for (at, latency) in entries.iter() {
                    checked_ns("time of a trace", *at)?;
                    checked_ns("latency of a trace", *latency)?;
                }
            }
        }
        Ok(())
    }

    /// Builds the table that draws from this distribution.
    ///
    /// The cost is some thousand evaluations of a logarithm and an exponential for the analytic
    /// distributions (under a millisecond, and 64 KiB of memory), and one sort for
    /// [`Latency::Empirical`]; share the table among all links that use the distribution.
    ///
    /// # Errors
    ///
    /// Those of [`Latency::validate`].
    pub fn compile(&self) -> Result<InverseTable, LatencyError> {
        self.validate()?;
        let inverse = match self {
            Self::Fixed(latency) => Inverse::Fixed { latency_ns: checked_ns("latency", *latency)? },
            Self::Uniform { min, max } => {
                let min_ns = checked_ns("min", *min)?;
                let max_ns = checked_ns("max", *max)?;
                Inverse::Uniform {
                    min_ns,
                    // Cannot overflow: both are at most 2^62.
                    value_count: max_ns - min_ns + 1,
                }
            }
            Self::Exponential { mean, min } => {
                let mean_ns = checked_ns("mean", *mean)? as f64;
                let floor_ns = checked_ns("min", *min)?;
                Inverse::Interpolated {
                    nodes_ns: interpolation_nodes(|tail| rounded_ns(mean_ns * hazard(tail)).saturating_add(floor_ns)),
                }
            }
            Self::Lognormal { median, p99 } => {
                let median_ns = checked_ns("median", *median)? as f64;
                let p99_ns = checked_ns("p99", *p99)? as f64;
                let sigma = libm::log(p99_ns / median_ns) / NORMAL_QUANTILE_99;
                Inverse::Interpolated {
                    nodes_ns: interpolation_nodes(|tail| {
                        rounded_ns(median_ns * libm::exp(sigma * normal_quantile(tail)))
                    }),
                }
            }
            Self::Pareto { min, shape } => {
                let min_ns = checked_ns("min", *min)? as f64;
                Inverse::Interpolated {
                    // The logarithm of a Pareto variable in units of its scale is exponential.
                    nodes_ns: interpolation_nodes(|tail| rounded_ns(min_ns * libm::exp(hazard(tail) / shape))),
                }
            }
            Self::Empirical(latencies) => {
                let mut sorted_ns = latencies
                    .iter()
                    .map(|latency| checked_ns("empirical latency", *latency))
                    .collect::<Result<Box<[u64]>, _>>()?;
                sorted_ns.sort_unstable();
                Inverse::Empirical { sorted_ns }
            }
            Self::Trace(entries) => Inverse::Trace { trace: Box::new(Trace::new(entries)?) },
        };
        Ok(InverseTable { inverse })
    }
}

/// Why a [`Latency`] describes no distribution.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LatencyError {
    /// A parameter is longer than [`LATENCY_NS_MAX`].
    TooLong {
        /// The name of the parameter.
        parameter: &'static str,
        /// What was given.
        value: Duration,
    },
    /// A parameter that must be above zero is zero.
    Zero {
        /// The name of the parameter.
        parameter: &'static str,
    },
    /// A uniform distribution whose shortest latency is above its longest.
    MinAboveMax {
        /// The given shortest latency.
        min: Duration,
        /// The given longest latency.
        max: Duration,
    },
    /// A lognormal distribution whose 99th percentile is not above its median.
    P99NotAboveMedian {
        /// The given median.
        median: Duration,
        /// The given 99th percentile.
        p99: Duration,
    },
    /// A Pareto shape that is zero, negative, infinite or not a number.
    ShapeOutOfRange {
        /// What was given.
        shape: f64,
    },
    /// An empirical distribution without any latency.
    EmptyList,
    /// A trace without an entry.
    EmptyTrace,
    /// A trace of more than [`TRACE_ENTRIES_MAX`] entries.
    TraceTooLong {
        /// How many it has.
        entries: usize,
    },
    /// A trace that doesn't begin at zero.
    TraceStartsLate {
        /// When it begins.
        first: Duration,
    },
    /// A trace whose times don't rise.
    TraceOutOfOrder {
        /// The time of an entry.
        before: Duration,
        /// The time of the next one, which isn't later.
        at: Duration,
    },
}

impl fmt::Display for LatencyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { parameter, value } => write!(
                formatter,
                "{parameter} is {value:?}, above the longest latency of {:?}",
                Duration::from_nanos(LATENCY_NS_MAX)
            ),
            Self::Zero { parameter } => write!(formatter, "{parameter} must be above zero"),
            Self::MinAboveMax { min, max } => {
                write!(formatter, "min ({min:?}) is above max ({max:?})")
            }
            Self::P99NotAboveMedian { median, p99 } => {
                write!(formatter, "p99 ({p99:?}) must be above median ({median:?})")
            }
            Self::ShapeOutOfRange { shape } => {
                write!(formatter, "shape must be finite and above zero, not {shape}")
            }
            Self::EmptyList => write!(formatter, "an empirical latency needs at least one entry"),
            Self::EmptyTrace => write!(formatter, "a trace needs at least one entry"),
            Self::TraceTooLong { entries } => {
                write!(formatter, "a trace has at most {TRACE_ENTRIES_MAX} entries, not {entries}")
            }
            Self::TraceStartsLate { first } => {
                write!(formatter, "a trace begins at 0s, not at {first:?}: say what is so until then")
            }
            Self::TraceOutOfOrder { before, at } => {
                write!(formatter, "the times of a trace rise, and {at:?} stands behind {before:?}")
            }
        }
    }
}

impl Error for LatencyError {}

/// A compiled [`Latency`]: the integer inverse of its distribution function.
///
/// [`Fixed`](Latency::Fixed), [`Uniform`](Latency::Uniform), [`Empirical`](Latency::Empirical) and
/// [`Trace`](Latency::Trace) are exact. For the others, the quantiles at the nodes of the
/// table are the formula's, rounded to the nanosecond, and the quantiles between them are
/// interpolated. From the quantile 2^-65 to the quantile 1 - 2^-65 the result is off by at most
/// 0.1 % or 1 ns, whichever is more, provided that a Pareto shape is at least 0.2 and a lognormal
/// p99 at most 10⁶ times the median. Beyond those parameters the table stays monotone, but is
/// coarser.
#[derive(Clone, PartialEq)]
pub struct InverseTable {
    inverse: Inverse,
}

impl InverseTable {
    /// The latency in nanoseconds for a random `word`: the quantile at `word / 2^64`.
    ///
    /// Words that are uniform on all 64 bits give latencies that follow the distribution. The
    /// result never falls as `word` rises, and is at most [`LATENCY_NS_MAX`].
    #[inline]
    #[must_use]
    pub fn quantile_ns(&self, word: u64) -> u64 {
        match &self.inverse {
            Inverse::Fixed { latency_ns } => *latency_ns,
            Inverse::Uniform { min_ns, value_count } => min_ns + scaled(word, *value_count),
            Inverse::Interpolated { nodes_ns } => interpolated(nodes_ns, word),
            Inverse::Empirical { sorted_ns } => {
                // `scaled` answers less than the length, so this neither truncates nor panics.
                sorted_ns[scaled(word, sorted_ns.len() as u64) as usize]
            }
            Inverse::Trace { trace } => trace.quantile_ns(word),
        }
    }

    /// The latency in nanoseconds of what begins at `now_ns` nanoseconds from the run's start, for a random `word`: [`InverseTable::quantile_ns`], but
    /// for a trace, where the time says it all.
    #[must_use]
    pub fn latency_ns(&self, word: u64, now_ns: u64) -> u64 {
        match &self.inverse {
            Inverse::Trace { trace } => trace.at_ns(now_ns),
            _ => self.quantile_ns(word),
        }
    }

    /// Whether it is a trace's.
    pub(crate) fn follows_time(&self) -> bool {
        matches!(self.inverse, Inverse::Trace { .. })
    }

    /// The median in nanoseconds, the latency in calm weather: `quantile_ns(1 << 63)`.
    #[inline]
    #[must_use]
    pub fn median_ns(&self) -> u64 {
        self.quantile_ns(1 << 63)
    }
}

impl fmt::Debug for InverseTable {
    /// A few quantiles; thousands of table entries would help no reader.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("InverseTable")
            .field("min_ns", &self.quantile_ns(0))
            .field("median_ns", &self.median_ns())
            .field("max_ns", &self.quantile_ns(u64::MAX))
            .finish_non_exhaustive()
    }
}

/// The kinds of [`InverseTable`].
#[derive(Clone, PartialEq)]
enum Inverse {
    /// The same for every word.
    Fixed { latency_ns: u64 },
    /// `value_count` consecutive values from `min_ns` on.
    Uniform { min_ns: u64, value_count: u64 },
    /// Nodes as [`interpolation_nodes`] lays them out.
    Interpolated { nodes_ns: Box<Nodes> },
    /// Never empty.
    Empirical { sorted_ns: Box<[u64]> },
    /// See [`Latency::Trace`].
    Trace { trace: Box<Trace> },
}

/// A compiled [`Latency::Trace`].
#[derive(Clone, PartialEq)]
struct Trace {
    /// Times and the latencies from each on; never empty, from 0, rising.
    entries_ns: Box<[(u64, u64)]>,
    /// After that it begins anew; above 0.
    period_ns: u64,
    /// Latencies, rising, each with how much of the period has it or a lesser one.
    by_latency_ns: Box<[(u64, u64)]>,
}

impl Trace {
    fn new(entries: &[(Duration, Duration)]) -> Result<Trace, LatencyError> {
        let in_ns = |(at, latency): &(Duration, Duration)| {
            Ok((checked_ns("time of a trace", *at)?, checked_ns("latency of a trace", *latency)?))
        };
        let entries_ns = entries.iter().map(in_ns).collect::<Result<Box<[(u64, u64)]>, LatencyError>>()?;
        let period_ns = match *entries_ns {
            [.., (before_ns, _), (last_ns, _)] => last_ns + (last_ns - before_ns),
            _ => 1,
        };
        let ends_ns = entries_ns.iter().skip(1).map(|(at_ns, _)| *at_ns).chain([period_ns]);
        let lasting = entries_ns.iter().zip(ends_ns).map(|((at_ns, latency_ns), end_ns)| (*latency_ns, end_ns - at_ns));
        let mut by_latency_ns: Box<[(u64, u64)]> = lasting.collect();
        by_latency_ns.sort_unstable();
        let mut so_far_ns = 0;
        for (_, lasts_ns) in &mut by_latency_ns {
            so_far_ns += *lasts_ns;
            *lasts_ns = so_far_ns;
        }
        Ok(Trace { entries_ns, period_ns, by_latency_ns })
    }

    fn at_ns(&self, now_ns: u64) -> u64 {
        let now_ns = now_ns % self.period_ns;
        // The first begins at 0.
        self.entries_ns[self.entries_ns.partition_point(|(at_ns, _)| *at_ns <= now_ns) - 1].1
    }

    fn quantile_ns(&self, word: u64) -> u64 {
        let place_ns = scaled(word, self.period_ns);
        self.by_latency_ns[self.by_latency_ns.partition_point(|(_, so_far_ns)| *so_far_ns <= place_ns)].0
    }
}

// The layout of an interpolation table.
//
// A word lies in the lower or in the upper half of the distribution. Let v be its distance from
// the end of its half, `word` or `!word`, a number below 2^63. A word stands for an interval of
// width 2^-64, whose middle has the tail probability (2v + 1) / 2^65. So the odd number 2v + 1 fits
// 64 bits, is never zero, and stands for a probability between 2^-65 and 1/2. It is treated like a small
// floating-point number: its highest set bit names the octave, the SUBDIVISION_BITS bits below it
// name the cell of the octave, and the remaining bits are the position within the cell, for the
// linear interpolation between the cell's two nodes.
//
// Each octave is thus resolved as finely as every other, and both tails keep their *relative*
// precision: an upper tail in which a quantile doubles with every octave, and a lower tail in
// which it halves. The two halves are mirror images because a lognormal needs both.
//
// With cells of relative width 1/64 at most, linear interpolation of a quantile function q(t) errs
// by up to (1/128)^2 / 2 * t^2 q''(t), which is 1/32768 * (1/a)(1/a + 1) of q for a Pareto tail of
// shape a: 0.006 % for a = 1, 0.09 % for a = 0.2.
//
// Both halves lie in one array of nodes, ascending, with the median in the middle. The octaves that
// matter are the ones next to it: 99 % of all words use 7 KiB of the 64 KiB.

/// The number of bits that select one of the linear cells of an octave.
const SUBDIVISION_BITS: u32 = 6;

/// The number of cells of one half of the distribution, 64 octaves long.
const CELL_COUNT: usize = 64 << SUBDIVISION_BITS;

/// The number of nodes of a table: the borders of the cells of both halves, which share the median.
const NODE_COUNT: usize = 2 * CELL_COUNT + 1;

/// The quantiles at the borders of the cells in nanoseconds, ascending.
type Nodes = [u64; NODE_COUNT];

/// `word / 2^64 * count`, rounded down: below `count`, unless that is zero.
#[inline]
fn scaled(word: u64, count: u64) -> u64 {
    ((u128::from(word) * u128::from(count)) >> 64) as u64
}

/// The quantile at `word / 2^64`, from the nodes of [`interpolation_nodes`].
#[inline]
fn interpolated(nodes_ns: &Nodes, word: u64) -> u64 {
    // All ones in the upper half, all zeros in the lower: a branch would be mispredicted on every
    // second draw.
    let upper_mask = (word.cast_signed() >> 63).cast_unsigned();
    let odd = ((word ^ upper_mask) << 1) | 1;
    let octave = odd.ilog2();
    // The octave's bit in front, the subdivision and the position behind it.
    let normalized = odd << (63 - octave);
    let subdivision = (normalized << 1) >> (64 - SUBDIVISION_BITS);
    let cell_from_end = (u64::from(octave) << SUBDIVISION_BITS) | subdivision;
    let position_from_end = normalized << (1 + SUBDIVISION_BITS);
    // In the upper half both count downwards; the complement turns them round. The cells of both
    // halves together are a power of two, so the mask makes `last - cell` of the complement.
    let cell = (cell_from_end ^ upper_mask) as usize & (2 * CELL_COUNT - 1);
    let position = position_from_end ^ upper_mask;
    let low_ns = nodes_ns[cell];
    let step_ns = nodes_ns[cell + 1].wrapping_sub(low_ns);
    // Rounded to nearest, which keeps the order (a larger position never gives a smaller product)
    // and never passes the next node.
    let product = u128::from(step_ns) * u128::from(position);
    let offset_ns = (product >> 64) as u64 + (product as u64 >> 63);
    low_ns.wrapping_add(offset_ns)
}

/// One half of a distribution, and a probability of that half counted from its end.
#[derive(Clone, Copy)]
enum Tail {
    /// The quantile with `0` of the distribution below it, for a number from 2^-65 to 1/2.
    Lower(f64),
    /// The quantile with `0` of the distribution above it, for a number from 2^-65 to 1/2.
    Upper(f64),
}

/// The quantiles at the borders of all cells, ascending: the lower half from the end of its tail to
/// the median, then the upper half from the median to the end of its tail.
fn interpolation_nodes(quantile_ns: impl Fn(Tail) -> u64) -> Box<Nodes> {
    // A running maximum removes a fall in the last bit, for instance where the formulas of the two
    // halves meet.
    let mut floor_ns = 0;
    let nodes_ns: Box<[u64]> = (0..NODE_COUNT)
        .map(|index| {
            let tail = if index <= CELL_COUNT {
                Tail::Lower(node_probability(index))
            } else {
                Tail::Upper(node_probability(NODE_COUNT - 1 - index))
            };
            floor_ns = quantile_ns(tail).clamp(floor_ns, LATENCY_NS_MAX);
            floor_ns
        })
        .collect();
    // Collected on the heap: as an array it would pass over the stack, and 64 KiB is much for the
    // stack of a simulated task.
    nodes_ns.try_into().expect("NODE_COUNT nodes were made")
}

/// The tail probability of a node, counted from the end of its half; exact.
fn node_probability(index: usize) -> f64 {
    let subdivision_count = 1 << SUBDIVISION_BITS;
    let octave = (index >> SUBDIVISION_BITS) as i32;
    let mantissa = subdivision_count + (index & (subdivision_count - 1));
    libm::ldexp(mantissa as f64, octave - 65 - SUBDIVISION_BITS as i32)
}

/// A real number of nanoseconds to the nearest whole one; saturates at [`LATENCY_NS_MAX`].
fn rounded_ns(latency_ns: f64) -> u64 {
    // The cast saturates, infinity included.
    (latency_ns.round() as u64).min(LATENCY_NS_MAX)
}

/// A parameter in nanoseconds.
fn checked_ns(parameter: &'static str, value: Duration) -> Result<u64, LatencyError> {
    match u64::try_from(value.as_nanos()) {
        Ok(value_ns) if value_ns <= LATENCY_NS_MAX => Ok(value_ns),
        _ => Err(LatencyError::TooLong { parameter, value }),
    }
}

/// A parameter in nanoseconds that must not be zero.
fn checked_positive_ns(parameter: &'static str, value: Duration) -> Result<u64, LatencyError> {
    match checked_ns(parameter, value)? {
        0 => Err(LatencyError::Zero { parameter }),
        value_ns => Ok(value_ns),
    }
}

/// The quantile of the exponential distribution with mean 1.
fn hazard(tail: Tail) -> f64 {
    match tail {
        // `log(1 - p)` would lose every digit of a small `p`.
        Tail::Lower(probability) => -libm::log1p(-probability),
        Tail::Upper(probability) => -libm::log(probability),
    }
}

/// The 0.99-quantile of the standard normal distribution.
const NORMAL_QUANTILE_99: f64 = 2.326_347_874_040_841;

/// The quantile of the standard normal distribution, to a relative error of about 1e-16.
fn normal_quantile(tail: Tail) -> f64 {
    match tail {
        Tail::Lower(probability) => -upper_normal_quantile(probability),
        Tail::Upper(probability) => upper_normal_quantile(probability),
    }
}

/// The standard normal quantile with `probability`, from above 0 to 1/2, of the distribution above
/// it.
///
/// Routine PPND16 of: M. J. Wichura, "Algorithm AS 241: The Percentage Points of the Normal
/// Distribution", Journal of the Royal Statistical Society, Series C (Applied Statistics), volume
/// 37, number 3 (1988), pages 477-484.
fn upper_normal_quantile(probability: f64) -> f64 {
    let from_median = 0.5 - probability;
    if from_median <= 0.425 {
        let argument = 0.180_625 - from_median * from_median;
        return from_median * rational(argument, &CENTRE_NUMERATOR, &CENTRE_DENOMINATOR);
    }
    let depth = libm::sqrt(-libm::log(probability));
    if depth <= 5.0 {
        rational(depth - 1.6, &TAIL_NUMERATOR, &TAIL_DENOMINATOR)
    } else {
        rational(depth - 5.0, &FAR_TAIL_NUMERATOR, &FAR_TAIL_DENOMINATOR)
    }
}

/// The quotient of two polynomials by Horner's rule; coefficients from the constant term upwards.
fn rational(argument: f64, numerator: &[f64; 8], denominator: &[f64; 8]) -> f64 {
    // Not `mul_add`: it rounds once where this rounds twice, and a platform without the
    // instruction would call its own library for it.
    let polynomial = |coefficients: &[f64; 8]| {
        coefficients.iter().rev().fold(0.0, |value, coefficient| value * argument + coefficient)
    };
    polynomial(numerator) / polynomial(denominator)
}

// The coefficients of AS 241, PPND16: a, b (centre), c, d (tail), e, f (far tail), with the digits
// that an `f64` can hold.

const CENTRE_NUMERATOR: [f64; 8] = [
    3.387_132_872_796_366_5,
    133.141_667_891_784_38,
    1_971.590_950_306_551_3,
    13_731.693_765_509_46,
    45_921.953_931_549_87,
    67_265.770_927_008_7,
    33_430.575_583_588_13,
    2_509.080_928_730_122_7,
];

const CENTRE_DENOMINATOR: [f64; 8] = [
    1.0,
    42.313_330_701_600_91,
    687.187_007_492_057_9,
    5_394.196_021_424_751,
    21_213.794_301_586_597,
    39_307.895_800_092_71,
    28_729.085_735_721_943,
    5_226.495_278_852_854,
];

const TAIL_NUMERATOR: [f64; 8] = [
    1.423_437_110_749_683_5,
    4.630_337_846_156_546,
    5.769_497_221_460_691,
    3.647_848_324_763_204_5,
    1.270_458_252_452_368_4,
    0.241_780_725_177_450_6,
    0.022_723_844_989_269_184,
    0.000_774_545_014_278_341_4,
];

const TAIL_DENOMINATOR: [f64; 8] = [
    1.0,
    2.053_191_626_637_759,
    1.676_384_830_183_803_8,
    0.689_767_334_985_1,
    0.148_103_976_427_480_08,
    0.015_198_666_563_616_457,
    0.000_547_593_808_499_534_5,
    1.050_750_071_644_416_9e-9,
];

const FAR_TAIL_NUMERATOR: [f64; 8] = [
    6.657_904_643_501_103,
    5.463_784_911_164_114,
    1.784_826_539_917_291_3,
    0.296_560_571_828_504_87,
    0.026_532_189_526_576_124,
    0.001_242_660_947_388_078_4,
    2.711_555_568_743_487_6e-5,
    2.010_334_399_292_288_1e-7,
];

const FAR_TAIL_DENOMINATOR: [f64; 8] = [
    1.0,
    0.599_832_206_555_888,
    0.136_929_880_922_735_8,
    0.014_875_361_290_850_615,
    0.000_786_869_131_145_613_3,
    1.846_318_317_510_054_8e-5,
    1.421_511_758_316_446e-7,
    2.044_263_103_389_939_7e-15,
];
