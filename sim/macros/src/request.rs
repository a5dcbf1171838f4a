//! `#[derive(Request)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, DeriveInput, Error, LitStr, Result, Type};

const EXPECTED: &str = "expected the type of the answer: #[rtype(Answer)] or #[rtype(\"Answer\")]";

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let DeriveInput { attrs, ident, generics, .. } = syn::parse2(item)?;
    if !generics.params.is_empty() {
        return Err(Error::new_spanned(
            generics,
            "a request can't be generic: its name is the method's, and all its instances would share it",
        ));
    }
    let mut answers = attrs.iter().filter(|attribute| attribute.path().is_ident("rtype"));
    let answer = match (answers.next(), answers.next()) {
        (None, _) => return Err(Error::new_spanned(&ident, EXPECTED)),
        (Some(attribute), None) => answer_type(attribute)?,
        (Some(_), Some(second)) => return Err(Error::new_spanned(second, "a request has one type of answer")),
    };
    Ok(quote! {
        #[automatically_derived]
        impl ::squall::rpc::Request for #ident {
            type Response = #answer;
            const NAME: &'static str =
                ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#ident));
        }
    })
}

fn answer_type(attribute: &Attribute) -> Result<Type> {
    let list = attribute.meta.require_list().map_err(|error| Error::new(error.span(), EXPECTED))?;
    let parse = |input: ParseStream<'_>| -> Result<Type> {
        if input.is_empty() {
            return Err(Error::new_spanned(attribute, EXPECTED));
        }
        if input.peek(LitStr) {
            let text: LitStr = input.parse()?;
            return text.parse().map_err(|_| Error::new(text.span(), EXPECTED));
        }
        input.parse()
    };
    parse.parse2(list.tokens.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(item: TokenStream) -> String {
        match expand(item) {
            Ok(tokens) => tokens.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn both_spellings_name_the_same_answer() {
        let plain = text(quote! { #[rtype(Vec<Pong>)] struct Ping; });
        let quoted = text(quote! { #[rtype("Vec<Pong>")] struct Ping; });
        assert_eq!(plain, quoted);
        assert!(plain.contains("type Response = Vec < Pong > ;"), "{plain}");
        assert!(text(quote! { #[rtype(())] enum Ping {} }).contains("type Response = () ;"));
    }

    #[test]
    fn mistakes_are_named() {
        for (item, expected) in [
            (quote! { struct Ping; }, "#[rtype(Answer)]"),
            (quote! { #[rtype] struct Ping; }, "#[rtype(Answer)]"),
            (quote! { #[rtype()] struct Ping; }, "#[rtype(Answer)]"),
            (quote! { #[rtype("not a type")] struct Ping; }, "#[rtype(Answer)]"),
            (quote! { #[rtype(u8)] #[rtype(u8)] struct Ping; }, "one type of answer"),
            (quote! { #[rtype(u8)] struct Ping<T>(T); }, "can't be generic"),
        ] {
            let error = text(item);
            assert!(error.starts_with("error: ") && error.contains(expected), "{error}");
        }
    }
}
