//! `build_identity!()`: a hash of the sources that a program is built from.
//!
//! The value must be the same wherever the same commit is checked out, so no absolute path goes into it, nor anything
//! that a build leaves behind. A file too many costs a refusal that nobody needed; a file too few lets two builds pass
//! for one.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{env, fs, io, iter};

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Error, LitInt};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use xxhash_rust::xxh3::Xxh3;

/// What this compiler process has found, by the package's folder. One crate may ask hundreds of times.
static KNOWN: Mutex<BTreeMap<OsString, u128>> = Mutex::new(BTreeMap::new());

pub(crate) fn expand(input: TokenStream) -> syn::Result<TokenStream> {
    if !input.is_empty() {
        return Err(Error::new_spanned(input, "`build_identity!()` takes nothing"));
    }
    let failed = |message: String| Error::new(Span::call_site(), format!("build_identity: {message}"));
    let folder = env::var_os("CARGO_MANIFEST_DIR")
        .ok_or_else(|| failed("expected CARGO_MANIFEST_DIR to name the package's folder: build with cargo".into()))?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let (hash, tracked) = match known.get(&folder) {
        // The first expansion has named the files, and once is enough.
        Some(hash) => (*hash, BTreeSet::new()),
        None => {
            let Identity { hash, files } = identity(Path::new(&folder)).map_err(failed)?;
            known.insert(folder, hash);
            (hash, files)
        }
    };
    let hash = LitInt::new(&format!("{hash:#034x}u128"), Span::call_site());
    // On stable Rust a macro can't name a file that it depends on, other than by having it included.
    Ok(quote! {
        {
            #(const _: &[u8] = ::core::include_bytes!(#tracked);)*
            ::squall::trace::Digest(#hash)
        }
    })
}

/// What `folder`'s package is built from.
#[derive(Debug)]
struct Identity {
    hash: u128,
    /// The hashed files, by their absolute paths.
    files: BTreeSet<String>,
}

/// The files of a package that are hashed.
struct Package {
    name: String,
    /// By their paths in the package. The workspace's manifest and the lock file are named `workspace/…` wherever they
    /// lie.
    files: BTreeMap<String, PathBuf>,
}

fn identity(folder: &Path) -> Result<Identity, String> {
    let mut folders = vec![normalized(folder)];
    let mut packages = Vec::new();
    // The list grows by what is reached. What is on it already isn't visited again, so cycles end.
    while let Some(folder) = folders.get(packages.len()) {
        let is_own = packages.is_empty();
        let manifest = Manifest::read(folder)?;
        let root = manifest.workspace_root()?;
        let mut reached = manifest.dependencies(&root, is_own)?;
        if is_own {
            reached.extend(root.patches()?);
        }
        packages.push(manifest.package(&root, is_own)?);
        for folder in reached {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
    }
    // Not in the order in which they are reached, since toml's features decide the order of a table's entries. Packages
    // that share a name stay in it.
    packages.sort_by(|one, other| one.name.cmp(&other.name));

    let mut hasher = Xxh3::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let mut files = BTreeSet::new();
    for package in &packages {
        for (place, path) in &package.files {
            add(package.name.as_bytes());
            add(place.as_bytes());
            add(&with_plain_line_ends(fs::read(path).map_err(|error| unreadable(path, &error))?));
            let path = path.to_str().ok_or_else(|| format!("{}: expected a path in UTF-8", path.display()))?;
            files.insert(path.to_owned());
        }
    }
    Ok(Identity { hash: hasher.digest128(), files })
}

/// What a manifest says in a place. Not `toml::Value`, which takes serde: whoever builds anything builds this first.
type Value = Spanned<DeValue<'static>>;

/// A `Cargo.toml`.
#[derive(Clone)]
struct Manifest {
    folder: PathBuf,
    path: PathBuf,
    table: DeTable<'static>,
}

impl Manifest {
    fn read(folder: &Path) -> Result<Manifest, String> {
        let path = folder.join("Cargo.toml");
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        // The table borrows from the text. A compiler's process reads few of them, each once.
        let table = DeTable::parse(text.leak()).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Manifest { folder: folder.to_owned(), path, table: table.into_inner() })
    }

    /// What `[package]` says of `key`.
    fn says(&self, key: &str) -> Option<&str> {
        self.table.get("package")?.get_ref().get(key)?.get_ref().as_str()
    }

    /// The manifest of its workspace's root, which is itself if there is no other. As cargo looks for it.
    fn workspace_root(&self) -> Result<Manifest, String> {
        if self.table.contains_key("workspace") {
            return Ok(self.clone());
        }
        if let Some(path) = self.says("workspace") {
            return Manifest::read(&normalized(&self.folder.join(path)));
        }
        for above in self.folder.ancestors().skip(1) {
            if above.join("Cargo.toml").is_file() {
                let manifest = Manifest::read(above)?;
                if manifest.takes_in(&self.folder) {
                    return Ok(manifest);
                }
            }
        }
        Ok(self.clone())
    }

    /// Whether it is the root of a workspace that doesn't exclude `folder`.
    fn takes_in(&self, folder: &Path) -> bool {
        let Some(workspace) = self.table.get("workspace") else { return false };
        let lists = |key: &str| {
            let list = workspace.get_ref().get(key).and_then(|list| list.get_ref().as_array());
            let mut paths = list.into_iter().flat_map(|list| list.iter()).filter_map(|path| path.get_ref().as_str());
            paths.any(|path| folder.starts_with(normalized(&self.folder.join(path))))
        };
        lists("members") || !lists("exclude")
    }

    /// The folders of the packages that it depends on by path. Tests are built of the program's own package alone.
    fn dependencies(&self, root: &Manifest, is_own: bool) -> Result<Vec<PathBuf>, String> {
        // The names with underscores are those of editions before 2024.
        let mut kinds = vec!["dependencies", "build-dependencies", "build_dependencies"];
        if is_own {
            kinds.extend(["dev-dependencies", "dev_dependencies"]);
        }
        let for_targets = entries(self.table.get("target")).filter_map(|(_, target)| target.get_ref().as_table());
        let mut folders = Vec::new();
        for table in iter::once(&self.table).chain(for_targets) {
            for (name, said) in kinds.iter().flat_map(|kind| entries(table.get(*kind))) {
                let shared =
                    said.get_ref().get("workspace").and_then(|shared| shared.get_ref().as_bool()) == Some(true);
                folders.extend(if shared {
                    let said = root
                        .table
                        .get("workspace")
                        .and_then(|table| table.get_ref().get("dependencies")?.get_ref().get(name));
                    let said = said.ok_or_else(|| {
                        format!(
                            "{}: expected `{name}` in [workspace.dependencies] of {}",
                            self.path.display(),
                            root.path.display(),
                        )
                    })?;
                    root.folder_of(name, said)?
                } else {
                    self.folder_of(name, said)?
                });
            }
        }
        Ok(folders)
    }

    /// The folders of the packages that stand in for others in the whole workspace.
    fn patches(&self) -> Result<Vec<PathBuf>, String> {
        let patches = entries(self.table.get("patch")).flat_map(|(_, source)| entries(Some(source)));
        let mut folders = Vec::new();
        for (name, said) in patches.chain(entries(self.table.get("replace"))) {
            folders.extend(self.folder_of(name, said)?);
        }
        Ok(folders)
    }

    /// Where the dependency `name` lies, if what is said of it is a path.
    fn folder_of(&self, name: &str, said: &Value) -> Result<Option<PathBuf>, String> {
        let Some(path) = said.get_ref().get("path").and_then(|path| path.get_ref().as_str()) else { return Ok(None) };
        let folder = normalized(&self.folder.join(path));
        let manifest = folder.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(format!(
                "{}: expected the manifest of `{name}` at {}, found none: correct its path",
                self.path.display(),
                manifest.display(),
            ));
        }
        Ok(Some(folder))
    }

    /// The package's files: all sources if it is the program's own, else those of its library and its build script.
    fn package(&self, root: &Manifest, is_own: bool) -> Result<Package, String> {
        let name = self.says("name");
        let name = name.ok_or_else(|| format!("{}: expected the `name` of a [package]", self.path.display()))?;
        let mut files = BTreeMap::from([("Cargo.toml".to_owned(), self.path.clone())]);
        let build_script = self.says("build").unwrap_or("build.rs");
        let build_script_path = normalized(&self.folder.join(build_script));
        if build_script_path.is_file() {
            files.insert(build_script.to_owned(), build_script_path);
        }
        if root.folder != self.folder {
            files.insert("workspace/Cargo.toml".to_owned(), root.path.clone());
        }
        let mut sources = "";
        if is_own {
            let lock_file = root.folder.join("Cargo.lock");
            if lock_file.is_file() {
                files.insert("workspace/Cargo.lock".to_owned(), lock_file);
            }
        } else {
            let library = self.table.get("lib").and_then(|table| table.get_ref().get("path")?.get_ref().as_str());
            sources = library.unwrap_or("src/lib.rs").rsplit_once('/').map_or("", |(folder, _)| folder);
        }
        let folder = normalized(&self.folder.join(sources));
        if folder.is_dir() {
            gather(&folder, sources, &mut Vec::new(), &mut files)?;
        }
        Ok(Package { name: name.to_owned(), files })
    }
}

