//! The statements of a dataflow: steps, ordinary Rust, and what is neither.

use std::collections::HashMap;

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprCall, ExprLit, ItemFn, Lit, Local, Path, Stmt, Token};

use super::scope::{self, Place, Visitor, bare};
use super::signature::{self, Output, ParamKind, Shape, Signature};
use super::{Flow, From, Part, Returned, StreamInfo, StreamIx};
use crate::diag::{Errors, with_help};
use crate::paths::Paths;

/// What a name stands for at some point of the body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Stream(StreamIx),
    /// A parameter that is configuration.
    Param,
    /// A local of ordinary Rust.
    Local,
}

/// The body, while it is being read.
pub(super) struct Reader<'e> {
    pub(super) streams: Vec<StreamInfo>,
    pub(super) names: HashMap<Ident, Known>,
    pub(super) body: Vec<Part>,
    /// How many steps there are so far.
    pub(super) nodes: usize,
    pub(super) errors: &'e mut Errors,
    pub(super) poisoned: bool,
}

/// Reads a dataflow.
pub(super) fn parse(
    function: ItemFn,
    paths: Paths,
    exactly_once: bool,
    errors: &mut Errors,
) -> Flow {
    let signature = signature::parse(&function, errors);
    let mut reader = Reader {
        streams: Vec::new(),
        names: HashMap::new(),
        body: Vec::new(),
        nodes: 0,
        errors,
        poisoned: false,
    };
    reader.parameters(&signature);
    let returned = reader.statements(&function.block.stmts, &signature);
    let Reader { streams, body, poisoned, .. } = reader;
    let mut flow =
        Flow { function, paths, signature, streams, body, returned, exactly_once, poisoned };
    super::check::check(&flow, errors);
    flow.poisoned |=
        !errors.is_empty() || flow.body.iter().any(|part| matches!(part, Part::Bad(..)));
    flow
}

