//! Files on the running node's simulated disk, with tokio's names: `File`, `OpenOptions`, `read`, `write`, `rename`.
//!
//! Each node has a disk of its own, which is empty at first and outlives the node's crashes. Every operation takes virtual time, and what
//! wasn't synced may be lost in a crash: see [`Disk`](crate::Disk) for what can be set. The model, and where it differs from real file systems, is in
//! `docs/disk.md`.
//!
//! Paths are absolute, or relative to `/`. `.` and `..` are taken out of them before anything is looked up; there are no links, owners,
//! permissions or times. A path is UTF-8.
//!
//! Errors have std's kinds, and the path in their message. A read, a write or a sync that fails as the world's description says has the kind
//! [`io::ErrorKind::Other`], for which std's `EIO` has no better one. What is called on a file after its node has crashed, or on another node, fails
//! likewise.
//!
//! No future here is to be awaited outside of a run: that panics.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::future::pending;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

use crate::disk::{Begun, Facts, Handle, How, Normal, Reading};
use crate::kernel::{self, Kernel};
use crate::time::{Sleep, sleep_run_time};

/// What begins; `None` where whoever waits for it waits for ever.
fn begin<T>(what: &str, begin: impl FnOnce(&mut Kernel) -> Begun<T>) -> Option<Begun<T>> {
    kernel::with(what, |kernel| (!kernel.waits_for_ever()).then(|| begin(kernel)))
}

/// Begins an operation, and waits for its end.
async fn operation<T>(what: &str, operation: impl FnOnce(&mut Kernel) -> Begun<T>) -> io::Result<T> {
    let Some(Begun { takes, result }) = begin(what, operation) else { return pending().await };
    sleep_run_time(takes).await;
    result
}

/// Likewise, on what a path names.
async fn on_path<T>(what: &str, path: &Path, begin: impl FnOnce(&mut Kernel, &Normal) -> Begun<T>) -> io::Result<T> {
    let path = Normal::of(path)?;
    operation(what, |kernel| begin(kernel, &path)).await
}

/// What is known of a file or a directory.
#[derive(Clone, Debug)]
pub struct Metadata(Facts);

impl Metadata {
    /// Bytes; 0 for a directory.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "as std's")]
    pub fn len(&self) -> u64 {
        self.0.length
    }

    /// Whether it is a file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        !self.0.is_directory
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.0.is_directory
    }

    /// Whether it is a symbolic link: never, as there are none.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        false
    }
}

/// How a file is opened; see [`File::options`].
#[derive(Clone, Debug, Default)]
pub struct OpenOptions(How);

impl OpenOptions {
    /// Nothing chosen yet.
    #[must_use]
    pub fn new() -> OpenOptions {
        OpenOptions::default()
    }

    /// To read.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.0.read = read;
        self
    }

    /// To write, over what is there.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.0.write = write;
        self
    }

    /// To write, always at the end.
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.0.append = append;
        self
    }

    /// To cut it off to nothing first. That is a change which a crash may lose, as any other.
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.0.truncate = truncate;
        self
    }

    /// Created if it isn't there.
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.0.create = create;
        self
    }

    /// Created, and it mustn't be there.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.0.create_new = create_new;
        self
    }

    /// Opens a file, or a directory to sync it.
    ///
    /// # Errors
    /// If it isn't there and isn't to be created, or is there and mustn't be; if it is a directory that is to be written to; if the options
    /// contradict each other.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let how = self.0;
        let path = path.as_ref();
        let writes = how.write || how.append;
        let creates = how.create || how.create_new;
        if !(how.read || writes) || (how.truncate && (!how.write || how.append)) || (creates && !writes) {
            let message = format!("{}: these options of opening contradict each other", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let path = Normal::of(path)?;
        operation("squall::fs::OpenOptions::open", |kernel| {
            let Begun { takes, result } = kernel.fs_open(&path, how);
            // A file waits, not its handle: if nobody waits any more, it is closed.
            Begun { takes, result: result.map(File::new) }
        })
        .await
    }
}

