//! Knobs: settings of a program (a batch size, a timeout) that have another value than usual in some runs.
//!
//! A knob has one value in a whole run, on all nodes and in all boots, as a setting that was rolled out everywhere: nodes that disagree about one are
//! another fault, and a rarer one. (FoundationDB's knobs, too, are those of a whole simulated cluster.)
//!
//! Every knob of a program is in [`KNOBS`], whether a run reads it or not: the linker collects them. So a world that fixes one that isn't there is a mistake
//! that can be told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

pub use linkme;
pub use linkme::distributed_slice;
use squall_trace::id::hash_parts;
use squall_trace::target::{Unreached, UnreachedFault};
use squall_trace::trace::format_ns;
use squall_trace::{EventKind, FaultPart, FlowId, FlowInfo, FlowRole, NodeId, Site, SiteKind};

use crate::kernel::{self, Kernel};

/// All knobs of this program, in no order.
#[distributed_slice]
pub static KNOBS: [Knob];

/// A place in the code that reads a knob. `squall::knob!` makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Knob {
    /// What the knob is called. Several places of one name read one knob.
    pub name: &'static str,
    /// The file, as the compiler was told it.
    pub file: &'static str,
    /// The line in it.
    pub line: u32,
}

/// The names of all knobs, in order.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = KNOBS.iter().map(|knob| knob.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A value that a world gives a knob, before the knob's type is known; see [`crate::World::knob`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// A whole number, of whatever width.
    Integer(i128),
    /// True or false.
    Boolean(bool),
    /// A duration.
    Duration(Duration),
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fixed::Integer(number) => write!(f, "{number}"),
            Fixed::Boolean(boolean) => write!(f, "{boolean}"),
            Fixed::Duration(duration) => f.write_str(&format_ns(crate::world::duration_ns(*duration))),
        }
    }
}

/// What a knob's value may be: a whole number, true or false, or a duration.
pub trait Setting: Copy {
    /// Which values there are, in words.
    fn expected() -> String;

    /// As a world would give it.
    fn to_fixed(self) -> Fixed;

    /// What a world has given, if it is of this type.
    fn from_fixed(fixed: Fixed) -> Option<Self>;
}

/// A [`Setting`] whose values lie between others.
pub trait Ordinal: Setting {
    /// How far it is above another one, in units or nanoseconds. `None` if it is below, or too far.
    fn above(self, low: Self) -> Option<u64>;

    /// What lies so far above this one.
    fn plus(self, distance: u64) -> Self;
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl Setting for $number {
            fn expected() -> String {
                format!("a whole number from {} to {}", <$number>::MIN, <$number>::MAX)
            }

            fn to_fixed(self) -> Fixed {
                Fixed::Integer(self as i128)
            }

            fn from_fixed(fixed: Fixed) -> Option<$number> {
                match fixed {
                    Fixed::Integer(number) => <$number>::try_from(number).ok(),
                    _ => None,
                }
            }
        }

        impl Ordinal for $number {
            fn above(self, low: $number) -> Option<u64> {
                u64::try_from((self as i128).checked_sub(low as i128)?).ok()
            }

            fn plus(self, distance: u64) -> $number {
                <$number>::try_from(self as i128 + i128::from(distance)).unwrap_or(<$number>::MAX)
            }
        }
    )*};
}

whole_numbers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl Setting for bool {
    fn expected() -> String {
        "true or false".to_string()
    }

    fn to_fixed(self) -> Fixed {
        Fixed::Boolean(self)
    }

    fn from_fixed(fixed: Fixed) -> Option<bool> {
        match fixed {
            Fixed::Boolean(boolean) => Some(boolean),
            _ => None,
        }
    }
}

impl Setting for Duration {
    fn expected() -> String {
        "a duration".to_string()
    }

    fn to_fixed(self) -> Fixed {
        Fixed::Duration(self)
    }

    fn from_fixed(fixed: Fixed) -> Option<Duration> {
        match fixed {
            Fixed::Duration(duration) => Some(duration),
            _ => None,
        }
    }
}

impl Ordinal for Duration {
    fn above(self, low: Duration) -> Option<u64> {
        u64::try_from(self.checked_sub(low)?.as_nanos()).ok()
    }

    fn plus(self, distance: u64) -> Duration {
        self.saturating_add(Duration::from_nanos(distance))
    }
}

/// What a knob's value may be beside its default: a list, or a range that the default is in.
pub trait Alternatives<T> {
    /// How many values there are, the default included, and the number of the default. Numbers go from 0.
    ///
    /// # Errors
    /// In words, if there is no other value than the default, or the default isn't in the range.
    fn numbers(&self, default: T) -> Result<(u64, u64), String>;