impl Reader<'_> {
    fn parameters(&mut self, signature: &Signature) {
        let mut inputs = 0;
        for param in &signature.params {
            if param.kind == ParamKind::Config {
                self.names.insert(param.name.clone(), Known::Param);
            } else {
                let broadcast = param.kind == ParamKind::Broadcast;
                self.stream(&param.name, From::Input(inputs), broadcast, param.name.to_string());
                inputs += 1;
            }
        }
    }

    /// Makes a stream known by its name.
    pub(super) fn stream(
        &mut self,
        name: &Ident,
        from: From,
        broadcast: bool,
        id: String,
    ) -> StreamIx {
        let ix = self.streams.len();
        if let Some(Known::Stream(before)) = self.names.insert(name.clone(), Known::Stream(ix)) {
            self.errors.at(
                name,
                with_help(
                    format_args!("the step name `{name}` is already taken in this dataflow"),
                    "a step's name is the id under which its state is recovered, so it must be unique: rename this one",
                ),
            );
            self.errors.at(&self.streams[before].name, format!("`{name}` is first used here"));
        }
        self.streams.push(StreamInfo { name: name.clone(), id, from, broadcast, uses: Vec::new() });
        ix
    }

    /// A statement that cannot be understood; its names are streams of which nothing more is known.
    pub(super) fn bad(&mut self, names: Vec<Ident>, errors: Errors) {
        for name in &names {
            self.stream(name, From::Error, false, name.to_string());
        }
        self.body.push(Part::Bad(names, errors.into_tokens()));
    }

    fn statements(&mut self, stmts: &[Stmt], signature: &Signature) -> Returned {
        let mut returned = None;
        for (n, stmt) in stmts.iter().enumerate() {
            match stmt {
                Stmt::Local(local) => self.local(local),
                Stmt::Expr(expr, semi) => {
                    let is_last = n + 1 == stmts.len() && semi.is_none();
                    if is_last
                        && signature.shape() != Shape::Whole
                        && !matches!(signature.output, Output::Nothing)
                    {
                        returned = Some(self.returned(expr, &signature.output));
                    } else {
                        self.expression(expr, stmt);
                    }
                }
                Stmt::Item(_) => self.body.push(Part::Plain(Box::new(stmt.clone()))),
                Stmt::Macro(_) => self.plain(stmt, &[]),
            }
        }
        match (returned, &signature.output) {
            (Some(returned), _) => returned,
            (None, Output::Nothing | Output::Error) => Returned::Nothing,
            (None, _) => {
                let mut errors = Errors::default();
                errors.at(
                    &signature_output(signature),
                    with_help(
                        "this dataflow returns nothing",
                        "end it with the name of the stream that it returns",
                    ),
                );
                self.errors.extend(errors);
                Returned::Nothing
            }
        }
    }

    fn local(&mut self, local: &Local) {
        let Some(init) = &local.init else {
            return self.plain(&Stmt::Local(local.clone()), &[]);
        };
        if let Expr::Call(call) = &*init.expr
            && let Some(path) = self.step_path(call)
        {
            match (path, &init.diverge) {
                (Ok(path), None) => self.let_step(local, &path, call),
                (Ok(_), Some((token, _))) => {
                    let mut errors = Errors::default();
                    errors.at(token, "a step always yields its streams: there is no `else`");
                    self.mention(&init.expr);
                    self.bad(scope::bound_by(&local.pat), errors);
                }
                (Err(errors), _) => self.bad(scope::bound_by(&local.pat), errors),
            }
        } else {
            self.plain(&Stmt::Local(local.clone()), &scope::bound_by(&local.pat));
        }
    }

    fn expression(&mut self, expr: &Expr, stmt: &Stmt) {
        if let Expr::Call(call) = expr
            && let Some(path) = self.step_path(call)
        {
            match path {
                Ok(path) => self.bare_step(&path, call),
                Err(errors) => self.bad(Vec::new(), errors),
            }
        } else {
            self.plain(stmt, &[]);
        }
    }

    /// Ordinary Rust, as long as it does not touch streams.
    fn plain(&mut self, stmt: &Stmt, binds: &[Ident]) {
        let mut errors = Errors::default();
        let mut found = Found::default();
        scope::walk_stmt(&mut stmt.clone(), &mut found);
        self.count_uses(&found);
        let streams: Vec<&Ident> =
            found.names.iter().filter(|name| self.stream_of(name).is_some()).collect();
        let method = found.methods.iter().find(|(receiver, _)| self.stream_of(receiver).is_some());
        let head = control_flow(stmt);
        if let (Some(head), true) = (&head, !streams.is_empty() || found.source.is_some()) {
            errors.at(head, in_control_flow());
        } else if let Some((stream, method)) = method {
            errors.at(method, as_method(stream, method));
        } else if let Some(stream) = streams.first() {
            errors.at(stream, nested(stream));
        } else if let Some(source) = &found.source {
            errors.at(
                source,
                with_help(
                    "a source is wired by a statement of its own",
                    "write `let name = source(..);`",
                ),
            );
        }
        if let Some(token) = &found.returns {
            errors.at(
                token,
                with_help(
                    "a dataflow is always wired as a whole: there is no `return`",
                    "decide what it depends on before it is built, and pass that as a parameter",
                ),
            );
        }
        if errors.is_empty() {
            for name in binds {
                self.names.insert(name.clone(), Known::Local);
            }
            self.body.push(Part::Plain(Box::new(stmt.clone())));
        } else {
            self.bad(binds.to_vec(), errors);
        }
    }

    pub(super) fn stream_of(&self, name: &Ident) -> Option<StreamIx> {
        match self.names.get(name) {
            Some(Known::Stream(ix)) => Some(*ix),
            _ => None,
        }
    }

    /// A stream that is mentioned in an error is not also reported as unused.
    fn count_uses(&mut self, found: &Found) {
        for name in &found.names {
            if let Some(ix) = self.stream_of(name) {
                self.streams[ix].uses.push(name.clone());
            }
        }
    }

    /// Counts the streams in an expression that is reported for another reason.
    pub(super) fn mention(&mut self, expr: &Expr) -> Found {
        let mut found = Found::default();
        scope::walk(&mut expr.clone(), &mut found);
        self.count_uses(&found);
        found
    }

    /// An argument that is not a bare name must not hold streams.
    pub(super) fn refuse_streams(&mut self, expr: &Expr, errors: &mut Errors) {
        let found = self.mention(expr);
        if let Some((stream, method)) =
            found.methods.iter().find(|(receiver, _)| self.stream_of(receiver).is_some())
        {
            errors.at(method, as_method(stream, method));
        } else if let Some(stream) = found.names.iter().find(|name| self.stream_of(name).is_some())
        {
            errors.at(expr, nested(stream));
        } else if let Some(source) = &found.source {
            errors.at(
                source,
                with_help(
                    "a source is wired by a statement of its own",
                    "write `let name = source(..);`",
                ),
            );
        }
    }

    /// The last expression: what is returned.
    fn returned(&mut self, expr: &Expr, output: &Output) -> Returned {
        if let Output::Error = output {
            self.mention(expr);
            return Returned::Nothing;
        }
        let mut errors = Errors::default();
        let returned = self.read_returned(expr, output, &mut errors);
        if !errors.is_empty() {
            self.mention(expr);
        }
        self.errors.extend(errors);
        returned
    }

    fn read_returned(&mut self, expr: &Expr, output: &Output, errors: &mut Errors) -> Returned {
        match (output, expr) {
            (Output::Struct(_), Expr::Struct(value)) => {
                if let Some(rest) = &value.dot2_token {
                    errors.at(rest, "every stream of the struct is named");
                }
                let mut fields = Vec::new();
                for field in &value.fields {
                    match (&field.member, self.returned_stream(&field.expr, errors)) {
                        (syn::Member::Named(name), Some((ix, at))) => {
                            fields.push((name.clone(), ix, at))
                        }
                        (syn::Member::Unnamed(_), _) => {
                            errors.at(field, "`#[derive(Outputs)]` structs have named fields")
                        }
                        _ => {}
                    }
                }
                fields.sort_by_key(|(name, ..)| name.to_string());
                if fields.len() > signature::STREAMS_MAX {
                    errors.at(expr, signature::too_many("outputs"));
                }
                Returned::Struct { expr: Box::new(expr.clone()), fields }
            }
            (Output::Tuple(types), Expr::Tuple(tuple)) => {
                let streams: Vec<_> = tuple
                    .elems
                    .iter()
                    .filter_map(|expr| self.returned_stream(expr, errors))
                    .collect();
                if errors.is_empty() && streams.len() != types.len() {
                    errors.at(
                        expr,
                        format!(
                            "this dataflow returns {} streams, and {} are given",
                            types.len(),
                            streams.len()
                        ),
                    );
                }
                Returned::Streams(streams)
            }
            (Output::One(_), expr) => {
                Returned::Streams(self.returned_stream(expr, errors).into_iter().collect())
            }
            (Output::Struct(_), expr) => {
                errors.at(
                    expr,
                    with_help(
                        "a struct of streams is returned by its fields",
                        "write `Name { field: stream, .. }`",
                    ),
                );
                Returned::Nothing
            }
            (_, expr) => {
                errors.at(expr, "the last expression names the streams that this dataflow returns");
                Returned::Nothing
            }
        }
    }

    fn returned_stream(&mut self, expr: &Expr, errors: &mut Errors) -> Option<(StreamIx, Ident)> {
        if let Expr::Call(call) = expr
            && let Some(Ok(path)) = self.step_path(call)
        {
            let callee = &super::last(&path);
            errors.at(
                expr,
                with_help(
                    "a step needs a name of its own",
                    format_args!("write `let name = {callee}(..);` and return `name`"),
                ),
            );
            return None;
        }
        let Some(name) = bare(expr) else {
            errors.at(expr, "the last expression names the streams that this dataflow returns");
            return None;
        };
        match self.names.get(name) {
            Some(Known::Stream(ix)) if self.streams[*ix].broadcast => {
                errors.at(
                    name,
                    with_help(
                        "a sub-flow cannot return a `Broadcast`",
                        "return the stream of its changes",
                    ),
                );
                None
            }
            Some(Known::Stream(ix)) => {
                self.streams[*ix].uses.push(name.clone());
                Some((*ix, name.clone()))
            }
            _ => {
                errors.at(name, format!("`{name}` is not a stream of this dataflow"));
                None
            }
        }
    }
}

