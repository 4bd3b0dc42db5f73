//! The item under an attribute: the signature read token by token, the body kept as it is.
//!
//! `syn` without its `full` feature knows no functions and compiles sooner. What it does know, types and generics, is
//! enough: nobody here looks into a body.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Generics, Ident, ReturnType, Token, Visibility, parenthesized, token};

/// A function as written, with what is not allowed of it told by [`refusals`](Function::refusals).
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    pub(crate) output: ReturnType,
    qualifiers: Vec<TokenTree>,
    keyword: Token![fn],
    generics: Generics,
    parentheses: token::Paren,
    inputs: TokenStream,
    body: Group,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let first = input.span();
        let mut qualifiers = Vec::new();
        // `const`, `async`, `unsafe`, `extern "C"`: whatever stands before `fn`, and nothing that could be an item of
        // another kind.
        while !input.peek(Token![fn]) {
            match input.parse::<TokenTree>()? {
                word @ (TokenTree::Ident(_) | TokenTree::Literal(_)) => qualifiers.push(word),
                _ => return Err(Error::new(first, "expected an `async fn`")),
            }
        }
        let keyword = input.parse()?;
        let name = input.parse()?;
        let mut generics: Generics = input.parse()?;
        let inputs;
        let parentheses = parenthesized!(inputs in input);
        let inputs = inputs.parse()?;
        let output = input.parse()?;
        generics.where_clause = input.parse()?;
        let body = input.parse()?;
        Ok(Self {
            attributes,
            visibility,
            name,
            output,
            qualifiers,
            keyword,
            generics,
            parentheses,
            inputs,
            body,
        })
    }
}

impl Function {
    /// Everything that keeps this function from being what a runtime starts: each with its place.
    pub(crate) fn refusals(&self) -> Vec<Error> {
        let mut refusals = Vec::new();
        if !self.qualifiers.iter().any(is_async) {
            refusals.push(Error::new(
                self.keyword.span,
                format!("write `async fn {}`: it runs as a task", self.name),
            ));
        }
        if let Some(other) = self.qualifiers.iter().find(|word| !is_async(word)) {
            refusals.push(Error::new(
                other.span(),
                format!("nothing but `async` may stand before `fn {}`", self.name),
            ));
        }
        if !self.inputs.is_empty() {
            let message = format!("`{}` is called by the runtime, which has no arguments to give", self.name);
            refusals.push(Error::new_spanned(&self.inputs, message));
        }
        if !self.generics.params.is_empty() {
            let message =
                format!("`{}` is called by the runtime, which chooses no types or lifetimes", self.name);
            refusals.push(Error::new_spanned(&self.generics, message));
        }
        refusals
    }
}

impl ToTokens for Function {
    /// The function as written, without its attributes and visibility.
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { name, output, qualifiers, keyword, generics, inputs, body, .. } = self;
        let where_clause = &generics.where_clause;
        tokens.extend(quote!(#(#qualifiers)* #keyword #name #generics));
        self.parentheses.surround(tokens, |tokens| inputs.to_tokens(tokens));
        tokens.extend(quote!(#output #where_clause #body));
    }
}

fn is_async(word: &TokenTree) -> bool {
    matches!(word, TokenTree::Ident(word) if word == "async")
}