/// What [`File`]'s asynchronous traits are in the midst of.
#[derive(Debug)]
enum UnderWay {
    Read(Sleep, Reading),
    /// A write that has been taken: whatever comes next waits for its end.
    Write(Sleep),
}

/// An open file, or a directory that was opened to be synced.
///
/// It implements tokio's [`AsyncRead`], [`AsyncWrite`] and [`AsyncSeek`], as tokio's file does: a write by [`AsyncWrite`] is taken at once and is
/// under way from then on. What comes next on this file waits for its end, and **its error comes with the next write or flush**: without a
/// flush nobody hears of it.
#[derive(Debug)]
pub struct File {
    handle: Handle,
    under_way: Option<UnderWay>,
    /// Of a write that nobody has been told of.
    write_error: Option<io::Error>,
    position: u64,
}

impl File {
    fn new(handle: Handle) -> File {
        File { handle, under_way: None, write_error: None, position: 0 }
    }

    /// Opens a file to read it, or a directory to sync it.
    ///
    /// # Errors
    /// If it isn't there.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file to write to it, empty: it is created, or cut off.
    ///
    /// # Errors
    /// If it is a directory, or its own directory isn't there.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// Creates a file to read it and to write to it.
    ///
    /// # Errors
    /// If it is there already, or its directory isn't.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path).await
    }

    /// Says in detail how it is opened.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Makes durable what was written to the file up to now, with its length; of a directory, which names are in it. A new file's name is its
    /// directory's: without a sync of that the file may be gone after a crash.
    ///
    /// # Errors
    /// If the disk fails: then nobody knows what is durable, and another sync doesn't tell.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.written().await;
        let handle = self.handle;
        let result = operation("squall::fs::File::sync_all", |kernel| kernel.fs_sync(handle)).await;
        kernel::with("squall::fs::File::sync_all", |kernel| kernel.fs_end_sync(handle));
        result
    }

    /// As [`File::sync_all`]: there is nothing else about a file than what it holds.
    ///
    /// # Errors
    /// As [`File::sync_all`].
    pub async fn sync_data(&self) -> io::Result<()> {
        self.sync_all().await
    }

    /// Cuts the file off, or makes it longer, with zeros.
    ///
    /// # Errors
    /// If the disk is full.
    pub async fn set_len(&self, size: u64) -> io::Result<()> {
        self.written().await;
        operation("squall::fs::File::set_len", |kernel| kernel.fs_set_length(self.handle, size)).await
    }

    /// What it is, and how long.
    ///
    /// # Errors
    /// If its node has crashed since it was opened.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.written().await;
        let facts = operation("squall::fs::File::metadata", |kernel| kernel.fs_handle_facts(self.handle)).await?;
        Ok(Metadata(facts))
    }

    /// Another handle with the same position.
    ///
    /// # Errors
    /// If its node has crashed since it was opened.
    pub async fn try_clone(&self) -> io::Result<File> {
        self.written().await;
        kernel::with("squall::fs::File::try_clone", |kernel| kernel.fs_share(self.handle))?;
        Ok(File::new(self.handle))
    }

    /// Waits for the end of the write that is under way.
    async fn written(&self) {
        if let Some(UnderWay::Write(sleep)) = &self.under_way {
            sleep.again().await;
        }
    }

    /// Likewise, whether anybody else polls it or not. A read that was given up is forgotten.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(UnderWay::Write(sleep)) = &mut self.under_way {
            ready!(Pin::new(sleep).poll(cx));
            self.under_way = None;
        }
        Poll::Ready(())
    }

    /// The end of the last write, or what it came to if that was an error.
    fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_written(cx));
        Poll::Ready(self.write_error.take().map_or(Ok(()), Err))
    }

    /// Reads at an offset, as std's `FileExt`; where the file stands doesn't matter and doesn't change. How many bytes were read: fewer than
    /// asked for only at the end.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.written().await;
        let (what, handle, bytes) = ("squall::fs::File::read_at", self.handle, buf.len());
        let reading = operation(what, |kernel| kernel.fs_begin_read(handle, Some(offset), bytes)).await?;
        let read = kernel::with(what, |kernel| kernel.fs_end_read(handle, reading, bytes))?;
        buf[..read.len()].copy_from_slice(&read);
        Ok(read.len())
    }

    /// Fills a buffer from an offset on; likewise.
    ///
    /// # Errors
    /// If the disk fails, or the file ends before the buffer.
    pub async fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match self.read_at(buf, offset).await? {
            read if read == buf.len() => Ok(()),
            read => {
                let message = format!("the file ends {} bytes before the buffer", buf.len() - read);
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))
            }
        }
    }

    /// Writes at an offset; likewise. How many bytes: fewer than given only if the disk is full then.
    ///
    /// # Errors
    /// If the disk fails or is full.
    pub async fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.written().await;
        operation("squall::fs::File::write_at", |kernel| kernel.fs_write(self.handle, Some(offset), buf)).await
    }

    /// Writes all of a buffer at an offset; likewise.
    ///
    /// # Errors
    /// If the disk fails or is full; a part may have been written.
    pub async fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut written = 0;
        while written < buf.len() {
            written += self.write_at(&buf[written..], offset + written as u64).await?;
        }
        Ok(())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = kernel::try_with(|kernel| kernel.fs_close(self.handle));
    }
}