fn signature_output(signature: &Signature) -> TokenStream {
    match &signature.output {
        Output::Struct(ty) => ty.to_token_stream(),
        output => output.types().first().map(ToTokens::to_token_stream).unwrap_or_default(),
    }
}

/// What is free in an expression.
#[derive(Default)]
pub(super) struct Found {
    names: Vec<Ident>,
    methods: Vec<(Ident, Ident)>,
    returns: Option<Token![return]>,
    source: Option<Ident>,
}

impl Visitor for Found {
    fn name(&mut self, _: &mut Expr, name: &Ident, _: Place) {
        self.names.push(name.clone());
    }
    fn method(&mut self, receiver: &Ident, method: &Ident) {
        self.methods.push((receiver.clone(), method.clone()));
    }
    fn invocation(&mut self, _: Option<&mut Expr>, words: &[Ident]) {
        self.names.extend(words.iter().cloned());
    }
    fn returns(&mut self, token: &Token![return]) {
        self.returns.get_or_insert(*token);
    }
    fn call(&mut self, callee: &Path, _: &ExprCall) {
        if callee.is_ident("source") {
            self.source.get_or_insert_with(|| super::last(callee).clone());
        }
    }
}

/// The keyword of a statement that branches or repeats.
fn control_flow(stmt: &Stmt) -> Option<TokenStream> {
    fn of(expr: &Expr) -> Option<TokenStream> {
        match expr {
            Expr::If(e) => Some(e.if_token.to_token_stream()),
            Expr::Match(e) => Some(e.match_token.to_token_stream()),
            Expr::ForLoop(e) => Some(e.for_token.to_token_stream()),
            Expr::While(e) => Some(e.while_token.to_token_stream()),
            Expr::Loop(e) => Some(e.loop_token.to_token_stream()),
            _ => None,
        }
    }
    match stmt {
        Stmt::Expr(expr, _) => of(expr),
        Stmt::Local(local) => local.init.as_ref().and_then(|init| of(&init.expr)),
        _ => None,
    }
}

