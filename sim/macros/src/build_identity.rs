//! `build_identity!`: which build a program is, as a hash of its lock file and sources.
//!
//! Hashed are the lock file; of the package in which the macro stands, its manifest and all of its Rust files; of each package that it
//! reaches by path, its manifest, its build script and the Rust files of its library; and the manifest of each one's workspace. Packages
//! of registries and of git are in the lock file. Nothing of it is an absolute path or a time, so every checkout has the same value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Error, LitStr, Result};
use toml::{Table, Value};
use xxhash_rust::xxh3::Xxh3;

/// What a package's own tests and examples need too.
const TABLES_OF_ITS_OWN: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// What a package needs where it is a dependency.
const TABLES: [&str; 2] = ["dependencies", "build-dependencies"];

/// What was found for the package that is compiled. A crate may have hundreds of tests, each of which says its build.
static KNOWN: Mutex<Option<(PathBuf, u128)>> = Mutex::new(None);

pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    if !input.is_empty() {
        return Err(Error::new_spanned(input, "build_identity!() takes nothing"));
    }
    let failed = |text: String| Error::new(Span::call_site(), text);
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let package = package.ok_or_else(|| failed("CARGO_MANIFEST_DIR isn't set: cargo sets it".to_string()))?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, identity)) = &*known
        && *of == package
    {
        return Ok(digest(*identity));
    }
    let files = files(&package).map_err(failed)?;
    let identity = hash(&files).map_err(failed)?;
    *known = Some((package, identity));
    let digest = digest(identity);
    // Cargo builds again when one of them changes. Once in a crate is enough.
    let paths = files.values().map(|path| path.to_str().ok_or_else(|| failed(format!("{path:?} is no text"))));
    let paths = paths.map(|path| path.map(|path| LitStr::new(path, Span::call_site()))).collect::<Result<Vec<_>>>()?;
    Ok(quote! {{
        #(const _: &[u8] = ::core::include_bytes!(#paths);)*
        #digest
    }})
}