impl AsyncRead for File {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (what, handle, bytes) = ("squall::fs::File::poll_read", this.handle, buf.remaining());
        if !matches!(this.under_way, Some(UnderWay::Read(..))) {
            ready!(this.poll_written(cx));
            let Some(Begun { takes, result }) = begin(what, |kernel| kernel.fs_begin_read(handle, None, bytes)) else {
                return Poll::Pending;
            };
            this.under_way = Some(UnderWay::Read(sleep_run_time(takes), result?));
        }
        let Some(UnderWay::Read(sleep, reading)) = &mut this.under_way else { unreachable!("just begun") };
        ready!(Pin::new(sleep).poll(cx));
        let reading = *reading;
        this.under_way = None;
        let read = kernel::with(what, |kernel| kernel.fs_end_read(handle, reading, bytes))?;
        buf.put_slice(&read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for File {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_told(cx))?;
        let handle = this.handle;
        let writing = begin("squall::fs::File::poll_write", |kernel| kernel.fs_write(handle, None, buf));
        let Some(Begun { takes, result }) = writing else { return Poll::Pending };
        this.under_way = Some(UnderWay::Write(sleep_run_time(takes)));
        Poll::Ready(Ok(result.unwrap_or_else(|error| {
            this.write_error = Some(error);
            buf.len()
        })))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_told(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_told(cx)
    }
}

impl AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        let handle = self.handle;
        // A read that was given up would end where it began.
        self.under_way.take_if(|under_way| matches!(under_way, UnderWay::Read(..)));
        self.position = kernel::with("squall::fs::File::start_seek", |kernel| kernel.fs_seek(handle, position))?;
        Ok(())
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        ready!(self.poll_written(cx));
        Poll::Ready(Ok(self.position))
    }
}

/// Reads a whole file.
///
/// # Errors
/// If it can't be opened, or the disk fails.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let what = "squall::fs::read";
    let file = File::open(path).await?;
    let handle = file.handle;
    // Whatever is there when the read ends.
    let reading = operation(what, |kernel| kernel.fs_begin_read(handle, None, usize::MAX)).await?;
    kernel::with(what, |kernel| kernel.fs_end_read(handle, reading, usize::MAX))
}

/// Reads a whole file of text.
///
/// # Errors
/// If it can't be opened, if the disk fails, or if it isn't UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref();
    let bytes = read(path).await?;
    String::from_utf8(bytes).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: it isn't UTF-8: {error}", path.display()))
    })
}

/// Writes a whole file, which is created or cut off before. Nothing is synced.
///
/// # Errors
/// If it can't be opened, if the disk fails, or if it is full; a part may have been written.
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let file = File::create(path).await?;
    let contents = contents.as_ref();
    file.write_all_at(contents, 0).await
}

/// Copies a file's bytes. How many.
///
/// # Errors
/// As [`read`] and [`write()`].
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let bytes = read(from).await?;
    write(to, &bytes).await?;
    Ok(bytes.len() as u64)
}

