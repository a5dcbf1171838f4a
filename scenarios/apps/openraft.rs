//! [`openraft`](https://docs.rs/openraft) 0.10.0-alpha.37, Raft that does its own work in tasks, with a linearizable store on top.
//!
//! openraft asks for a runtime ([`SquallRuntime`]), a log, a state machine and a network. Vote and log are on the member's disk before openraft is told so. The state machine isn't: a
//! member that starts again applies the log anew. The log is never compacted. Writes go through the log; reads are openraft's own, by the leader's read index.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::openraft::async_runtime::watch::WatchReceiver;
use ::openraft::errors::{NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use ::openraft::impls::{EmptyNode, leader_id_std};
use ::openraft::network::v2::RaftNetworkV2;
use ::openraft::network::{RPCOption, RaftNetworkFactory};
use ::openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, ReadPolicy, SnapshotResponse, VoteRequest, VoteResponse,
};
use ::openraft::storage::{
    EntryResponder, IOFlushed, LogState, RaftLogReader, RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine,
};
use ::openraft::type_config::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf};
use ::openraft::{Config, EntryPayload, OptionalSend, Raft, ServerState, SnapshotPolicy};
use serde::{Deserialize, Serialize};
use squall::net::Endpoint;
use squall::prelude::*;
use squall::rpc::Request;
use squall::scenario::Program;
use tokio_stream::{Stream, StreamExt};

use crate::consensus::{self, Command, Forgets, Mail, Post, Store};
use crate::openraft_runtime::SquallRuntime;

/// The program, as scenario files name it.
#[must_use]
pub fn program() -> Program {
    Program::new("openraft", "openraft 0.10.0-alpha.37, Raft in tasks, with a linearizable store on top", world)
        .in_module(consensus::MODULE)
}

/// What the scenario file says in `[args]`: [`consensus::Args`], and one of openraft's own.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
struct Args {
    operations: u64,
    forgets: Forgets,
    /// Whether a member that starts again answers clients only when it has applied all that its log has.
    waits_for_recovery: bool,
}

impl Default for Args {
    fn default() -> Args {
        let consensus::Args { operations, forgets } = consensus::Args::default();
        Args { operations, forgets, waits_for_recovery: true }
    }
}

fn world(world: &mut World, &Args { operations, forgets, waits_for_recovery }: &Args) {
    let member = move |number, members, _| member(number, members, forgets, waits_for_recovery);
    consensus::describe(world, &consensus::Args { operations, forgets }, member);
}

// At most one leader a term, as in the paper; openraft's default allows several.
::openraft::declare_raft_types!(
    /// What this Raft is about.
    pub Types:
        D = Command,
        R = String,
        Node = EmptyNode,
        LeaderId = leader_id_std::LeaderId<Self::Term, Self::NodeId>,
        AsyncRuntime = SquallRuntime,
);

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn member(number: u32, members: u32, forgets: Forgets, waits_for_recovery: bool) -> io::Result<()> {
    let log = Log { saved: Arc::new(Mutex::new(consensus::load().await?)), forgets };
    let machine = Machine::default();
    // A heartbeat each 50 ms, an election after 150 to 300 ms: openraft's defaults.
    let config = Arc::new(Config { snapshot_policy: SnapshotPolicy::Never, ..Config::default() });
    let endpoint = Endpoint::bind("0.0.0.0:81").await?;
    let peers = Peers(endpoint.clone());
    let raft = Raft::new(number.into(), config, peers, log, machine.clone()).await.map_err(io::Error::other)?;
    serve(&endpoint, &raft);
    squall::spawn(tell_terms(raft.clone()));
    let voters: BTreeMap<u64, EmptyNode> = (0..members).map(|number| (number.into(), EmptyNode {})).collect();
    match raft.initialize(voters).await {
        // It was, in another life or by another member.
        Ok(()) | Err(RaftError::APIError(_)) => {}
        Err(error) => return Err(io::Error::other(error)),
    }
    if waits_for_recovery {
        raft.wait_for_recovery(None).await.map_err(io::Error::other)?;
    }
    let (mut post, answers) = (Post::bind(80).await?, Arc::new(Post::bind(0).await?));
    loop {
        if let (Mail::<()>::Ask(command), from) = post.receive().await? {
            let (raft, machine, answers) = (raft.clone(), machine.clone(), Arc::clone(&answers));
            squall::spawn(async move {
                let text = if command.append.is_some() {
                    raft.client_write(command.clone()).await.ok().map(|written| written.data)
                } else {
                    let may_read = raft.ensure_linearizable(ReadPolicy::ReadIndex).await.is_ok();
                    may_read.then(|| lock(&machine.0).store.text(command.key))
                };
                answers.answer(from, &command, text);
            });
        }
    }
}

