//! `#[squall::test]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, LitStr, Result, ReturnType, Safety, Token, Type};

/// What the attribute says.
#[derive(Default)]
struct Options {
    seeds: Option<Expr>,
    strategy: Option<LitStr>,
    isolation: Option<LitStr>,
}

/// One `name = value`.
struct TestOption {
    name: Ident,
    value: Expr,
}

impl Parse for TestOption {
    fn parse(input: ParseStream<'_>) -> Result<TestOption> {
        let name: Ident = input.parse()?;
        if !input.peek(Token![=]) {
            return Err(Error::new_spanned(&name, format!("expected `{name} = …`; {ALLOWED}")));
        }
        input.parse::<Token![=]>()?;
        Ok(TestOption { name, value: input.parse()? })
    }
}

const ALLOWED: &str =
    "the options are `seeds = 1_000`, `seeds = 0..1_000`, `strategy = \"random\"` and `isolation = \"auto\"`";

const SIGNATURE: &str = "a Squall test describes a world: `fn name(world: &mut World) { … }`";

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Options> {
        let mut options = Options::default();
        for TestOption { name, value } in Punctuated::<TestOption, Token![,]>::parse_terminated(input)? {
            let twice = || Error::new_spanned(&name, format!("`{name}` is given twice"));
            if name == "seeds" {
                check_seeds(&value)?;
                if options.seeds.replace(value).is_some() {
                    return Err(twice());
                }
            } else if name == "strategy" {
                if options.strategy.replace(strategy(value)?).is_some() {
                    return Err(twice());
                }
            } else if name == "isolation" {
                if options.isolation.replace(isolation(value)?).is_some() {
                    return Err(twice());
                }
            } else {
                return Err(Error::new_spanned(&name, format!("there is no option `{name}`; {ALLOWED}")));
            }
        }
        Ok(options)
    }
}

/// Refuses what can't be a number or a range of numbers; names of constants are let through.
fn check_seeds(value: &Expr) -> Result<()> {
    let integer = |expression: &Expr| match expression {
        Expr::Lit(ExprLit { lit, .. }) => matches!(lit, Lit::Int(_)),
        Expr::Unary(_) | Expr::Range(_) => false,
        _ => true,
    };
    let fits = match value {
        Expr::Range(range) => {
            // Without an end there would be no end of seeds.
            range.start.as_deref().is_some_and(integer) && range.end.as_deref().is_some_and(integer)
        }
        other => integer(other),
    };
    if fits {
        Ok(())
    } else {
        Err(Error::new_spanned(value, "expected a number of seeds (1_000) or a range (0..1_000)"))
    }
}

/// A strategy's name. Its settings are read when the test runs.
fn strategy(value: Expr) -> Result<LitStr> {
    if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &value {
        let name = text.value();
        if matches!(name.split(':').next(), Some("fifo" | "random" | "worst-crash" | "pct")) {
            return Ok(text.clone());
        }
    }
    Err(Error::new_spanned(
        value,
        "expected a strategy: \"random\", \"fifo\", \"worst-crash\" or \"pct:DEPTH:STEPS\" (\"pct:3:1000\")",
    ))
}

