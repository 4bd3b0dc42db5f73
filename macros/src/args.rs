//! The arguments of an attribute: `cores`, `mode` and `name`, each at most once.

use crate::cores;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::{Error, Ident, Lit, LitInt, Token};

const KNOWN: &str = "`cores`, `mode` and `name`";
const MODES: [(&str, &str); 3] = [("poll", "Poll"), ("adaptive", "Adaptive"), ("interrupt", "Interrupt")];

/// The calls on `app::Builder` that the arguments stand for.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) cores: Option<TokenStream>,
    mode: Option<TokenStream>,
    name: Option<TokenStream>,
}

impl Args {
    /// Reads all arguments. What is wrong is reported at once, beside what could be understood.
    pub(crate) fn parse(tokens: TokenStream) -> (Self, Option<Error>) {
        let mut args = Self::default();
        let mut errors = None;
        let syntax = (|input: ParseStream<'_>| {
            while !input.is_empty() {
                args.parse_one(input, &mut errors)?;
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        })
        .parse2(tokens);
        if let Err(error) = syntax {
            note(&mut errors, error);
        }
        (args, errors)
    }

    /// One `key = value`. An `Err` means that it is not even that, and reading ends there.
    fn parse_one(&mut self, input: ParseStream<'_>, errors: &mut Option<Error>) -> syn::Result<()> {
        let key: Ident = input.parse().map_err(|error| {
            Error::new(error.span(), format!("write arguments as `key = value`; known are {KNOWN}"))
        })?;
        if input.parse::<Token![=]>().is_err() {
            return Err(Error::new(key.span(), format!("`{key}` wants a value: write `{key} = …`")));
        }
        let value: Lit = input.parse().map_err(|error| {
            Error::new(error.span(), "expected a literal: for values known at run time call `app::Builder`")
        })?;
        let (slot, call) = match key.to_string().as_str() {
            "cores" => (&mut self.cores, cores(&value)),
            "mode" => (&mut self.mode, mode(&value)),
            "name" => (&mut self.name, name(&value)),
            unknown => {
                note(
                    errors,
                    Error::new(key.span(), format!("unknown argument `{unknown}`; known are {KNOWN}")),
                );
                return Ok(());
            }
        };
        match call {
            Ok(_) if slot.is_some() => {
                note(errors, Error::new(key.span(), format!("`{key}` is given twice")))
            }
            Ok(call) => *slot = Some(call),
            Err(error) => note(errors, error),
        }
        Ok(())
    }

    /// `.cores(…).mode(…).name(…)`, as far as given.
    pub(crate) fn calls(&self) -> TokenStream {
        let calls = [&self.cores, &self.mode, &self.name].into_iter().flatten();
        quote!(#(#calls)*)
    }
}

/// Adds `error` to what is to be reported.
pub(crate) fn note(errors: &mut Option<Error>, error: Error) {
    match errors {
        Some(errors) => errors.combine(error),
        None => *errors = Some(error),
    }
}

fn cores(value: &Lit) -> syn::Result<TokenStream> {
    match value {
        Lit::Str(list) => match cores::parse(&list.value()) {
            Ok(_) => Ok(quote_spanned!(list.span()=> .cores(#list))),
            Err(error) => Err(Error::new(list.span(), error)),
        },
        Lit::Int(count) => {
            let count = count_of(count)?;
            Ok(quote_spanned!(value.span()=> .cores(#count)))
        }
        _ => Err(Error::new(
            value.span(),
            "`cores` wants a list \"0-3,8\", a mask \"0x10f\" or a number of cores",
        )),
    }
}

fn count_of(literal: &LitInt) -> syn::Result<usize> {
    let text = literal.to_string();
    if text.starts_with("0x") {
        let message = format!("a number counts cores; a mask goes in quotes: write `cores = \"{text}\"`");
        return Err(Error::new(literal.span(), message));
    }
    match literal.base10_parse() {
        Ok(0) => Err(Error::new(literal.span(), "a runtime needs at least one core")),
        Ok(count) if count <= cores::CPU_MAX + 1 => Ok(count),
        _ => {
            Err(Error::new(literal.span(), format!("at most {} cores can be asked for", cores::CPU_MAX + 1)))
        }
    }
}

fn mode(value: &Lit) -> syn::Result<TokenStream> {
    let variant = match value {
        Lit::Str(text) => MODES.iter().find(|(name, _)| *name == text.value()).map(|(_, variant)| variant),
        _ => None,
    };
    let Some(variant) = variant else {
        return Err(Error::new(value.span(), "`mode` is one of \"poll\", \"adaptive\" and \"interrupt\""));
    };
    let variant = Ident::new(variant, value.span());
    Ok(quote_spanned!(value.span()=> .mode(::reactor::Mode::#variant)))
}

fn name(value: &Lit) -> syn::Result<TokenStream> {
    match value {
        Lit::Str(text) if !text.value().trim().is_empty() => Ok(quote_spanned!(text.span()=> .name(#text))),
        _ => Err(Error::new(value.span(), "`name` wants a string that is not empty")),
    }
}
