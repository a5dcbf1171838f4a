//! What programs ask of their node's disk: how long it takes, what fails, and what is left after a crash.
//!
//! A change is made when its operation begins, and so may survive a crash that comes before its end. A file is read when the read ends. A sync
//! makes durable what was pending when it began, at its end, whoever waits for it: [`Kernel::settle_syncs`] does that before anybody could
//! tell the difference.

use std::io::{Error, ErrorKind, Result, SeekFrom};
use std::time::Duration;

use squall_trace::id::{hash_parts, hash_words};
use squall_trace::trace::{DiskLoss, DiskOperation};
use squall_trace::{EventKind, FlowId, FlowInfo, FlowRole, NodeId, Site, SiteKind, TaskId};

use super::files::{self, Decide, Opening, Pending};
use super::{Facts, Files, Inode, NodeDisk, Normal, Opened, Syncing};
use crate::kernel::{Kernel, Node};

/// What a handle may be used for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    pub read: bool,
    pub write: bool,
    pub append: bool,
    pub truncate: bool,
    pub create: bool,
    pub create_new: bool,
}

/// An open file of a boot of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    node: NodeId,
    boot: u32,
    number: u64,
}

/// An operation that has begun: how long it takes, and what it comes to.
#[derive(Debug)]
pub(crate) struct Begun<T> {
    pub takes: Duration,
    pub result: Result<T>,
}

impl<T> Begun<T> {
    /// What is known at once.
    fn at_once(result: Result<T>) -> Begun<T> {
        Begun { takes: Duration::ZERO, result }
    }
}

/// A read that has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    inode: Inode,
    number: u64,
    offset: u64,
    moves: bool,
}

/// One operation, as its decisions name it.
struct Asked<'p> {
    node: NodeId,
    flow: FlowId,
    number: u64,
    operation: DiskOperation,
    path: &'p str,
    fingerprint: u64,
}

/// The flow of operations of one kind on a file in a boot of its node: what is taken away from one shifts no number of the next.
fn flow_of(object: FlowId, operation: DiskOperation, boot: u32) -> FlowId {
    match operation {
        // Its writes are what a crash decides about: they have the file's own.
        DiskOperation::Write | DiskOperation::Change => object,
        _ => FlowId(hash_words([object.0, operation as u64, u64::from(boot), 0])),
    }
}

/// A path as what is numbered in each boot anew says it.
fn in_boot(path: &str, operation: DiskOperation, boot: u32) -> String {
    match operation {
        DiskOperation::Write | DiskOperation::Change => path.to_string(),
        _ if boot == 0 => path.to_string(),
        _ => format!("{path} in boot {boot}"),
    }
}

/// The system's EIO: std has no kind for it.
fn failed(path: &str, what: &str) -> Error {
    Error::other(format!("{path}: {what} failed: input/output error (EIO)"))
}

fn emit_disk(kernel: &mut Kernel, what: String, print: u64) {
    kernel.emit(EventKind::Disk { what: what.into(), print });
}

impl Kernel {
    /// The running node's disk, if what it does counts.
    fn running_disk(&mut self) -> Result<NodeId> {
        if !self.is_live() {
            return Err(Error::other(
                "the node has crashed, or the run is over: what it does with files doesn't count",
            ));
        }
        // Files are a memory that isn't part of a run's state: one that comes back proves nothing where they are used.
        self.drawn += 1;
        let node = self.current.node;
        self.settle_syncs(node);
        Ok(node)
    }

    fn disk(&mut self, node: NodeId) -> &mut NodeDisk {
        let Kernel { nodes, disks, .. } = self;
        disks.of(node, &nodes[node.index()].name)
    }

    // --- decisions ------------------------------------------------------------------------------------------------------

    fn decide_disk(&mut self, asked: &Asked<'_>, kind: SiteKind, calm: u64, drawn: u64) -> u64 {
        let Asked { node, flow, number, operation, path, fingerprint } = *asked;
        if self.disks.is_healed(node) {
            return calm;
        }
        let value = self.decisions.decide(Site { kind, flow, number }, self.now_ns, calm, drawn, || fingerprint);
        if value != calm && self.journal.wants_names() {
            let losses = self.disk(node).losses.get(&flow).cloned().unwrap_or_default();
            let role = FlowRole::Disk { operation, path: path.to_string(), losses };
            self.journal.name_flow(flow, || FlowInfo { from: node, to: node, role, operation: None });
        }
        value
    }

