//! [`foca`](https://docs.rs/foca) 2.0, membership by gossip after SWIM (A. Das, I. Gupta and A. Motivala, "SWIM: scalable weakly-consistent infection-style
//! process group membership protocol", DSN 2002).
//!
//! Members find each other, suspect each other, declare each other down and come back. What they see is judged at the end of the run, long after the storm: each
//! member that is up is to see all others that are up, and nobody else. That foca never takes a live member for a dead one, nobody can promise.
//!
//! A member that starts again has a higher generation, which is the wall clock's milliseconds; one that is declared down though it lives takes the next one, by
//! [`Identity::renew`]. Then foca gossips once, and neither probes nor gossips again until it has heard of somebody ([`OwnedNotification::Active`]): that this comes about is left to the
//! program. With the planted fault `renews = false` it takes no next one, and stays away for ever.

use std::collections::BTreeMap;
use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, SystemTime};

use ::foca::{AccumulatingRuntime, Config, Foca, Identity, OwnedNotification, PeriodicParams, PostcardCodec, Timer};
use serde::{Deserialize, Serialize};
use squall::net::Endpoint;
use squall::prelude::*;
use squall::scenario::Program;
use squall::time::{Instant, timeout_at};
use squall::trace::{EventKind, EventMask, NodeId};

/// How many members there are, if a scenario file doesn't say.
const MEMBERS: u32 = 5;

/// How often a member that has heard of nobody in this life tells all others that it is there.
const ANNOUNCE: Duration = Duration::from_secs(1);

/// All messages have one tag.
const TAG: u64 = 1;

/// What the scenario file says in `[args]`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
struct Args {
    /// Whether a member that is declared down comes back by a new identity.
    renews: bool,
}

impl Default for Args {
    fn default() -> Args {
        Args { renews: true }
    }
}

/// A member in one of its lives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Member {
    number: u32,
    generation: u64,
    renews: bool,
}

impl Identity for Member {
    type Addr = u32;

    fn renew(&self) -> Option<Member> {
        self.renews.then(|| Member { generation: self.generation + 1, ..self.clone() })
    }

    fn addr(&self) -> u32 {
        self.number
    }

    fn win_addr_conflict(&self, adversary: &Member) -> bool {
        self.generation > adversary.generation
    }
}

/// The program, as scenario files name it.
#[must_use]
pub fn program() -> Program {
    Program::new("foca", "foca 2.0: members find each other by gossip, and miss those that are gone", world)
        .in_module(module_path!())
}

fn world(world: &mut World, args: &Args) {
    let (members, renews) = (world.count("member", MEMBERS), args.renews);
    world.nodes("member", members, move |number| member(number, members, renews));
    // What each node that is up has said last.
    let views = BTreeMap::<NodeId, View>::new();
    let membership =
        always("membership", views).on_events(EventMask::PUBLISH.union(EventMask::FAULTS), |views, event| {
            match &event.kind {
                EventKind::Publish { value, .. } => {
                    let view = serde_json::from_str(value).map_err(|error| format!("{value}: {error}"))?;
                    views.insert(event.node, view);
                }
                EventKind::Crash => drop(views.remove(&event.node)),
                _ => {}
            }
            Ok(())
        });
    world.check(membership.at_end(|views| {
        for View { member, sees } in views.values() {
            let others = views.values().map(|view| view.member).filter(|other| other != member);
            let others: Vec<u32> = others.collect();
            ensure!(*sees == others, "member {member} sees {sees:?}, where {others:?} are up");
        }
        Ok(())
    }));
}

/// As foca has it for a local network, but that members which are down are looked for more often.
fn config(members: u32) -> Config {
    let often =
        |seconds| Some(PeriodicParams { frequency: Duration::from_secs(seconds), num_members: NonZeroUsize::MIN });
    Config {
        periodic_announce: often(5),
        periodic_announce_to_down_members: often(5),
        ..Config::new_lan(NonZeroU32::new(members).expect("there is a member"))
    }
}

async fn member(number: u32, members: u32, renews: bool) -> io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:80").await?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
    let me = Member { number, generation: now.as_millis() as u64, renews };
    let mut foca = Foca::new(me, config(members), squall::rand::rng(), PostcardCodec);
    let mut runtime = AccumulatingRuntime::new();
    // Timers of one instant come in the order in which they were set.
    let mut timers = BTreeMap::<(Instant, u64), Timer<Member>>::new();
    let mut timers_set = 0;
    let (mut announce, mut is_alone) = (Instant::now(), true);
    let mut buffer = vec![0; 1 << 16];
    squall::publish("sees", View { member: number, sees: vec![] });
    loop {
        let next = timers.first_key_value().map_or(announce, |((at, _), _)| announce.min(*at));
        let result = match timeout_at(next, endpoint.recv_from(TAG, &mut buffer)).await {
            Ok(received) => foca.handle_data(&buffer[..received?.0], &mut runtime),
            Err(_) if next == announce => {
                announce += ANNOUNCE;
                let others = (0..members).filter(|other| is_alone && *other != number);
                // Which life of theirs it is doesn't matter to who is announced to.
                let others: Vec<Member> = others.map(|number| Member { number, generation: 0, renews }).collect();
                others.into_iter().try_for_each(|other| foca.announce(other, &mut runtime))
            }
            Err(_) => foca.handle_timer(timers.pop_first().expect("one is due").1, &mut runtime),
        };
        if let Err(error) = result {
            // As in foca's example: it bears what isn't for it any more.
            tracing::debug!("{error}");
        }
        while let Some((to, bytes)) = runtime.to_send() {
            // It returns at once.
            drop(endpoint.send_to((format!("member-{}", to.number), 80), TAG, &bytes));
        }
        while let Some((after, timer)) = runtime.to_schedule() {
            timers_set += 1;
            timers.insert((Instant::now() + after, timers_set), timer);
        }
        while let Some(notification) = runtime.to_notify() {
            tracing::debug!("{notification:?}");
            match notification {
                OwnedNotification::MemberDown(_) => squall::reachable!("a member is declared down"),
                OwnedNotification::Active => is_alone = false,
                OwnedNotification::Idle => is_alone = true,
                OwnedNotification::Rejoin(_) => {
                    squall::reachable!("a live member was declared down, and comes back");
                    is_alone = true;
                }
                OwnedNotification::Defunct => {
                    squall::reachable!("a live member was declared down, and stays away");
                    is_alone = false;
                }
                OwnedNotification::Rename(..) => squall::reachable!("a member is known by a new identity"),
                OwnedNotification::MemberUp(_) => {}
            }
            let mut sees: Vec<u32> = foca.iter_members().map(|member| member.id().number).collect();
            sees.sort_unstable();
            squall::publish("sees", View { member: number, sees });
        }
    }
}

/// Which others a member sees.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct View {
    member: u32,
    sees: Vec<u32>,
}
