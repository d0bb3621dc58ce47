//! The attribute macros of flow.
//!
//! Use them through `flow_runtime`, which exports them all. **Inside `#[dataflow]` a call wires; everywhere else it
//! calls**: an annotated function stays the function that it is, and beside it stands a type of the same name, which a
//! dataflow wires.
//!
//! Every attribute takes `crate = path`, for a program that knows the runtime under another name:
//! `#[map(crate = my_flow)]`; the derives take it as `#[flow(crate = my_flow)]`.

#![forbid(unsafe_code)]

mod dataflow;
mod derive;
mod diag;
mod operator;
mod paths;
mod stateful;
mod text;

use proc_macro::TokenStream;

macro_rules! operators {
    ($($(#[$doc:meta])* $name:ident, $kind:ident;)*) => {$(
        $(#[$doc])*
        #[proc_macro_attribute]
        pub fn $name(args: TokenStream, item: TokenStream) -> TokenStream {
            operator::expand(operator::Kind::$kind, args.into(), item.into()).into()
        }
    )*};
}

operators! {
    /// A step that emits one item for every item: `fn(item: A, ..) -> B`.
    ///
    /// ```
    /// use flow_runtime::prelude::*;
    ///
    /// /// An amount in euros.
    /// #[map]
    /// fn convert(dollars: f64, rate: &f64) -> f64 {
    ///     dollars * rate
    /// }
    ///
    /// #[dataflow]
    /// fn in_euros(dollars: Stream<f64>, rate: f64) -> Stream<f64> {
    ///     let euros = convert(dollars, rate); // wires
    ///     euros
    /// }
    ///
    /// assert_eq!(convert(10.0, &0.5), 5.0); // calls
    /// ```
    ///
    /// Parameters after the item are configuration, given where the step is wired. A parameter `C` is cloned for every
    /// call; a parameter `&C` is borrowed, and also accepts a `Broadcast<C>`, which is then live. `&str` accepts a
    /// `String` or a `&'static str`, slices and paths alike.
    ///
    /// The function may be generic, as long as the item, the output or the configuration tell its parameters;
    /// otherwise they are given where it is wired: `parse::<u32>(lines)`.
    map, Map;
    /// A step that lets items pass or not: `fn(item: &A, ..) -> bool`.
    ///
    /// The item is looked at by `Borrow`: `&str` filters a stream of `String`, of `Arc<str>`, and the like.
    filter, Filter;
    /// A step that emits one item or none for every item: `fn(item: A, ..) -> Option<B>`.
    filter_map, FilterMap;
    /// A step that emits any number of items for every item: `fn(item: A, ..) -> impl IntoIterator<Item = B>`.
    ///
    /// What is returned may borrow from the configuration: it is consumed before the call is over.
    flat_map, FlatMap;
    /// A step with state per key, which emits one item for every item:
    /// `fn(state: &mut S, key: &K, item: A, ..) -> B`.
    ///
    /// `S` is a `#[stateful]` type with a `Default`, a number, a string or a collection. With `&mut Option<S>` the state is
    /// `None` before a key's first item, and a key whose state is left `None` is forgotten. The key may be borrowed:
    /// `&str` for keys that are `String`.
    ///
    /// The output stays keyed.
    ///
    /// With `#[stateful_map(ttl)]` the state expires: how long it is kept after a key's last item is said where the step is wired, by a `Ttl` that
    /// stands last, behind the configuration: `velocity(by_card, Ttl::event_time(WEEK))`.
    ///
    /// In a test the step runs by itself, with its state saved and restored: `count::harness()`, a `StepHarness` of `flow_runtime::sim`.
    stateful_map, StatefulMap;
    /// A step with state per key, which emits one item or none for every item:
    /// `fn(state: &mut S, key: &K, item: A, ..) -> Option<B>`.
    stateful_filter_map, StatefulFilterMap;
    /// A step with state per key, which emits any number of items for every item:
    /// `fn(state: &mut S, key: &K, item: A, ..) -> impl IntoIterator<Item = B>`.
    ///
    /// What is returned may borrow from the state.
    stateful_flat_map, StatefulFlatMap;
    /// A step that waits for something outside, for many items at a time: `async fn(item: A, ..) -> B` or
    /// `async fn(item: A, ..) -> Result<B, E>`.
    ///
    /// ```
    /// use flow_runtime::io::{Collect, collect, from_iter};
    /// use flow_runtime::prelude::*;
    /// use std::time::Duration;
    ///
    /// #[derive(Clone)]
    /// struct Payment {
    ///     customer: u32,
    ///     cents: u64,
    /// }
    ///
    /// /// How risky a payment is, says somebody else.
    /// #[async_map]
    /// async fn score(payment: Payment, limit: &u64) -> Result<u64, String> {
    ///     // ask(payment.customer).await ..
    ///     match payment.cents {
    ///         0 => Err(format!("customer {} pays nothing", payment.customer)),
    ///         cents => Ok(100 * cents / limit),
    ///     }
    /// }
    ///
    /// #[dataflow]
    /// fn scores(payments: Vec<Payment>, limit: u64, good: Collect<u64>, bad: Collect<String>) {
    ///     let payments = source(from_iter(payments));
    ///     let options = Async::in_flight(64)
    ///         .timeout(Duration::from_secs(1))
    ///         .retry(2, Backoff::constant(Duration::from_millis(50)));
    ///     let (scored, failed) = score(payments, options, limit);
    ///     let reasons = map(failed, |failed| failed.to_string());
    ///     sink(scored, good);
    ///     sink(reasons, bad);
    /// }
    ///
    /// # fn main() -> Result<(), flow_runtime::Error> {
    /// let payments = vec![Payment { customer: 7, cents: 500 }, Payment { customer: 8, cents: 0 }];
    /// let ((good, found), (bad, reasons)) = (collect(), collect());
    /// scores(payments, 1000, good, bad).workers(1).spawn()?.wait()?;
    /// assert_eq!(found.take(), [50]);
    /// assert_eq!(reasons.take(), ["given up after 3 attempts: customer 8 pays nothing"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It is wired with options, `Async`, in front of its configuration: how many items are in flight, in which order they come out, how
    /// long an attempt may take, how often it is made again. It has two outputs, and both must be used: what comes out, and the items that
    /// timed out or were refused, as `AsyncFailed`. A keyed stream stays keyed.
    ///
    /// * A function whose return type is called `Result` refuses an item by an `Err`, of which the text is kept. Under any other name what is
    ///   returned comes out as it is, an `Option` too.
    /// * The item must be `Clone`: it is kept for another attempt and for the second output.
    /// * The future need not be `Send`. A parameter `&C` is lent to it as long as it lives; of a `Broadcast<C>` it sees a clone, taken when the
    ///   attempt begins.
    ///
    /// What futures may wait for, what the feature `tokio` adds, and what is recovered stands at the step `async_map`, which is the same for any
    /// function or closure.
    async_map, AsyncMap;
}

/// A struct or an enum that is kept as state: how it is saved, loaded and described.
///
/// ```
/// use std::collections::HashMap;
/// use std::net::IpAddr;
///
/// use flow_runtime::prelude::*;
/// use flow_runtime::state::Saved;
///
/// #[stateful(version = 1)]
/// #[derive(Default)]
/// struct Session {
///     started: u64,
///     #[state(foreign = "std::net::IpAddr v1")]
///     from: Option<IpAddr>,
///     #[state(skip)]
///     cache: HashMap<String, u64>,
/// }
///
/// assert_eq!(Session::SCHEMA.to_string(), "Session v1 { started: u64, from: `std::net::IpAddr v1` }");
/// ```
///
/// Fields are numbers, strings, std collections and other `#[stateful]` types. `#[state(foreign = "name v1")]` saves a
/// field by its serde implementation, under the name that is given for its encoding; `#[state(skip)]` leaves a field out,
/// which is then its default after a recovery. The type may be generic.
///
/// A state is written to the recovery log as a whole whenever its key has changed. Of a field that is a `MapState` or a `ListState` only the entries are written
/// that have changed.
///
/// The names of fields and variants are part of the schema; paths are not.
///
/// # Versions
///
/// A run that goes on from a recovery log loads what an earlier program has saved. A type that has changed since then says so by its
/// `version`, and by `from` what it is made from: the type as it was, kept under another Rust name and with the `name` that the log knows
/// it by.
///
/// ```
/// use flow_runtime::prelude::*;
/// use flow_runtime::state::{Reader, Saved, Shape};
///
/// #[stateful(name = "Cart", version = 1)]
/// struct CartV1 {
///     orders: Vec<u32>,
/// }
///
/// #[stateful(version = 2, from = CartV1)]
/// struct Cart {
///     orders: Vec<u64>,
///     paid: bool,
/// }
///
/// impl From<CartV1> for Cart {
///     fn from(old: CartV1) -> Self {
///         Cart { orders: old.orders.into_iter().map(u64::from).collect(), paid: false }
///     }
/// }
///
/// // What a run does with each entry of version 1 that it loads.
/// let mut saved = Vec::new();
/// CartV1 { orders: vec![7] }.save(&mut saved);
/// let reader = Reader::<Cart>::of(&Shape::from(CartV1::SCHEMA))?;
/// assert_eq!(reader.read_all(&saved)?.orders, [7]);
/// # Ok::<(), flow_runtime::state::LoadError>(())
/// ```
///
/// * Versions count up one by one, each made from the one before, in a chain of any length. A gap is a compile error.
/// * `try_from = CartV1` asks for a `TryFrom` whose error can be displayed: a value that it refuses ends the run, with step and key. Only
///   the last state of a key has to be taken; one that has been replaced since may fail. A `From` that panics ends the run in any case.
/// * What is saved from then on has the new version; entries of both lie in one log side by side.
/// * A type may have versions wherever it lies in a state, behind fields of unchanged types, in collections and options, as the value of a map. Keys of
///   maps and elements of sets have none, since two could become the same.
/// * `name` alone gives a type another name in the log, so that its Rust name can change.
#[proc_macro_attribute]
pub fn stateful(args: TokenStream, item: TokenStream) -> TokenStream {
    stateful::expand(args.into(), item.into()).into()
}

/// A dataflow: a function over streams.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[stateful_map]
/// fn count(total: &mut u64, _word: &str, _item: String) -> u64 {
///     *total += 1;
///     *total
/// }
///
/// #[dataflow]
/// fn word_count(text: Vec<String>, out: Collect<(String, u64)>) {
///     let words = source(from_iter(text));
///     let by_word = key_by_ref(words, |word| word.as_str());
///     let counts = count(by_word);
///     sink(counts, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, counts) = collect();
/// word_count(vec!["to".into(), "be".into(), "to".into()], out).workers(2).spawn()?.wait()?;
/// assert_eq!(counts.sorted(), [("be".into(), 1), ("to".into(), 1), ("to".into(), 2)]);
/// const { assert!(word_count::GRAPH.has("counts")) }
/// # Ok(())
/// # }
/// ```
///
/// * A call is a step if it is `source(..)` or its first argument is a bare name. Each `let` names a step, and that name is
///   the id under which its state is recovered; `#[id = "name"]` in front pins it. Every stream is used: by a step, by
///   `sink`, or visibly dropped by `discard`.
/// * Using a name twice is fan-out, `merge(a, b, ..)` is fan-in, `key_by` is the exchange.
/// * Parameters of type `Stream`, `Keyed` and `Broadcast` make it a sub-flow, which is wired like an operator:
///   `let cleaned = clean(raw, 3.0);`. It returns a stream, a tuple of streams, or a struct of streams with
///   `#[derive(Outputs)]`. A sub-flow without inputs is wired `let prices = source(price_feed(url));`.
/// * All other parameters are configuration: `Clone + Send + 'static`, cloned wherever a step mentions them, also in
///   closures. There are at most twelve.
/// * Ordinary Rust between the steps is allowed. An ordinary call on a bare name is written in braces:
///   `let n = { f(x) };`.
///
/// # `delivery = exactly_once`
///
/// `#[dataflow(delivery = exactly_once)]` compiles only if nothing that is written can be seen twice, or twice differently, after a run
/// has crashed and gone on from its recovery log:
///
/// * every source is replayable: after a crash it gives the same items again from any position that it has given;
/// * every sink is rewindable, transactional or an outbox; or an upsert of which is declared, where it is wired, that its keys and
///   values depend on the replayed input alone: `sink(totals, deterministic(table));`;
/// * every sub-flow that has sources or sinks of its own is declared `delivery = exactly_once` itself, and so checked within.
///
/// ```compile_fail
/// use flow_runtime::prelude::*;
///
/// #[dataflow(delivery = exactly_once)]
/// fn copied(text: Lines) {
///     let lines = source(text);
///     sink(lines, Stdout::lines()); // `StdoutLines` delivers at least once
/// }
/// ```
///
/// A sink says in its type what it promises, `type Delivery = delivery::Rewindable;`, and a source whether it replays. A
/// dataflow that is generic over them asks for it in its bounds: `Sink<Stream<u64>, Delivery: ExactlyOnce>`,
/// `Source<Item = u64, Replay = Replayable>`. Without the argument, or with `delivery = at_least_once`, every source and sink is
/// accepted, and each delivers what it promises.
///
/// # The graph
///
/// Without streams as parameters the function returns a `Dataflow`; `word_count::GRAPH` is its graph, known at compile
/// time: `const { assert!(word_count::GRAPH.has("counts")) }`.
#[proc_macro_attribute]
pub fn dataflow(args: TokenStream, item: TokenStream) -> TokenStream {
    dataflow::expand(args.into(), item.into()).into()
}

/// An enum that `branch` takes apart into one stream per variant, bound by the variants' names in snake case:
/// `let Decision { allow, review, deny } = branch(judged);`.
///
/// A variant without fields yields `()`, one with one field that field, one with several a tuple.
#[proc_macro_derive(Branch, attributes(flow))]
pub fn branch(item: TokenStream) -> TokenStream {
    derive::branch(item.into()).into()
}

/// A struct of streams that a sub-flow returns, to be bound by the names of its fields:
/// `let Sides { buys, sells } = split_sides(trades);`.
#[proc_macro_derive(Outputs, attributes(flow))]
pub fn outputs(item: TokenStream) -> TokenStream {
    derive::outputs(item.into()).into()
}
