//! What is on one disk: what programs see, what a crash leaves, and the changes in between.
//!
//! Nothing here is random: [`Files::crash`] and [`Files::sync_fails`] ask whoever calls them what is lost.
//!
//! A change is *pending* from when it is made until its file (or its directory) is synced. A sector has no memory of what was written when:
//! where a write is lost, those that came after it to the same sector are lost with it, up to the next one that survives as a whole new
//! beginning (a truncation). So of each sector the disk has a beginning of its history, and sectors are independent of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, Result};
use std::path::{Component, Path};

use squall_trace::FlowId;
use squall_trace::id::hash_parts;

/// What a disk writes whole or not at all.
pub(crate) const SECTOR_BYTES: u64 = 512;

/// The number of a file or a directory.
pub(crate) type Inode = u64;

/// The directory `/`.
const ROOT: Inode = 0;

/// A file or a directory.
#[derive(Debug)]
pub(crate) struct Object {
    /// Whose decisions are counted together: made of the node's name and of the path at which it came to be.
    pub flow: FlowId,
    /// That path, in words: with a number if others came to be there before it.
    pub path: String,
    /// Likewise, without a number.
    plain_path: String,
    body: Body,
    /// How many handles there are.
    opened: u32,
    /// In which directory it is for programs, and under which name.
    place: Option<(Inode, String)>,
    /// Likewise after a crash that loses all that is pending.
    durable_place: Option<(Inode, String)>,
    /// The change that put it there: earlier ones don't move it any more.
    durable_since: u64,
    pub reads: u64,
    /// Writes to a file; changes of a directory.
    pub changes: u64,
    pub syncs: u64,
}

#[derive(Debug)]
enum Body {
    File(File),
    Directory { entries: BTreeMap<String, Inode>, durable: BTreeMap<String, Inode> },
}

/// The contents of a file.
#[derive(Debug, Default)]
struct File {
    /// What programs see.
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// What programs saw when the pending writes began, where that isn't what is on the disk: after a sync that failed.
    base: Option<Vec<u8>>,
    pending: Vec<Write>,
}

#[derive(Clone, Debug)]
struct Write {
    number: u64,
    /// Of what was written, whatever has become of its bits.
    print: u64,
    what: Written,
}

impl Write {
    fn new(number: u64, what: Written) -> Write {
        Write { number, print: what.print(), what }
    }
}

#[derive(Clone, Debug)]
enum Written {
    Bytes { offset: u64, bytes: Vec<u8> },
    Length { from: u64, to: u64 },
}

impl Written {
    /// The first sector that it touches, and how many.
    fn sectors(&self) -> (u64, u64) {
        match self {
            Written::Bytes { offset, bytes } => {
                let first = offset / SECTOR_BYTES;
                (first, (offset + bytes.len() as u64).div_ceil(SECTOR_BYTES) - first)
            }
            Written::Length { .. } => (0, 1),
        }
    }

    fn print(&self) -> u64 {
        match self {
            Written::Bytes { offset, bytes } => print_of_bytes(*offset, bytes),
            Written::Length { from, to } => print_of(&[b"length", &from.to_le_bytes(), &to.to_le_bytes()]),
        }
    }

    fn in_words(&self, number: u64, path: &str) -> String {
        match self {
            Written::Bytes { offset, bytes } => {
                format!("write {number} to {path} (bytes {offset}..{})", offset + bytes.len() as u64)
            }
            Written::Length { from, to } => format!("write {number} to {path} (its length from {from} to {to})"),
        }
    }
}

/// A fingerprint is never 0, which stands for any.
fn print_of(parts: &[&[u8]]) -> u64 {
    hash_parts(parts).max(1)
}

/// The fingerprint of a write.
pub(super) fn print_of_bytes(offset: u64, bytes: &[u8]) -> u64 {
    print_of(&[&offset.to_le_bytes(), bytes])
}

/// A pending change of directories.
#[derive(Debug)]
struct Change {
    /// Its place among all changes of directories on the disk.
    since: u64,
    /// Whose change it is.
    directory: Inode,
    /// Its number there.
    number: u64,
    what: Entry,
}

#[derive(Debug)]
enum Entry {
    Added {
        name: String,
        inode: Inode,
    },
    Removed {
        name: String,
    },
    /// One step, also from another directory, which it came from.
    Moved {
        from: Inode,
        from_name: String,
        name: String,
        inode: Inode,
    },
}

