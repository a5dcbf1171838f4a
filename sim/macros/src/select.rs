//! `select!`, `join!` and `try_join!`: futures of one task that are polled together, beginning with the one that the run says.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::visit_mut::VisitMut;
use syn::{Expr, Ident, Pat, Token};

/// `pattern = future, if condition => handler`
struct Branch {
    pattern: Pat,
    future: Expr,
    condition: Option<Expr>,
    handler: Expr,
}

struct Select {
    is_biased: bool,
    branches: Vec<Branch>,
    otherwise: Option<Expr>,
}

/// A handler, and the comma behind it, which a block needn't have.
fn parse_handler(input: ParseStream<'_>) -> syn::Result<Expr> {
    if input.peek(syn::token::Brace) {
        let block: syn::ExprBlock = input.parse()?;
        let _: Option<Token![,]> = input.parse()?;
        return Ok(Expr::Block(block));
    }
    let handler: Expr = input.parse()?;
    if !input.is_empty() {
        let _: Token![,] = input.parse()?;
    }
    Ok(handler)
}

impl Parse for Select {
    fn parse(input: ParseStream<'_>) -> syn::Result<Select> {
        let mut select = Select { is_biased: false, branches: Vec::new(), otherwise: None };
        let ahead = input.fork();
        if ahead.parse::<Ident>().is_ok_and(|word| word == "biased") && ahead.peek(Token![;]) {
            let _: Ident = input.parse()?;
            let _: Token![;] = input.parse()?;
            select.is_biased = true;
        }
        while !input.is_empty() {
            if input.peek(Token![else]) {
                let _: Token![else] = input.parse()?;
                let _: Token![=>] = input.parse()?;
                select.otherwise = Some(parse_handler(input)?);
                if !input.is_empty() {
                    return Err(input.error("`else` is the last branch"));
                }
                break;
            }
            let pattern = Pat::parse_multi_with_leading_vert(input)?;
            let _: Token![=] = input.parse()?;
            let future: Expr = input.parse()?;
            let condition = if input.peek(Token![,]) {
                let _: Token![,] = input.parse()?;
                let _: Token![if] = input.parse()?;
                Some(input.parse()?)
            } else {
                None
            };
            let _: Token![=>] = input.parse()?;
            select.branches.push(Branch { pattern, future, condition, handler: parse_handler(input)? });
        }
        match select.branches.len() {
            1..=64 => Ok(select),
            0 => Err(syn::Error::new(
                Span::call_site(),
                "select! needs at least one branch: `pattern = future => handler`",
            )),
            _ => Err(syn::Error::new(Span::call_site(), "select! has up to 64 branches")),
        }
    }
}

/// A pattern as it is tried on a reference: what it would bind by value or to a variable that changes, it only looks at.
struct Looking;

impl VisitMut for Looking {
    fn visit_pat_ident_mut(&mut self, pattern: &mut syn::PatIdent) {
        pattern.by_ref = None;
        pattern.mutability = None;
        syn::visit_mut::visit_pat_ident_mut(self, pattern);
    }
}

pub(crate) fn expand(input: TokenStream) -> syn::Result<TokenStream> {
    let Select { is_biased, branches, otherwise } = syn::parse2(input)?;
    let count = branches.len() as u32;
    let numbers: Vec<usize> = (0..branches.len()).collect();
    let futures: Vec<Ident> = numbers.iter().map(|number| format_ident!("__future_{number}")).collect();
    let variants: Vec<Ident> = numbers.iter().map(|number| format_ident!("Branch{number}")).collect();
    let types: Vec<Ident> = numbers.iter().map(|number| format_ident!("T{number}")).collect();
    let bits: Vec<u64> = numbers.iter().map(|number| 1 << number).collect();
    let places: Vec<u32> = (0..count).collect();
    let exprs = branches.iter().map(|branch| &branch.future);
    let conditions = branches.iter().map(|branch| match &branch.condition {
        Some(condition) => quote!(#condition),
        None => quote!(true),
    });
    let looks = branches.iter().map(|branch| {
        let mut pattern = branch.pattern.clone();
        Looking.visit_pat_mut(&mut pattern);
        pattern
    });
    let patterns = branches.iter().map(|branch| &branch.pattern);
    let handlers = branches.iter().map(|branch| &branch.handler);
    let first = match is_biased {
        true => quote!(0u32),
        false => quote!(::squall::choosing::first_of("select", #count, ::core::module_path!())),
    };
    let otherwise = match otherwise {
        Some(otherwise) => quote!(#otherwise),
        None => quote!(::core::panic!("all branches of a select! are disabled, and it has no else branch")),
    };
    Ok(quote! {{
        enum __Selected<#(#types),*> {
            #(#variants(#types),)*
            Nothing,
        }
        // A pattern may borrow from it to change it.
        #[allow(unused_mut)]
        let mut __selected = {
            // A bit for each branch that isn't polled any more. Conditions are asked before any future is made.
            let mut __disabled: u64 = 0;
            #(
                if !(#conditions) {
                    __disabled |= #bits;
                }
            )*
            // First as they are written: what a `&mut` borrows that is made there lives on.
            #(let #futures = #exprs;)*
            #(let mut #futures = ::core::pin::pin!(::core::future::IntoFuture::into_future(#futures));)*
            let mut __first: ::core::option::Option<u32> = ::core::option::Option::None;
            ::core::future::poll_fn(|__context| {
                let __from = *__first.get_or_insert_with(|| #first);
                let mut __pending = false;
                for __step in 0..#count {
                    match ::squall::choosing::in_turn(__from, __step, #count) {
                        #(
                            #places => {
                                if __disabled & #bits != 0 {
                                    continue;
                                }
                                match ::core::future::Future::poll(#futures.as_mut(), __context) {
                                    ::core::task::Poll::Pending => __pending = true,
                                    ::core::task::Poll::Ready(__output) => {
                                        __disabled |= #bits;
                                        #[allow(unused_variables, unreachable_patterns, irrefutable_let_patterns)]
                                        let __fits = match &__output {
                                            #looks => true,
                                            _ => false,
                                        };
                                        if __fits {
                                            return ::core::task::Poll::Ready(__Selected::#variants(__output));
                                        }
                                    }
                                }
                            }
                        )*
                        _ => ::core::unreachable!("there are as many branches"),
                    }
                }
                if __pending {
                    ::core::task::Poll::Pending
                } else {
                    ::core::task::Poll::Ready(__Selected::Nothing)
                }
            })
            .await
        };
        #[allow(unreachable_patterns)]
        match __selected {
            #(__Selected::#variants(#patterns) => #handlers,)*
            __Selected::Nothing => #otherwise,
            _ => ::core::unreachable!("it was looked at before"),
        }
    }})
}

