//! What the programs on Raft share: a store of texts on top of it, its clients, what members keep on their disks, and what must hold of Raft.
//!
//! Clients ask members by datagrams, and again until one answers; a command has its client's number, so that a member knows one that was applied
//! already. Reads go through the log as well, or are as a protocol has them. So the store is to be linearizable.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use squall::history::Client;
use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{sleep, timeout};

use crate::disk;

/// Whose goals are those of both programs: all their marks are here.
pub const MODULE: &str = module_path!();

/// How many members there are, if a scenario file doesn't say.
const MEMBERS: u32 = 3;

/// How many clients.
const CLIENTS: u32 = 3;

/// How many keys the store has.
const KEYS: u64 = 2;

/// How long a client waits for an answer before it asks another member.
const TIMEOUT: Duration = Duration::from_millis(150);

/// The longest that it rests between two operations.
const REST_MS_MAX: u64 = 1_000;

/// What the scenario file says in `[args]`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Args {
    /// How many operations each client makes.
    pub operations: u64,
    /// What members forget in a crash, though they are to keep it.
    pub forgets: Forgets,
}

impl Default for Args {
    fn default() -> Args {
        Args { operations: 6, forgets: Forgets::Nothing }
    }
}

/// A planted fault: what members don't keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forgets {
    /// None is planted.
    Nothing,
    /// For whom they have voted in the term that they are in.
    Vote,
    /// What was written and not synced: nothing is.
    Unsynced,
}

/// What a client asks of the store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Command {
    /// Whose it is, and which of theirs.
    pub client: u32,
    /// They come one after the other, from 1.
    pub number: u64,
    /// Of which text.
    pub key: u64,
    /// What to append to it; nothing, for who only reads.
    pub append: Option<String>,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of client {}", self.number, self.client)
    }
}

/// What a member receives.
#[derive(Serialize, Deserialize)]
pub enum Mail<P> {
    /// From a client.
    Ask(Command),
    /// From another member.
    Peer(P),
}

/// What it answers a client: to which number, and the text that is there now, unless it isn't the leader.
#[derive(Serialize, Deserialize)]
pub struct Answer {
    number: u64,
    text: Option<String>,
}

/// All messages have one tag, since members wait for one after the other.
const TAG: u64 = 1;

/// The network as members and clients see it.
pub struct Post {
    endpoint: Endpoint,
    buffer: Vec<u8>,
}

impl Post {
    /// Binds to a port, or to any with 0.
    ///
    /// # Errors
    /// As of [`Endpoint::bind`].
    pub async fn bind(port: u16) -> io::Result<Post> {
        Ok(Post { endpoint: Endpoint::bind(("0.0.0.0", port)).await?, buffer: vec![0; 1 << 16] })
    }

    /// Sends, and doesn't care what becomes of it.
    pub fn send(&self, to: impl squall::net::ToSocketAddrs, message: &impl Serialize) {
        let bytes = serde_json::to_vec(message).expect("messages can be written");
        // It returns at once, and what is lost is asked for again.
        drop(self.endpoint.send_to(to, TAG, &bytes));
    }

    /// Sends to a member.
    pub fn send_to_member<P: Serialize>(&self, number: u64, mail: &Mail<P>) {
        self.send(format!("member-{number}:80"), mail);
    }

    /// Tells a client that it has to ask another member.
    pub fn refuse(&self, to: SocketAddr, command: &Command) {
        self.answer(to, command, None);
    }

    /// Tells a client the text that is there now; nothing, if it has to ask another member.
    pub fn answer(&self, to: SocketAddr, command: &Command, text: Option<String>) {
        self.send(to, &Answer { number: command.number, text });
    }

    /// The next message.
    ///
    /// # Errors
    /// If the message can't be read.
    pub async fn receive<M: DeserializeOwned>(&mut self) -> io::Result<(M, SocketAddr)> {
        let (length, from) = self.endpoint.recv_from(TAG, &mut self.buffer).await?;
        Ok((serde_json::from_slice(&self.buffer[..length])?, from))
    }
}

/// The state machine: texts, and what each client has heard last.
#[derive(Default)]
pub struct Store {
    applied: u64,
    texts: BTreeMap<u64, String>,
    answers: BTreeMap<u32, (u64, String)>,
    waiting: BTreeMap<u32, (u64, SocketAddr)>,
}

impl Store {
    /// Up to which index of the log everything was applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Who is to be answered when the command has been applied.
    pub fn wait(&mut self, command: &Command, from: SocketAddr) {
        self.waiting.insert(command.client, (command.number, from));
    }

    /// The text of a key.
    #[must_use]
    pub fn text(&self, key: u64) -> String {
        self.texts.get(&key).cloned().unwrap_or_default()
    }

    /// Applies the committed entry of an index, which is a command or something of Raft's own, and answers who waits for it.
    pub fn apply(&mut self, index: u64, term: u64, command: Option<&Command>, post: &Post) {
        let text = self.carry_out(index, term, command);
        if let (Some(command), Some(_)) = (command, &text)
            && let Some((waiting, from)) = self.waiting.get(&command.client)
            && *waiting == command.number
        {
            post.answer(*from, command, text);
        }
    }