    fn takes(&mut self, asked: &Asked<'_>) -> Duration {
        let word = self.decisions.key(self.now_ns).disk_words(asked.flow, asked.number, SiteKind::DiskLatency).whether;
        let now_ns = self.now_ns;
        let conditions = &self.disk(asked.node).conditions;
        let table = if asked.operation == DiskOperation::Sync { &conditions.sync_latency } else { &conditions.latency };
        let (calm, drawn) = (table.median_ns(), table.latency_ns(word, now_ns));
        Duration::from_nanos(self.decide_disk(asked, SiteKind::DiskLatency, calm, drawn))
    }

    fn fails(&mut self, asked: &Asked<'_>) -> bool {
        let word = self.decisions.key(self.now_ns).disk_words(asked.flow, asked.number, SiteKind::DiskFailure).whether;
        let conditions = &self.disk(asked.node).conditions;
        let share = match asked.operation {
            DiskOperation::Read => conditions.read_failure,
            DiskOperation::Sync => conditions.sync_failure,
            _ => conditions.write_failure,
        };
        self.decide_disk(asked, SiteKind::DiskFailure, 0, u64::from(share.hit(word))) != 0
    }

    // --- paths ----------------------------------------------------------------------------------------------------------

    /// An operation on what a path names.
    fn look_up<T>(&mut self, path: &Normal, act: impl FnOnce(&mut Files) -> Result<T>) -> Begun<T> {
        let node = match self.running_disk() {
            Ok(node) => node,
            Err(error) => return Begun::at_once(Err(error)),
        };
        let Node { name, boot, .. } = &self.nodes[node.index()];
        let (boot, operation) = (*boot, DiskOperation::LookUp);
        let name_hash = hash_parts(&[b"look-up", name.as_bytes(), path.text.as_bytes(), &boot.to_le_bytes()]);
        let shown = in_boot(&path.text, operation, boot);
        let disk = self.disk(node);
        let number = disk.look_ups.entry(path.clone()).or_default();
        *number += 1;
        let (flow, number) = (FlowId(name_hash), *number);
        let result = act(&mut disk.files);
        let fingerprint = name_hash.max(1);
        let takes = self.takes(&Asked { node, flow, number, operation, path: &shown, fingerprint });
        Begun { takes, result }
    }

    pub(crate) fn fs_facts(&mut self, path: &Normal) -> Begun<Facts> {
        self.look_up(path, |files| files.get(path).map(|inode| files.facts(inode)))
    }

    pub(crate) fn fs_exists(&mut self, path: &Normal) -> Begun<bool> {
        self.look_up(path, |files| files.exists(path))
    }

    pub(crate) fn fs_list(&mut self, path: &Normal) -> Begun<Vec<(String, Facts)>> {
        self.look_up(path, |files| files.list(path))
    }

    pub(crate) fn fs_create_directory(&mut self, path: &Normal) -> Begun<()> {
        let begun = self.look_up(path, |files| files.create_directory(path));
        if begun.result.is_ok() {
            emit_disk(self, format!("creates the directory {}", path.text), 0);
        }
        begun
    }

    pub(crate) fn fs_remove(&mut self, path: &Normal, is_directory: bool) -> Begun<()> {
        let begun = self.look_up(path, |files| files.remove(path, is_directory));
        if begun.result.is_ok() {
            emit_disk(self, format!("removes {}", path.text), 0);
        }
        begun
    }

    pub(crate) fn fs_rename(&mut self, from: &Normal, to: &Normal) -> Begun<()> {
        let Begun { takes, result } = self.look_up(from, |files| files.rename(from, to));
        if let Ok(true) = result {
            emit_disk(self, format!("renames {} to {}", from.text, to.text), 0);
        }
        Begun { takes, result: result.map(drop) }
    }

