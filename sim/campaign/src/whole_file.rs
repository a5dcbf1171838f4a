//! Files that are there whole or not at all: written beside their place, and renamed.

use std::fs::File;
use std::io;
use std::path::Path;

/// The directory that a file is in.
#[must_use]
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Makes the file at `path`, and the directories that it needs, of what `write` writes. What was there before stays until all of the
/// new one is there. It is readable by whom the process's umask says.
///
/// # Errors
/// What the system says, or what `write` fails with. Nothing is left then.
pub fn write(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let directory = directory_of(path);
    std::fs::create_dir_all(directory)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".squall-").suffix(".partial");
    // Temporary files are their owner's alone, and this one is to be an ordinary one.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(directory)?;
    write(file.as_file_mut())?;
    // What is there after a power failure is all of it.
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