impl Change {
    fn touches(&self, directory: Inode) -> bool {
        let came_from = match &self.what {
            Entry::Moved { from, .. } => Some(*from),
            Entry::Added { .. } | Entry::Removed { .. } => None,
        };
        self.directory == directory || came_from == Some(directory)
    }

    fn concerns(&self, of: Inode) -> bool {
        let moved = match &self.what {
            Entry::Added { inode, .. } | Entry::Moved { inode, .. } => Some(*inode),
            Entry::Removed { .. } => None,
        };
        moved == Some(of) || self.touches(of)
    }
}

/// What whoever decides about a pending change is asked.
pub(crate) struct Pending<'d> {
    pub flow: FlowId,
    pub number: u64,
    pub fingerprint: u64,
    /// How many sectors can be lost; 1 if it is lost whole or not at all.
    pub sectors: u64,
    /// Whose change it is, and whether that is a directory.
    pub path: &'d str,
    pub is_directory: bool,
    /// In words.
    pub what: &'d dyn Fn() -> String,
}

/// Says how many sectors of a pending change are lost.
pub(crate) type Decide<'d> = &'d mut dyn FnMut(&Pending<'_>) -> u64;

/// A path without `.` and `..`, from the root on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Normal {
    pub text: String,
}

impl Normal {
    /// # Errors
    /// If it is empty, or holds what no path of a simulated disk can.
    pub(crate) fn of(path: &Path) -> Result<Normal> {
        let bad = |kind, what: &str| Err(Error::new(kind, format!("{}: {what}", path.display())));
        let Some(text) = path.to_str() else {
            return bad(ErrorKind::InvalidInput, "a path of a simulated disk is UTF-8");
        };
        if text.is_empty() {
            return bad(ErrorKind::NotFound, "an empty path names nothing");
        }
        if text.contains('\0') {
            return bad(ErrorKind::InvalidInput, "a path holds no byte 0");
        }
        let mut names: Vec<&str> = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => names.push(name.to_str().expect("a part of what is UTF-8")),
                Component::ParentDir => drop(names.pop()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(Normal { text: format!("/{}", names.join("/")) })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').filter(|name| !name.is_empty())
    }

    /// The directory that it lies in, and its name there. `None` for the root.
    fn split(&self) -> Option<(Normal, &str)> {
        let (directory, name) = self.text.rsplit_once('/')?;
        let text = if directory.is_empty() { "/" } else { directory };
        (!name.is_empty()).then(|| (Normal { text: text.to_string() }, name))
    }

    pub(crate) fn error(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("{}: {what}", self.text))
    }

    fn missing(&self) -> Error {
        self.error(ErrorKind::NotFound, "no such file or directory")
    }
}

/// What is known of a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub is_directory: bool,
    pub length: u64,
}

/// How a path is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opening {
    pub write: bool,
    pub create: bool,
    pub create_new: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Files {
    /// Of the node's name.
    seed: u64,
    objects: BTreeMap<Inode, Object>,
    next: Inode,
    /// In the order in which they were made.
    pending: Vec<Change>,
    changes: u64,
    /// How many files and directories came to be at a path so far: not even a wiped disk forgets it, or two files would have one address.
    births: BTreeMap<String, u64>,
    /// The lengths of all files that programs can get at.
    used: u64,
    capacity: u64,
}

impl Files {
    pub(crate) fn new(node: &str, capacity: u64) -> Files {
        let seed = hash_parts(&[b"disk", node.as_bytes()]);
        let mut files = Files {
            seed,
            objects: BTreeMap::new(),
            next: ROOT,
            pending: Vec::new(),
            changes: 0,
            births: BTreeMap::new(),
            used: 0,
            capacity,
        };
        files.make_root();
        files
    }

    fn make_root(&mut self) {
        let root = self.born(&Normal { text: "/".to_string() }, true);
        debug_assert_eq!(root, ROOT, "the first of all");
    }

    /// All files and directories are gone.
    pub(crate) fn wipe(&mut self) {
        self.objects.clear();
        self.pending.clear();
        (self.next, self.used) = (ROOT, 0);
        self.make_root();
    }