/// Creates a directory.
///
/// # Errors
/// If something is there already, or the directory above isn't there.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("squall::fs::create_dir", path.as_ref(), Kernel::fs_create_directory).await
}

/// Creates a directory, and those above it that aren't there.
///
/// # Errors
/// If a part of the path is a file.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = PathBuf::from(Normal::of(path.as_ref())?.text);
    let mut above: Vec<&Path> = path.ancestors().filter(|part| part.parent().is_some()).collect();
    above.reverse();
    for part in above {
        match create_dir(part).await {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && metadata(part).await?.is_dir() => {}
            other => other?,
        }
    }
    Ok(())
}

/// Removes a file. Who has it open goes on with it.
///
/// # Errors
/// If it isn't there, or is a directory.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("squall::fs::remove_file", path.as_ref(), |kernel, path| kernel.fs_remove(path, false)).await
}

/// Removes an empty directory.
///
/// # Errors
/// If it isn't there, isn't empty, or is a file.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("squall::fs::remove_dir", path.as_ref(), |kernel, path| kernel.fs_remove(path, true)).await
}

/// Removes a directory with all that is in it.
///
/// # Errors
/// If it isn't there, or is a file; what was removed up to then is gone.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let root = PathBuf::from(Normal::of(path.as_ref())?.text);
    let mut to_list = vec![root];
    let mut to_remove = Vec::new();
    while let Some(directory) = to_list.pop() {
        let mut entries = read_dir(&directory).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.metadata.is_dir() {
                to_list.push(entry.path());
            } else {
                remove_file(entry.path()).await?;
            }
        }
        to_remove.push(directory);
    }
    for directory in to_remove.iter().rev() {
        remove_dir(directory).await?;
    }
    Ok(())
}

/// Gives a file or a directory another name, in one step. A file, or an empty directory, that has that name is replaced.
///
/// # Errors
/// If it isn't there, or if a file would replace a directory or the other way round, or a directory that isn't empty.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let to = Normal::of(to.as_ref())?;
    on_path("squall::fs::rename", from.as_ref(), |kernel, from| kernel.fs_rename(from, &to)).await
}

/// What a path names.
///
/// # Errors
/// If nothing is there.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    on_path("squall::fs::metadata", path.as_ref(), Kernel::fs_facts).await.map(Metadata)
}

/// Whether a path names something.
///
/// # Errors
/// If a part of it is a file.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    on_path("squall::fs::try_exists", path.as_ref(), Kernel::fs_exists).await
}

/// What is in a directory, by name.
///
/// # Errors
/// If it isn't there, or is a file.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref();
    let entries = on_path("squall::fs::read_dir", path, Kernel::fs_list).await?;
    let directory = path.to_path_buf();
    Ok(ReadDir { directory, entries: entries.into_iter() })
}

/// The entries of a directory as they were when it was read.
#[derive(Debug)]
pub struct ReadDir {
    directory: PathBuf,
    entries: std::vec::IntoIter<(String, Facts)>,
}

impl ReadDir {
    /// The next one. This takes no time.
    ///
    /// # Errors
    /// None: tokio's has some.
    #[expect(clippy::unused_async, reason = "as tokio's")]
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        let next = self.entries.next();
        Ok(next.map(|(name, facts)| DirEntry {
            path: self.directory.join(&name),
            name: name.into(),
            metadata: Metadata(facts),
        }))
    }
}

/// An entry of a directory.
#[derive(Debug)]
pub struct DirEntry {
    path: PathBuf,
    name: OsString,
    metadata: Metadata,
}

impl DirEntry {
    /// The path under which the directory was read, with the name behind it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Its name.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        AsRef::<OsStr>::as_ref(&self.name).to_os_string()
    }

    /// What it was when the directory was read. This takes no time.
    ///
    /// # Errors
    /// None: tokio's has some.
    #[expect(clippy::unused_async, reason = "as tokio's")]
    pub async fn metadata(&self) -> io::Result<Metadata> {
        Ok(self.metadata.clone())
    }
}
