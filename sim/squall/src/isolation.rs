//! Where runs happen: on threads of this process, or in processes of their own.

use std::fmt;
use std::str::FromStr;

/// Where runs happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Each on a fresh thread of this process: statics and addresses are shared.
    #[default]
    Thread,
    /// Each in a process of its own, a copy of one that has run nothing, with address randomisation off. Statics, addresses
    /// (and with them the order of hashbrown's maps) repeat, and a run that ends its process is a failed run. Linux only.
    Process,
    /// On threads until a run turns out not to repeat itself, then in processes, saying so.
    Auto,
}

/// Said where [`Isolation::Auto`] finds that threads won't do.
pub(crate) const LEAVING_THREADS: &str = "isolation = \"auto\": from here on each run has a process of its own";

impl Isolation {
    /// The names of all.
    pub const NAMES: [&str; 3] = ["thread", "process", "auto"];
}

impl FromStr for Isolation {
    type Err = String;

    fn from_str(name: &str) -> Result<Isolation, String> {
        match name {
            "thread" => Ok(Isolation::Thread),
            "process" => Ok(Isolation::Process),
            "auto" => Ok(Isolation::Auto),
            _ => Err(format!("expected \"thread\", \"process\" or \"auto\", found {name:?}")),
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isolation::Thread => "thread",
            Isolation::Process => "process",
            Isolation::Auto => "auto",
        })
    }
}