    fn born(&mut self, path: &Normal, is_directory: bool) -> Inode {
        let births = self.births.entry(path.text.clone()).or_default();
        *births += 1;
        let birth = *births;
        let flow = FlowId(hash_parts(&[&self.seed.to_le_bytes(), path.text.as_bytes(), &birth.to_le_bytes()]));
        let plain_path = path.text.clone();
        // Of the root there is one at a time.
        let is_first = birth == 1 || plain_path == "/";
        let path = if is_first { plain_path.clone() } else { format!("{plain_path} (number {birth} of that name)") };
        let body = match is_directory {
            true => Body::Directory { entries: BTreeMap::new(), durable: BTreeMap::new() },
            false => Body::File(File::default()),
        };
        let inode = self.next;
        self.next += 1;
        let object = Object {
            flow,
            path,
            plain_path,
            body,
            opened: 0,
            place: None,
            durable_place: None,
            durable_since: 0,
            reads: 0,
            changes: 0,
            syncs: 0,
        };
        self.objects.insert(inode, object);
        inode
    }

    pub(crate) fn object(&mut self, inode: Inode) -> &mut Object {
        self.objects.get_mut(&inode).expect("whoever knows its number keeps it")
    }

    pub(crate) fn path_of(&self, inode: Inode) -> Option<String> {
        self.objects.get(&inode).map(|object| object.path.clone())
    }

    fn file(&mut self, inode: Inode) -> Option<&mut File> {
        match &mut self.objects.get_mut(&inode)?.body {
            Body::File(file) => Some(file),
            Body::Directory { .. } => None,
        }
    }

    fn entries(&mut self, inode: Inode) -> Option<&mut BTreeMap<String, Inode>> {
        match &mut self.objects.get_mut(&inode)?.body {
            Body::Directory { entries, .. } => Some(entries),
            Body::File(_) => None,
        }
    }

    fn durable_entries(&mut self, inode: Inode) -> Option<&mut BTreeMap<String, Inode>> {
        match &mut self.objects.get_mut(&inode)?.body {
            Body::Directory { durable, .. } => Some(durable),
            Body::File(_) => None,
        }
    }

    // --- paths --------------------------------------------------------------------------------------------------------

    /// What a path names, if it names something.
    fn find(&mut self, path: &Normal) -> Result<Option<Inode>> {
        let mut inode = ROOT;
        for name in path.names() {
            let Some(entries) = self.entries(inode) else {
                return Err(path.error(ErrorKind::NotADirectory, "a part of the path is a file"));
            };
            match entries.get(name) {
                Some(next) => inode = *next,
                None => return Ok(None),
            }
        }
        Ok(Some(inode))
    }

    pub(crate) fn get(&mut self, path: &Normal) -> Result<Inode> {
        self.find(path)?.ok_or_else(|| path.missing())
    }

    pub(crate) fn exists(&mut self, path: &Normal) -> Result<bool> {
        self.find(path).map(|found| found.is_some())
    }

