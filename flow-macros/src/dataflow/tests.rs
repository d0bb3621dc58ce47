//! What the macro does, on tokens, without the compiler.

use std::str::FromStr;

use proc_macro2::TokenStream;
use quote::quote;

use super::*;
use crate::paths::Paths;

fn read(function: &str) -> (Flow, Vec<String>) {
    let mut errors = Errors::default();
    let function = syn::parse_str(function).expect("a function");
    let flow = body::parse(function, Paths::default(), false, &mut errors);
    let texts = errors.texts();
    (flow, texts)
}

/// All errors of a dataflow, first lines only.
fn errors_of(function: &str) -> Vec<String> {
    errors_with(TokenStream::new(), function)
}

/// The same, of one whose attribute has arguments.
fn errors_with(arguments: TokenStream, function: &str) -> Vec<String> {
    let expanded = expand(arguments, TokenStream::from_str(function).expect("tokens")).to_string();
    expanded
        .split("compile_error ! { \"")
        .skip(1)
        .map(|rest| {
            rest.split("\\n")
                .next()
                .and_then(|line| line.split("\" }").next())
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

#[test]
fn a_step_is_known_by_its_first_argument() {
    let (flow, errors) = read(
        "fn f(text: Path, n: usize) {
            let lines = source(text);
            let limit = usize::max(3, n);
            let other = { double(n) };
            let path = PathBuf::from(n);
            let short = ops::shorter(lines, limit, other, helper);
            #[id = \"end\"] sink(short, out());
        }",
    );
    assert_eq!(errors, [""; 0]);
    let ids: Vec<&str> = flow.steps().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["lines", "short", "end"]);
    assert!(!flow.poisoned);
}

#[test]
fn an_unknown_first_name_is_left_to_rustc_but_never_wired() {
    let (flow, errors) =
        read("fn f(text: Path) { let lines = source(text); let words = split(linse); }");
    assert_eq!(errors, [""; 0], "rustc knows which name was meant");
    assert!(flow.poisoned);
    let text = lower::lower(&flow).to_string();
    assert!(text.contains("bound_by_step (& linse)"), "{text}");
}

#[test]
fn streams_in_closures_may_be_shadowed() {
    let fine =
        "fn f(t: T) { let a = source(t); let b = map(a, |a| { let b = a; b }); sink(b, s()); }";
    assert_eq!(read(fine).1, [""; 0]);
    let wrong = "fn f(t: T) { let a = source(t); let b = map(a, |x| x + a); sink(b, s()); }";
    assert_eq!(errors_of(wrong), ["`a` is a stream and can only be passed directly to a step"]);
}

#[test]
fn all_errors_of_a_body_are_told() {
    let errors = errors_of(
        "fn f(t: T, yes: bool) {
            let a = source(t);
            let b = a.map(|x| x);
            let c = map(filter(a, g), |x| x);
            if yes { sink(a, s()); }
            let _ = map(a, g);
            let d = if yes { 1 } else { return; };
            for n in 0..3 { let e = source(t); }
            let (x, y) = map(yes);
            println!(\"{a}\");
        }",
    );
    let expected = [
        "streams have no methods: write `let name = map(a, ..);`",
        "`a` is a stream and can only be passed directly to a step",
        "the shape of a dataflow is fixed at compile time: steps cannot be wired inside control flow",
        "every step needs a name: it is the step's id in the recovery log",
        "a dataflow is always wired as a whole: there is no `return`",
        "the shape of a dataflow is fixed at compile time: steps cannot be wired inside control flow",
        "the first argument of a step is a stream, and `yes` is a parameter",
        "the first argument of a step is a stream, and `yes` is a parameter",
        "`a` is a stream and can only be passed directly to a step",
    ];
    assert_eq!(errors, expected);
}

#[test]
fn the_function_exists_even_where_the_body_has_errors() {
    let expanded = expand(
        TokenStream::new(),
        quote!(
            pub fn f(t: T) {
                let a = source(t);
            }
        ),
    )
    .to_string();
    assert!(
        expanded.contains("pub fn f (t : T) -> :: flow_runtime :: __private :: Dataflow <"),
        "{expanded}"
    );
    assert!(expanded.contains("never consumed"), "{expanded}");
    let half_typed = "fn f (t : T) { let a = source (t) ; let b = ma }";
    let expanded =
        expand(TokenStream::new(), TokenStream::from_str(half_typed).expect("tokens")).to_string();
    assert!(expanded.starts_with(half_typed) && expanded.contains("compile_error"), "{expanded}");
}

#[test]
fn what_is_not_a_function_is_emitted_as_it_is() {
    let expanded = expand(
        TokenStream::new(),
        quote!(
            struct S;
        ),
    )
    .to_string();
    assert!(
        expanded.starts_with("struct S ;") && expanded.contains("stands on a function"),
        "{expanded}"
    );
}

#[test]
fn parameters_are_cloned_where_they_are_mentioned() {
    let (flow, errors) = read(
        "fn f(t: T, p: P, q: Q) {
            let a = source(t);
            let b = map(a, |x| x + p.n);
            let c = key_by(b, |x| { let q = x; q });
            let text = make(&p).with({ p });
            sink(c, S { p, n: q.len(), m: &q, v: vec![q] });
        }",
    );
    assert_eq!(errors, [""; 0]);
    let text = lower::lower(&flow).to_string();
    let clone = |name: &str, n: usize| {
        format!(":: flow_runtime :: __private :: given :: < __f_params , {n} > (& {name})")
    };
    assert!(text.contains(&format!("let p = {} ; move | x | x + p . n", clone("p", 1))), "{text}");
    assert!(
        text.contains(&format!("p : {} , n : {} . len () , m : & q", clone("p", 1), clone("q", 2))),
        "{text}"
    );
    assert!(text.contains(&format!("let q = {} ; vec ! [q]", clone("q", 2))), "{text}");
    assert!(
        text.contains(&format!("make (& p) . with ({{ {} }})", clone("p", 1))),
        "ordinary Rust: {text}"
    );
}