/// Says of which terms this member is the leader.
async fn tell_terms(raft: Raft<Types, Machine>) {
    let mut metrics = raft.server_metrics();
    let mut led = 0;
    loop {
        let (state, term) = {
            let metrics = metrics.borrow_and_update();
            (metrics.state, metrics.vote.leader_id.term)
        };
        if state == ServerState::Leader && term != led {
            consensus::tell_leader(term);
            led = term;
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// What a member keeps.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Saved {
    vote: Option<VoteOf<Types>>,
    entries: Vec<EntryOf<Types>>,
}

/// Vote and log, in memory and on the disk.
#[derive(Clone)]
struct Log {
    saved: Arc<Mutex<Saved>>,
    forgets: Forgets,
}

impl Log {
    async fn save(&self) -> io::Result<()> {
        let saved = lock(&self.saved).clone();
        consensus::save(&saved, self.forgets).await
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<EntryOf<Types>>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let saved = lock(&self.saved);
        Ok(saved.entries.iter().filter(|entry| range.contains(&entry.log_id.index)).cloned().collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<Types>>> {
        Ok(lock(&self.saved).vote)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let last_log_id = lock(&self.saved).entries.last().map(|entry| entry.log_id);
        Ok(LogState { last_purged_log_id: None, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> io::Result<()> {
        // openraft has term and vote in one, so who forgets the one forgets the other. What a majority has granted is kept.
        if self.forgets != Forgets::Vote || vote.committed {
            lock(&self.saved).vote = Some(*vote);
        }
        self.save().await
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = EntryOf<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().collect();
        let mut before = lock(&self.saved).entries.last().map_or(0, |entry| entry.log_id.leader_id.term);
        lock(&self.saved).entries.extend(entries.iter().cloned());
        self.save().await?;
        for entry in &entries {
            let (index, term) = place(entry);
            consensus::tell_appended(&consensus::Entry { index, term, before, command: command(entry).cloned() });
            before = term;
        }
        flushed.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> io::Result<()> {
        lock(&self.saved).entries.truncate(last.map_or(0, |last| last.index as usize + 1));
        self.save().await
    }

    async fn purge(&mut self, _: LogIdOf<Types>) -> io::Result<()> {
        unreachable!("nothing is compacted")
    }
}

/// Index, from 1 where openraft has them from 0, and term.
fn place(entry: &EntryOf<Types>) -> (u64, u64) {
    (entry.log_id.index + 1, entry.log_id.leader_id.term)
}

/// The command in an entry, which may be something of openraft's own.
fn command(entry: &EntryOf<Types>) -> Option<&Command> {
    match &entry.payload {
        EntryPayload::Normal(command) => Some(command),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    }
}

/// The store, and up to where openraft has applied.
#[derive(Clone, Default)]
struct Machine(Arc<Mutex<Applied>>);

#[derive(Default)]
struct Applied {
    store: Store,
    last: Option<LogIdOf<Types>>,
    members: StoredMembershipOf<Types>,
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = ();
    type SnapshotBuilder = Machine;

    async fn applied_state(&mut self) -> io::Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>)> {
        let applied = lock(&self.0);
        Ok((applied.last, applied.members.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let (index, term) = place(&entry);
            let text = {
                let mut applied = lock(&self.0);
                applied.last = Some(entry.log_id);
                if let EntryPayload::Membership(members) = &entry.payload {
                    applied.members = StoredMembershipOf::<Types>::new(Some(entry.log_id), members.clone());
                }
                applied.store.carry_out(index, term, command(&entry))
            };
            if let Some(responder) = responder {
                responder.send(text.unwrap_or_default());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Machine {
        unreachable!("nothing is compacted")
    }

    async fn install_snapshot(&mut self, _: &SnapshotMetaOf<Types>, (): ()) -> io::Result<()> {
        unreachable!("nothing is compacted")
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, ()>>> {
        Ok(None)
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, ()>> {
        unreachable!("nothing is compacted")
    }
}

/// "Vote for me."
#[derive(Serialize, Deserialize)]
struct Vote(VoteRequest<Types>);

impl Request for Vote {
    type Response = Result<VoteResponse<Types>, String>;
    const NAME: &'static str = "Vote";
}

/// "Append that, and hear that I lead."
#[derive(Serialize, Deserialize)]
struct Append(AppendEntriesRequest<Types>);

impl Request for Append {
    type Response = Result<AppendEntriesResponse<Types>, String>;
    const NAME: &'static str = "Append";
}

/// Answers the other members.
fn serve(endpoint: &Endpoint, raft: &Raft<Types, Machine>) {
    let votes = raft.clone();
    endpoint.add_rpc_handler(move |Vote(request)| {
        let raft = votes.clone();
        async move {
            let answer = raft.vote(request).await;
            if answer.as_ref().is_ok_and(|answer| answer.vote_granted) {
                // It goes out in this very poll, and so before that task is polled.
                squall::spawn(async { consensus::sent() });
            }
            answer.map_err(|error| error.to_string())
        }
    });
    let appends = raft.clone();
    endpoint.add_rpc_handler(move |Append(request)| {
        let raft = appends.clone();
        async move { raft.append_entries(request).await.map_err(|error| error.to_string()) }
    });
}

/// How members are asked.
struct Peers(Endpoint);

/// How one of them is.
struct Peer {
    endpoint: Endpoint,
    address: String,
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _: &EmptyNode) -> Peer {
        Peer { endpoint: self.0.clone(), address: format!("member-{target}:81") }
    }
}

impl Peer {
    async fn ask<A, R>(&self, request: R, option: RPCOption) -> Result<A, RPCError<Types>>
    where
        R: Request<Response = Result<A, String>>,
    {
        match self.endpoint.call_timeout(&*self.address, request, option.hard_ttl()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(text)) => Err(Unreachable::from_string(text).into()),
            // As long as its time it has waited: it may be asked again at once.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(NetworkError::new(&error).into()),
            Err(error) => Err(Unreachable::new(&error).into()),
        }
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.ask(Append(request), option).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(Vote(request), option).await
    }

    async fn full_snapshot(
        &mut self,
        _: VoteOf<Types>,
        _: SnapshotOf<Types, ()>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        unreachable!("nothing is compacted")
    }
}