    /// The directory that a path's last name is to be in.
    fn parent<'p>(&mut self, path: &'p Normal) -> Result<(Inode, &'p str)> {
        let Some((directory, name)) = path.split() else {
            return Err(path.error(ErrorKind::ResourceBusy, "the root of the disk stays as it is"));
        };
        let inode = self.find(&directory)?.ok_or_else(|| path.missing())?;
        match self.is_directory(inode) {
            true => Ok((inode, name)),
            false => Err(path.error(ErrorKind::NotADirectory, "a part of the path is a file")),
        }
    }

    pub(crate) fn is_directory(&self, inode: Inode) -> bool {
        self.objects.get(&inode).is_some_and(|object| matches!(object.body, Body::Directory { .. }))
    }

    pub(crate) fn facts(&self, inode: Inode) -> Facts {
        match self.objects.get(&inode).map(|object| &object.body) {
            Some(Body::File(file)) => Facts { is_directory: false, length: file.seen.len() as u64 },
            Some(Body::Directory { .. }) => Facts { is_directory: true, length: 0 },
            None => Facts { is_directory: false, length: 0 },
        }
    }

    /// The names in a directory with what they stand for, in order.
    pub(crate) fn list(&mut self, path: &Normal) -> Result<Vec<(String, Facts)>> {
        let inode = self.get(path)?;
        let Some(entries) = self.entries(inode) else {
            return Err(path.error(ErrorKind::NotADirectory, "it is a file"));
        };
        let entries = entries.clone();
        Ok(entries.into_iter().map(|(name, inode)| (name, self.facts(inode))).collect())
    }

    // --- changes of directories -----------------------------------------------------------------------------------------

    fn change(&mut self, directory: Inode, what: Entry) {
        self.changes += 1;
        let since = self.changes;
        let object = self.object(directory);
        object.changes += 1;
        let number = object.changes;
        self.pending.push(Change { since, directory, number, what });
    }

    fn place(&mut self, directory: Inode, name: &str, inode: Inode) {
        self.entries(directory).expect("a directory").insert(name.to_string(), inode);
        self.object(inode).place = Some((directory, name.to_string()));
    }

    /// Takes a name away. What it stood for goes on while it is open.
    fn displace(&mut self, directory: Inode, name: &str) {
        let Some(inode) = self.entries(directory).and_then(|entries| entries.remove(name)) else { return };
        let object = self.object(inode);
        object.place = None;
        if object.opened == 0 {
            self.used -= self.facts(inode).length;
            self.forget(inode);
        }
    }

    /// Nobody who can still get at it, nor any crash.
    fn forget(&mut self, inode: Inode) {
        let object = self.object(inode);
        let is_needed = object.opened > 0 || object.place.is_some() || object.durable_place.is_some();
        if !is_needed && inode != ROOT && !self.pending.iter().any(|change| change.concerns(inode)) {
            self.objects.remove(&inode);
        }
    }

    fn create(&mut self, path: &Normal, is_directory: bool) -> Result<Inode> {
        let (directory, name) = self.parent(path)?;
        let inode = self.born(path, is_directory);
        self.place(directory, name, inode);
        self.change(directory, Entry::Added { name: name.to_string(), inode });
        Ok(inode)
    }

    pub(crate) fn create_directory(&mut self, path: &Normal) -> Result<()> {
        if self.find(path)?.is_some() {
            return Err(path.error(ErrorKind::AlreadyExists, "it is there already"));
        }
        self.create(path, true).map(drop)
    }

    /// A handle more for what a path names. Whether that is new.
    pub(crate) fn open(&mut self, path: &Normal, how: Opening) -> Result<(Inode, bool)> {
        let found = self.find(path)?;
        let inode = match found {
            Some(_) if how.create_new => return Err(path.error(ErrorKind::AlreadyExists, "it is there already")),
            Some(inode) if self.is_directory(inode) && (how.write || how.create) => {
                return Err(path.error(ErrorKind::IsADirectory, "a directory isn't written to"));
            }
            Some(inode) => inode,
            None if how.create || how.create_new => self.create(path, false)?,
            None => return Err(path.missing()),
        };
        self.object(inode).opened += 1;
        Ok((inode, found.is_none()))
    }

    pub(crate) fn close(&mut self, inode: Inode) {
        let object = self.object(inode);
        object.opened -= 1;
        if object.opened == 0 && object.place.is_none() {
            self.used -= self.facts(inode).length;
            self.forget(inode);
        }
    }

    pub(crate) fn remove(&mut self, path: &Normal, is_directory: bool) -> Result<()> {
        let (directory, name) = self.parent(path)?;
        let inode = self.get(path)?;
        match (is_directory, self.is_directory(inode)) {
            (false, true) => return Err(path.error(ErrorKind::IsADirectory, "it is a directory")),
            (true, false) => return Err(path.error(ErrorKind::NotADirectory, "it is a file")),
            _ => {}
        }
        if self.entries(inode).is_some_and(|entries| !entries.is_empty()) {
            return Err(path.error(ErrorKind::DirectoryNotEmpty, "the directory isn't empty"));
        }
        self.change(directory, Entry::Removed { name: name.to_string() });
        self.displace(directory, name);
        Ok(())
    }

    /// Whether anything has changed: not if both paths name the same.
    pub(crate) fn rename(&mut self, from: &Normal, to: &Normal) -> Result<bool> {
        let (from_directory, from_name) = self.parent(from)?;
        let inode = self.get(from)?;
        let (directory, name) = self.parent(to)?;
        let is_directory = self.is_directory(inode);
        if is_directory && to.text.starts_with(&format!("{}/", from.text)) {
            return Err(to.error(ErrorKind::InvalidInput, "a directory can't be moved into itself"));
        }
        if let Some(there) = self.find(to)? {
            if there == inode {
                return Ok(false);
            }
            match (is_directory, self.is_directory(there)) {
                (false, true) => return Err(to.error(ErrorKind::IsADirectory, "it is a directory")),
                (true, false) => return Err(to.error(ErrorKind::NotADirectory, "it is a file")),
                _ => {}
            }
            if self.entries(there).is_some_and(|entries| !entries.is_empty()) {
                return Err(to.error(ErrorKind::DirectoryNotEmpty, "the directory isn't empty"));
            }
        }
        let (from_name, name) = (from_name.to_string(), name.to_string());
        let moved = Entry::Moved { from: from_directory, from_name: from_name.clone(), name: name.clone(), inode };
        self.change(directory, moved);
        self.displace(directory, &name);
        self.entries(from_directory).expect("a directory").remove(&from_name);
        self.place(directory, &name, inode);
        Ok(true)
    }

    // --- contents -------------------------------------------------------------------------------------------------------

    /// What of `bytes` fits on the disk at that place of a file.
    pub(crate) fn fitting(&self, inode: Inode, offset: u64, bytes: usize) -> usize {
        let length = self.facts(inode).length;
        let longest = length.saturating_add(self.capacity.saturating_sub(self.used));
        usize::try_from(longest.saturating_sub(offset).min(bytes as u64)).expect("at most what there is")
    }

    /// Writes to a file. Its number is that of the file's last change.
    pub(crate) fn write(&mut self, inode: Inode, offset: u64, bytes: &[u8]) {
        let number = self.object(inode).changes;
        let file = self.file(inode).expect("a file");
        let before = file.seen.len();
        put(&mut file.seen, offset, bytes);
        let grown = file.seen.len() - before;
        file.pending.push(Write::new(number, Written::Bytes { offset, bytes: bytes.to_vec() }));
        self.used += grown as u64;
    }

    /// Cuts a file off or makes it longer; likewise.
    pub(crate) fn set_length(&mut self, inode: Inode, length: u64) {
        let number = self.object(inode).changes;
        let file = self.file(inode).expect("a file");
        let before = file.seen.len() as u64;
        file.seen.resize(length as usize, 0);
        file.pending.push(Write::new(number, Written::Length { from: before, to: length }));
        self.used = self.used - before + length;
    }

    /// Whether a file of that length would still fit.
    pub(crate) fn fits(&self, inode: Inode, length: u64) -> bool {
        let before = self.facts(inode).length;
        length <= before || length - before <= self.capacity.saturating_sub(self.used)
    }

    pub(crate) fn read(&mut self, inode: Inode, offset: u64, bytes: usize) -> Vec<u8> {
        let Some(file) = self.file(inode) else { return Vec::new() };
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(file.seen.len());
        let to = from.saturating_add(bytes).min(file.seen.len());
        file.seen[from..to].to_vec()
    }

    /// Flips a bit of a file, wherever it is kept.
    pub(crate) fn flip(&mut self, inode: Inode, bit: u64) {
        let Some(File { seen, durable, base, pending }) = self.file(inode) else { return };
        let (at, mask) = (bit / 8, 1u8 << (bit % 8));
        let of_pending = pending.iter_mut().filter_map(|write| match &mut write.what {
            Written::Bytes { offset, bytes } => bytes.get_mut(usize::try_from(at.checked_sub(*offset)?).ok()?),
            Written::Length { .. } => None,
        });
        let index = at as usize;
        let kept = [Some(seen), Some(durable), base.as_mut()].into_iter().flatten();
        of_pending.chain(kept.filter_map(|bytes| bytes.get_mut(index))).for_each(|byte| *byte ^= mask);
    }

    // --- what stays -------------------------------------------------------------------------------------------------------

    /// All that a sync which begins now is to make durable.
    pub(crate) fn mark(&self, inode: Inode) -> Mark {
        Mark { inode, write: self.objects.get(&inode).map_or(0, |object| object.changes), change: self.changes }
    }

    /// A sync has come to its end: what was pending when it began is durable.
    pub(crate) fn sync(&mut self, mark: Mark) {
        match self.objects.get_mut(&mark.inode).map(|object| &mut object.body) {
            Some(Body::File(file)) => file.settle_whole(mark.write),
            Some(Body::Directory { .. }) => self.settle_directory(mark, &mut |_| 0),
            None => {}
        }
    }

    /// A sync has failed: of what was pending when it began nothing is any longer, and `decide` says what the disk has of it. Programs
    /// still see it all, until a crash.
    pub(crate) fn sync_fails(&mut self, mark: Mark, decide: Decide<'_>) {
        let Some(object) = self.objects.get_mut(&mark.inode) else { return };
        let (flow, path) = (object.flow, object.path.clone());
        match &mut object.body {
            Body::File(file) => file.settle_as(mark.write, flow, &path, decide),
            Body::Directory { .. } => self.settle_directory(mark, decide),
        }
    }

    fn settle_directory(&mut self, mark: Mark, decide: Decide<'_>) {
        let is_synced = |change: &Change| change.touches(mark.inode) && change.since <= mark.change;
        let (synced, pending) = std::mem::take(&mut self.pending).into_iter().partition(is_synced);
        self.pending = pending;
        let changes: Vec<Change> = synced;
        self.settle_changes(&changes, decide);
    }

    fn settle_changes(&mut self, changes: &[Change], decide: Decide<'_>) {
        let mut touched = BTreeSet::new();
        for change in changes {
            let Some(object) = self.objects.get(&change.directory) else { continue };
            let (flow, path, within) = (object.flow, object.path.clone(), object.plain_path.clone());
            let named = |name: &str| format!("{}/{name}", within.trim_end_matches('/'));
            let (words, print) = match &change.what {
                Entry::Added { name, .. } => {
                    (format!("the creation of {}", named(name)), print_of(&[b"+", name.as_bytes()]))
                }
                Entry::Removed { name } => {
                    (format!("the removal of {}", named(name)), print_of(&[b"-", name.as_bytes()]))
                }
                Entry::Moved { from, from_name, name, .. } => {
                    let from = self.objects.get(from).map_or("", |from| from.plain_path.trim_end_matches('/'));
                    let words = format!("the renaming of {from}/{from_name} to {}", named(name));
                    (words, print_of(&[b">", from_name.as_bytes(), name.as_bytes()]))
                }
            };
            let what = || format!("change {} of {path} ({words})", change.number);
            let number = change.number;
            let asked =
                Pending { flow, number, fingerprint: print, sectors: 1, path: &path, is_directory: true, what: &what };
            if decide(&asked) == 0 {
                self.make_durable(change, &mut touched);
            }
        }
        for inode in touched {
            if self.objects.contains_key(&inode) {
                self.forget(inode);
            }
        }
    }

    /// Takes a name away on the disk, if what it stands for was put there before `since`. Whether the place is free.
    fn displace_durably(&mut self, directory: Inode, name: &str, since: u64, touched: &mut BTreeSet<Inode>) -> bool {
        let Some(there) = self.durable_entries(directory).and_then(|entries| entries.get(name).copied()) else {
            return true;
        };
        if self.object(there).durable_since > since {
            return false;
        }
        touched.insert(there);
        self.object(there).durable_place = None;
        self.durable_entries(directory).expect("a directory").remove(name);
        true
    }

    /// A change is on the disk. One that came after it may be there already, if another directory was synced.
    fn make_durable(&mut self, change: &Change, touched: &mut BTreeSet<Inode>) {
        let (directory, since) = (change.directory, change.since);
        match &change.what {
            Entry::Removed { name } => {
                self.displace_durably(directory, name, since, touched);
            }
            Entry::Added { name, inode } | Entry::Moved { name, inode, .. } => {
                let Some(object) = self.objects.get_mut(inode) else { return };
                if object.durable_since > since {
                    return;
                }
                object.durable_since = since;
                // The directory where it was may be gone from the disk, with what was left in it there.
                if let Some((before, before_name)) = object.durable_place.take()
                    && let Some(entries) = self.durable_entries(before)
                {
                    entries.remove(&before_name);
                }
                if self.displace_durably(directory, name, since, touched) {
                    self.durable_entries(directory).expect("a directory").insert(name.clone(), *inode);
                    self.object(*inode).durable_place = Some((directory, name.clone()));
                }
                touched.insert(*inode);
            }
        }
    }

    /// The machine goes down: what isn't durable is as `decide` says, and nobody has a file open any more.
    pub(crate) fn crash(&mut self, decide: Decide<'_>) {
        for object in self.objects.values_mut() {
            object.opened = 0;
        }
        let changes = std::mem::take(&mut self.pending);
        self.settle_changes(&changes, decide);
        // Of what can't be found any more nothing is to be decided.
        let mut reached = BTreeSet::from([ROOT]);
        let mut to_see = vec![ROOT];
        while let Some(inode) = to_see.pop() {
            let entries = self.durable_entries(inode).map(|entries| entries.values().copied().collect::<Vec<_>>());
            to_see.extend(entries.into_iter().flatten().filter(|inode| reached.insert(*inode)));
        }
        self.objects.retain(|inode, _| reached.contains(inode));
        self.used = 0;
        for object in self.objects.values_mut() {
            // Numbered in each boot anew. What is pending or durable goes on as it was.
            (object.reads, object.syncs) = (0, 0);
            object.place.clone_from(&object.durable_place);
            match &mut object.body {
                Body::Directory { entries, durable } => entries.clone_from(durable),
                Body::File(file) => {
                    file.settle_as(u64::MAX, object.flow, &object.path, decide);
                    file.seen.clone_from(&file.durable);
                    file.base = None;
                    self.used += file.seen.len() as u64;
                }
            }
        }
    }
}

