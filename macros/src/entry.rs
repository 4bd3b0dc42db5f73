//! What replaces the function: a plain one that builds a runtime and gives it the async one.
//!
//! ```text
//! #[reactor::main(cores = "0-3")]        fn main() -> ExitCode {
//! async fn main() -> R { BODY }    ⇒         async fn main() -> R { BODY }
//!                                            ::reactor::app::main_entry(Builder::new().cores("0-3"), main)
//!                                        }
//! ```
//!
//! The async function stays a function inside the plain one rather than becoming a closure: `-> impl Trait` keeps
//! working, backtraces show its name, and the compiler's errors about the body are the usual ones.

use crate::args::{Args, note};
use crate::function::Function;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ReturnType};

/// Which of the two attributes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Entry {
    Main,
    Test,
}

/// The replacement, or every error at once.
pub(crate) fn expand(entry: Entry, args: TokenStream, item: TokenStream) -> TokenStream {
    let (args, mut errors) = Args::parse(args);
    let function = match syn::parse2::<Function>(item) {
        Ok(function) => function,
        Err(error) => {
            note(&mut errors, error);
            return errors.map(|errors| errors.to_compile_error()).unwrap_or_default();
        }
    };
    for refusal in function.refusals().into_iter().chain(entry.refusals(&function)) {
        note(&mut errors, refusal);
    }
    match errors {
        None => entry.replacement(&args, &function),
        Some(errors) => beside(errors.to_compile_error(), &function),
    }
}

impl Entry {
    /// What only one of the attributes minds.
    fn refusals(self, function: &Function) -> Option<Error> {
        match self {
            Self::Main if function.name != "main" => Some(Error::new(
                function.name.span(),
                "`#[reactor::main]` goes on `main`: anywhere else call `app::Builder::run`",
            )),
            Self::Main => None,
            Self::Test => {
                let second =
                    function.attributes.iter().find(|attribute| attribute.path().is_ident("test"))?;
                Some(Error::new(second.span(), "`#[reactor::test]` makes a test already: remove `#[test]`"))
            }
        }
    }

    fn replacement(self, args: &Args, function: &Function) -> TokenStream {
        let Function { attributes, visibility, name, output, .. } = function;
        let mut builder = quote!(::reactor::app::Builder::new());
        if self == Self::Test && args.cores.is_none() {
            builder.extend(quote!(.cores(1_usize)));
        }
        builder.extend(args.calls());
        // Complaints about the value, such as one that is no `Termination`, belong under the return type.
        let value = match output {
            ReturnType::Default => name.span(),
            ReturnType::Type(_, value) => value.span(),
        };
        match self {
            Self::Main => {
                let call = quote_spanned!(value=> ::reactor::app::main_entry(#builder, #name));
                quote! {
                    #(#attributes)*
                    #visibility fn #name() -> ::std::process::ExitCode {
                        #function
                        #call
                    }
                }
            }
            Self::Test => {
                let call = quote_spanned!(value=> ::reactor::app::test_entry(#builder, #name));
                quote! {
                    #(#attributes)*
                    #[::core::prelude::v1::test]
                    #visibility fn #name() #output {
                        #function
                        #call
                    }
                }
            }
        }
    }
}

/// The errors, and the function as written where nothing else trips over it: its own errors still show, and no "main
/// function not found" joins them.
fn beside(errors: TokenStream, function: &Function) -> TokenStream {
    let name = &function.name;
    quote! {
        #errors
        #[allow(dead_code)]
        fn #name() {
            #function
        }
    }
}