fn in_control_flow() -> String {
    with_help(
        "the shape of a dataflow is fixed at compile time: steps cannot be wired inside control flow",
        "send items different ways with `branch(..)` or `filter(..)`, or pass the decision to a step as configuration",
    )
}

fn as_method(stream: &Ident, method: &Ident) -> String {
    with_help(
        format_args!("streams have no methods: write `let name = {method}({stream}, ..);`"),
        "each step is a call with a name of its own, which identifies it in the recovery log",
    )
}

fn nested(stream: &Ident) -> String {
    with_help(
        format_args!("`{stream}` is a stream and can only be passed directly to a step"),
        "give every step a statement and a name of its own: `let name = step(..);`",
    )
}

/// What the attributes of a step say: the pinned id. Others that change what is compiled are refused.
pub(super) fn step_attributes(attrs: &[Attribute], errors: &mut Errors) -> Option<(String, Ident)> {
    let mut pinned = None;
    for attr in attrs {
        if attr.path().is_ident("id") {
            let value = attr.meta.require_name_value().map(|pair| &pair.value);
            match value {
                Ok(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => {
                    pinned = Some((text.value(), Ident::new("id", text.span())));
                }
                Ok(other) => errors.at(other, "expected a string: `#[id = \"name\"]`"),
                Err(_) => errors.at(attr, "expected `#[id = \"name\"]`"),
            }
        } else if !["doc", "allow", "expect", "warn"].iter().any(|name| attr.path().is_ident(name))
        {
            errors.at_span(
                attr.path().span(),
                with_help(
                    "a step takes no attribute but `#[id = \"name\"]`",
                    "the shape of a dataflow is fixed: pass what differs as configuration",
                ),
            );
        }
    }
    pinned
}