/// `biased;` and futures.
struct Join {
    is_biased: bool,
    futures: Vec<Expr>,
}

impl Parse for Join {
    fn parse(input: ParseStream<'_>) -> syn::Result<Join> {
        let ahead = input.fork();
        let is_biased = ahead.parse::<Ident>().is_ok_and(|word| word == "biased") && ahead.peek(Token![;]);
        if is_biased {
            let _: Ident = input.parse()?;
            let _: Token![;] = input.parse()?;
        }
        let futures = input.parse_terminated(Expr::parse, Token![,])?;
        Ok(Join { is_biased, futures: futures.into_iter().collect() })
    }
}

/// `join!`, or `try_join!`, which ends with the first error.
pub(crate) fn expand_join(input: TokenStream, tries: bool) -> syn::Result<TokenStream> {
    let Join { is_biased, futures: exprs } = syn::parse2(input)?;
    let count = exprs.len() as u32;
    let name = if tries { "try_join" } else { "join" };
    let places: Vec<u32> = (0..count).collect();
    let futures: Vec<Ident> = places.iter().map(|number| format_ident!("__future_{number}")).collect();
    let outputs: Vec<Ident> = places.iter().map(|number| format_ident!("__output_{number}")).collect();
    let first = match is_biased {
        true => quote!(0u32),
        false => quote!(::squall::choosing::first_of(#name, #count, ::core::module_path!())),
    };
    let take = outputs.iter().map(|output| quote!(#output.take().expect("it is there")));
    let (keep, whole) = match tries {
        false => (quote!(__output), quote!((#(#take,)*))),
        true => (
            quote!(match __output {
                ::core::result::Result::Ok(__value) => __value,
                ::core::result::Result::Err(__error) => {
                    return ::core::task::Poll::Ready(::core::result::Result::Err(__error));
                }
            }),
            quote!(::core::result::Result::Ok((#(#take,)*))),
        ),
    };
    if count == 0 {
        return Ok(match tries {
            false => quote!(async {}.await),
            true => quote!(::core::result::Result::Ok(())),
        });
    }
    Ok(quote! {{
        #(let #futures = #exprs;)*
        #(
            let mut #futures = ::core::pin::pin!(::core::option::Option::Some(
                ::core::future::IntoFuture::into_future(#futures)
            ));
        )*
        #(let mut #outputs = ::core::option::Option::None;)*
        let mut __first: ::core::option::Option<u32> = ::core::option::Option::None;
        ::core::future::poll_fn(|__context| {
            let __from = *__first.get_or_insert_with(|| #first);
            let mut __pending = false;
            for __step in 0..#count {
                match ::squall::choosing::in_turn(__from, __step, #count) {
                    #(
                        #places => {
                            if let ::core::option::Option::Some(__future) = #futures.as_mut().as_pin_mut() {
                                match ::core::future::Future::poll(__future, __context) {
                                    ::core::task::Poll::Pending => __pending = true,
                                    ::core::task::Poll::Ready(__output) => {
                                        // As tokio's: what it owns is gone while the others go on.
                                        #futures.set(::core::option::Option::None);
                                        #outputs = ::core::option::Option::Some(#keep);
                                    }
                                }
                            }
                        }
                    )*
                    _ => ::core::unreachable!("there are as many futures"),
                }
            }
            if __pending {
                return ::core::task::Poll::Pending;
            }
            ::core::task::Poll::Ready(#whole)
        })
        .await
    }})
}