    pub(crate) fn fs_open(&mut self, path: &Normal, how: How) -> Begun<Handle> {
        let How { write, append, truncate, create, create_new, .. } = how;
        let opening = Opening { write: write || append, create, create_new };
        let Begun { takes, result } = self.look_up(path, |files| files.open(path, opening));
        let (inode, is_new) = match result {
            Ok(found) => found,
            Err(error) => return Begun { takes, result: Err(error) },
        };
        if is_new {
            emit_disk(self, format!("creates {}", path.text), 0);
        }
        let node = self.current.node;
        let disk = self.disk(node);
        disk.handles += 1;
        let number = disk.handles;
        disk.opened.insert(number, Opened { inode, position: 0, how, shared_by: 1 });
        let handle = Handle { node, boot: self.current.boot, number };
        if truncate
            // Within the time that opening takes.
            && let Err(error) = self.set_length(node, inode, 0).result
        {
            self.fs_close(handle);
            return Begun { takes, result: Err(error) };
        }
        Begun { takes, result: Ok(handle) }
    }

    // --- handles --------------------------------------------------------------------------------------------------------

    fn opened(&mut self, handle: Handle) -> Result<(NodeId, Opened)> {
        let node = self.running_disk()?;
        let dead = |what: &str| Err(Error::other(format!("a file that {what} (EBADF)")));
        if handle.node != node {
            return dead("another node has opened");
        }
        if handle.boot != self.current.boot {
            return dead("was opened before the node crashed");
        }
        match self.disk(node).opened.get(&handle.number) {
            Some(opened) => Ok((node, *opened)),
            None => dead("was open when the disk was wiped"),
        }
    }

    pub(crate) fn fs_share(&mut self, handle: Handle) -> Result<()> {
        let (node, _) = self.opened(handle)?;
        self.disk(node).opened.get_mut(&handle.number).expect("it is open").shared_by += 1;
        Ok(())
    }

    /// Who had it has it no more. After a crash there is nothing to give back.
    pub(crate) fn fs_close(&mut self, handle: Handle) {
        let Some(disk) = self.disks.disks.get_mut(&handle.node) else { return };
        let Some(opened) = disk.opened.get_mut(&handle.number) else { return };
        opened.shared_by -= 1;
        if opened.shared_by == 0 {
            let inode = opened.inode;
            disk.opened.remove(&handle.number);
            disk.files.close(inode);
        }
    }

    pub(crate) fn fs_handle_facts(&mut self, handle: Handle) -> Begun<Facts> {
        match self.opened(handle) {
            Ok((node, opened)) => {
                let path = self.disk(node).files.object(opened.inode).path.clone();
                // By the name under which it came to be, as the other operations on its handle.
                self.look_up(&Normal { text: path }, |files| Ok(files.facts(opened.inode)))
            }
            Err(error) => Begun::at_once(Err(error)),
        }
    }

