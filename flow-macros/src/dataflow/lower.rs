//! Phase 1: the body as it was written, on tokens, with the user's spans and in the user's order.
//!
//! `let words = split(lines);` becomes `<split>::__check(lines); let (words, __plan1) = <split>::__wire(lines);`. All type
//! errors appear here. Phase 2 uses the tokens `__tokN` and the plans `__planN` that this leaves behind.

use proc_macro2::{Group, Ident, Literal, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, PathArguments, Stmt, Token};

use super::scope::{self, Place, Visitor, words};
use super::signature::ParamKind;
use super::{Arg, Flow, Outputs, Part, Step, StreamIx, last};
use crate::paths::Paths;

/// The token of a stream, out of reach of the user's names.
pub(super) fn token_name(ix: StreamIx) -> Ident {
    format_ident!("__tok{}", ix)
}

/// The plan of a step.
pub(super) fn plan_name(node: usize) -> Ident {
    format_ident!("__plan{}", node)
}

/// Phase 1 of a flow.
pub(super) fn lower(flow: &Flow) -> TokenStream {
    let params = Params::of(flow);
    let mut code = inputs(flow);
    if flow.exactly_once {
        // What reaches nothing outside has no answer of its own.
        let private = flow.paths.private();
        code.extend(quote! {
            #[allow(unused_imports)]
            use #private::NoEnds as _;
        });
    }
    let mut node = 0;
    for part in &flow.body {
        match part {
            Part::Plain(stmt) => {
                let mut stmt = stmt.clone();
                clone_in_statement(&mut stmt, &params);
                stmt.to_tokens(&mut code);
            }
            // An error in expression position has the error type: nothing downstream is reported again.
            Part::Bad(names, error) if names.is_empty() => code.extend(quote!({ #error };)),
            Part::Bad(names, error) => code.extend(quote!(#(let #names = { #error };)*)),
            Part::Step(step) => {
                code.extend(lower_step(flow, step, node, &params));
                node += 1;
            }
        }
    }
    code.extend(returned(flow));
    code
}

/// The tokens of the streams that come in.
fn inputs(flow: &Flow) -> TokenStream {
    let private = flow.paths.private();
    let mut code = TokenStream::new();
    for param in flow.signature.of_kind(ParamKind::Stream) {
        let Some(ix) = flow.streams.iter().position(|stream| stream.name == param.name) else {
            continue;
        };
        let (token, name, ty) = (token_name(ix), &param.name, &param.ty);
        code.extend(quote! {
            let #token = <#ty as #private::Token>::token();
            let #name = #token;
        });
    }
    code
}

fn lower_step(flow: &Flow, step: &Step, node: usize, params: &Params) -> TokenStream {
    let span = step.callee().span();
    let (plan, path) = (plan_name(node), path_of(step));
    let mut code = TokenStream::new();

    // The check of the inputs is a call of its own: what it says is said once.
    let streams: Vec<&Ident> = step.inputs().map(|(_, at)| at).collect();
    let unknown = step.args.iter().any(|arg| matches!(arg, Arg::Unknown(_)));
    let mut checks = Vec::new();
    if !streams.is_empty() && !unknown {
        let check = method(step, "__check", streams.len());
        let arguments = parenthesised(step, quote!(#(#streams),*));
        let called = quote_spanned!(span=> <#path>::#check);
        let answer = format_ident!("__checked{}", node);
        code.extend(quote!(#[cfg(not(rust_analyzer))] let #answer = #called #arguments;));
        checks.push(answer);
    }

    let arguments: Vec<TokenStream> =
        step.args.iter().map(|arg| argument(flow, arg, params)).collect();
    let arguments = parenthesised(step, quote!(#(#arguments),*));
    let wire = method(step, "__wire", step.args.len());
    let called = match turbofish(step) {
        Some(types) => quote_spanned!(span=> <#path>::__types::#types().#wire),
        None => quote_spanned!(span=> <#path>::#wire),
    };
    let let_token = step.let_token.unwrap_or_default();
    let ty = step.ty.as_ref().map(|ty| quote!(: (#ty, _)));
    let ways = format_ident!("__ways{}", node);
    let pattern = match &step.outputs {
        Outputs::None => quote!(()),
        Outputs::One(ix) => flow.streams[*ix].name.to_token_stream(),
        Outputs::Tuple(all) => {
            let names = all.iter().map(|ix| &flow.streams[*ix].name);
            quote!((#(#names),*))
        }
        Outputs::Named { .. } => ways.to_token_stream(),
    };
    code.extend(quote!(#let_token (#pattern, #plan) #ty = #called #arguments;));
    if flow.exactly_once {
        code.extend(exactly_once(step, &plan));
    }
    if let Outputs::Named { path, fields } = &step.outputs {
        let answer = format_ident!("__bound{}", node);
        code.extend(by_name(flow, &ways, path, fields, &answer));
        checks.push(answer);
    }
    if let Outputs::One(ix) = &step.outputs
        && !flow.streams[*ix].broadcast
    {
        let name = &flow.streams[*ix].name;
        let private = flow.paths.private_at(name.span());
        let answer = format_ident!("__one{}", node);
        code.extend(quote_spanned!(name.span()=>
            #[cfg(not(rust_analyzer))]
            let #answer = #private::one_stream(&#name);
            // What is not one stream is not reported again where the name is used.
            #[cfg(not(rust_analyzer))]
            let #name = #private::when(#answer, #name);
        ));
        checks.push(answer);
        // What must hold for the output is said at the input that the user wrote.
        let post = Ident::new("__post", span);
        let at = step.call.args.first().map_or(span, Spanned::span);
        let output = respan(quote!((#name)), at);
        let called = quote_spanned!(span=> <#path>::#post);
        let answer = format_ident!("__posted{}", node);
        code.extend(quote!(#[cfg(not(rust_analyzer))] let #answer = #called #output;));
        checks.push(answer);
    }
    let private = flow.paths.private();
    for check in checks {
        code.extend(quote!(#[cfg(not(rust_analyzer))] let #plan = #private::when(#check, #plan);));
    }
    for ix in step.outputs.streams() {
        if !flow.streams[ix].broadcast {
            let (token, name) = (token_name(ix), &flow.streams[ix].name);
            code.extend(quote!(let #token = #name;));
        }
    }
    code
}

/// What `delivery = exactly_once` asks of a step. It asks the plan, for its type: the argument is evaluated once. What is
/// wrong is said at the source or sink that the user wrote, and at the name of a sub-flow.
fn exactly_once(step: &Step, plan: &Ident) -> TokenStream {
    let span = step.callee().span();
    let at = match step.call.args.last() {
        Some(last) if step.callee() == "source" || step.callee() == "sink" => {
            last.to_token_stream()
        }
        _ => step.callee().to_token_stream(),
    };
    // An expression reaches from its first token to its last.
    let mut spans = at.into_iter().map(|token| token.span());
    let first = spans.next().unwrap_or(span);
    let wired = Ident::new("__wired", spans.last().unwrap_or(first));
    let given = quote_spanned!(first=> &#wired);
    let (path, check) = (path_of(step), Ident::new("__exactly_once", span));
    let called = quote_spanned!(span=> <#path>::#check);
    quote! {
        #[cfg(not(rust_analyzer))]
        {
            let #wired = &#plan;
            #called(#given);
        }
    }
}

/// Binds several streams by name, and sees to it that none is left out.
fn by_name(
    flow: &Flow,
    ways: &Ident,
    path: &syn::Path,
    fields: &[(Ident, StreamIx)],
    answer: &Ident,
) -> TokenStream {
    let private = flow.paths.private();
    let span = last(path).span();
    // The path says nothing that rustc does not know; mentioned like this, its import is a used one.
    let rest = Ident::new("__rest", span);
    let mut code = quote! {
        #[allow(unused_imports)]
        use #path as _;
        let #rest = #ways.__rest;
    };
    for (field, ix) in fields {
        let name = &flow.streams[*ix].name;
        let way = quote_spanned!(field.span()=> #ways.#field);
        code.extend(quote! {
            let #name = #way;
            let #rest = #private::bind(#rest, &#name);
            let #name = #name.stream;
        });
    }
    // The whole call is at the user's path: so is an error about it.
    let all_bound = Ident::new("__all_bound", span);
    code.extend(quote_spanned!(span=> let #answer = #rest.#all_bound();));
    code
}

/// `__check`, or `__check3` for a `merge` of three.
fn method(step: &Step, name: &str, count: usize) -> Ident {
    let count = if step.callee() == "merge" { count.to_string() } else { String::new() };
    Ident::new(&format!("{name}{count}"), step.callee().span())
}

/// The path of the operator without its turbofish.
pub(super) fn path_of(step: &Step) -> syn::Path {
    let mut path = step.path.clone();
    if let Some(last) = path.segments.last_mut() {
        last.arguments = PathArguments::None;
    }
    path
}

/// `<u32>` of `parse::<u32>(lines)`.
fn turbofish(step: &Step) -> Option<TokenStream> {
    match &step.path.segments.last()?.arguments {
        PathArguments::AngleBracketed(arguments) => {
            let args = &arguments.args;
            Some(quote!(<#args>))
        }
        _ => None,
    }
}

/// Tokens within the parentheses of the user's call, so that errors about the number of arguments point there.
fn parenthesised(step: &Step, inner: TokenStream) -> TokenStream {
    let mut tokens = TokenStream::new();
    step.call.paren_token.surround(&mut tokens, |tokens| inner.to_tokens(tokens));
    tokens
}

/// The same tokens at another place; names still resolve where they were written.
fn respan(tokens: TokenStream, at: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|mut token| match &token {
            TokenTree::Group(group) => {
                let mut moved = Group::new(group.delimiter(), respan(group.stream(), at));
                moved.set_span(at);
                moved.into()
            }
            _ => {
                token.set_span(at.resolved_at(token.span()));
                token
            }
        })
        .collect()
}

fn argument(flow: &Flow, arg: &Arg, params: &Params) -> TokenStream {
    match arg {
        Arg::Stream(_, name) => name.to_token_stream(),
        // Refused, even where rustc knows the name: the step would not be wired.
        Arg::Unknown(name) => {
            let private = flow.paths.private_at(name.span());
            quote_spanned!(name.span()=> #private::bound_by_step(&#name))
        }
        Arg::Broadcast(_, name) => {
            let private = flow.paths.private_at(name.span());
            quote_spanned!(name.span()=> #private::handle(&#name))
        }
        Arg::Config(expr) => {
            let mut expr = expr.clone();
            scope::walk(&mut expr, &mut Clones { params, in_step: true });
            expr.to_token_stream()
        }
    }
}

fn clone_in_statement(stmt: &mut Stmt, params: &Params) {
    scope::walk_stmt(stmt, &mut Clones { params, in_step: false });
}

/// The parameters that are configuration, and how each is cloned.
struct Params {
    names: Vec<Ident>,
    /// The type that stands for the parameters: it knows that they can be cloned.
    marker: TokenStream,
    paths: Paths,
}

impl Params {
    fn of(flow: &Flow) -> Params {
        let (marker, list) = (super::emit::params_name(flow), flow.signature.generic_list());
        Params {
            names: flow
                .signature
                .of_kind(ParamKind::Config)
                .map(|param| param.name.clone())
                .collect(),
            marker: quote!(#marker #list),
            paths: flow.paths.clone(),
        }
    }

    /// A clone of a parameter.
    fn clone_of(&self, name: &Ident) -> Option<TokenStream> {
        let n = self.names.iter().position(|param| param == name)?;
        let (marker, n) = (&self.marker, Literal::usize_unsuffixed(n));
        // What is wrong with the parameter's type is wrong where it is given.
        let given = self.paths.private_at(name.span());
        Some(quote_spanned!(name.span()=> #given::given::<#marker, #n>(&#name)))
    }
}

/// Clones the dataflow's parameters wherever they are mentioned, so that each may be mentioned many times.
///
/// In a step's argument that is every mention; a closure there takes clones of its own and gets `move`. In ordinary Rust
/// only a parameter that would be moved is cloned: ordinary Rust stays as it is otherwise.
struct Clones<'a> {
    params: &'a Params,
    in_step: bool,
}

impl Clones<'_> {
    /// `{ let a = a.clone(); expr }`, for the parameters among the words.
    fn around(&self, expr: &Expr, words: &[Ident]) -> Option<Expr> {
        let mut own: Vec<&Ident> =
            words.iter().filter(|word| self.params.names.contains(word)).collect();
        own.sort();
        own.dedup();
        let clones: Vec<TokenStream> =
            own.iter().filter_map(|name| self.params.clone_of(name)).collect();
        if clones.is_empty() {
            return None;
        }
        // A word may be no mention of the parameter at all.
        Some(Expr::Verbatim(quote!({
            #(
                #[allow(unused_variables)]
                let #own = #clones;
            )*
            #expr
        })))
    }
}

impl Visitor for Clones<'_> {
    fn name(&mut self, expr: &mut Expr, name: &Ident, place: Place) {
        let moves = match place {
            Place::Moved => true,
            Place::Looked => self.in_step,
            Place::Borrowed | Place::Assigned => false,
        };
        if let (true, Some(clone)) = (moves, self.params.clone_of(name)) {
            *expr = Expr::Verbatim(clone);
        }
    }

    fn closure(&mut self, closure: &mut Expr) -> bool {
        let Expr::Closure(inner) = closure else { return false };
        if self.in_step {
            inner.capture.get_or_insert_with(|| Token![move](inner.inputs_begin.span()));
            let mut found = Vec::new();
            words(inner.to_token_stream(), &mut found);
            if let Some(cloned) = self.around(closure, &found) {
                *closure = cloned;
            }
        }
        false
    }

    fn invocation(&mut self, expr: Option<&mut Expr>, words: &[Ident]) {
        if let (Some(expr), true) = (expr, self.in_step)
            && let Some(cloned) = self.around(expr, words)
        {
            *expr = cloned;
        }
    }
}

/// That what is returned has the declared types; an error points at the returned name.
fn returned(flow: &Flow) -> TokenStream {
    use super::Returned;
    use super::signature::Output;
    let mut code = TokenStream::new();
    match (&flow.returned, &flow.signature.output) {
        (Returned::Struct { expr, .. }, Output::Struct(ty)) => {
            code.extend(quote_spanned!(expr.span()=> let _: #ty = #expr;));
        }
        (Returned::Streams(streams), output) => {
            for ((_, at), ty) in streams.iter().zip(output.types()) {
                code.extend(quote_spanned!(at.span()=> let _: #ty = #at;));
            }
        }
        _ => {}
    }
    code
}