/// The entries of a table. What is none has none: cargo has told of it.
fn entries(table: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let table = table.and_then(|table| table.get_ref().as_table());
    table.into_iter().flatten().map(|(name, said)| (&**name.get_ref(), said))
}

/// Adds the Rust files in `folder`, which is `place` in its package. `above` are the folders that are being read.
fn gather(
    folder: &Path,
    place: &str,
    above: &mut Vec<PathBuf>,
    files: &mut BTreeMap<String, PathBuf>,
) -> Result<(), String> {
    let entries = match fs::read_dir(folder) {
        // What can't be read isn't built from: a service's data, perhaps.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        entries => entries.map_err(|error| unreadable(folder, &error))?,
    };
    let real = fs::canonicalize(folder).map_err(|error| unreadable(folder, &error))?;
    if above.contains(&real) {
        // A symbolic link leads back up.
        return Ok(());
    }
    above.push(real);
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Editors leave files there that come and go.
        if name.starts_with('.') {
            continue;
        }
        let place = if place.is_empty() { name.to_string() } else { format!("{place}/{name}") };
        if path.is_dir() {
            // Below `src`, `target` is a module like others. A target directory of another name has cargo's tag in it.
            let built = place == "target" || path.join("CACHEDIR.TAG").is_file();
            if !built && !path.join("Cargo.toml").is_file() {
                gather(&path, &place, above, files)?;
            }
        } else if name.ends_with(".rs") {
            files.insert(place, path);
        }
    }
    above.pop();
    Ok(())
}