/// How far a sync reaches: see [`Files::mark`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub inode: Inode,
    /// Of a file's writes, up to that number.
    write: u64,
    /// Of all changes of directories, up to that one.
    change: u64,
}

/// Puts bytes at a place, with zeros before it where there is nothing.
fn put(contents: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let from = offset as usize;
    let to = from + bytes.len();
    if contents.len() < to {
        contents.resize(to, 0);
    }
    contents[from..to].copy_from_slice(bytes);
}

impl File {
    /// Likewise, and all of them survive.
    fn settle_whole(&mut self, up_to: u64) {
        if self.base.is_some() {
            return self.settle(up_to, &mut |_| 0);
        }
        // The usual case: what is durable needn't be copied.
        let settled = self.pending.iter().take_while(|write| write.number <= up_to).count();
        for write in self.pending.drain(..settled) {
            match write.what {
                Written::Bytes { offset, bytes } => put(&mut self.durable, offset, &bytes),
                Written::Length { to, .. } => self.durable.resize(to as usize, 0),
            }
        }
    }

    fn settle_as(&mut self, up_to: u64, flow: FlowId, path: &str, decide: Decide<'_>) {
        self.settle(up_to, &mut |write: &Write| {
            let what = || write.what.in_words(write.number, path);
            let (_, sectors) = write.what.sectors();
            let fingerprint = write.print;
            decide(&Pending {
                flow,
                number: write.number,
                fingerprint,
                sectors,
                path,
                is_directory: false,
                what: &what,
            })
        });
    }