    /// The value of that number.
    fn value(&self, default: T, number: u64) -> T;
}

/// Those nearest to the default are best named first: a failure comes down to the first one that brings it out.
impl<T: Setting, const COUNT: usize> Alternatives<T> for [T; COUNT] {
    fn numbers(&self, _default: T) -> Result<(u64, u64), String> {
        match COUNT {
            0 => Err("it has no value but its default: name some, or take the default alone".to_string()),
            _ => Ok((COUNT as u64 + 1, 0)),
        }
    }

    fn value(&self, default: T, number: u64) -> T {
        number.checked_sub(1).and_then(|index| self.get(index as usize)).copied().unwrap_or(default)
    }
}

/// A failure comes down to the value that is nearest to the default.
impl<T: Ordinal> Alternatives<T> for RangeInclusive<T> {
    fn numbers(&self, default: T) -> Result<(u64, u64), String> {
        let (low, high) = (*self.start(), *self.end());
        let fixed = |value: T| value.to_fixed();
        let (Some(most), Some(place)) = (high.above(low), default.above(low)) else {
            let (default, low, high) = (fixed(default), fixed(low), fixed(high));
            return Err(format!("its default, {default}, isn't in its range, from {low} to {high}"));
        };
        if place > most {
            let (default, low, high) = (fixed(default), fixed(low), fixed(high));
            return Err(format!("its default, {default}, isn't in its range, from {low} to {high}"));
        }
        match most {
            0 => Err("its range has no value but its default: widen it, or take the default alone".to_string()),
            most => Ok((most.saturating_add(1), place)),
        }
    }

    fn value(&self, _default: T, number: u64) -> T {
        self.start().plus(number)
    }
}

/// The knobs of a run.
#[derive(Debug, Default)]
pub(crate) struct Knobs {
    pub fixed: BTreeMap<String, Fixed>,
    /// Those of them that were read.
    fixed_read: BTreeSet<&'static str>,
    known: BTreeMap<&'static str, Known>,
}

impl Knobs {
    /// Those that the world gives a value that nothing has read, as they are told.
    pub(crate) fn unread(&self) -> Vec<UnreachedFault> {
        let unread = self.fixed.iter().filter(|(name, _)| !self.fixed_read.contains(name.as_str()));
        let told = |(name, fixed): (&String, &Fixed)| UnreachedFault {
            fault: format!("the knob {name:?} at {fixed}"),
            why: Unreached::Unread,
        };
        unread.map(told).collect()
    }
}

/// What is known of a knob that was read.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    /// The number of its value; `None` for the default.
    number: Option<u64>,
    /// How many values it could have.
    count: u64,
    value: Fixed,
    default: Fixed,
    last: Fixed,
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Known { count, value, default, last, .. } = self;
        write!(f, "{count} values, of which the default is {default}, that of this run {value} and the last {last},")
    }
}

/// What a run says of a knob.
enum Told {
    Default,
    Number(u64),
    Fixed(Fixed),
    /// Another place with the same name has other values.
    Other {
        expected: String,
        found: String,
    },
}

/// The value of a knob: what `squall::knob!` writes. Outside of a run it is the default.
///
/// # Panics
/// In a run, if the knob can't be; see [`Alternatives::numbers`]. If another place reads a knob of that name with other values.
#[track_caller]
pub fn value<T: Setting>(knob: &'static Knob, default: T, alternatives: impl Alternatives<T>) -> T {
    if !kernel::is_on() {
        return default;
    }
    let name = knob.name;
    let (count, calm) = match alternatives.numbers(default) {
        Ok(said) => said,
        Err(error) => panic!("the knob {name:?}: {error}"),
    };
    let told = kernel::with("squall::knob!", |kernel| {
        let value = |number| alternatives.value(default, number).to_fixed();
        let told = kernel.read_knob(name, count, calm, value);
        if let Told::Fixed(fixed) = told
            && T::from_fixed(fixed).is_none()
        {
            kernel.misused(format!(
                "the knob {name:?} ({}:{}) can't be {fixed}: expected {}",
                knob.file,
                knob.line,
                T::expected()
            ));
        }
        told
    });
    match told {
        Told::Default => default,
        Told::Number(number) => alternatives.value(default, number),
        Told::Fixed(fixed) => T::from_fixed(fixed).unwrap_or(default),
        Told::Other { expected, found } => panic!(
            "the knob {name:?} has {found} here and {expected} elsewhere: give one of the two another name, or the same values"
        ),
    }
}