fn isolation(value: Expr) -> Result<LitStr> {
    if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &value
        && matches!(&*text.value(), "thread" | "process" | "auto")
    {
        return Ok(text.clone());
    }
    Err(Error::new_spanned(value, "expected where runs happen: \"thread\", \"process\" or \"auto\""))
}

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options: Options = syn::parse2(options)?;
    let ItemFn { attrs, vis, sig, block, .. } = syn::parse2(item)?;
    let is_unsafe = match sig.safety {
        Safety::Unsafe(token) => Some(token.span),
        _ => None,
    };
    for (present, what) in [
        (sig.asyncness.map(|token| token.span), "async: what is asynchronous belongs in its nodes"),
        (sig.constness.map(|token| token.span), "const"),
        (is_unsafe, "unsafe"),
        (sig.abi.as_ref().map(|abi| abi.extern_token.span), "extern"),
    ] {
        if let Some(span) = present {
            return Err(Error::new(span, format!("a Squall test can't be {what}")));
        }
    }
    if !sig.generics.params.is_empty() {
        return Err(Error::new_spanned(&sig.generics, "a Squall test can't be generic"));
    }
    let argument = match sig.inputs.first() {
        Some(FnArg::Typed(argument)) if sig.inputs.len() == 1 => argument,
        _ => return Err(Error::new_spanned(&sig, SIGNATURE)),
    };
    match &*argument.ty {
        Type::Reference(reference) if reference.mutability.is_some() => {}
        other => return Err(Error::new_spanned(other, SIGNATURE)),
    }
    if let ReturnType::Type(_, returned) = &sig.output {
        let unit = matches!(&**returned, Type::Tuple(tuple) if tuple.elems.is_empty());
        if !unit {
            return Err(Error::new_spanned(
                returned,
                "a Squall test returns nothing: what must hold is a property (world.check) or an assertion in a node",
            ));
        }
    }
    if let Some(attribute) = attrs.iter().find(|attribute| attribute.path().is_ident("test")) {
        return Err(Error::new_spanned(attribute, "#[squall::test] makes the test: leave #[test] out"));
    }

    let name = &sig.ident;
    let inputs = &sig.inputs;
    let seeds = match options.seeds {
        Some(seeds) => quote! { .seeds(#seeds) },
        None => quote! {},
    };
    let strategy = match options.strategy {
        Some(strategy) => quote! { .strategy_named(#strategy) },
        None => quote! {},
    };
    let isolation = match options.isolation {
        Some(isolation) => quote! { .isolation_named(#isolation) },
        None => quote! {},
    };
    Ok(quote! {
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis fn #name() {
            fn #name(#inputs) #block
            ::squall::testing::Exploration::named(
                ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)),
            )
            #seeds
            #strategy
            #isolation
            .build(::squall::build_identity!())
            .run(#name);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(options: TokenStream, item: TokenStream) -> String {
        match expand(options, item) {
            Ok(tokens) => panic!("it was let through: {tokens}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn options_reach_the_exploration() {
        let item = quote! { #[should_panic] fn calm(world: &mut World) -> () {} };
        let options = quote! { seeds = 5..1_000, strategy = "pct:3:50", isolation = "auto", };
        let text = expand(options, item).expect("it expands").to_string();
        assert!(text.contains(". seeds (5 .. 1_000)"), "{text}");
        assert!(text.contains(". strategy_named (\"pct:3:50\")"), "{text}");
        assert!(text.contains(". isolation_named (\"auto\")"), "{text}");
        assert!(text.contains("# [should_panic]"), "{text}");
        assert!(text.contains(". build (:: squall :: build_identity ! ())"), "{text}");
    }

    #[test]
    fn wrong_options_are_told_what_is_allowed() {
        let item = || quote! { fn calm(world: &mut World) {} };
        for (options, expected) in [
            (quote! { seed = 5 }, "there is no option `seed`; the options are `seeds = 1_000`"),
            (quote! { seeds }, "expected `seeds = …`"),
            (quote! { seeds = "5" }, "expected a number of seeds"),
            (quote! { seeds = -5 }, "expected a number of seeds"),
            (quote! { seeds = 5.. }, "expected a number of seeds"),
            (quote! { seeds = 1.5 }, "expected a number of seeds"),
            (quote! { seeds = 5, seeds = 6 }, "given twice"),
            (quote! { strategy = "pos" }, "expected a strategy"),
            (quote! { isolation = "proces" }, "\"process\""),
            (quote! { isolation = "auto", isolation = "auto" }, "given twice"),
            (quote! { strategy = random }, "expected a strategy"),
        ] {
            let error = error(options, item());
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn wrong_signatures_are_refused() {
        for (item, expected) in [
            (quote! { fn calm() {} }, "describes a world"),
            (quote! { fn calm(world: World) {} }, "describes a world"),
            (quote! { fn calm(world: &World) {} }, "describes a world"),
            (quote! { fn calm(world: &mut World, other: u8) {} }, "describes a world"),
            (quote! { fn calm(&mut self) {} }, "describes a world"),
            (quote! { async fn calm(world: &mut World) {} }, "can't be async"),
            (quote! { fn calm<T>(world: &mut World) {} }, "can't be generic"),
            (quote! { fn calm(world: &mut World) -> Result<(), String> {} }, "returns nothing"),
            (quote! { #[test] fn calm(world: &mut World) {} }, "leave #[test] out"),
        ] {
            let error = error(TokenStream::new(), item);
            assert!(error.contains(expected), "{error}");
        }
    }
}
