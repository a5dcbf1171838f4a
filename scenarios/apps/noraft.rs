//! [`noraft`](https://docs.rs/noraft) 0.7.1, Raft without I/O, with a linearizable store on top.
//!
//! noraft says what is to be saved, sent and waited for; this program does it. Term, vote and log are on the member's disk before anything is sent
//! that rests on them, as noraft asks. The state machine isn't: a member that starts again applies the log anew. The log is never compacted.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use ::noraft::{Action, ClusterConfig, Log, LogEntries, LogEntry, LogIndex, LogPosition, Message, Node, NodeId, Term};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use squall::World;
use squall::scenario::Program;
use squall::time::{Instant, timeout_at};

use crate::consensus::{self, Args, Command, Forgets, Mail, Post, Store};

/// How often a leader lets others hear of it.
const HEARTBEAT: Duration = Duration::from_millis(50);

/// How long the others wait for that, in milliseconds.
const PATIENCE_MS: std::ops::Range<u64> = 150..300;

/// The program, as scenario files name it.
#[must_use]
pub fn program() -> Program {
    Program::new("noraft", "noraft 0.7.1: Raft without I/O, with a linearizable store on top", world)
        .in_module(consensus::MODULE)
}

fn world(world: &mut World, args: &Args) {
    consensus::describe(world, args, member);
}

/// Term and index.
type Position = (u64, u64);

fn said(position: LogPosition) -> Position {
    (position.term.get(), position.index.get())
}

fn meant((term, index): Position) -> LogPosition {
    LogPosition::new(Term::new(term), LogIndex::new(index))
}

/// An entry, as it is saved and sent: its term, and the command in it. noraft knows that there is one, not which; an entry without begins a term.
type Entry = (u64, Option<Command>);

/// A message of noraft's.
#[derive(Serialize, Deserialize)]
struct Peer {
    from: u64,
    term: u64,
    body: Body,
}

#[derive(Serialize, Deserialize)]
enum Body {
    Vote(Position),
    Voted(bool),
    Append { commit: u64, before: Position, entries: Vec<Entry> },
    Appended(Position),
}

/// What a member keeps.
#[derive(Default, Serialize, Deserialize)]
struct Saved {
    term: u64,
    vote: Option<u64>,
    entries: Vec<Entry>,
}

struct Member {
    node: Node,
    /// The commands of this log and of all that was received. Of one position there is one only.
    commands: BTreeMap<Position, Command>,
    store: Store,
    post: Post,
    /// When noraft's timeout is over.
    deadline: Instant,
    /// The last term of which it was told that this member leads it.
    led: u64,
    forgets: Forgets,
}

async fn member(number: u32, members: u32, args: Args) -> io::Result<()> {
    let saved: Saved = consensus::load().await?;
    let mut commands = BTreeMap::new();
    let entries = read(LogPosition::ZERO, &saved.entries, &mut commands);
    let voters: BTreeSet<NodeId> = (0..members).map(|number| NodeId::new(number.into())).collect();
    let log = Log::new(ClusterConfig { voters, ..ClusterConfig::default() }, entries);
    let node = Node::restart(NodeId::new(number.into()), Term::new(saved.term), saved.vote.map(NodeId::new), log);
    let (store, post) = (Store::default(), Post::bind(80).await?);
    let mut member = Member { node, commands, store, post, deadline: Instant::now(), led: 0, forgets: args.forgets };
    loop {
        member.act().await?;
        match timeout_at(member.deadline, member.post.receive()).await {
            Err(_) => member.node.handle_election_timeout(),
            Ok(received) => match received? {
                (Mail::Ask(command), from) => match said(member.node.propose_command()) {
                    position if meant(position).is_invalid() => member.post.refuse(from, &command),
                    position => {
                        member.store.wait(&command, from);
                        member.commands.insert(position, command);
                    }
                },
                (Mail::Peer(peer), _) => {
                    let message = understand(peer, &mut member.commands);
                    member.node.handle_message(&message).expect("nothing is compacted");
                }
            },
        }
    }
}