impl Kernel {
    #[cold]
    fn read_knob(&mut self, name: &'static str, count: u64, calm: u64, value: impl Fn(u64) -> Fixed) -> Told {
        if let Some(fixed) = self.knobs.fixed.get(name) {
            self.knobs.fixed_read.insert(name);
            return Told::Fixed(*fixed);
        }
        let of_place = |number: Option<u64>| Known {
            number,
            count,
            value: value(number.unwrap_or(calm)),
            default: value(calm),
            last: value(count - 1),
        };
        if let Some(known) = self.knobs.known.get(name) {
            let here = of_place(known.number);
            return match known.number {
                _ if here != *known => Told::Other { expected: known.to_string(), found: here.to_string() },
                Some(number) => Told::Number(number),
                None => Told::Default,
            };
        }
        // What is first read when nothing counts or goes wrong any more is as usual.
        if !self.is_live() || self.is_after_the_storm() {
            return Told::Default;
        }
        let flow = FlowId(hash_parts(&[b"knob", name.as_bytes()]));
        let site = Site { kind: SiteKind::Knob, flow, number: 1 };
        let [whether, which] = self.decisions.key(self.now_ns).words(flow, 1, SiteKind::Knob as u16);
        let drawn = match self.buggify.odds.knobs.threshold().hit(whether) {
            true => nth_other(which, count, calm),
            false => calm,
        };
        let number = self.decisions.decide(site, self.now_ns, calm, drawn, || flow.0);
        let is_turned = number != calm;
        // A plan that a person wrote may say a number that there isn't.
        let number = number.min(count - 1);
        self.knobs.known.insert(name, of_place(is_turned.then_some(number)));
        if !is_turned {
            return Told::Default;
        }
        let what = format!("the knob {name:?} is {} (default {})", value(number), value(calm));
        let role = FlowRole::Fault { what: what.clone() };
        self.journal.name_flow(flow, || FlowInfo { from: NodeId::WORLD, to: NodeId::WORLD, role, operation: None });
        self.emit(EventKind::Fault { what: what.into(), part: FaultPart::Whole });
        Told::Number(number)
    }
}

/// One of `count` numbers that isn't `calm`: each equally likely.
fn nth_other(word: u64, count: u64, calm: u64) -> u64 {
    let other = ((u128::from(word) * u128::from(count - 1)) >> 64) as u64;
    other + u64::from(other >= calm)
}

/// Whether all of them are knobs of this program.
///
/// # Errors
/// In words, which isn't.
pub(crate) fn check_names(fixed: &BTreeMap<String, Fixed>) -> Result<(), String> {
    let known = names();
    match fixed.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) if known.is_empty() => Err(format!("there is no knob {name:?}: the program has none")),
        Some(name) => Err(format!("there is no knob {name:?}; there are {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_value_is_drawn() {
        for (count, calm) in [(2, 0), (2, 1), (5, 0), (5, 3), (5, 4)] {
            let words = (0..1_000u64).map(|index| index * (u64::MAX / 999));
            let drawn: std::collections::BTreeSet<u64> = words.map(|word| nth_other(word, count, calm)).collect();
            assert_eq!(drawn, (0..count).filter(|number| *number != calm).collect(), "{count}, {calm}");
        }
    }

    #[test]
    fn values_have_numbers() {
        assert_eq!([1u8, 7].numbers(3), Ok((3, 0)));
        assert_eq!([0, 1, 2].map(|number| [1u8, 7].value(3, number)), [3, 1, 7]);
        assert_eq!((-3i64..=4).numbers(0), Ok((8, 3)));
        assert_eq!([0, 3, 7].map(|number| (-3i64..=4).value(0, number)), [-3, 0, 4]);
        let (low, high) = (Duration::from_millis(1), Duration::from_millis(2));
        assert_eq!((low..=high).numbers(high), Ok((1_000_001, 1_000_000)));
        assert_eq!((low..=high).value(high, 7), Duration::from_nanos(1_000_007));
        assert_eq!((0..=u64::MAX).numbers(9), Ok((u64::MAX, 9)), "one value less than there are is no matter");
        assert!((1..=3u8).numbers(4).unwrap_err().contains("its default, 4, isn't in its range, from 1 to 3"));
        assert!((1..=3u8).numbers(0).is_err() && (1..=1u8).numbers(1).is_err() && [0u8; 0].numbers(1).is_err());
    }
}
