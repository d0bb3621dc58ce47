//! Phase 2: the plans, assembled downstream first into nested consumers. What is written here cannot fail once phase 1
//! has passed, so it keeps off the user's spans; only the second use of a stream may, if its items are not `Clone`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};

use super::lower::{plan_name, token_name};
use super::signature::{ParamKind, Shape};
use super::{Flow, Step, StreamIx};

/// A stage is cut where this many steps run into one another: types that nest deeper take the compiler too long, and
/// at about twice this depth its recursion limit is reached.
const SEAL_AT_DEPTH: usize = 32;

/// A stage is cut, too, where it has this many steps in all its branches.
const SEAL_AT_SIZE: usize = 96;

/// What an unseen neighbour is taken for: what lies behind an output of a sub-flow.
const UNSEEN: Nested = Nested { depth: 16, size: 16 };

/// How far steps are nested in one another.
#[derive(Clone, Copy, Default)]
struct Nested {
    /// The most that run into one another.
    depth: usize,
    /// All of them.
    size: usize,
}

impl Nested {
    /// One step alone.
    const ONE: Nested = Nested { depth: 1, size: 1 };

    /// Side by side, as the branches of a fan-out are.
    fn beside(self, other: Nested) -> Nested {
        Nested { depth: self.depth.max(other.depth), size: self.size + other.size }
    }

    /// Behind one more step.
    fn behind_one(self) -> Nested {
        Nested { depth: self.depth + 1, size: self.size + 1 }
    }

    fn is_too_much(self) -> bool {
        self.depth >= SEAL_AT_DEPTH || self.size >= SEAL_AT_SIZE
    }
}

/// Steps in front of which a stage ends by itself.
const BOUNDARIES: [&str; 12] = [
    "source",
    "sink",
    "discard",
    "key_by",
    "key_by_ref",
    "into_keyed",
    "rebalance",
    "merge",
    "connect",
    "broadcast",
    "async_map",
    "enrich",
];

/// The consumers of one stream, while they are being gathered.
#[derive(Clone, Default)]
struct Consumers {
    /// One per use, last use first.
    exprs: Vec<TokenStream>,
    /// The steps in them.
    nested: Nested,
}

/// Phase 2 of a flow, ending in the tuple of its inputs' consumers.
pub(super) fn assemble(flow: &Flow) -> TokenStream {
    let private = flow.paths.private();
    let mut consumers = vec![Consumers::default(); flow.streams.len()];
    for (n, (ix, _)) in flow.returned.streams().iter().enumerate().rev() {
        let (token, down) = (token_name(*ix), format_ident!("__d{}", n));
        consumers[*ix].exprs.push(quote!(#private::Edge::new(#token, #down)));
        consumers[*ix].nested = consumers[*ix].nested.beside(UNSEEN);
    }
    let mut code = TokenStream::new();
    let steps: Vec<&Step> = flow.steps().collect();
    for (node, step) in steps.iter().enumerate().rev() {
        code.extend(assemble_step(flow, step, node, &mut consumers));
    }
    let inputs: Vec<StreamIx> = (0..flow.streams.len())
        .filter(|ix| {
            matches!(flow.streams[*ix].from, super::From::Input(_)) && !flow.streams[*ix].broadcast
        })
        .collect();
    let mut entries = Vec::new();
    for ix in inputs {
        let (sealed, expr, _) = joined(flow, ix, &consumers[ix]);
        code.extend(sealed);
        let entry = format_ident!("__in{}", ix);
        code.extend(quote!(let #entry = #expr;));
        entries.push(entry);
    }
    let end = match flow.signature.shape() {
        Shape::Whole => quote!(#private::Assembled),
        Shape::Feed => quote!(),
        Shape::Sub if flow.signature.of_kind(ParamKind::Stream).next().is_none() => quote!(),
        Shape::Sub => quote!((#(#entries,)*)),
    };
    quote!(#code #end)
}

fn assemble_step(
    flow: &Flow,
    step: &Step,
    node: usize,
    consumers: &mut [Consumers],
) -> TokenStream {
    let private = flow.paths.private();
    let mut code = TokenStream::new();
    let (mut downs, mut nested) = (Vec::new(), Nested::default());
    for ix in step.outputs.streams().into_iter().filter(|ix| !flow.streams[*ix].broadcast) {
        let (sealed, expr, behind) = joined(flow, ix, &consumers[ix]);
        code.extend(sealed);
        downs.push(expr);
        nested = nested.beside(behind);
    }
    let inputs: Vec<_> = step.inputs().map(|(ix, _)| ix).collect();
    let plan = plan_name(node);
    let id = &step.id;
    let plan_trait = format_ident!("Plan{}", inputs.len());
    let holes = inputs.iter().map(|_| quote!(_));
    let names: Vec<_> = (0..inputs.len()).map(|n| format_ident!("__c{}_{}", node, n)).collect();
    let bind = match names.is_empty() {
        true => quote!(),
        false => quote!(let (#(#names,)*) =),
    };
    code.extend(quote! {
        #bind #private::#plan_trait::<__H, #(#holes,)* _>::assemble(
            #plan,
            __cx,
            __id.child(#id),
            (#(#downs,)*),
        );
    });
    let ends_stage = BOUNDARIES.iter().any(|name| step.callee() == name);
    let nested = if ends_stage { Nested::ONE } else { nested.behind_one() };
    for (ix, name) in inputs.into_iter().zip(names) {
        let token = token_name(ix);
        consumers[ix].exprs.push(quote!(#private::Edge::new(#token, #name)));
        consumers[ix].nested = consumers[ix].nested.beside(nested);
    }
    code
}

/// All consumers of a stream as one: a `Tee` where there are several, and sealed where they nest too deep.
fn joined(flow: &Flow, ix: StreamIx, consumers: &Consumers) -> (TokenStream, TokenStream, Nested) {
    let private = flow.paths.private();
    let stream = &flow.streams[ix];
    let token = token_name(ix);
    let mut exprs = consumers.exprs.iter();
    let Some(last) = exprs.next() else {
        // Only a flow with an error has a stream that nobody uses, and that is not assembled.
        return (TokenStream::new(), quote!(()), Nested::default());
    };
    let second_use = stream.uses.get(1).map_or_else(proc_macro2::Span::call_site, |at| at.span());
    let duplicate = quote_spanned!(second_use=> |__x| #private::FanOut::duplicate(__x));
    let expr = exprs.fold(
        last.clone(),
        |later, earlier| quote!(#private::Tee::new(#token, #earlier, #later, #duplicate)),
    );
    if !consumers.nested.is_too_much() {
        return (TokenStream::new(), expr, consumers.nested);
    }
    let sealed = format_ident!("__sealed{}", ix);
    let id = format!("{}.seal", stream.name);
    let code = quote! {
        let #sealed = #expr;
        let #sealed = #private::seal::<__H, _, _>(__cx, __id.child(#id), #token, #sealed);
    };
    (code, quote!(#sealed), Nested::ONE)
}
