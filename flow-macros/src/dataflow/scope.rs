//! Which names an expression mentions that it does not bind itself.
//!
//! A bare name in a dataflow's body may be a stream or a parameter, unless a closure, a block or a pattern inside the
//! expression has bound it to something else. This walker follows Rust's scoping and tells a [`Visitor`] what is free.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Arm, Block, Expr, ExprClosure, FieldValue, Item, Local, Macro, Pat, PatIdent, Stmt, Token,
};

/// What is done with the value that a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Used by value.
    Moved,
    /// `&name`.
    Borrowed,
    /// `name.method(..)`, `name.field`, `name[..]`, or an operand.
    Looked,
    /// `name = ..`.
    Assigned,
}

/// Is told what is free in an expression.
pub(super) trait Visitor {
    /// A name.
    fn name(&mut self, _expr: &mut Expr, _name: &Ident, _place: Place) {}
    /// A method call on a name.
    fn method(&mut self, _receiver: &Ident, _method: &Ident) {}
    /// A closure that is not inside another. Answers whether to go into it.
    fn closure(&mut self, _closure: &mut Expr) -> bool {
        true
    }
    /// A macro call as an expression, with the words in it that are not bound.
    fn invocation(&mut self, _expr: Option<&mut Expr>, _words: &[Ident]) {}
    /// `return`, outside of closures.
    fn returns(&mut self, _token: &Token![return]) {}
    /// A call whose callee is a path.
    fn call(&mut self, _callee: &syn::Path, _call: &syn::ExprCall) {}
}

/// Walks an expression.
pub(super) fn walk(expr: &mut Expr, visitor: &mut dyn Visitor) {
    let mut walker = Walker { bound: Vec::new(), closures: 0, visitor };
    walker.visit_expr_mut(expr);
}

/// Walks a statement.
pub(super) fn walk_stmt(stmt: &mut Stmt, visitor: &mut dyn Visitor) {
    let mut walker = Walker { bound: Vec::new(), closures: 0, visitor };
    walker.statement(stmt);
}

/// The names that a pattern binds.
pub(super) fn bound_by(pat: &Pat) -> Vec<Ident> {
    struct Names(Vec<Ident>);
    impl<'ast> Visit<'ast> for Names {
        fn visit_pat_ident(&mut self, pat: &'ast PatIdent) {
            self.0.push(pat.ident.clone());
            visit::visit_pat_ident(self, pat);
        }
        fn visit_expr(&mut self, _: &'ast Expr) {}
    }
    let mut names = Names(Vec::new());
    names.visit_pat(pat);
    names.0
}

/// All words in tokens, groups and the holes of format strings included: `"{name}"`.
pub(super) fn words(tokens: TokenStream, found: &mut Vec<Ident>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => found.push(ident),
            TokenTree::Group(group) => words(group.stream(), found),
            TokenTree::Literal(literal) => {
                let (text, span) = (literal.to_string(), literal.span());
                if !text.starts_with(['"', 'r']) {
                    continue;
                }
                for hole in text.split('{').skip(1) {
                    let name: String =
                        hole.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if syn::parse_str::<Ident>(&name).is_ok() {
                        found.push(Ident::new(&name, span));
                    }
                }
            }
            TokenTree::Punct(_) => {}
        }
    }
}

/// A bare name as an expression.
pub(super) fn bare(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Path(path) if path.qself.is_none() && path.attrs.is_empty() => path.path.get_ident(),
        // What comes from a `macro_rules` fragment is wrapped in an invisible group.
        Expr::Group(group) => bare(&group.expr),
        _ => None,
    }
}

struct Walker<'a> {
    /// Names bound on the way in, innermost last.
    bound: Vec<Ident>,
    closures: usize,
    visitor: &'a mut dyn Visitor,
}

