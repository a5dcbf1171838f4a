//! The attribute and derive macros of Squall. Use them through the crate `squall`, which re-exports them.
#![forbid(unsafe_code)]

mod build_identity;
mod request;
mod select;
mod test;

use proc_macro::TokenStream;

/// Makes a test of a function that describes a world: the world is run with one seed after another until one fails.
///
/// | option | means |
/// |---|---|
/// | `seeds = 1_000` | seeds 0 to 999; 100 of them unless said otherwise |
/// | `seeds = 500..600` | those seeds |
/// | `isolation = "auto"` | where runs happen: `thread` unless said otherwise, `process`, or `auto` |
/// | `strategy = "pct:3:1000"` | who orders the events of one instant: `random` unless said otherwise, `fifo`, `pct`; `worst-crash`, by which crashes lose all that they can |
///
/// `SQUALL_SEED`, `SQUALL_SEEDS` and `SQUALL_JOBS` override; see `squall::testing`.
///
/// ```
/// use squall::World;
///
/// #[squall::test(seeds = 10)]
/// fn a_client_returns(world: &mut World) {
///     world.client("client", || async {});
/// }
/// ```
///
/// What can't be a test is refused:
///
/// ```compile_fail
/// #[squall::test]
/// fn no_world() {}
/// ```
///
/// ```compile_fail
/// #[squall::test]
/// async fn asynchronous(world: &mut squall::World) {}
/// ```
///
/// ```compile_fail
/// #[squall::test]
/// fn gives_something(world: &mut squall::World) -> u8 { 1 }
/// ```
///
/// ```compile_fail
/// #[squall::test(seed = 7)]
/// fn unknown_option(world: &mut squall::World) {}
/// ```
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    test::expand(options.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a type a request of `squall::rpc`. `#[rtype(Answer)]`, or `#[rtype("Answer")]` as madsim spells it, names the
/// type of its answer. The method's name is the type's path.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use squall::Request;
///
/// #[derive(Serialize, Deserialize, Request)]
/// #[rtype(u64)]
/// struct Count {
///     word: String,
/// }
/// ```
///
/// ```compile_fail
/// #[derive(serde::Serialize, serde::Deserialize, squall::Request)]
/// struct NoAnswer;
/// ```
#[proc_macro_derive(Request, attributes(rtype))]
pub fn derive_request(item: TokenStream) -> TokenStream {
    request::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Says which build a program is: a hash of its lock file and of the sources of the packages that it is built from, a
/// `squall::trace::Digest`.
///
/// The same commit gives the same value in any folder, on any machine, by any build of it. Write it in the program
/// itself, not in a library that programs share: what it tells of is the package in which it is expanded.
///
/// ```
/// use squall::trace::Digest;
///
/// const BUILD: Digest = squall::build_identity!();
///
/// macro_rules! which_build {
///     () => {
///         squall::build_identity!()
///     };
/// }
/// assert_eq!(which_build!(), BUILD);
/// assert_eq!(BUILD.to_string(), format!("{:032x}", squall::build_identity!().0));
/// ```
///
/// It takes nothing:
///
/// ```compile_fail
/// squall::build_identity!("scenarios");
/// ```
///
/// # What counts
///
/// - The workspace's `Cargo.lock`, which stands for the packages of registries and of git.
/// - Of the package itself: `Cargo.toml` and all `*.rs` files of its folder, tests included.
/// - Of each package that is reached from it by `path` dependencies (those of the workspace, of other platforms,
///   optional and patched ones too): `Cargo.toml`, the build script, and all `*.rs` files of the folder that the
///   library's root is in. The dev-dependencies of the package itself count, those of the others don't.
/// - The `Cargo.toml` of each such package's workspace: profiles, shared versions, patches.
///
/// Hidden folders and files, target directories, and packages that aren't reached are left out, and a line end counts
/// the same as LF or CRLF.
///
/// # Limits
///
/// - What else a build reads doesn't count: files of `include_str!` and `include_bytes!`; what `#[path]`, `include!` or
///   the `path` of a target name outside of those folders; what build scripts read, or are made of beside their own
///   file.
/// - Neither do the compiler, the profile that is chosen, features given to cargo, flags or the environment.
/// - Cargo builds again when one of the files changes. A file that is added and that no other names, such as a new
///   `tests/*.rs`, is seen only by the next compilation; until then a build that is there already and a new one differ.
/// - The first expansion in a compiler process reads the files, and the others repeat its answer.
///
/// # Errors
///
/// The program isn't compiled if a manifest, a path dependency or a file that counts can't be read, if a path among
/// them isn't UTF-8, or if cargo isn't what builds it.
#[proc_macro]
pub fn build_identity(input: TokenStream) -> TokenStream {
    build_identity::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Waits for the first of several futures, as tokio's `select!` does, with its syntax: `pattern = future, if condition => handler`, `else => handler`, `biased;`.
///
/// Which branch is polled first, where several may be ready, is a decision of the run with an address: by this place of the code, the task, and how often it has
/// come by. Calm, it is the first as it is written. It is asked once for each time that the `select!` is executed; with `biased;` never. Outside of a run it is drawn, as
/// tokio's is.
///
/// Between tokio's and this one nothing else differs, but that there are up to 64 branches, and that after an output that doesn't fit its pattern the others go on.
///
/// ```
/// # async fn next_order() -> Option<u64> { None }
/// # async fn example() -> Option<u64> {
/// squall::select! {
///     Some(order) = next_order() => Some(order),
///     () = squall::time::sleep(std::time::Duration::from_secs(1)) => None,
///     else => None,
/// }
/// # }
/// ```
///
/// ```compile_fail
/// async fn nothing() {
///     squall::select! {}
/// }
/// ```
#[proc_macro]
pub fn select(input: TokenStream) -> TokenStream {
    select::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Waits for all of several futures, and gives what they gave as a tuple, as tokio's `join!` does. Which one is polled first is a decision, as of [`select!`].
///
/// ```
/// # async fn example() {
/// let (one, other) = squall::join!(async { 1 }, async { "two" });
/// assert_eq!((one, other), (1, "two"));
/// # }
/// ```
#[proc_macro]
pub fn join(input: TokenStream) -> TokenStream {
    select::expand_join(input.into(), false).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// As [`join!`], of futures that give results: it ends with the first error, and else gives all values.
///
/// ```
/// # async fn example() -> Result<(), String> {
/// let (one, other) = squall::try_join!(async { Ok::<_, String>(1) }, async { Ok("two") })?;
/// assert_eq!((one, other), (1, "two"));
/// # Ok(())
/// # }
/// ```
#[proc_macro]
pub fn try_join(input: TokenStream) -> TokenStream {
    select::expand_join(input.into(), true).unwrap_or_else(syn::Error::into_compile_error).into()
}
