use proptest::prelude::*;

use super::*;
use crate::io::{Collect, collect, from_iter};
use crate::prelude::*;
use crate::state::Shape;
use crate::state::shape_tests::any_shape;

/// The file as it is committed, for a dataflow called `f` with these steps.
fn lock(steps: &[(&str, StepSpec)]) -> Lock {
    let steps = steps.iter().map(|(id, spec)| (StepId::of(id), spec.clone()));
    Lock { dataflow: "f".to_owned(), steps: steps.collect() }
}

proptest! {
    #[test]
    fn a_lock_is_read_as_it_was_written(
        shapes in prop::collection::vec((any_shape(), prop::option::of(any_shape()), "[ -~]{0,4}"), 0..3),
    ) {
        let steps = shapes.into_iter().enumerate().map(|(n, (shape, key, meaning))| {
            let spec = StepSpec { key, meaning, ..StepSpec::single("keyed state", "state", shape) };
            (StepId::of(&format!("a/step{n}.sink")), spec)
        });
        let lock = Lock { dataflow: "f".to_owned(), steps: steps.collect() };
        let text = write::text(&lock);
        prop_assert_eq!(parse::lock(&text), Ok(lock.clone()), "{}", text);
        // As an editor, or git on another system, may leave it.
        prop_assert_eq!(parse::lock(&text.replace('\n', "\r\n\r\n")), Ok(lock));
    }

    #[test]
    fn any_text_is_refused_or_read_without_a_panic(
        text in "(dataflow|step|kind: |v1|[\\[\\](){}<>:;,#\"a0]|[ \n]|Option|MapState|plain|é){0,40}",
    ) {
        let _ = parse::lock(&text);
        let _ = parse::lock(&format!("dataflow f\nstep a\nkind: b\nstate: {text}"));
    }
}

#[test]
fn what_is_wrong_with_a_lock_is_said_with_the_line() {
    let deep = "[".repeat(200);
    for (text, line, said) in [
        ("", 1, "expected `dataflow`, and here it ends"),
        ("# a comment\nstep a", 2, "expected `dataflow`, found `step a`"),
        ("dataflow f\n\nstep a\n  kind: k\n  state u64", 5, "expected `:`, found `u64`"),
        ("dataflow f\nstep a\nkind: k\nstate: A v1 {\n  a: >\n}", 5, "expected a shape, found `>`"),
        ("dataflow f\nstep a\nkind: k\nstate: \"A\"", 4, "expected a shape, found `\"A\"`"),
        ("dataflow f\nstep a\nkind: k\nstate: [u8; x]", 4, "expected a length, found `x]`"),
        ("dataflow f\nstep b\nkind: k\n<<<<<<< HEAD", 4, "expected `step`, found `<<<<<<< HEAD`"),
        ("dataflow f\nstep b\nkind: k\nstep a\nkind: k", 5, "step `a` stands behind `b`"),
        (&format!("dataflow f\nstep a\nkind: k\nstate: {deep}"), 4, "it nests too deep"),
    ] {
        let (at, what) = parse::lock(text).expect_err(text);
        assert!(at == line && what.starts_with(said), "line {at}: {what}");
    }
}

#[stateful(name = "Cart")]
#[derive(Default)]
struct CartV1 {
    orders: Vec<u64>,
}

#[stateful(version = 2, from = CartV1)]
#[derive(Default)]
struct Cart {
    orders: Vec<u64>,
    paid: bool,
}

impl From<CartV1> for Cart {
    fn from(old: CartV1) -> Self {
        Cart { orders: old.orders, paid: false }
    }
}

#[dataflow]
fn carts(orders: Vec<(String, u64)>, out: Collect<(String, u64)>) {
    let all = source(from_iter(orders));
    let by_user = key_by_ref(all, |(user, _)| user.as_str());
    let filled = stateful_map(by_user, |cart: &mut Cart, _user, (_, order): (String, u64)| {
        cart.orders.push(order);
        cart.paid = false;
        order
    });
    sink(filled, out);
}