impl Walker<'_> {
    fn is_free(&self, name: &Ident) -> bool {
        !self.bound.contains(name)
    }

    fn scoped(&mut self, within: impl FnOnce(&mut Self)) {
        let outside = self.bound.len();
        within(self);
        self.bound.truncate(outside);
    }

    fn bind(&mut self, pat: &Pat) {
        self.bound.extend(bound_by(pat));
    }

    /// An expression of which the place is known.
    fn at(&mut self, expr: &mut Expr, place: Place) {
        match bare(expr).cloned() {
            Some(name) if self.is_free(&name) => self.visitor.name(expr, &name, place),
            Some(_) => {}
            None => self.visit_expr_mut(expr),
        }
    }

    fn statement(&mut self, stmt: &mut Stmt) {
        match stmt {
            Stmt::Local(local) => self.local(local),
            Stmt::Item(item) => self.visit_item_mut(item),
            Stmt::Expr(expr, _) => self.visit_expr_mut(expr),
            Stmt::Macro(stmt) => self.mac(&stmt.mac, None),
        }
    }

    fn local(&mut self, local: &mut Local) {
        if let Some(init) = &mut local.init {
            self.visit_expr_mut(&mut init.expr);
            if let Some((_, diverge)) = &mut init.diverge {
                self.visit_expr_mut(diverge);
            }
        }
        self.bind(&local.pat);
    }

    fn mac(&mut self, mac: &Macro, expr: Option<&mut Expr>) {
        let mut found = Vec::new();
        words(mac.tokens.clone(), &mut found);
        found.retain(|word| self.is_free(word));
        self.visitor.invocation(expr, &found);
    }

    fn closure(&mut self, closure: &mut ExprClosure) {
        self.scoped(|walker| {
            closure.inputs.iter().for_each(|pat| walker.bind(pat));
            walker.closures += 1;
            walker.visit_expr_mut(&mut closure.body);
            walker.closures -= 1;
        });
    }
}