#[test]
fn ids_of_several_outputs_and_of_ends() {
    let (flow, errors) = read(
        "fn f(t: T) {
            #[id = \"in\"]
            let a = source(t);
            let Way { right: r, left } = branch(a);
            #[id = \"pair\"]
            let (x, y) = apart(left);
            sink(a, s()); sink(r, s()); sink(x, s()); sink(y, s());
        }",
    );
    assert_eq!(errors, [""; 0]);
    let ids: Vec<&str> = flow.steps().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["in", "r", "pair", "in.sink", "r.sink", "pair.sink", "y.sink"]);
    let names: Vec<String> = flow
        .steps()
        .nth(1)
        .expect("the branch")
        .outputs
        .streams()
        .iter()
        .map(|ix| flow.streams[*ix].name.to_string())
        .collect();
    assert_eq!(names, ["left", "r"], "alphabetically by field");
}

#[test]
fn shapes_and_generics() {
    for (head, shape) in [
        ("fn f(a: T)", signature::Shape::Whole),
        ("fn f(a: T) -> Stream<u8>", signature::Shape::Feed),
        ("fn f(a: Stream<u8>, n: T) -> Keyed<u8, u8>", signature::Shape::Sub),
        ("fn f(a: Stream<u8>, b: flow::Keyed<u8, u8>)", signature::Shape::Sub),
        ("fn f(rates: Broadcast<Rates>)", signature::Shape::Sub),
    ] {
        let function = syn::parse_str(&format!("{head} {{}}")).expect("a function");
        let mut errors = Errors::default();
        assert_eq!(signature::parse(&function, &mut errors).shape(), shape, "{head}");
        assert!(errors.is_empty(), "{head}: {:?}", errors.texts());
    }
    let function = syn::parse_quote!(
        fn f(a: impl Source<Item = u8>, b: Option<impl Fn(u8) -> u8>) {}
    );
    let mut errors = Errors::default();
    let signature = signature::parse(&function, &mut errors);
    assert_eq!(signature.generic_args().len(), 2, "every `impl Trait` has a name");
}