    /// Applies the committed entry of an index. What is to be answered, unless its client has gone on.
    pub fn carry_out(&mut self, index: u64, term: u64, command: Option<&Command>) -> Option<String> {
        squall::publish("applied", Entry { index, term, before: 0, command: command.cloned() });
        assert_eq!(index, self.applied + 1, "entries are applied one after the other");
        self.applied = index;
        let Command { client, number, key, append } = command?;
        let answer = self.answers.entry(*client).or_default();
        if *number > answer.0 {
            let text = self.texts.entry(*key).or_default();
            text.push_str(append.as_deref().unwrap_or_default());
            *answer = (*number, text.clone());
        } else {
            squall::reachable!("a command is in the log twice");
        }
        (answer.0 == *number).then(|| answer.1.clone())
    }
}

/// What is on this member's disk; nothing at the first start.
///
/// # Errors
/// If it can't be read.
pub async fn load<S: DeserializeOwned + Default>() -> io::Result<S> {
    let kept = disk::load().await?;
    if kept.is_some() {
        squall::reachable!("a member starts again with what it had kept");
    }
    Ok(kept.unwrap_or_default())
}

/// Puts it there in place of what was there before: after a crash it is the one or the other, and once this returns it is this one.
///
/// # Errors
/// If it can't be written.
pub async fn save(state: &impl Serialize, forgets: Forgets) -> io::Result<()> {
    disk::save(state, forgets != Forgets::Unsynced).await?;
    squall::point!("the state is saved, and nobody has heard of it");
    Ok(())
}

/// What comes after a member has sent what it had to say.
pub fn sent() {
    squall::point!("others may have heard of the state");
}

/// A member that leads a term.
#[derive(Serialize, Deserialize)]
struct Leader {
    term: u64,
    member: String,
}

/// Says that this member leads a term.
pub fn tell_leader(term: u64) {
    squall::publish("leader", Leader { term, member: squall::node_name() });
}

/// An entry of a log: where it is, of which term it and the one before it are, and the command in it, if it is one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// From 1.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The term of the entry before it.
    pub before: u64,
    /// The command in it.
    pub command: Option<Command>,
}

/// Says that this member has an entry in its log.
pub fn tell_appended(entry: &Entry) {
    squall::publish("appended", entry);
}

/// Describes members, clients, and what Raft promises (D. Ongaro and J. Ousterhout, "In search of an understandable consensus algorithm", USENIX ATC 2014, figure 3):
/// one leader a term, logs that are equal up to any entry of equal index and term, and one sequence of applied entries.
pub fn describe<F>(world: &mut World, args: &Args, member: impl Fn(u32, u32, Args) -> F + Clone + 'static)
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let members = world.count("member", MEMBERS);
    let of_members = args.clone();
    world.nodes("member", members, move |number| member(number, members, of_members.clone()));
    let operations = args.operations;
    world.clients("client", CLIENTS, move |number| client(number, members, operations));

    let leaders = BTreeMap::<u64, String>::new();
    world.check(always("election-safety", leaders).on("leader", |leaders, Leader { term, member }| {
        let first = leaders.entry(term).or_insert_with(|| member.clone());
        ensure!(*first == member, "{first} and {member} both lead term {term}");
        Ok(())
    }));
    let entries = BTreeMap::<(u64, u64), Entry>::new();
    world.check(always("log-matching", entries).on("appended", |entries, entry: Entry| {
        let first = entries.entry((entry.index, entry.term)).or_insert_with(|| entry.clone());
        ensure!(*first == entry, "logs have {first:?} and {entry:?}");
        Ok(())
    }));
    let applied = BTreeMap::<u64, Entry>::new();
    world.check(always("state-machine-safety", applied).on("applied", |applied, entry: Entry| {
        let first = applied.entry(entry.index).or_insert_with(|| entry.clone());
        ensure!(*first == entry, "{first:?} was applied, and so was {entry:?}");
        Ok(())
    }));
    world.check(sometimes("a second leader is elected").on("leader", |leader: Leader| leader.term > 1));
}

async fn client(number: u32, members: u32, operations: u64) -> io::Result<()> {
    let mut post = Post::bind(0).await?;
    let mut history = Client::new();
    let mut rng = squall::rand::rng();
    let mut member = u64::from(number % members);
    for operation in 1..=operations {
        sleep(Duration::from_millis(rng.random_range(0..=REST_MS_MAX))).await;
        let key = rng.random_range(0..KEYS);
        let append = rng.random_bool(0.5).then(|| format!("{number}.{operation} "));
        let open = match &append {
            Some(text) => history.invoke_on("append", key as i64, &**text),
            None => history.invoke_on("get", key as i64, ()),
        };
        let command = Command { client: number, number: operation, key, append };
        let text = loop {
            post.send_to_member(member, &Mail::<()>::Ask(command.clone()));
            match timeout(TIMEOUT, answer(&mut post, operation)).await {
                Ok(Ok(Some(text))) => break text,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => squall::reachable!("a client asks again after it has heard nothing"),
            }
            member = (member + 1) % u64::from(members);
            sleep(Duration::from_millis(20)).await;
        };
        open.ok(command.append.unwrap_or(text));
    }
    Ok(())
}

/// The answer to an operation; late ones to others are passed over.
async fn answer(post: &mut Post, number: u64) -> io::Result<Option<String>> {
    loop {
        let (answer, _) = post.receive::<Answer>().await?;
        if answer.number == number {
            return Ok(answer.text);
        }
    }
}