fn digest(identity: u128) -> TokenStream {
    quote! { ::squall::trace::Digest(#identity) }
}

/// A name that is the same in every checkout, and where the file lies.
type Files = BTreeMap<String, PathBuf>;

fn hash(files: &Files) -> std::result::Result<u128, String> {
    let mut hash = Xxh3::new();
    for (name, path) in files {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        // As git may write them elsewhere.
        let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        for part in [name.as_str(), &text] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
    Ok(hash.digest128())
}

/// All that a package is built from.
fn files(package: &Path) -> std::result::Result<Files, String> {
    let mut found = Found::default();
    if let Some(lock) = package.ancestors().map(|above| above.join("Cargo.lock")).find(|lock| lock.is_file()) {
        found.files.insert("Cargo.lock".to_string(), lock);
    }
    found.add_package(package, true)?;
    Ok(found.files)
}

#[derive(Default)]
struct Found {
    files: Files,
    packages: BTreeSet<PathBuf>,
    workspaces: BTreeMap<PathBuf, Table>,
}

impl Found {
    /// Adds a package and all that it reaches by path. `is_own` is that of the macro.
    fn add_package(&mut self, directory: &Path, is_own: bool) -> std::result::Result<(), String> {
        let directory = &plain(directory);
        if !self.packages.insert(directory.clone()) {
            return Ok(());
        }
        let manifest = read_manifest(directory)?;
        let of_package = manifest.get("package").and_then(Value::as_table);
        let name = of_package.and_then(|package| package.get("name")).and_then(Value::as_str).unwrap_or("?");
        // Two may have one name. The order in which they are found is the same everywhere.
        let numbered = &*format!("{name} {}", self.packages.len());
        self.files.insert(format!("{numbered}/Cargo.toml"), directory.join("Cargo.toml"));
        if is_own {
            self.add_sources(numbered, directory, directory);
        } else {
            let library = manifest.get("lib").and_then(|library| library.get("path")).and_then(Value::as_str);
            let library = directory.join(library.unwrap_or("src/lib.rs"));
            self.add_sources(numbered, directory, library.parent().unwrap_or(directory));
            let script = of_package.and_then(|package| package.get("build")).and_then(Value::as_str);
            self.add_source(numbered, directory, directory.join(script.unwrap_or("build.rs")));
        }
        let root = of_package.and_then(|package| package.get("workspace")).and_then(Value::as_str);
        let root = root.map(|root| plain(&directory.join(root))).or_else(|| workspace_of(directory));
        if let Some(root) = &root {
            self.add_workspace(root)?;
        }
        for dependency in self.dependencies(directory, &manifest, root.as_deref(), is_own) {
            self.add_package(&dependency, false)
                .map_err(|problem| format!("{problem}\n  which {name} depends on by path"))?;
        }
        Ok(())
    }

    /// Profiles, shared versions and patches. The packages that are patched by path.
    fn add_workspace(&mut self, root: &Path) -> std::result::Result<(), String> {
        if self.workspaces.contains_key(root) {
            return Ok(());
        }
        let manifest = read_manifest(root)?;
        let number = self.workspaces.len();
        self.files.insert(format!("workspace {number}"), root.join("Cargo.toml"));
        self.workspaces.insert(root.to_path_buf(), manifest.clone());
        let patches = manifest.get("patch").and_then(Value::as_table);
        for patch in patches.into_iter().flat_map(Table::values).filter_map(Value::as_table).flat_map(Table::values) {
            if let Some(path) = patch.get("path").and_then(Value::as_str) {
                self.add_package(&root.join(path), false)
                    .map_err(|problem| format!("{problem}\n  which {} patches by path", root.display()))?;
            }
        }
        Ok(())
    }

    /// Where the packages lie that a package depends on by path.
    fn dependencies(&self, directory: &Path, manifest: &Table, root: Option<&Path>, is_own: bool) -> Vec<PathBuf> {
        let tables: &[&str] = if is_own { &TABLES_OF_ITS_OWN } else { &TABLES };
        let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
        let levels = targets.filter_map(Value::as_table).chain([manifest]);
        let all = levels.flat_map(|level| tables.iter().filter_map(|table| level.get(*table)));
        let all = all.filter_map(Value::as_table).flatten();
        let shared =
            root.and_then(|root| Some((root, self.workspaces.get(root)?.get("workspace")?.get("dependencies")?)));
        let place = |(name, dependency): (&String, &Value)| {
            if let Some(path) = dependency.get("path").and_then(Value::as_str) {
                return Some(directory.join(path));
            }
            let is_shared = dependency.get("workspace").and_then(Value::as_bool) == Some(true);
            let (root, shared) = shared.filter(|_| is_shared)?;
            Some(root.join(shared.get(name)?.get("path")?.as_str()?))
        };
        all.filter_map(place).collect()
    }

    /// Adds the Rust files below `folder`, but not those of other packages, of hidden folders and of what was built.
    fn add_sources(&mut self, name: &str, package: &Path, folder: &Path) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // A link to a folder may lead round in a circle.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
                // Cargo marks what it builds in.
                let holds = |name: &str| path.join(name).is_file();
                if !is_hidden && entry.file_name() != "target" && !holds("CACHEDIR.TAG") && !holds("Cargo.toml") {
                    self.add_sources(name, package, &path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                self.add_source(name, package, path);
            }
        }
    }

    /// Adds a file, if it is there.
    fn add_source(&mut self, name: &str, package: &Path, path: PathBuf) {
        if path.is_file() {
            let inside = path.strip_prefix(package).unwrap_or(&path);
            let parts: Vec<_> = inside.components().map(|part| part.as_os_str().to_string_lossy()).collect();
            self.files.insert(format!("{name}/{}", parts.join("/")), path);
        }
    }
}

fn read_manifest(directory: &Path) -> std::result::Result<Table, String> {
    let path = directory.join("Cargo.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.parse().map_err(|error| format!("{}: {error}", path.display()))
}

/// The nearest folder with a manifest that says `[workspace]`.
fn workspace_of(directory: &Path) -> Option<PathBuf> {
    let is_root = |directory: &&Path| read_manifest(directory).is_ok_and(|manifest| manifest.contains_key("workspace"));
    directory.ancestors().find(is_root).map(Path::to_path_buf)
}

/// A path without `..`, so that a package has one name, however it is reached.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A project with all that matters, in a folder of its own.
    fn project() -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in [
            ("Cargo.toml", WORKSPACE),
            ("Cargo.lock", "[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\n"),
            ("app/Cargo.toml", APP),
            ("app/src/main.rs", "fn main() {}\n"),
            ("app/src/deep/er.rs", "// deep\n"),
            ("app/tests/scenarios.rs", "// scenarios\n"),
            ("app/target/built.rs", "// built\n"),
            ("app/.hidden/secret.rs", "// hidden\n"),
            ("app/elsewhere/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n"),
            ("app/elsewhere/built.rs", "// built\n"),
            ("app/nested/Cargo.toml", "[package]\nname = \"nested\"\n"),
            ("app/nested/src/lib.rs", "// nested\n"),
            ("near/Cargo.toml", NEAR),
            ("near/src/lib.rs", "// near\n"),
            ("near/build.rs", "// script\n"),
            ("near/tests/x.rs", "// a test\n"),
            ("far/Cargo.toml", FAR),
            ("far/rust/lib.rs", "// far\n"),
            ("far/generate.rs", "// script\n"),
            ("shared/Cargo.toml", "[package]\nname = \"shared\"\nversion = \"0.0.0\"\n"),
            ("shared/src/lib.rs", "// shared\n"),
            ("patched/Cargo.toml", "[package]\nname = \"patched\"\nversion = \"0.0.0\"\n"),
            ("patched/src/lib.rs", "// patched\n"),
            ("helper/Cargo.toml", "[package]\nname = \"shared\"\nversion = \"0.0.0\"\n"),
            ("helper/src/lib.rs", "// helper\n"),
            ("stranger/Cargo.toml", "[package]\nname = \"stranger\"\nversion = \"0.0.0\"\n"),
            ("stranger/src/lib.rs", "// stranger\n"),
            ("windows/Cargo.toml", "[package]\nname = \"windows\"\nversion = \"0.0.0\"\n"),
            ("windows/src/lib.rs", "// windows\n"),
        ] {
            write(&folder, path, text);
        }
        folder
    }

    const WORKSPACE: &str = "\
[workspace]
members = [\"app\", \"near\"]
[workspace.dependencies]
shared = { path = \"shared\" }
[patch.crates-io]
patched = { path = \"patched\" }
";
    const APP: &str = "\
[package]
name = \"app\"
[dependencies]
serde = \"1\"
near = { path = \"../near\" }
shared.workspace = true
[dev-dependencies]
helper = { path = \"../helper\" }
[target.'cfg(windows)'.dependencies]
windows = { path = \"../windows\" }
";
    const NEAR: &str = "\
[package]
name = \"near\"
[dependencies]
far = { path = \"./../far\" }
[dev-dependencies]
stranger = { path = \"../stranger\" }
";
    const FAR: &str = "\
[package]
name = \"far\"
build = \"generate.rs\"
[lib]
path = \"rust/lib.rs\"
[build-dependencies]
near = { path = \"../near\" }
";

    fn write(folder: &TempDir, path: &str, text: &str) {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    fn identity(folder: &TempDir) -> u128 {
        hash(&files(&folder.path().join("app")).expect("it is whole")).expect("it can be read")
    }

    #[test]
    fn it_is_the_same_in_every_checkout() {
        let project = project();
        let first = identity(&project);
        assert_eq!(identity(&self::project()), first, "in another folder");
        for path in ["app/src/main.rs", "near/src/lib.rs", "Cargo.lock"] {
            let text = std::fs::read_to_string(project.path().join(path)).expect("a file");
            write(&project, path, &text.replace('\n', "\r\n"));
            assert_eq!(identity(&project), first, "{path} with other ends of lines");
        }
    }

    #[test]
    fn it_follows_all_that_the_program_is_built_from() {
        let first = identity(&project());
        for path in [
            "Cargo.toml",
            "Cargo.lock",
            "app/Cargo.toml",
            "app/src/main.rs",
            "app/src/deep/er.rs",
            "app/src/new.rs",
            "app/tests/scenarios.rs",
            "near/Cargo.toml",
            "near/src/lib.rs",
            "near/build.rs",
            "far/Cargo.toml",
            "far/rust/lib.rs",
            "far/rust/new/mod.rs",
            "far/generate.rs",
            "shared/src/lib.rs",
            "patched/src/lib.rs",
            "helper/src/lib.rs",
            "windows/src/lib.rs",
        ] {
            let project = project();
            let text = std::fs::read_to_string(project.path().join(path)).unwrap_or_default();
            write(&project, path, &format!("{text}# // more\n"));
            assert_ne!(identity(&project), first, "{path} was changed");
        }
    }

    #[test]
    fn it_does_not_follow_what_the_program_is_not_built_from() {
        let first = identity(&project());
        for path in [
            "app/target/built.rs",
            "app/.hidden/secret.rs",
            "app/elsewhere/built.rs",
            "app/nested/src/lib.rs",
            "app/notes.txt",
            "near/tests/x.rs",
            "near/examples/new.rs",
            "stranger/src/lib.rs",
            "far/build.rs",
            "README.md",
        ] {
            let project = project();
            write(&project, path, "// other\n");
            assert_eq!(identity(&project), first, "{path} was changed");
        }
    }

    #[test]
    fn what_stands_where_counts() {
        let first = identity(&project());
        // What two files hold, swapped; and a line moved from the end of one file to the start of the next.
        for (one, other) in
            [("// deep\nfn main() {}\n", ""), ("fn main() {}\n", "// deep\n"), ("", "// deep\nfn main() {}\n")]
        {
            let project = project();
            write(&project, "app/src/deep/er.rs", one);
            write(&project, "app/src/main.rs", other);
            assert_ne!(identity(&project), first);
        }
        let project = project();
        std::fs::rename(project.path().join("near/src/lib.rs"), project.path().join("near/src/moved.rs"))
            .expect("moved");
        assert_ne!(identity(&project), first);
    }

    #[test]
    fn a_dependency_that_is_not_there_is_told() {
        let project = project();
        std::fs::remove_file(project.path().join("far/Cargo.toml")).expect("removed");
        let error = files(&project.path().join("app")).unwrap_err();
        assert!(error.contains("far/Cargo.toml: ") && error.contains("which near depends on by path"), "{error}");
        assert!(error.contains("which app depends on by path"), "{error}");
    }

    #[test]
    fn a_package_without_a_lock_file_and_workspace_has_one_too() {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder, "app/Cargo.toml", "[package]\nname = \"app\"\n");
        write(&folder, "app/src/lib.rs", "// lib\n");
        let first = identity(&folder);
        write(&folder, "app/src/lib.rs", "// other\n");
        assert_ne!(identity(&folder), first);
    }

    #[test]
    fn it_takes_nothing() {
        let error = expand(quote! { 7 }).unwrap_err();
        assert!(error.to_string().contains("takes nothing"), "{error}");
    }
}
