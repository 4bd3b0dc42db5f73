//! The attribute macros of `reactor`: the two ways into a runtime.
//!
//! Here stand the doors alone. `args` reads what is in the parentheses, `function` what the attribute is on,
//! `entry` writes what replaces it. Errors carry the span of the token at fault, all of them at once.

mod args;
/// The grammar of core lists, a link into the library: what start-up would refuse does not compile.
mod cores;
mod entry;
mod function;

use self::entry::{Entry, expand};
use proc_macro::TokenStream;

/// Runs an `async fn main` on a reactor per core; the calling thread becomes the main core.
///
/// | argument | meaning | without it |
/// |---|---|---|
/// | `cores = "0-3,8"`, `cores = "0x10f"` | these cores, as a list or a mask | what `app::Builder` chooses |
/// | `cores = 2` | as many cores, the first this process may run on | |
/// | `mode = "poll"`, `"adaptive"`, `"interrupt"` | how a core waits: it spins, spins for a while, or sleeps at once | |
/// | `name = "…"` | what the program is called in messages and statistics | |
///
/// `main` may return whatever a `main` may return; its value becomes the exit code, unless `app::stop` gave one that is not
/// 0. A
/// runtime that cannot start says why on standard error and exits with code 1.
///
/// For anything that is known at run time only, call `app::Builder` yourself.
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    expand(Entry::Main, args.into(), item.into()).into()
}

/// Runs an `async fn` as a test, by default on one core that is not pinned, so that tests run side by side.
///
/// Takes the arguments of [`main`](macro@main). The test returns whatever a test may return, and a panic fails it as
/// usual. Attributes such as `#[should_panic]` and `#[ignore]` work.
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    expand(Entry::Test, args.into(), item.into()).into()
}