    /// Of the writes up to that number, none is pending any more: `lost` says how many of its last sectors each has lost.
    fn settle(&mut self, up_to: u64, lost: &mut dyn FnMut(&Write) -> u64) {
        let settled = self.pending.iter().take_while(|write| write.number <= up_to).count();
        let writes: Vec<Write> = self.pending.drain(..settled).collect();
        if writes.is_empty() {
            return;
        }
        // What programs saw after each of them.
        let mut seen = self.base.take().unwrap_or_else(|| self.durable.clone());
        // Sectors whose history has broken off.
        let mut broken = BTreeSet::new();
        for write in &writes {
            match &write.what {
                Written::Length { to, .. } => {
                    seen.resize(*to as usize, 0);
                    if lost(write) == 0 {
                        self.durable.resize(*to as usize, 0);
                        broken.retain(|sector| *sector < to.div_ceil(SECTOR_BYTES));
                    }
                }
                Written::Bytes { offset, bytes } => {
                    put(&mut seen, *offset, bytes);
                    let (first, count) = write.what.sectors();
                    let sectors = first..first + count;
                    // What is lost with those before it needn't be decided.
                    if sectors.clone().all(|sector| broken.contains(&sector)) {
                        continue;
                    }
                    let survivors = count.saturating_sub(lost(write));
                    for sector in sectors {
                        if sector >= first + survivors {
                            broken.insert(sector);
                        } else if !broken.contains(&sector) {
                            // A sector is written as programs see it, with what others wrote there.
                            let from = (sector * SECTOR_BYTES) as usize;
                            let to = (from + SECTOR_BYTES as usize).min(seen.len());
                            put(&mut self.durable, from as u64, &seen[from..to]);
                        }
                    }
                }
            }
        }
        if seen != self.durable {
            self.base = Some(seen);
        }
    }
}