    pub(crate) fn fs_seek(&mut self, handle: Handle, to: SeekFrom) -> Result<u64> {
        let (node, opened) = self.opened(handle)?;
        let disk = self.disk(node);
        let length = disk.files.facts(opened.inode).length;
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => length.checked_add_signed(by),
            SeekFrom::Current(by) => opened.position.checked_add_signed(by),
        };
        // As far as a file can reach: what the system's own type says, which has a sign.
        let position = position.filter(|position| i64::try_from(*position).is_ok()).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "a position before the file's beginning, or beyond what a file can be")
        })?;
        disk.opened.get_mut(&handle.number).expect("it is open").position = position;
        Ok(position)
    }

    /// The address of an operation on a file, the next of its kind.
    fn ask(&mut self, node: NodeId, inode: Inode, operation: DiskOperation) -> (FlowId, u64, String) {
        let boot = self.nodes[node.index()].boot;
        let object = self.disk(node).files.object(inode);
        let number = match operation {
            DiskOperation::Read => &mut object.reads,
            DiskOperation::Sync => &mut object.syncs,
            _ => &mut object.changes,
        };
        *number += 1;
        let path = in_boot(&object.path, operation, boot);
        (flow_of(object.flow, operation, boot), *number, path)
    }

    fn refuse_directory(&mut self, node: NodeId, inode: Inode) -> Result<()> {
        let files = &mut self.disk(node).files;
        match files.is_directory(inode) {
            true => {
                let path = files.object(inode).path.clone();
                Err(Error::new(ErrorKind::IsADirectory, format!("{path}: it is a directory")))
            }
            false => Ok(()),
        }
    }

    // --- reads ----------------------------------------------------------------------------------------------------------

    /// A read begins, at an offset or where the handle stands.
    pub(crate) fn fs_begin_read(&mut self, handle: Handle, offset: Option<u64>, bytes: usize) -> Begun<Reading> {
        let may = self.opened(handle).and_then(|(node, opened)| {
            self.refuse_directory(node, opened.inode)?;
            match opened.how.read {
                true => Ok((node, opened)),
                false => Err(Error::other("a file that wasn't opened to be read (EBADF)")),
            }
        });
        let (node, opened) = match may {
            Ok(may) => may,
            Err(error) => return Begun::at_once(Err(error)),
        };
        let (inode, moves, offset) = (opened.inode, offset.is_none(), offset.unwrap_or(opened.position));
        let (flow, number, path) = self.ask(node, inode, DiskOperation::Read);
        let fingerprint = print_of_read(offset, bytes);
        let operation = DiskOperation::Read;
        let takes = self.takes(&Asked { node, flow, number, operation, path: &path, fingerprint });
        Begun { takes, result: Ok(Reading { inode, number, offset, moves }) }
    }

    /// What a read comes to at its end.
    pub(crate) fn fs_end_read(&mut self, handle: Handle, reading: Reading, bytes: usize) -> Result<Vec<u8>> {
        let (node, _) = self.opened(handle)?;
        let Reading { inode, number, offset, moves } = reading;
        let boot = self.nodes[node.index()].boot;
        let object = self.disk(node).files.object(inode);
        let flow = flow_of(object.flow, DiskOperation::Read, boot);
        let path = in_boot(&object.path, DiskOperation::Read, boot);
        let (operation, fingerprint) = (DiskOperation::Read, print_of_read(offset, bytes));
        let asked = Asked { node, flow, number, operation, path: &path, fingerprint };
        if self.fails(&asked) {
            emit_disk(self, format!("{} fails", operation.in_words(number, &path)), 0);
            let plain = self.disk(node).files.path_of(inode).unwrap_or_default();
            return Err(failed(&plain, "a read"));
        }
        let mut read = self.disk(node).files.read(inode, offset, bytes);
        let bits = read.len() as u64 * 8;
        if bits > 0 {
            let words = self.decisions.key(self.now_ns).disk_words(flow, number, SiteKind::BitRot);
            let bit = ((u128::from(words.what) * u128::from(bits)) >> 64) as u64;
            let drawn = if self.disk(node).conditions.bit_rot.hit(words.whether) { bit + 1 } else { 0 };
            let value = self.decide_disk(&asked, SiteKind::BitRot, 0, drawn);
            if value > 0 {
                // Beyond what is read, as a plan may say, it is counted from the first again.
                let bit = (value - 1) % bits;
                read[(bit / 8) as usize] ^= 1 << (bit % 8);
                self.disk(node).files.flip(inode, offset * 8 + bit);
                emit_disk(self, format!("bit {} of {path} has flipped (read {number})", offset * 8 + bit), 0);
            }
        }
        if moves {
            let opened = self.disk(node).opened.get_mut(&handle.number).expect("it is open");
            opened.position = offset + read.len() as u64;
        }
        Ok(read)
    }

    // --- writes ---------------------------------------------------------------------------------------------------------

    fn writable(&mut self, handle: Handle) -> Result<(NodeId, Opened)> {
        let (node, opened) = self.opened(handle)?;
        self.refuse_directory(node, opened.inode)?;
        match opened.how.write || opened.how.append {
            true => Ok((node, opened)),
            false => Err(Error::other("a file that wasn't opened to be written to (EBADF)")),
        }
    }

    /// A write, at an offset or where the handle stands. As much is written as there is room for.
    pub(crate) fn fs_write(&mut self, handle: Handle, offset: Option<u64>, bytes: &[u8]) -> Begun<usize> {
        let (node, opened) = match self.writable(handle) {
            Ok(writable) => writable,
            Err(error) => return Begun::at_once(Err(error)),
        };
        let inode = opened.inode;
        let files = &mut self.disk(node).files;
        let moves = offset.is_none();
        let end = files.facts(inode).length;
        let offset = if opened.how.append { end } else { offset.unwrap_or(opened.position) };
        let fitting = files.fitting(inode, offset, bytes.len());
        if bytes.is_empty() {
            return Begun::at_once(Ok(0));
        }
        let (flow, number, path) = self.ask(node, inode, DiskOperation::Write);
        let written = &bytes[..fitting];
        let fingerprint = files::print_of_bytes(offset, written);
        let operation = DiskOperation::Write;
        let asked = Asked { node, flow, number, operation, path: &path, fingerprint };
        let takes = self.takes(&asked);
        if fitting == 0 {
            emit_disk(self, format!("{} finds the disk full", operation.in_words(number, &path)), 0);
            let full = Error::new(ErrorKind::StorageFull, format!("{path}: the disk is full (ENOSPC)"));
            return Begun { takes, result: Err(full) };
        }
        if self.fails(&asked) {
            emit_disk(self, format!("{} fails", operation.in_words(number, &path)), 0);
            return Begun { takes, result: Err(failed(&path, "a write")) };
        }
        let disk = self.disk(node);
        disk.files.write(inode, offset, written);
        let after = offset + fitting as u64;
        if moves {
            disk.opened.get_mut(&handle.number).expect("it is open").position = after;
        }
        emit_disk(self, format!("{} (bytes {offset}..{after})", operation.in_words(number, &path)), fingerprint);
        Begun { takes, result: Ok(fitting) }
    }

    pub(crate) fn fs_set_length(&mut self, handle: Handle, length: u64) -> Begun<()> {
        let (node, opened) = match self.writable(handle) {
            Ok(writable) => writable,
            Err(error) => return Begun::at_once(Err(error)),
        };
        self.set_length(node, opened.inode, length)
    }

    fn set_length(&mut self, node: NodeId, inode: Inode, length: u64) -> Begun<()> {
        let before = self.disk(node).files.facts(inode).length;
        if before == length {
            return Begun::at_once(Ok(()));
        }
        let (flow, number, path) = self.ask(node, inode, DiskOperation::Write);
        let fingerprint = hash_words([before, length, 1, 0]).max(1);
        let operation = DiskOperation::Write;
        let asked = Asked { node, flow, number, operation, path: &path, fingerprint };
        let takes = self.takes(&asked);
        let words = operation.in_words(number, &path);
        if !self.disk(node).files.fits(inode, length) {
            emit_disk(self, format!("{words} finds the disk full"), 0);
            let full = Error::new(ErrorKind::StorageFull, format!("{path}: the disk is full (ENOSPC)"));
            return Begun { takes, result: Err(full) };
        }
        if self.fails(&asked) {
            emit_disk(self, format!("{words} fails"), 0);
            return Begun { takes, result: Err(failed(&path, "another length")) };
        }
        self.disk(node).files.set_length(inode, length);
        emit_disk(self, format!("{words} (its length from {before} to {length})"), 0);
        Begun { takes, result: Ok(()) }
    }

    // --- syncs ----------------------------------------------------------------------------------------------------------

    /// A sync begins. What it comes to is known, and comes about at its end.
    pub(crate) fn fs_sync(&mut self, handle: Handle) -> Begun<()> {
        let (node, opened) = match self.opened(handle) {
            Ok(opened) => opened,
            Err(error) => return Begun::at_once(Err(error)),
        };
        let (flow, number, path) = self.ask(node, opened.inode, DiskOperation::Sync);
        let (operation, fingerprint) = (DiskOperation::Sync, flow.0.max(1));
        let asked = Asked { node, flow, number, operation, path: &path, fingerprint };
        let (takes, fails) = (self.takes(&asked), self.fails(&asked));
        let due_ns = self.now_ns.saturating_add(crate::world::duration_ns(takes));
        let disk = self.disk(node);
        let mark = disk.files.mark(opened.inode);
        let plain = disk.files.path_of(opened.inode).unwrap_or_default();
        disk.syncing.push(Syncing { due_ns, mark, number, fails });
        Begun { takes, result: if fails { Err(failed(&plain, "a sync")) } else { Ok(()) } }
    }

    /// Nobody could tell when exactly it comes about.
    pub(crate) fn fs_end_sync(&mut self, handle: Handle) {
        self.settle_syncs(handle.node);
    }

    pub(crate) fn settle_all_syncs(&mut self) {
        let nodes: Vec<NodeId> = self.disks.disks.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.settle_syncs(node));
    }

    /// What syncs that are over by now have come to. A file that nobody has open any more may be gone meanwhile, and then it doesn't matter.
    fn settle_syncs(&mut self, node: NodeId) {
        let Some(disk) = self.disks.disks.get_mut(&node) else { return };
        let now_ns = self.now_ns;
        if disk.syncing.iter().all(|syncing| syncing.due_ns > now_ns) {
            return;
        }
        let mut over: Vec<Syncing> = disk.syncing.extract_if(.., |syncing| syncing.due_ns <= now_ns).collect();
        // In the order in which they came to their ends; of one instant, in that in which they began.
        over.sort_by_key(|syncing| syncing.due_ns);
        for Syncing { mark, number, fails, .. } in over {
            let disk = self.disk(node);
            let Some(path) = disk.files.path_of(mark.inode) else { continue };
            let words = DiskOperation::Sync.in_words(number, &path);
            if fails {
                self.emit_on(node, EventKind::Disk { what: format!("{words} fails").into(), print: 0 });
                let by = format!("by the failure of {words}");
                self.settle_disk(node, &by, |files, decide| files.sync_fails(mark, decide));
            } else {
                disk.files.sync(mark);
                self.emit_on(node, EventKind::Disk { what: words.into(), print: 0 });
            }
        }
    }

    /// What of the pending changes is lost: each is a decision with an address.
    fn settle_disk(&mut self, node: NodeId, by: &str, settle: impl FnOnce(&mut Files, Decide<'_>)) {
        let is_healed = self.disks.is_healed(node);
        let Kernel { disks, decisions, journal, now_ns, .. } = self;
        let Some(NodeDisk { files, conditions, losses, .. }) = disks.disks.get_mut(&node) else { return };
        let now_ns = *now_ns;
        let mut decide = |pending: &Pending<'_>| {
            let Pending { flow, number, fingerprint, sectors, path, is_directory, what } = *pending;
            if is_healed {
                return 0;
            }
            let key = decisions.key(now_ns);
            let words = key.disk_words(flow, number, SiteKind::DiskCrash);
            let drawn = if conditions.crash_loss.hit(words.whether) {
                sectors
            } else if sectors > 1 && conditions.torn.hit(words.what) {
                1 + ((u128::from(key.torn_word(flow, number)) * u128::from(sectors - 1)) >> 64) as u64
            } else {
                0
            };
            let site = Site { kind: SiteKind::DiskCrash, flow, number };
            let lost = decisions.decide(site, now_ns, 0, drawn, || fingerprint);
            if lost == 0 {
                return 0;
            }
            let what = what();
            let said = match lost < sectors {
                true => format!("{what} is torn {by}: of its {sectors} sectors the last {lost} are lost"),
                false => format!("{what} is lost {by}"),
            };
            if journal.wants_names() {
                let of_flow = losses.entry(flow).or_default();
                of_flow.insert(number, DiskLoss { what, sectors, by: by.to_string() });
                let operation = if is_directory { DiskOperation::Change } else { DiskOperation::Write };
                let role = FlowRole::Disk { operation, path: path.to_string(), losses: of_flow.clone() };
                journal.name_flow(flow, || FlowInfo { from: node, to: node, role, operation: None });
            }
            journal.emit(now_ns, node, TaskId::NONE, EventKind::Disk { what: said.into(), print: 0 });
            lost
        };
        settle(files, &mut decide);
    }

    /// A node has gone down: what it hasn't synced is there or not, and its files are open no more.
    pub(crate) fn crash_disk(&mut self, node: NodeId) {
        if !self.disks.disks.contains_key(&node) {
            return;
        }
        self.settle_syncs(node);
        self.settle_disk(node, "in the crash", Files::crash);
        let disk = self.disk(node);
        disk.opened.clear();
        disk.syncing.clear();
        // Numbered in each boot anew.
        disk.look_ups.clear();
    }

    /// All that is on a node's disk is gone, synced or not; the node needn't be down. What it has open it can't use any more.
    pub(crate) fn wipe_disk(&mut self, node: NodeId) {
        if let Some(disk) = self.disks.disks.get_mut(&node) {
            disk.files.wipe();
            disk.opened.clear();
            disk.syncing.clear();
        }
        self.emit_on(node, EventKind::Disk { what: "everything is wiped".into(), print: 0 });
    }
}

fn print_of_read(offset: u64, bytes: usize) -> u64 {
    hash_words([offset, bytes as u64, 2, 0]).max(1)
}
