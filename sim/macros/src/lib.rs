//! The attribute and derive macros of Squall. Use them through the crate `squall`, which re-exports them.
#![forbid(unsafe_code)]

mod build_identity;
mod request;
mod test;

use proc_macro::TokenStream;

/// Makes a test of a function that describes a world: the world is run with one seed after another until one fails.
///
/// | option | means |
/// |---|---|
/// | `seeds = 1_000` | seeds 0 to 999; 100 of them unless said otherwise |
/// | `seeds = 500..600` | those seeds |
/// | `isolation = "auto"` | where runs happen: `thread` unless said otherwise, `process`, or `auto` |
/// | `strategy = "pct:3:1000"` | who orders the events of one instant: `random` unless said otherwise, `fifo`, `pct` |
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

/// Which build this program is: a `squall::trace::Digest` of the lock file and of the sources and manifests of the package in which it stands
/// and of all packages that it reaches by path. It is the same in every checkout of the same commit.
///
/// Shards of an exploration are only added up if they are of one build, and failure files say it. `squall::main!` and
/// `#[squall::test]` take it by themselves.
///
/// ```
/// let build = squall::build_identity!();
/// assert_eq!(build.to_string().len(), 32);
/// ```
///
/// Of the package itself all Rust files count, of the others those of the library and the build script. What `include_str!` brings in, what a
/// build script reads, the compiler and the profile don't. Cargo builds again when one of the files is changed or removed; a new one that no other
/// names is noticed with the next change.
///
/// What isn't known is refused:
///
/// ```compile_fail
/// let build = squall::build_identity!("mine");
/// ```
#[proc_macro]
pub fn build_identity(input: TokenStream) -> TokenStream {
    build_identity::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
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
