//! [`raft`](https://docs.rs/raft) 0.7.0, the Raft of TiKV, with a linearizable store on top.
//!
//! raft ticks, says what is to be saved and sent, and draws its election timeouts by `rand::thread_rng`, whose seed comes from the run's. Hard state and
//! log are on the member's disk before what rests on them is sent. The state machine isn't: a member that starts again applies the log anew. The
//! log is never compacted.

use std::io;
use std::time::Duration;

use ::raft::eraftpb::{Entry, Message};
use ::raft::storage::MemStorage;
use ::raft::{Config, GetEntriesContext, RawNode, StateRole, Storage};
use serde::{Deserialize, Serialize};
use squall::World;
use squall::scenario::Program;
use squall::time::{Instant, timeout_at};

use crate::consensus::{self, Args, Command, Forgets, Mail, Post, Store};

/// How long a tick is. A leader lets others hear of it every two ticks; they wait for ten to twenty.
const TICK: Duration = Duration::from_millis(20);

/// The program, as scenario files name it.
#[must_use]
pub fn program() -> Program {
    Program::new("tikv-raft", "raft 0.7.0, the Raft of TiKV, with a linearizable store on top", world)
        .in_module(consensus::MODULE)
}

fn world(world: &mut World, args: &Args) {
    consensus::describe(world, args, member);
}

/// What a member keeps: hard state and log, each as raft writes it.
#[derive(Default, Serialize, Deserialize)]
struct Saved {
    hard_state: Vec<u8>,
    entries: Vec<Vec<u8>>,
}

struct Member {
    node: RawNode<MemStorage>,
    store: Store,
    post: Post,
    forgets: Forgets,
}

async fn member(number: u32, members: u32, args: Args) -> io::Result<()> {
    let saved: Saved = consensus::load().await?;
    // 0 is nobody's number.
    let voters: Vec<u64> = (1..=u64::from(members)).collect();
    let storage = MemStorage::new_with_conf_state((voters, vec![]));
    let entries: Vec<Entry> = saved.entries.iter().map(|bytes| read(bytes)).collect();
    storage.wl().append(&entries).map_err(io::Error::other)?;
    storage.wl().set_hardstate(read(&saved.hard_state));
    let config = Config {
        id: u64::from(number) + 1,
        election_tick: 10,
        heartbeat_tick: 2,
        max_size_per_msg: 1 << 14,
        pre_vote: true,
        check_quorum: true,
        ..Config::default()
    };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let node = RawNode::new(&config, storage, &logger).map_err(io::Error::other)?;
    let mut member = Member { node, store: Store::default(), post: Post::bind(80).await?, forgets: args.forgets };
    let mut tick = Instant::now() + TICK;
    loop {
        match timeout_at(tick, member.post.receive::<Mail<Vec<u8>>>()).await {
            Err(_) => {
                member.node.tick();
                tick = Instant::now() + TICK;
            }
            Ok(received) => match received? {
                (Mail::Ask(command), from) => {
                    let bytes = serde_json::to_vec(&command)?;
                    let leads = member.node.raft.state == StateRole::Leader;
                    if leads && member.node.propose(vec![], bytes).is_ok() {
                        member.store.wait(&command, from);
                    } else {
                        member.post.refuse(from, &command);
                    }
                }
                // raft refuses what isn't for it any more, as it says itself.
                (Mail::Peer(bytes), _) => drop(member.node.step(read(&bytes))),
            },
        }
        while member.node.has_ready() {
            member.act().await?;
        }
    }
}

impl Member {
    /// Does what raft wants done, in the order that it asks for.
    async fn act(&mut self) -> io::Result<()> {
        let mut ready = self.node.ready();
        if ready.ss().is_some_and(|state| state.raft_state == StateRole::Leader) {
            consensus::tell_leader(self.node.raft.term);
        }
        self.send(ready.take_messages());
        self.apply(ready.take_committed_entries());
        self.node.store().wl().append(ready.entries()).map_err(io::Error::other)?;
        if let Some(state) = ready.hs() {
            self.node.store().wl().set_hardstate(state.clone());
        }
        if !ready.entries().is_empty() || ready.hs().is_some() {
            self.save().await?;
        }
        for entry in ready.entries() {
            let before = self.node.raft.raft_log.term(entry.index - 1).map_err(io::Error::other)?;
            let (index, term) = (entry.index, entry.term);
            consensus::tell_appended(&consensus::Entry { index, term, before, command: command(entry) });
        }
        self.send(ready.take_persisted_messages());
        consensus::sent();
        let mut light = self.node.advance(ready);
        if let Some(commit) = light.commit_index() {
            self.node.store().wl().mut_hard_state().set_commit(commit);
        }
        self.send(light.take_messages());
        self.apply(light.take_committed_entries());
        self.node.advance_apply();
        Ok(())
    }

    async fn save(&self) -> io::Result<()> {
        let store = self.node.store();
        let entries = match store.last_index().map_err(io::Error::other)? {
            // It panics if there is none.
            0 => vec![],
            last => store.entries(1, last + 1, None, GetEntriesContext::empty(false)).map_err(io::Error::other)?,
        };
        let mut hard_state = store.rl().hard_state().clone();
        if self.forgets == Forgets::Vote {
            hard_state.vote = 0;
        }
        let saved = Saved { hard_state: write(&hard_state), entries: entries.iter().map(write).collect() };
        consensus::save(&saved, self.forgets).await
    }

    fn send(&self, messages: Vec<Message>) {
        for message in messages {
            self.post.send_to_member(message.to - 1, &Mail::Peer(write(&message)));
        }
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.store.apply(entry.index, entry.term, command(&entry).as_ref(), &self.post);
        }
    }
}

/// The command in an entry. That with which a leader begins has none.
fn command(entry: &Entry) -> Option<Command> {
    (!entry.data.is_empty()).then(|| serde_json::from_slice(&entry.data).expect("it was proposed so"))
}

fn write(message: &impl protobuf::Message) -> Vec<u8> {
    message.write_to_bytes().expect("raft's messages can be written")
}

fn read<M: protobuf::Message>(bytes: &[u8]) -> M {
    M::parse_from_bytes(bytes).expect("nothing is corrupted")
}
