//! Files that are there whole or not at all: written beside their place, and renamed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, PersistError};

/// How many links are followed from one to the next, as Linux does.
const LINKS_MAX: usize = 40;

/// Where a file is made, or what is there is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file is put there as a whole. Links have been followed: what they lead to is replaced, and not they.
    File(PathBuf),
    /// A device, a pipe or a socket: that can only be written to, and is never replaced.
    Special(PathBuf),
}

impl Place {
    /// Looks up what is there.
    ///
    /// # Errors
    /// If it is a directory, or links lead nowhere but to each other.
    pub fn of(path: &Path) -> io::Result<Place> {
        let mut path = path.to_path_buf();
        for _ in 0..LINKS_MAX {
            match std::fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_symlink() => {
                    // What the system itself opens may have no name, such as a pipe that is standard output.
                    if std::fs::metadata(&path).is_ok_and(|behind| !behind.is_file() && !behind.is_dir()) {
                        return Ok(Place::Special(path));
                    }
                    let target = std::fs::read_link(&path)?;
                    path = directory_of(&path).join(target);
                }
                Ok(metadata) if metadata.is_dir() => {
                    return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
                }
                Ok(metadata) if !metadata.is_file() => return Ok(Place::Special(path)),
                _ => return Ok(Place::File(path)),
            }
        }
        Err(io::Error::other("too many links lead from one to the next"))
    }
}

/// The directory that a file is in.
#[must_use]
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// A file of nothing yet, beside one that it is to be.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".squall-").suffix(".partial");
    // Temporary files are their owner's alone, and this one is to be an ordinary one.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(directory_of(path))
}

/// A file that is being written. Dropped before [`WholeFile::finish`], it leaves nothing behind.
#[derive(Debug)]
pub enum WholeFile {
    /// It lies beside its place until all of it is there.
    Partial(NamedTempFile, PathBuf),
    /// It is written directly.
    Special(File),
}

impl WholeFile {
    /// Shows that the file can be made at `path`, in a directory that is there: it is readable by whom the process's umask says. What was
    /// there before stays until it is finished.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path) -> io::Result<WholeFile> {
        Ok(match Place::of(path)? {
            Place::Special(path) => WholeFile::Special(File::options().write(true).open(path)?),
            Place::File(path) => WholeFile::Partial(beside(&path)?, path),
        })
    }

    /// What is written to.
    pub fn file(&mut self) -> &mut File {
        match self {
            WholeFile::Partial(file, _) => file.as_file_mut(),
            WholeFile::Special(file) => file,
        }
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// What the system says. Nothing is left then.
    pub fn finish(self) -> io::Result<()> {
        if let WholeFile::Partial(file, path) = self {
            // What is there after a power failure is all of it.
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
        }
        Ok(())
    }
}

/// Makes the file at `path`, and the directories that it needs, of what `write` writes.
///
/// # Errors
/// What the system says, or what `write` fails with. Nothing is left then.
pub fn write(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    if let Place::File(path) = Place::of(path)? {
        std::fs::create_dir_all(directory_of(&path))?;
    }
    let mut whole = WholeFile::create(path)?;
    write(whole.file())?;
    whole.finish()
}

/// Keeps what was read from `path` beside it, under the name that is given back: `NAME.old`, or `NAME.old.2` where there is another one
/// already, and so on. It stays where it is, too.
///
/// # Errors
/// What the system says.
pub fn keep_aside(path: &Path, mut what: impl io::Read) -> io::Result<PathBuf> {
    // Under its name it is there whole or not at all, as everything is.
    let mut copy = beside(path)?;
    io::copy(&mut what, copy.as_file_mut())?;
    copy.as_file().sync_all()?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".old");
    let names = std::iter::once(name.clone()).chain((2u64..).map(|number| {
        let mut name = name.clone();
        name.push(format!(".{number}"));
        name
    }));
    for name in names {
        let aside = path.with_file_name(name);
        copy = match copy.persist_noclobber(&aside) {
            Ok(_) => return Ok(aside),
            Err(PersistError { error, file }) if error.kind() == io::ErrorKind::AlreadyExists => file,
            Err(PersistError { error, .. }) => return Err(error),
        };
        if is_same(copy.path(), &aside)? {
            return Ok(aside);
        }
    }
    unreachable!("there are more names than files")
}

/// Whether two files hold the same.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let length = |path| std::fs::metadata(path).map(|metadata| metadata.len());
    Ok(length(one)? == length(other)? && std::fs::read(one)? == std::fs::read(other)?)
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_no_file_is_written_to_and_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let first = |file: &mut File| file.write_all(b"first");
        // A link to a link to what isn't there yet, in another directory.
        std::os::unix::fs::symlink("second", at("first")).unwrap();
        std::os::unix::fs::symlink("deep/file", at("second")).unwrap();
        for _ in 0..2 {
            write(&at("first"), first).unwrap();
            assert_eq!(std::fs::read_to_string(at("deep/file")).unwrap(), "first");
            assert!(at("first").is_symlink() && at("second").is_symlink());
        }
        std::os::unix::fs::symlink("circle", at("circle")).unwrap();
        assert!(write(&at("circle"), first).unwrap_err().to_string().contains("too many links"));
        assert!(write(directory.path(), first).unwrap_err().to_string().contains("directory"));

        std::os::unix::fs::symlink("/dev/null", at("null")).unwrap();
        assert_eq!(Place::of(&at("null")).unwrap(), Place::Special(at("null")));
        write(&at("null"), first).unwrap();
        let pipe = at("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let read = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read_to_string(pipe).unwrap()
        });
        write(&pipe, first).unwrap();
        assert_eq!(read.join().unwrap(), "first");
        assert_eq!(Place::of(&pipe).unwrap(), Place::Special(pipe));
    }

    #[test]
    fn a_file_is_made_as_any_other_or_stays_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/new.txt");
        write(&path, |file| file.write_all(b"first")).unwrap();
        let ordinary = directory.path().join("ordinary.txt");
        std::fs::write(&ordinary, "").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&ordinary));

        let failing = |file: &mut File| file.write_all(b"second").and_then(|()| Err(io::Error::other("no more")));
        assert_eq!(write(&path, failing).unwrap_err().to_string(), "no more");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