/// Without `.` and `..`, so that a folder has one name. Links aren't followed: cargo doesn't either.
fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// Git may check the same text out with either kind of line end.
fn with_plain_line_ends(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.contains(&b'\r') {
        let mut next = bytes.clone().into_iter().skip(1).chain([0]);
        bytes.retain(|byte| (*byte, next.next()) != (b'\r', Some(b'\n')));
    }
    bytes
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{}: expected to read it: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    use tempfile::TempDir;

    /// A folder with the files of a workspace, whose package `app` is asked for its identity.
    struct Tree(TempDir);

    impl Tree {
        fn of(files: &[(&str, &str)]) -> Tree {
            let tree = Tree(tempfile::tempdir().expect("a directory"));
            for (place, text) in files {
                tree.write(place, text);
            }
            tree
        }

        fn path(&self, place: &str) -> PathBuf {
            normalized(&self.0.path().join(place))
        }

        fn write(&self, place: &str, text: &str) {
            let path = self.path(place);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }

        fn identity(&self) -> Identity {
            identity(&self.path("app")).expect("an identity")
        }

        fn hash(&self) -> u128 {
            self.identity().hash
        }

        fn error(&self) -> String {
            identity(&self.path("app")).expect_err("an error")
        }
    }

    /// What counts, in a workspace that has a dependency of each kind.
    const COUNTS: &[(&str, &str)] = &[
        (
            "Cargo.toml",
            "[workspace]\nmembers = ['app']\n[workspace.dependencies]\nshared = { path = 'shared' }\nserde = '1'\n\
             [patch.crates-io]\npatched = { path = 'patched' }\n[replace]\n'old:1.0.0' = { path = 'replaced' }\n",
        ),
        ("Cargo.lock", "version = 4\n"),
        (
            "app/Cargo.toml",
            "[package]\nname = 'app'\n[dependencies]\nnear = { path = '../near' }\nshared.workspace = true\n\
             serde = { workspace = true }\nregistry = '1'\n[dev-dependencies]\nfor_tests = { path = '../for_tests' }\n\
             [build-dependencies]\nfor_build = { path = '../for_build' }\n\
             [target.'cfg(unix)'.dependencies]\nfor_unix = { path = '../for_unix' }\n",
        ),
        ("app/src/main.rs", "mod deep;\n"),
        ("app/src/deep/inner.rs", "fn inner() {}\n"),
        ("app/src/target/inner.rs", "fn inner_target() {}\n"),
        ("app/tests/test.rs", "fn test() {}\n"),
        (
            "near/Cargo.toml",
            "[package]\nname = 'near'\n[dependencies]\nfar = { path = '../far' }\n\
             [dev-dependencies]\nfor_tests_of_near = { path = '../for_tests_of_near' }\n\
             [build-dependencies]\nfor_build_of_near = { path = '../for_build_of_near' }\n",
        ),
        ("near/build.rs", "fn main() {}\n"),
        ("near/src/lib.rs", "mod near;\n"),
        (
            "far/Cargo.toml",
            "[package]\nname = 'far'\nbuild = 'make/far.rs'\n[lib]\npath = 'code/far.rs'\n[dependencies]\n\
             own_workspace = { path = '../elsewhere/own' }\n",
        ),
        ("far/make/far.rs", "fn main() {}\n"),
        ("far/code/far.rs", "mod far;\n"),
        ("far/code/deep/inner.rs", "fn inner_far() {}\n"),
        ("shared/Cargo.toml", "[package]\nname = 'shared'\n"),
        ("shared/src/lib.rs", "mod shared;\n"),
        ("patched/Cargo.toml", "[package]\nname = 'patched'\n[lib]\npath = 'lib.rs'\n"),
        ("patched/lib.rs", "mod patched;\n"),
        ("replaced/Cargo.toml", "[package]\nname = 'old'\n"),
        ("replaced/src/lib.rs", "mod replaced;\n"),
        // The program depends on itself through what its tests need.
        ("for_tests/Cargo.toml", "[package]\nname = 'for_tests'\n[dependencies]\napp = { path = '../app' }\n"),
        ("for_tests/src/lib.rs", "mod for_tests;\n"),
        ("for_build/Cargo.toml", "[package]\nname = 'for_build'\n"),
        ("for_build/src/lib.rs", "mod for_build;\n"),
        ("for_unix/Cargo.toml", "[package]\nname = 'for_unix'\n"),
        ("for_unix/src/lib.rs", "mod for_unix;\n"),
        ("for_build_of_near/Cargo.toml", "[package]\nname = 'for_build_of_near'\n"),
        ("for_build_of_near/src/lib.rs", "mod for_build_of_near;\n"),
        ("elsewhere/top/Cargo.toml", "[workspace]\n[workspace.dependencies]\nlast = { path = '../last' }\n"),
        (
            "elsewhere/own/Cargo.toml",
            "[package]\nname = 'own'\nworkspace = '../top'\n[dependencies]\nlast = { workspace = true }\n",
        ),
        ("elsewhere/own/src/lib.rs", "mod own;\n"),
        ("elsewhere/last/Cargo.toml", "[package]\nname = 'last'\n"),
        ("elsewhere/last/src/lib.rs", "mod last;\n"),
    ];

    /// What doesn't count, in the same workspace. Most of it isn't even Rust or TOML.
    const LEFT_OUT: &[(&str, &str)] = &[
        ("README.md", "What it is\n"),
        ("app/notes.txt", "What to do\n"),
        ("app/target/debug/build/app/out/made.rs", "made\n"),
        ("app/output/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n"),
        ("app/output/debug/build/app/out/made.rs", "made\n"),
        ("app/.hidden/hidden.rs", "hidden\n"),
        ("app/src/.main.rs", "an editor's\n"),
        ("app/nested/Cargo.toml", "[package]\nname = 'nested'\n"),
        ("app/nested/src/lib.rs", "nested\n"),
        // Cargo reads the workspace's alone.
        ("app/Cargo.lock", "version = 3\n"),
        ("near/tests/test.rs", "a test\n"),
        ("near/examples/example.rs", "an example\n"),
        ("far/build.rs", "not the build script\n"),
        ("far/src/lib.rs", "not the library\n"),
        ("patched/target/debug/build/patched/out/made.rs", "made\n"),
        ("for_tests_of_near/Cargo.toml", "[package]\nname = 'for_tests_of_near'\n"),
        ("for_tests_of_near/src/lib.rs", "not reached\n"),
        ("elsewhere/top/Cargo.lock", "version = 4\n"),
    ];

    fn whole() -> Tree {
        let tree = Tree::of(COUNTS);
        for (place, text) in LEFT_OUT {
            tree.write(place, text);
        }
        tree
    }

    #[test]
    fn two_folders_with_the_same_files_are_the_same_build() {
        assert_eq!(whole().hash(), whole().hash());
    }

    #[test]
    fn what_counts_changes_the_identity_and_is_tracked() {
        let tree = whole();
        let Identity { hash, files } = tree.identity();
        for (place, text) in COUNTS {
            tree.write(place, &format!("{text}# changed"));
            assert_ne!(tree.hash(), hash, "{place}");
            tree.write(place, text);
        }
        assert_eq!(tree.hash(), hash);
        let expected: BTreeSet<PathBuf> = COUNTS.iter().map(|(place, _)| tree.path(place)).collect();
        assert_eq!(files.iter().map(PathBuf::from).collect::<BTreeSet<PathBuf>>(), expected);
    }

    #[test]
    fn what_is_left_out_changes_nothing() {
        let tree = whole();
        let hash = tree.hash();
        for (place, text) in LEFT_OUT {
            tree.write(place, &format!("{text}# changed"));
            assert_eq!(tree.hash(), hash, "{place}");
        }
        assert_eq!(Tree::of(COUNTS).hash(), hash);
    }

    #[test]
    fn a_file_that_is_added_or_taken_away_or_renamed_changes_the_identity() {
        let tree = whole();
        let before = tree.hash();
        tree.write("near/src/new.rs", "");
        assert_ne!(tree.hash(), before, "added");
        fs::remove_file(tree.path("near/src/new.rs")).expect("it is there");
        assert_eq!(tree.hash(), before);
        fs::rename(tree.path("near/src/lib.rs"), tree.path("near/src/new.rs")).expect("it is there");
        assert_ne!(tree.hash(), before, "renamed");
        fs::rename(tree.path("near/src/new.rs"), tree.path("near/src/lib.rs")).expect("it is there");
        fs::remove_file(tree.path("Cargo.lock")).expect("it is there");
        assert_ne!(tree.hash(), before, "taken away");
    }

    #[test]
    fn line_ends_are_alike_but_other_carriage_returns_are_not() {
        let tree = whole();
        let hash = tree.hash();
        for (place, text) in COUNTS {
            tree.write(place, &text.replace('\n', "\r\n"));
        }
        assert_eq!(tree.hash(), hash);
        tree.write("app/src/main.rs", "mod\rdeep;\n");
        let inside = tree.hash();
        tree.write("app/src/main.rs", "mod\ndeep;\n");
        assert_ne!(tree.hash(), inside);
        assert_eq!(with_plain_line_ends(b"\r\r\n\n\r".to_vec()), b"\r\n\n\r");
    }

    #[test]
    fn files_do_not_run_into_each_other() {
        let package = ("app/Cargo.toml", "[package]\nname = 'app'\n");
        let of = |one, other| Tree::of(&[package, ("app/src/a.rs", one), ("app/src/b.rs", other)]).hash();
        let before = of("one,", "two");
        assert_ne!(of("two", "one,"), before, "swapped");
        assert_ne!(of("one", ",two"), before, "moved");
        // Nor do a file's name and what is in it.
        assert_ne!(
            Tree::of(&[package, ("app/a.rs", "b.rs")]).hash(),
            Tree::of(&[package, ("app/a.rsb.rs", "")]).hash(),
        );
    }

    #[test]
    fn circles_of_dependencies_end() {
        let tree = Tree::of(&[
            ("app/Cargo.toml", "[package]\nname = 'app'\n[dependencies]\nnear = { path = '../near' }\n"),
            ("app/tests/test.rs", ""),
            ("near/Cargo.toml", "[package]\nname = 'near'\n[build-dependencies]\napp = { path = '../near/../app' }\n"),
        ]);
        // The package itself stays the one of which all counts.
        assert_eq!(tree.identity().files.len(), 3);
    }

    #[test]
    fn two_versions_of_a_package_do_not_run_into_each_other() {
        let tree = Tree::of(&[
            (
                "app/Cargo.toml",
                "[package]\nname = 'app'\n[dependencies]\nold = { package = 'twice', path = '../old' }\n\
                 new = { package = 'twice', path = '../new' }\n",
            ),
            ("old/Cargo.toml", "[package]\nname = 'twice'\nversion = '1.0.0'\n"),
            ("old/src/lib.rs", "old"),
            ("new/Cargo.toml", "[package]\nname = 'twice'\nversion = '2.0.0'\n"),
            ("new/src/lib.rs", "new"),
        ]);
        let before = tree.hash();
        tree.write("old/src/lib.rs", "new");
        tree.write("new/src/lib.rs", "old");
        assert_ne!(tree.hash(), before);
    }

    #[test]
    fn a_package_without_a_workspace_has_its_own_lock_file() {
        let tree = Tree::of(&[
            ("app/Cargo.toml", "[package]\nname = 'app'\n[patch.crates-io]\npatched = { path = '../patched' }\n"),
            ("app/src/main.rs", ""),
            ("patched/Cargo.toml", "[package]\nname = 'patched'\n"),
            ("patched/src/lib.rs", ""),
        ]);
        let without = tree.hash();
        tree.write("app/Cargo.lock", "version = 4\n");
        let with = tree.hash();
        assert_ne!(with, without);
        tree.write("patched/src/lib.rs", "changed");
        let patched = tree.hash();
        assert_ne!(patched, with);
        // A workspace above that excludes it is none of its business, unless it is a member by name.
        tree.write("Cargo.toml", "[workspace]\nexclude = ['app', 'patched']\n");
        assert_eq!(tree.hash(), patched);
        tree.write("Cargo.toml", "[workspace]\nexclude = ['app', 'patched']\nmembers = ['app']\n");
        assert_ne!(tree.hash(), patched);
    }

    #[test]
    fn a_missing_dependency_is_told_with_its_place() {
        let tree = whole();
        fs::remove_file(tree.path("far/Cargo.toml")).expect("it is there");
        let error = tree.error();
        assert!(error.starts_with(tree.path("near/Cargo.toml").to_str().expect("a path in UTF-8")), "{error}");
        let expected = format!("expected the manifest of `far` at {}", tree.path("far/Cargo.toml").display());
        assert!(error.contains(&expected), "{error}");

        let tree = whole();
        tree.write("Cargo.toml", "[workspace]\nmembers = ['app']\n");
        let error = tree.error();
        let expected = format!("in [workspace.dependencies] of {}", tree.path("Cargo.toml").display());
        assert!(error.contains(&expected), "{error}");
    }

    #[test]
    fn a_manifest_that_is_none_is_told_with_its_place() {
        for (text, expected) in [("[package", "TOML parse error"), ("[lib]", "expected the `name` of a [package]")] {
            let tree = whole();
            tree.write("shared/Cargo.toml", text);
            let error = tree.error();
            assert!(error.starts_with(tree.path("shared/Cargo.toml").to_str().expect("a path in UTF-8")), "{error}");
            assert!(error.contains(expected), "{error}");
        }
        let nothing = Tree::of(&[]);
        let error = nothing.error();
        assert!(error.starts_with(nothing.path("app/Cargo.toml").to_str().expect("a path in UTF-8")), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_in_circles() {
        let tree = whole();
        tree.write("one/source.rs", "one");
        tree.write("other/source.rs", "other");
        let link = |place: &str| {
            _ = fs::remove_file(tree.path("app/src/linked"));
            std::os::unix::fs::symlink(tree.path(place), tree.path("app/src/linked")).expect("a link");
            tree.hash()
        };
        assert_ne!(link("one"), link("other"));
        let above = link("app");
        assert_eq!(link("app/src"), above);
        // A folder that has two names is a module twice.
        link("app/src/deep");
        let files = tree.identity().files;
        let inner = files.iter().filter(|file| file.ends_with("inner.rs") && file.contains("app/src/"));
        assert_eq!(inner.count(), 3, "deep, linked and target: {files:?}");
    }

    #[test]
    fn the_first_expansion_names_the_files_and_the_others_only_the_value() {
        let first = expand(TokenStream::new()).expect("it expands").to_string();
        let second = expand(TokenStream::new()).expect("it expands").to_string();
        assert!(first.contains("include_bytes"), "{first}");
        assert!(first.contains("build_identity.rs\""), "{first}");
        assert!(second.starts_with("{ :: squall :: trace :: Digest (0x"), "{second}");
        assert!(first.ends_with(&second[1..]), "{first} {second}");
        let error = expand(quote! { "scenarios" }).expect_err("it takes nothing").to_string();
        assert!(error.contains("takes nothing"), "{error}");
    }
}