fn cart<V: crate::state::Saved + 'static>() -> StepSpec {
    StepSpec::keyed::<String>("keyed state", Shape::from(V::SCHEMA)).migrates::<V>()
}

/// Checks against this file, and answers what is said.
fn checked(committed: &Lock, now: Lock) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("f.lock");
    fs::write(&path, write::text(committed)).expect("a file can be written");
    check_or_write(&path, now, false).err().map(|error| error.to_string())
}

#[test]
fn a_dataflow_is_written_down_step_by_step() {
    let text = text(&carts(vec![], collect().0)).expect("it is assembled");
    let (_, steps) = text.split_once("dataflow carts\n").expect("it has a head");
    assert_eq!(
        steps,
        "\nstep all\n  kind: source\n  position: u64\n\nstep filled\n  kind: keyed state\n  key: String\n  state: Cart v2 {\n    orders: [u64]\n    paid: bool\n  }\n"
    );
}

#[test]
fn what_a_start_takes_only_asks_to_be_written_down() {
    let (first, now) = (lock(&[("carts", cart::<CartV1>())]), lock(&[("carts", cart::<Cart>())]));
    assert_eq!(checked(&now, now.clone()), None);
    let said = checked(&first, now.clone()).expect("it is a new version");
    assert!(said.contains("`carts` is converted: the version of `Cart` was 1 and is 2"), "{said}");
    assert!(said.contains("FLOW_SCHEMA_LOCK=write cargo test"), "{said}");
    let more = lock(&[("carts", cart::<Cart>()), ("more", cart::<u64>())]);
    let said = checked(&now, more).expect("it is new");
    assert!(said.contains("step `more` is new"), "{said}");
}

#[test]
fn what_a_start_refuses_is_said_with_the_field_and_the_ways_out() {
    let before = lock(&[("carts", cart::<Cart>()), ("more", cart::<u64>())]);
    let said = checked(&before, lock(&[("carts", cart::<CartV1>()), ("more", cart::<i64>())]));
    let said = said.expect("it does not fit");
    for part in
        ["does not fit", "`carts` keeps something else", "was 2 and is 1", "was `u64` and is `i64`"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = checked(&before, lock(&[("carts", cart::<Cart>())])).expect("one is gone");
    assert!(said.contains("step `more` is gone") && said.contains("--drop-state more"), "{said}");
    let other = Lock { dataflow: "g".to_owned(), ..before.clone() };
    let said = checked(&before, other).expect("it is another one's");
    assert!(said.contains("is the lock of the dataflow `f`, and this is `g`"), "{said}");
}

#[test]
fn a_version_that_was_written_down_stays_and_must_stay_readable() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("deep").join("f.lock");
    let (first, now) = (lock(&[("carts", cart::<CartV1>())]), lock(&[("carts", cart::<Cart>())]));
    let error = check_or_write(&path, first.clone(), false).expect_err("it is not there");
    assert!(error.to_string().contains("is not there"), "{error}");
    for lock in [&first, &now] {
        check_or_write(&path, lock.clone(), true).expect("it is written");
        check_or_write(&path, lock.clone(), false).expect("it is as written");
    }
    let text = fs::read_to_string(&path).expect("it is there");
    assert!(text.ends_with("  older: Cart v1 {\n    orders: [u64]\n  }\n"), "{text}");
    // Without the conversion.
    mod later {
        use super::*;
        #[stateful(version = 2)]
        pub(super) struct Cart {
            orders: Vec<u64>,
            paid: bool,
        }
    }
    let later = lock(&[("carts", cart::<later::Cart>())]);
    let error =
        check_or_write(&path, later.clone(), false).expect_err("it cannot read the old one");
    assert!(error.to_string().contains("put the older version back"), "{error}");
    // What does not fit is written down, too.
    check_or_write(&path, later.clone(), true).expect("it is written");
    check_or_write(&path, later, false).expect("it is as written");
}