#[test]
fn wrong_heads() {
    for (head, said) in [
        (
            "fn f(limit: u8, a: Stream<u8>)",
            "the streams of a sub-flow come before its configuration",
        ),
        ("fn f(a: Stream<u8>) -> Broadcast<u8>", "a sub-flow cannot return a `Broadcast`"),
        ("fn f(a: Stream<u8>) -> &Stream<u8>", "a dataflow returns streams"),
        ("fn f(&self, a: Stream<u8>)", "free function"),
        ("fn f((a, b): T)", "a plain name"),
        ("fn f<'a>(a: &'a str)", "holds no borrows"),
        ("async fn f(a: T)", "cannot be `async`"),
        ("fn f(a: T) -> (Stream<u8>, Stream<u8>)", "returns one stream"),
        (
            "fn f(a: S, b: S, c: S, d: S, e: S, f: S, g: S, h: S, i: S, j: S, k: S, l: S, m: S)",
            "at most 12 parameters",
        ),
    ] {
        let function = syn::parse_str(&format!("{head} {{}}")).expect("a function");
        let mut errors = Errors::default();
        let _ = signature::parse(&function, &mut errors);
        assert!(
            errors.texts().iter().any(|text| text.contains(said)),
            "{head}: {:?}",
            errors.texts()
        );
        let _ = errors.into_tokens();
    }
}

#[test]
fn the_drawing_reads_like_the_wiring() {
    let (flow, _) = read(
        "fn f(t: T, u: U) {
            let lines = source(t);
            let more = source(u);
            let all = merge(lines, more);
            #[id = \"words-v1\"]
            let words = ops::split(all);
            sink(words, s());
        }",
    );
    let expected = "            source     -> lines
            source     -> more
lines, more -> merge      -> all
all         -> ops::split -> words  [words-v1]
words       -> sink          [words-v1.sink]
";
    assert_eq!(
        graph::drawing(&flow).replace("               source", "            source"),
        expected
    );
}

#[test]
fn delivery_is_one_of_two() {
    let flow = "fn f(t: T) { let a = source(t); sink(a, s()); }";
    for fine in [quote!(), quote!(delivery = exactly_once), quote!(delivery = at_least_once)] {
        assert_eq!(errors_with(fine, flow), [""; 0]);
    }
    for (arguments, said) in [
        (quote!(delivery = twice), "expected `exactly_once` or `at_least_once`"),
        (quote!(delivery = 3), "expected `exactly_once` or `at_least_once`"),
        (quote!(delivery), "`delivery` needs a value: `exactly_once` or `at_least_once`"),
        (quote!(delivery = exactly_once, delivery = at_least_once), "`delivery` is given twice"),
    ] {
        assert_eq!(errors_with(arguments, flow), [said]);
    }
}

#[test]
fn exactly_once_asks_every_step_and_evaluates_no_argument_again() {
    let flow = "fn f(t: T) {
        let a = source(make(t));
        let b = map(a, |x| x);
        part(b);
        sink(b, other(3));
    }";
    let checks = |exactly_once| {
        let function = syn::parse_str(flow).expect("a function");
        let mut errors = Errors::default();
        let flow = body::parse(function, Paths::default(), exactly_once, &mut errors);
        assert!(errors.is_empty(), "{:?}", errors.texts());
        let text = lower::lower(&flow).to_string();
        let evaluated = ["make (", "other ("].map(|call| text.matches(call).count());
        assert_eq!(evaluated, [1, 1], "{text}");
        let mut asked: Vec<String> = Vec::new();
        let parts: Vec<&str> = text.split(" :: __exactly_once (& __wired)").collect();
        for part in &parts[..parts.len() - 1] {
            asked.extend(part.rsplit("= & ").next().map(str::to_owned));
        }
        asked
    };
    assert_eq!(checks(false), [""; 0]);
    assert_eq!(
        checks(true),
        ["__plan0 ; < source >", "__plan1 ; < map >", "__plan2 ; < part >", "__plan3 ; < sink >"]
    );
}

#[test]
fn a_sub_flow_says_whether_its_ends_are_checked() {
    for (arguments, declared) in [(quote!(), "false"), (quote!(delivery = exactly_once), "true")] {
        let sub = quote!(
            fn f(a: Stream<u8>) {
                sink(a, s());
            }
        );
        let expanded = expand(arguments.clone(), sub).to_string();
        let within = format!("Within < {{ < f > :: GRAPH . has_ends () }} , {declared} >");
        assert!(expanded.contains(&within), "{expanded}");
        let feed = quote!(
            fn f(t: T) -> Stream<u8> {
                let a = source(t);
                a
            }
        );
        let expanded = expand(arguments, feed).to_string();
        assert!(expanded.contains(&format!("Within < {{ true }} , {declared} >")), "{expanded}");
    }
}
