//! What node code can do that a run can't make deterministic, as plain data with plain words.

use std::fmt;

/// Something that node code did and that a run can't make deterministic.
///
/// Paths and names are as node code gave them; bytes that aren't UTF-8 are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Escape {
    /// A thread was created. It really runs, and nothing on it is answered by the run.
    ThreadCreated,
    /// A process was started. It really runs.
    ProcessStarted,
    /// The end of the whole process was asked for. It ends once this has been told, and not as a success.
    ProcessExit {
        /// The exit code that was asked for.
        code: i32,
    },
    /// A blocking sleep. It returned at once, because virtual time can't go on while node code runs.
    BlockingSleep {
        /// How long the sleep would still have lasted, in nanoseconds.
        ns: u64,
    },
    /// A wait of the whole thread: a parked thread, a channel, a condition variable, a poll of real descriptors.
    BlockingWait {
        /// How long it would still have waited, in nanoseconds; such a wait returned at once, timed out. `None`
        /// when it has no time limit: it goes on in real time, and is told once it lasted [`UNTIMED_WAIT_GRACE_NS`].
        ///
        /// [`UNTIMED_WAIT_GRACE_NS`]: crate::UNTIMED_WAIT_GRACE_NS
        timeout_ns: Option<u64>,
    },
    /// A real socket was opened.
    RealSocket,
    /// A host name was looked up in the real world.
    NameLookup {
        /// The name, or what was given for one.
        host: String,
    },
    /// A real file was opened.
    RealFile {
        /// The path.
        path: String,
    },
    /// The process's standard input was read. There was nothing: who reads is told its end.
    StandardInput,
    /// The metadata of a real file was read.
    FileMetadata {
        /// The path.
        path: String,
    },
    /// A real directory was listed; the order of its entries is the file system's.
    DirectoryListing {
        /// The path.
        path: String,
    },
    /// The working directory was changed: for the nodes of this run alone, or not at all where the system can't keep that apart.
    DirectoryChanged {
        /// The path, or the descriptor.
        path: String,
    },
    /// An environment variable was read.
    EnvironmentRead {
        /// Its name.
        name: String,
    },
    /// A clock that counts processor time was read.
    CpuClock,
}

impl fmt::Display for Escape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Escape::ThreadCreated => formatter.write_str("a thread was created"),
            Escape::ProcessStarted => formatter.write_str("a process was started"),
            Escape::ProcessExit { code } => write!(formatter, "the process was to exit with code {code}"),
            Escape::BlockingSleep { ns } => write!(formatter, "a blocking sleep of {}", Span(*ns)),
            Escape::BlockingWait { timeout_ns: Some(ns) } => {
                write!(formatter, "a blocking wait of up to {}", Span(*ns))
            }
            Escape::BlockingWait { timeout_ns: None } => formatter.write_str("a blocking wait without a time limit"),
            Escape::RealSocket => formatter.write_str("a real socket was opened"),
            Escape::NameLookup { host } => {
                write!(formatter, "the host name {host} was looked up in the real world")
            }
            Escape::RealFile { path } => write!(formatter, "the file {path} was opened"),
            Escape::StandardInput => formatter.write_str("the standard input was read"),
            Escape::FileMetadata { path } => {
                write!(formatter, "the metadata of the file {path} was read")
            }
            Escape::DirectoryListing { path } => {
                write!(formatter, "the directory {path} was listed")
            }
            Escape::DirectoryChanged { path } => {
                write!(formatter, "the working directory was changed to {path}")
            }
            Escape::EnvironmentRead { name } => {
                write!(formatter, "the environment variable {name} was read")
            }
            Escape::CpuClock => formatter.write_str("a clock of processor time was read"),
        }
    }
}

/// A span of time, exact, in the largest unit that leaves at most three decimals.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit_ns, unit) = match self.0 {
            ns if ns >= 1_000_000_000 && ns.is_multiple_of(1_000_000) => (1_000_000_000, "s"),
            ns if ns >= 1_000_000 && ns.is_multiple_of(1_000) => (1_000_000, "ms"),
            ns if ns >= 1_000 => (1_000, "µs"),
            _ => (1, "ns"),
        };
        let whole = self.0 / unit_ns;
        let rest = self.0 % unit_ns;
        if rest == 0 {
            return write!(formatter, "{whole} {unit}");
        }
        // Every unit is a thousand of the unit below it, so the rest is exact in thousandths.
        let thousandths = format!("{:03}", rest / (unit_ns / 1_000));
        write!(formatter, "{whole}.{} {unit}", thousandths.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_exact_and_short() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (1_500, "1.5 µs"),
            (1_000_000, "1 ms"),
            (1_234_567, "1234.567 µs"),
            (2_050_000, "2.05 ms"),
            (1_000_000_000, "1 s"),
            (1_500_000_000, "1.5 s"),
            (1_000_001_000, "1000.001 ms"),
        ];
        for (ns, words) in cases {
            assert_eq!(Span(ns).to_string(), words);
        }
    }

    #[test]
    fn escapes_have_plain_words() {
        assert_eq!(Escape::BlockingSleep { ns: 1_000_000_000 }.to_string(), "a blocking sleep of 1 s");
        assert_eq!(Escape::RealFile { path: "/etc/hosts".into() }.to_string(), "the file /etc/hosts was opened");
        assert_eq!(Escape::ThreadCreated.to_string(), "a thread was created");
    }
}