impl Member {
    /// Does what noraft wants done: first what is to be saved, then what is to be sent. Then it applies what is committed.
    async fn act(&mut self) -> io::Result<()> {
        let actions = std::mem::take(self.node.actions_mut());
        let (term, leads) = (self.node.current_term().get(), self.node.role().is_leader());
        if leads && self.led != term {
            consensus::tell_leader(term);
            self.led = term;
        }
        if actions.set_election_timeout {
            let patience = Duration::from_millis(squall::rand::rng().random_range(PATIENCE_MS));
            self.deadline = Instant::now() + if leads { HEARTBEAT } else { patience };
        }
        if actions.save_current_term || actions.save_voted_for || actions.append_log_entries.is_some() {
            self.save().await?;
        }
        if let Some(entries) = &actions.append_log_entries {
            let mut before = entries.prev_position().term.get();
            for (position, _) in entries.iter_with_positions() {
                let (term, index) = said(position);
                let command = self.commands.get(&(term, index)).cloned();
                consensus::tell_appended(&consensus::Entry { index, term, before, command });
                before = term;
            }
        }
        for action in actions {
            match action {
                Action::BroadcastMessage(message) => {
                    self.node.peers().for_each(|peer| self.send(peer, &message));
                }
                Action::SendMessage(peer, message) => self.send(peer, &message),
                Action::InstallSnapshot(_) => unreachable!("nothing is compacted"),
                // All of this is done.
                _ => {}
            }
        }
        consensus::sent();
        for index in self.store.applied() + 1..=self.node.commit_index().get() {
            let term = self.node.log().entries().get_term(LogIndex::new(index)).expect("it is in the log").get();
            self.store.apply(index, term, self.commands.get(&(term, index)), &self.post);
        }
        Ok(())
    }

    async fn save(&self) -> io::Result<()> {
        let vote = self.node.voted_for().map(NodeId::get).filter(|_| self.forgets != Forgets::Vote);
        let entries = write(self.node.log().entries(), &self.commands);
        consensus::save(&Saved { term: self.node.current_term().get(), vote, entries }, self.forgets).await
    }

    fn send(&self, to: NodeId, message: &Message) {
        let body = match message {
            Message::RequestVoteCall { last_position, .. } => Body::Vote(said(*last_position)),
            Message::RequestVoteReply { vote_granted, .. } => Body::Voted(*vote_granted),
            Message::AppendEntriesCall { commit_index, entries, .. } => {
                let (before, entries) = (said(entries.prev_position()), write(entries, &self.commands));
                Body::Append { commit: commit_index.get(), before, entries }
            }
            Message::AppendEntriesReply { last_position, .. } => Body::Appended(said(*last_position)),
        };
        let peer = Peer { from: message.from().get(), term: message.term().get(), body };
        self.post.send_to_member(to.get(), &Mail::Peer(peer));
    }
}

fn understand(Peer { from, term, body }: Peer, commands: &mut BTreeMap<Position, Command>) -> Message {
    let (from, term) = (NodeId::new(from), Term::new(term));
    match body {
        Body::Vote(last) => Message::RequestVoteCall { from, term, last_position: meant(last) },
        Body::Voted(vote_granted) => Message::RequestVoteReply { from, term, vote_granted },
        Body::Append { commit, before, entries } => {
            let entries = read(meant(before), &entries, commands);
            Message::AppendEntriesCall { from, term, commit_index: LogIndex::new(commit), entries }
        }
        Body::Appended(last) => Message::AppendEntriesReply { from, term, last_position: meant(last) },
    }
}

/// Entries as they are said, with their commands. The members are always the same: no entry changes them.
fn write(entries: &LogEntries, commands: &BTreeMap<Position, Command>) -> Vec<Entry> {
    let write = |(position, entry): (LogPosition, LogEntry)| {
        let command = (entry == LogEntry::Command).then(|| commands[&said(position)].clone());
        (position.term.get(), command)
    };
    entries.iter_with_positions().map(write).collect()
}

/// Entries as noraft knows them; their commands are put aside.
fn read(before: LogPosition, entries: &[Entry], commands: &mut BTreeMap<Position, Command>) -> LogEntries {
    let known = entries.iter().map(|(term, command)| match command {
        Some(_) => LogEntry::Command,
        None => LogEntry::Term(Term::new(*term)),
    });
    let first = before.index.get() + 1;
    for (index, (term, command)) in (first..).zip(entries) {
        commands.extend(command.clone().map(|command| ((*term, index), command)));
    }
    LogEntries::from_iter(before, known)
}