impl VisitMut for Walker<'_> {
    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Path(_) | Expr::Group(_) if bare(expr).is_some() => self.at(expr, Place::Moved),
            Expr::Path(_) => {}
            Expr::Reference(reference) => self.at(&mut reference.expr, Place::Borrowed),
            Expr::RawAddr(address) => self.at(&mut address.expr, Place::Borrowed),
            Expr::Field(field) => self.at(&mut field.base, Place::Looked),
            Expr::Index(index) => {
                self.at(&mut index.expr, Place::Looked);
                self.visit_expr_mut(&mut index.index);
            }
            Expr::Unary(unary) => self.at(&mut unary.expr, Place::Looked),
            Expr::Binary(binary) => {
                self.at(&mut binary.left, Place::Looked);
                self.at(&mut binary.right, Place::Looked);
            }
            Expr::Assign(assign) => {
                self.at(&mut assign.left, Place::Assigned);
                self.visit_expr_mut(&mut assign.right);
            }
            Expr::MethodCall(call) => {
                if let Some(receiver) = bare(&call.receiver).filter(|name| self.is_free(name)) {
                    self.visitor.method(receiver, &call.method);
                }
                self.at(&mut call.receiver, Place::Looked);
                call.args.iter_mut().for_each(|arg| self.visit_expr_mut(arg));
            }
            Expr::Call(call) => {
                match &mut *call.func {
                    Expr::Path(path) => {
                        let path = path.path.clone();
                        self.visitor.call(&path, call);
                    }
                    other => self.visit_expr_mut(other),
                }
                call.args.iter_mut().for_each(|arg| self.visit_expr_mut(arg));
            }
            Expr::Closure(_) => {
                if (self.closures > 0 || self.visitor.closure(expr))
                    && let Expr::Closure(closure) = expr
                {
                    self.closure(closure);
                }
            }
            Expr::Macro(mac) => {
                let mac = mac.mac.clone();
                self.mac(&mac, Some(expr));
            }
            Expr::Return(returns) => {
                if self.closures == 0 {
                    self.visitor.returns(&returns.return_token);
                }
                visit_mut::visit_expr_return_mut(self, returns);
            }
            Expr::Let(bind) => {
                self.at(&mut bind.expr, Place::Looked);
                self.bind(&bind.pat);
            }
            // The names that a condition binds reach into the body, and no further.
            Expr::If(branch) => {
                self.scoped(|walker| {
                    walker.visit_expr_mut(&mut branch.cond);
                    walker.visit_block_mut(&mut branch.then_branch);
                });
                if let Some((_, otherwise)) = &mut branch.else_branch {
                    self.visit_expr_mut(otherwise);
                }
            }
            Expr::While(repeat) => self.scoped(|walker| {
                walker.visit_expr_mut(&mut repeat.cond);
                walker.visit_block_mut(&mut repeat.body);
            }),
            Expr::ForLoop(repeat) => {
                self.visit_expr_mut(&mut repeat.expr);
                self.scoped(|walker| {
                    walker.bind(&repeat.pat);
                    walker.visit_block_mut(&mut repeat.body);
                });
            }
            Expr::Match(choice) => {
                self.at(&mut choice.expr, Place::Looked);
                choice.arms.iter_mut().for_each(|arm| self.visit_arm_mut(arm));
            }
            // An async block is a body of its own.
            Expr::Async(block) => {
                self.closures += 1;
                self.visit_block_mut(&mut block.block);
                self.closures -= 1;
            }
            other => visit_mut::visit_expr_mut(self, other),
        }
    }

    fn visit_arm_mut(&mut self, arm: &mut Arm) {
        self.scoped(|walker| {
            walker.bind(&arm.pat);
            if let Pat::Guard(guard) = &mut arm.pat {
                walker.visit_expr_mut(&mut guard.guard);
            }
            walker.visit_expr_mut(&mut arm.body);
        });
    }

    fn visit_block_mut(&mut self, block: &mut Block) {
        self.scoped(|walker| block.stmts.iter_mut().for_each(|stmt| walker.statement(stmt)));
    }

    fn visit_field_value_mut(&mut self, field: &mut FieldValue) {
        // `S { out }` is `S { out: out }`, so that the value can be replaced.
        if field.colon_token.is_none() && bare(&field.expr).is_some_and(|name| self.is_free(name)) {
            field.colon_token = Some(Token![:](proc_macro2::Span::call_site()));
        }
        self.visit_expr_mut(&mut field.expr);
    }

    // Items do not see the names around them, and patterns hold no names of values that concern us.
    fn visit_item_mut(&mut self, _: &mut Item) {}
    fn visit_pat_mut(&mut self, _: &mut Pat) {}
    fn visit_type_mut(&mut self, _: &mut syn::Type) {}
    fn visit_attribute_mut(&mut self, _: &mut syn::Attribute) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Names(Vec<String>, usize);
    impl Visitor for Names {
        fn name(&mut self, _: &mut Expr, name: &Ident, _: Place) {
            self.0.push(name.to_string());
        }
        fn invocation(&mut self, _: Option<&mut Expr>, words: &[Ident]) {
            self.0.extend(words.iter().map(|word| format!("{word}!")));
        }
        fn returns(&mut self, _: &Token![return]) {
            self.1 += 1;
        }
    }

    fn free(expr: &str) -> String {
        let mut expr: Expr = syn::parse_str(expr).expect("an expression");
        let mut names = Names::default();
        walk(&mut expr, &mut names);
        names.0.join(" ")
    }

    #[test]
    fn what_an_expression_binds_is_not_free() {
        assert_eq!(free("f(a, |b| a + b + c)"), "a a c");
        assert_eq!(free("{ let a = a; a + b }"), "a b");
        assert_eq!(free("match x { Some(a) if a > y => a, _ => b }"), "x y b");
        assert_eq!(free("if let Some(a) = a { a } else { a }"), "a a");
        assert_eq!(free("for a in a { b(a, c) }"), "a c");
        assert_eq!(free("S { a, b: 1 }"), "a");
        assert_eq!(free("a.f(&b).g[c]"), "a b c");
        assert_eq!(free("|&(a, S { b, .. }): &T| a + b + c"), "c");
    }

    #[test]
    fn macros_are_looked_into_word_by_word() {
        assert_eq!(free(r#"format!("{a} {} {c:?}", b)"#), "a! c! b!");
        assert_eq!(free(r#"|a| vec![a, b]"#), "b!");
    }

    #[test]
    fn a_return_of_a_closure_is_the_closures() {
        for (text, returns) in [("|a| { return a; }", 0), ("{ if x { return; } }", 1)] {
            let mut expr: Expr = syn::parse_str(text).expect("an expression");
            let mut names = Names::default();
            walk(&mut expr, &mut names);
            assert_eq!(names.1, returns, "{text}");
        }
    }
}
