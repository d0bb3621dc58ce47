//! The items that a dataflow becomes: the type of its name, the plan, the function.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{GenericParam, Index, Type};

use super::signature::{Output, Param, ParamKind, Shape};
use super::{Flow, Returned, assemble, graph, lower};
use crate::diag::Errors;
use crate::paths::{allows, cfgs, docs};
use crate::text::mentions;

/// What more than one of the items needs.
struct Parts<'a> {
    flow: &'a Flow,
    private: TokenStream,
    allows: TokenStream,
    name: &'a Ident,
    vis: &'a syn::Visibility,
    /// The hidden type that holds what the plan needs.
    plan: Ident,
    /// `T: Item, const N: usize`
    generics: Vec<TokenStream>,
    /// `<T, N>`, or nothing
    generic_list: TokenStream,
    where_clause: TokenStream,
    /// Phase 1, phase 2 and the errors.
    body: TokenStream,
}

pub(super) fn emit(flow: Flow, errors: Errors) -> TokenStream {
    let phase1 = lower::lower(&flow);
    let errors = errors.into_tokens();
    let phase2 = if flow.poisoned {
        // Something is reported here, or by rustc in phase 1: this does not compile, and is not assembled.
        unwired(&flow)
    } else {
        assemble::assemble(&flow)
    };
    let name = &flow.function.sig.ident;
    let parts = Parts {
        private: flow.paths.private(),
        allows: allows(),
        name,
        vis: &flow.function.vis,
        plan: format_ident!("__{}_plan", name.unraw(), span = Span::call_site()),
        generics: flow.signature.generic_params(),
        generic_list: flow.signature.generic_list(),
        where_clause: flow.function.sig.generics.where_clause.to_token_stream(),
        body: quote!(#errors #phase1 #phase2),
        flow: &flow,
    };
    let (methods, plan) = match flow.signature.shape() {
        Shape::Whole => (TokenStream::new(), parts.whole()),
        Shape::Feed => (TokenStream::new(), parts.feed()),
        Shape::Sub => {
            let (methods, mut items) = parts.step_methods();
            items.extend(parts.sub());
            (methods, items)
        }
    };
    let function = parts.function();
    let Parts { vis, private, allows, .. } = &parts;
    let cfgs = cfgs(&flow.function.attrs);
    let docs = docs(&flow.function.attrs);
    let graph = graph::graph(&flow);
    let times = graph::times(&flow).into_iter().map(|item| quote!(#(#cfgs)* #item));
    let plan = plan.into_iter().map(|item| quote!(#(#cfgs)* #allows #item));
    quote! {
        #function
        #(#docs)*
        #(#cfgs)*
        #allows
        #vis enum #name {}
        #(#cfgs)*
        #allows
        impl #name {
            /// The dataflow as it was written, known at compile time.
            #vis const GRAPH: #private::Graph = #graph;
            #methods
        }
        #(#plan)*
        #(#times)*
    }
}

/// The end of a body that is not assembled.
fn unwired(flow: &Flow) -> TokenStream {
    let never = quote!(::core::unreachable!("a dataflow with an error does not compile"));
    match flow.signature.of_kind(ParamKind::Stream).count() {
        0 => never,
        count => {
            let private = flow.paths.private();
            let entries = (0..count).map(|_| quote!(__unwired()));
            quote!(
                fn __unwired() -> #private::Unwired {
                    #never
                }
                (#(#entries,)*)
            )
        }
    }
}

/// The type that stands for the parameters of a flow.
pub(super) fn params_name(flow: &Flow) -> Ident {
    format_ident!("__{}_params", flow.function.sig.ident.unraw(), span = Span::call_site())
}

impl Parts<'_> {
    fn stored(&self) -> Vec<&Param> {
        self.flow.signature.stored().collect()
    }

    /// `<__H: Host, T: Item>`: parameters of our own in front of the flow's.
    fn with_generics(&self, more: &[TokenStream]) -> TokenStream {
        let own = &self.generics;
        match more.is_empty() && own.is_empty() {
            true => quote!(),
            false => quote!(<#(#more,)* #(#own),*>),
        }
    }

    /// `<T, const N: usize>`: without bounds, as on a struct.
    fn bare_generics(&self) -> TokenStream {
        let params = self.flow.signature.generics.params.iter().map(|param| match param {
            GenericParam::Type(ty) => ty.ident.to_token_stream(),
            other => other.to_token_stream(),
        });
        match self.generics.is_empty() {
            true => quote!(),
            false => quote!(<#(#params),*>),
        }
    }

    /// A field that mentions every type parameter.
    fn phantom(&self) -> TokenStream {
        let types = self.flow.signature.type_params();
        quote!(::core::marker::PhantomData<fn() -> (#(#types,)*)>)
    }

    /// The struct that holds the parameters, and an expression that is also a pattern for it.
    fn holder(&self) -> (TokenStream, TokenStream) {
        let Parts { plan, vis, .. } = self;
        let stored = self.stored();
        let names: Vec<&Ident> = stored.iter().map(|param| &param.name).collect();
        let types = stored.iter().map(|param| &param.ty);
        let (generics, phantom) = (self.bare_generics(), self.phantom());
        let item = quote! {
            #[doc(hidden)]
            #vis struct #plan #generics {
                #(#names: #types,)*
                __types: #phantom,
            }
        };
        (item, quote!(#plan { #(#names,)* __types: _ }))
    }

    fn held(&self) -> TokenStream {
        let plan = &self.plan;
        let names = self.stored().into_iter().map(|param| &param.name);
        quote!(#plan { #(#names,)* __types: ::core::marker::PhantomData })
    }

    /// The parameters, each with the bound on it: what mentions them goes through this.
    fn params(&self) -> Vec<TokenStream> {
        let Parts { flow, generic_list, where_clause, .. } = self;
        let (generics, phantom) = (self.bare_generics(), self.phantom());
        let impl_generics = self.with_generics(&[]);
        let marker = params_name(flow);
        let mut items = vec![quote!(struct #marker #generics(#phantom);)];
        for (n, param) in flow.signature.of_kind(ParamKind::Config).enumerate() {
            let (ty, n) = (&param.ty, Index::from(n));
            let private = flow.paths.private_at(ty.span());
            let assoc = quote_spanned!(ty.span()=> type Type = #ty;);
            items.push(quote! {
                impl #impl_generics #private::ParamAt<#n> for #marker #generic_list #where_clause {
                    #assoc
                }
            });
        }
        items
    }

    /// A whole dataflow: the type that stands for its parameters has the body, of which the runtime makes a plan.
    fn whole(&self) -> Vec<TokenStream> {
        let Parts { private, name, generic_list, where_clause, body, flow, .. } = self;
        let stored = self.stored();
        let impl_generics = self.with_generics(&[]);
        let names: Vec<&Ident> = stored.iter().map(|param| &param.name).collect();
        let params = stored.iter().map(|Param { name, ty, .. }| quote!(#name: #ty));
        let (marker, count) = (params_name(flow), Index::from(stored.len()));
        let mut items = self.params();
        items.push(quote! {
            impl #impl_generics #marker #generic_list #where_clause {
                fn __new(#(#params),*) -> #private::FlowOf<Self> {
                    #private::FlowOf((#(#names,)*))
                }
            }
        });
        items.push(quote! {
            impl #impl_generics #private::FlowBody for #marker #generic_list #where_clause {
                type Count = #private::Count<#count>;
                const GRAPH: #private::Graph = <#name>::GRAPH;
                #[allow(unreachable_code)]
                fn assemble<__H: #private::Host>(
                    (#(#names,)*): <Self::Count as #private::ParamsOf<Self>>::Params,
                    __cx: &mut __H::Cx<'_>,
                ) -> #private::Assembled {
                    let __id = #private::StepId::root();
                    #body
                }
            }
        });
        items
    }

    /// What a dataflow that is declared `delivery = exactly_once` has to know of this one.
    fn within(&self, ends: TokenStream) -> TokenStream {
        let (private, declared) = (&self.private, self.flow.exactly_once);
        quote!(#private::Within<{ #ends }, #declared>)
    }

    /// A sub-flow without inputs.
    fn feed(&self) -> Vec<TokenStream> {
        let Parts { private, plan, generic_list, where_clause, body, flow, .. } = self;
        let (holder, pattern) = self.holder();
        let impl_generics = self.with_generics(&[]);
        let out = match &flow.signature.output {
            Output::One(ty) => ty.to_token_stream(),
            // An error says so.
            _ => quote!(#private::Stream<()>),
        };
        let within = self.within(quote!(true));
        let mut items = self.params();
        items.extend([
            holder,
            quote! {
                impl #impl_generics #private::FeedPlan for #plan #generic_list #where_clause {
                    type Out = #out;
                    type Ends = #within;
                    #[allow(unreachable_code)]
                    fn assemble<__H: #private::Host, __D0: #private::Consumer<Self::Out>>(
                        self,
                        __cx: &mut __H::Cx<'_>,
                        __id: #private::StepId,
                        __d0: __D0,
                    ) {
                        let #pattern = self;
                        #body
                    }
                }
            },
        ]);
        items
    }

    /// The stream types of a sub-flow's outputs, in the order of its plan's consumers.
    fn output_types(&self) -> Vec<TokenStream> {
        let private = &self.private;
        match (&self.flow.signature.output, &self.flow.returned) {
            (Output::Struct(ty), Returned::Struct { fields, .. }) => (0..fields.len())
                .map(|n| {
                    let n = Index::from(n);
                    quote!(<#ty as #private::OutputAt<#n>>::Token)
                })
                .collect(),
            (output, _) => output.types().iter().map(ToTokens::to_token_stream).collect(),
        }
    }

    /// A sub-flow, as a plan like an operator's.
    fn sub(&self) -> Vec<TokenStream> {
        let Parts { private, plan, generic_list, where_clause, body, flow, .. } = self;
        let (holder, pattern) = self.holder();
        let inputs: Vec<&Type> =
            flow.signature.of_kind(ParamKind::Stream).map(|param| &param.ty).collect();
        let outputs = self.output_types();
        let downs: Vec<Ident> = (0..outputs.len()).map(|n| format_ident!("__D{}", n)).collect();
        let down_names: Vec<Ident> =
            (0..outputs.len()).map(|n| format_ident!("__d{}", n)).collect();
        let mut more = vec![quote!(__H: #private::Host)];
        more.extend(
            downs.iter().zip(&outputs).map(|(down, ty)| quote!(#down: #private::Consumer<#ty>)),
        );
        let impl_generics = self.with_generics(&more);
        let plan_trait = format_ident!("Plan{}", inputs.len());
        let own = flow.signature.generic_args();
        let entries = inputs
            .iter()
            .map(|ty| quote!(impl #private::Consumer<#ty> + use<__H, #(#downs,)* #(#own),*>));
        let returns = match inputs.is_empty() {
            true => quote!(),
            false => quote!(-> (#(#entries,)*)),
        };
        let mut items = self.params();
        items.extend([
            holder,
            quote! {
                impl #impl_generics #private::#plan_trait<__H, #(#inputs,)* (#(#downs,)*)>
                    for #plan #generic_list
                #where_clause
                {
                    #[allow(unreachable_code)]
                    fn assemble(
                        self,
                        __cx: &mut __H::Cx<'_>,
                        __id: #private::StepId,
                        (#(#down_names,)*): (#(#downs,)*),
                    ) #returns {
                        let #pattern = self;
                        #body
                    }
                }
            },
        ]);
        items
    }

    /// What makes a sub-flow a step.
    fn step_methods(&self) -> (TokenStream, Vec<TokenStream>) {
        let Parts { private, vis, name, flow, .. } = self;
        let own = flow.signature.generic_args();
        // A stream type that depends on a type parameter teaches it; any other is checked apart, so that it is
        // reported once.
        let (mut wire_generics, mut wire_params) = (self.generics.clone(), Vec::new());
        let (mut check_generics, mut check_params) = (Vec::new(), Vec::new());
        for (n, Param { name, ty, kind }) in flow.signature.params.iter().enumerate() {
            let given = format_ident!("__U{}", n);
            match kind {
                ParamKind::Stream if !mentions(ty, &own) => {
                    wire_generics.push(quote!(#given: #private::Token));
                    wire_params.push(quote!(#name: #given));
                    let private = flow.paths.private_at(ty.span());
                    check_generics.push(quote_spanned!(ty.span()=> #given: #private::Fits<#ty>));
                    check_params.push(quote!(_: #given));
                }
                ParamKind::Stream => {
                    wire_params.push(quote!(#name: #ty));
                    check_generics.push(given.to_token_stream());
                    check_params.push(quote!(_: #given));
                }
                ParamKind::Broadcast | ParamKind::Config => wire_params.push(quote!(#name: #ty)),
            }
        }
        let count = self.generics.len();
        let wired = self.wire(&wire_generics, &wire_params, false);
        let (types, types_fn) = self.types(&wire_generics[count..], &wire_params);
        let within = self.within(quote!(<#name>::GRAPH.has_ends()));
        let methods = quote! {
            #[doc(hidden)]
            #vis const OPERATOR: #private::Operator = #private::Operator::of(#private::Kind::Flow(&Self::GRAPH));
            #[doc(hidden)]
            #vis fn __check<#(#check_generics),*>(#(#check_params),*) {}
            #[doc(hidden)]
            #vis fn __post<__U>(_: __U) {}
            #[doc(hidden)]
            #vis fn __exactly_once<__P>(_: &__P)
            where
                __P: #private::Holds<#within>,
            {
            }
            #wired
            #types_fn
        };
        (methods, types)
    }

    /// `__wire`: the call as the dataflow makes it. With a receiver, the type parameters are known already.
    fn wire(
        &self,
        generics: &[TokenStream],
        params: &[TokenStream],
        receiver: bool,
    ) -> TokenStream {
        let Parts { name, vis, plan, generic_list, where_clause, .. } = self;
        let (out, token) = self.output_tokens();
        let held = self.held();
        let wire = Ident::new("__wire", name.span());
        let (receiver, where_clause) = match receiver {
            true => (quote!(self,), quote!()),
            false => (quote!(), where_clause.clone()),
        };
        quote! {
            #[doc(hidden)]
            #[allow(unused_variables)]
            #vis fn #wire<#(#generics),*>(#receiver #(#params),*) -> (#out, #plan #generic_list) #where_clause {
                (#token, #held)
            }
        }
    }

    /// `only::<u32>(..)`: the type parameters are given first, then the call is wired.
    fn types(
        &self,
        wire_generics: &[TokenStream],
        wire_params: &[TokenStream],
    ) -> (Vec<TokenStream>, TokenStream) {
        if self.generics.is_empty() {
            return (Vec::new(), TokenStream::new());
        }
        let Parts { name, vis, generic_list, where_clause, .. } = self;
        let given = format_ident!("__{}_types", name.unraw(), span = Span::call_site());
        let (generics, declared, phantom) =
            (self.with_generics(&[]), self.bare_generics(), self.phantom());
        let wired = self.wire(wire_generics, wire_params, true);
        let items = vec![
            quote! {
                #[doc(hidden)]
                #vis struct #given #declared(#phantom);
            },
            quote! {
                impl #generics #given #generic_list #where_clause {
                    #wired
                }
            },
        ];
        let function = quote! {
            #[doc(hidden)]
            #vis fn __types #generics() -> #given #generic_list #where_clause {
                #given(::core::marker::PhantomData)
            }
        };
        (items, function)
    }

    /// The type of a sub-flow's outputs, and its value.
    fn output_tokens(&self) -> (TokenStream, TokenStream) {
        let private = &self.private;
        match &self.flow.signature.output {
            Output::Nothing | Output::Error => (quote!(()), quote!(())),
            Output::One(ty) => (ty.to_token_stream(), quote!(<#ty as #private::Token>::token())),
            Output::Tuple(all) => {
                (quote!((#(#all,)*)), quote!((#(<#all as #private::Token>::token(),)*)))
            }
            Output::Struct(ty) => {
                let private = self.flow.paths.private_at(ty.span());
                (
                    quote_spanned!(ty.span()=> <#ty as #private::Outputs>::Ways),
                    quote_spanned!(ty.span()=> <#ty as #private::Outputs>::ways()),
                )
            }
        }
    }

    /// The function of the dataflow's name. There is one even where the body has errors, so that its callers and the
    /// editor go on working.
    fn function(&self) -> TokenStream {
        let Parts { private, name, flow, .. } = self;
        let attrs = flow.function.attrs.iter();
        let vis = &flow.function.vis;
        let mut sig = flow.function.sig.clone();
        (sig.asyncness, sig.constness, sig.abi, sig.safety) =
            (None, None, None, syn::Safety::Default);
        let drawing = self.drawing();
        let names: Vec<&Ident> = flow.signature.params.iter().map(|param| &param.name).collect();
        let body = match flow.signature.shape() {
            Shape::Whole => {
                sig.output = syn::parse_quote!(-> #private::Dataflow<impl #private::FlowPlan>);
                let marker = params_name(flow);
                quote!(#private::Dataflow::__new(#marker::__new(#(#names),*)))
            }
            Shape::Feed => {
                let out = match &flow.signature.output {
                    Output::One(ty) => ty.to_token_stream(),
                    _ => quote!(#private::Stream<()>),
                };
                let within = self.within(quote!(true));
                sig.output = syn::parse_quote!(
                    -> #private::SourceFlow<impl #private::FeedPlan<Out = #out, Ends = #within>>
                );
                let held = self.held();
                quote!(#private::SourceFlow(#held))
            }
            // Within a dataflow the type of this name is wired. The function shows the signature, and gives its
            // tokens, which are of no use elsewhere.
            Shape::Sub if flow.poisoned => {
                quote!(::core::unreachable!("a dataflow with an error does not compile"))
            }
            Shape::Sub => match &flow.signature.output {
                Output::Struct(ty) => quote!(<#ty as #private::Outputs>::streams()),
                _ => quote! {
                    let (__out, _) = <#name>::__wire(#(#names),*);
                    __out
                },
            },
        };
        let lints = match flow.signature.shape() {
            Shape::Sub => {
                quote!(#[allow(dead_code, unused_variables, unreachable_code, clippy::all)])
            }
            _ => quote!(),
        };
        quote! {
            #(#attrs)*
            #drawing
            #lints
            #vis #sig {
                #body
            }
        }
    }

    /// The drawing of the graph, for the documentation.
    fn drawing(&self) -> TokenStream {
        if self.flow.poisoned {
            return TokenStream::new();
        }
        let text = format!("\n\n```text\n{}```\n", graph::drawing(self.flow));
        quote!(#[doc = #text])
    }
}
