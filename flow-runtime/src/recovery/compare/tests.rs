use super::*;
use crate::recovery::SegmentName;
use crate::recovery::manifest::{Committed, Format, StoredAt};
use crate::state::{Saved, Shape};
use crate::time::Timestamp;

fn spec<V: Saved + 'static>(kind: &str) -> StepSpec {
    StepSpec::keyed::<String>(kind, Shape::from(V::SCHEMA)).migrates::<V>()
}

/// Something is saved of every step.
fn all(_: u32) -> Option<Written> {
    Some(Written::default())
}

fn none(_: u32) -> Option<Written> {
    None
}

fn saved(steps: &[(&str, StepSpec)]) -> Manifest {
    let last =
        Committed { generation: 1, barrier: 4, epoch: Epoch(6), next: Epoch(7), at: Timestamp(0) };
    Manifest {
        format: Format { dataflow: "f".into(), groups: 256, seed: 0, hash: 1 },
        workers: 1,
        last: Some(last),
        finished: false,
        next_step: steps.len() as u32,
        steps: (0..)
            .zip(steps)
            .map(|(number, (id, spec))| SavedStep {
                number,
                id: (*id).to_owned(),
                spec: spec.clone(),
            })
            .collect(),
        bases: Vec::new(),
        parts: Vec::new(),
        stored: Vec::new(),
        watermarks: Vec::new(),
    }
}

fn now(steps: &[(&str, StepSpec)]) -> Vec<(StepId, StepSpec)> {
    steps.iter().map(|(id, spec)| (StepId::root().child(id), spec.clone())).collect()
}

fn numbers(compared: &Compared) -> Vec<(&str, u32)> {
    compared.steps.iter().map(|step| (step.id.as_str(), step.number)).collect()
}

fn renames(old: &str, new: &str) -> Allowed {
    Allowed { renames: vec![(old.into(), new.into())], ..Allowed::default() }
}

fn drops(id: &str, at: Option<u64>) -> Allowed {
    Allowed { drops: vec![(id.into(), at.map(Epoch))], ..Allowed::default() }
}

#[test]
fn the_same_steps_and_new_ones_are_taken() {
    let before = saved(&[("a", spec::<u64>("keyed")), ("b", spec::<u32>("keyed"))]);
    let after = now(&[
        ("b", spec::<u32>("keyed")),
        ("c", spec::<u8>("keyed")),
        ("a", spec::<u64>("keyed")),
    ]);
    let compared = compare(&before, &after, &Allowed::default(), &all).expect("fits");
    assert_eq!(numbers(&compared), [("b", 1), ("c", 2), ("a", 0)]);
    assert_eq!(compared.next_step, 3);
    assert_eq!((&*compared.fates[2].id, &compared.fates[2].fate), ("c", &Fate::New));
}

#[test]
fn a_renamed_step_is_refused_with_the_ways_out_and_can_be_renamed() {
    let before = saved(&[("a", spec::<u64>("keyed"))]);
    let after = now(&[("b", spec::<u64>("keyed"))]);
    let error = compare(&before, &after, &Allowed::default(), &all).expect_err("is refused");
    for part in [
        "epoch 7",
        "`a` is gone",
        "renamed to `b`",
        "#[id = \"a\"]",
        "--rename-state a=b",
        "--drop-state a",
    ] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    let compared = compare(&before, &after, &renames("a", "b"), &all).expect("is renamed");
    assert_eq!(numbers(&compared), [("b", 0)]);
    // The same command, once more.
    let before = Manifest { steps: compared.steps, next_step: 1, ..before };
    let compared = compare(&before, &after, &renames("a", "b"), &all).expect("was renamed");
    assert_eq!(numbers(&compared), [("b", 0)]);
    // And again, when another step has got the old name.
    let after = now(&[("b", spec::<u64>("keyed")), ("a", spec::<u64>("keyed"))]);
    let compared = compare(&before, &after, &Allowed::default(), &all).expect("a step is new");
    let before = Manifest { steps: compared.steps, next_step: 2, ..before };
    let compared = compare(&before, &after, &renames("a", "b"), &all).expect("was renamed");
    assert_eq!(numbers(&compared), [("b", 0), ("a", 1)]);
    // Two that meet are refused.
    let after = now(&[("b", spec::<u64>("keyed"))]);
    let error = compare(&before, &after, &renames("a", "b"), &all).expect_err("is refused");
    assert!(error.to_string().contains("state of `b` already"), "{error}");
}

#[test]
fn a_sink_is_named_by_its_stream_and_comes_along() {
    let sink = || StepSpec::positions::<u64>("sink");
    let before = saved(&[("a", spec::<u64>("keyed")), ("a.sink", sink())]);
    let after = now(&[("b", spec::<u64>("keyed")), ("b.sink", sink())]);
    let error = compare(&before, &after, &Allowed::default(), &all).expect_err("is refused");
    let text = error.to_string();
    assert!(text.contains("when `a` is pinned or renamed, it comes along"), "{text}");
    assert!(text.contains("a file is emptied") && !text.contains("#[id = \"a.sink\"]"), "{text}");
    let compared = compare(&before, &after, &renames("a", "b"), &all).expect("is renamed");
    assert_eq!(numbers(&compared), [("b", 0), ("b.sink", 1)]);
    // A step that keeps nothing was put in between: the stream, and so the sink, has another name.
    let after = now(&[("a", spec::<u64>("keyed")), ("late.sink", sink())]);
    let error = compare(&before, &after, &Allowed::default(), &all).expect_err("is refused");
    assert!(error.to_string().contains("--rename-state a.sink=late.sink"), "{error}");
    let given = renames("a.sink", "late.sink");
    compare(&before, &after, &given, &all).expect("is renamed");
    // A flag that names nothing is pointed out.
    let error = compare(&before, &after, &drops("aa", None), &all).expect_err("is refused");
    assert!(error.to_string().contains("a flag names `aa`, of which nothing is saved"), "{error}");
}

#[test]
fn a_changed_state_is_refused_with_both_sides_and_can_be_dropped() {
    let before = saved(&[("a", spec::<u64>("keyed"))]);
    let after = now(&[("a", spec::<u32>("keyed"))]);
    let error = compare(&before, &after, &Allowed::default(), &all).expect_err("is refused");
    for part in ["of u64", "of u32", "--drop-state a"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    let compared = compare(&before, &after, &drops("a", None), &all).expect("is dropped");
    // A new number: what was saved under the old one must not come back.
    assert_eq!(numbers(&compared), [("a", 1)]);
    // The same command, once more, drops nothing.
    let before = Manifest { steps: compared.steps, next_step: 2, ..before };
    let compared = compare(&before, &after, &drops("a", None), &all).expect("fits");
    assert_eq!(numbers(&compared), [("a", 1)]);
}

#[test]
fn what_fits_is_dropped_at_the_epoch_that_is_named_only() {
    let before = saved(&[("a", spec::<u64>("keyed"))]);
    let after = now(&[("a", spec::<u64>("keyed"))]);
    let kept = compare(&before, &after, &drops("a", Some(6)), &all).expect("fits");
    assert_eq!(numbers(&kept), [("a", 0)]);
    let dropped = compare(&before, &after, &drops("a", Some(7)), &all).expect("is dropped");
    assert_eq!(numbers(&dropped), [("a", 1)]);
}

#[test]
fn a_sink_without_a_position_may_go_and_become_another_one() {
    let before = saved(&[("a", StepSpec::positions::<()>("sink"))]);
    let compared = compare(&before, &[], &Allowed::default(), &all).expect("it kept nothing");
    assert!(compared.steps.is_empty() && compared.fates.is_empty());
    let after = now(&[("a", StepSpec::positions::<u64>("sink"))]);
    let compared = compare(&before, &after, &Allowed::default(), &all).expect("it kept nothing");
    assert_eq!(numbers(&compared), [("a", 1)]);
    let before = Manifest { steps: compared.steps, ..before };
    let after = now(&[("a", StepSpec::positions::<()>("sink"))]);
    compare(&before, &after, &Allowed::default(), &all).expect_err("it keeps a position now");
    // A step whose run was over before it had saved anything.
    let before_it = saved(&[("a", spec::<u64>("keyed"))]);
    let compared = compare(&before_it, &[], &Allowed::default(), &none);
    assert!(compared.expect("it kept nothing").steps.is_empty());
    // What it has stored may not have been carried out.
    let mut before = saved(&[("a", StepSpec::positions::<()>("sink"))]);
    before.stored.push(StoredAt {
        step: 0,
        partition: "p".into(),
        epoch: Epoch(6),
        file: SegmentName { generation: 1, writer: 0, number: 0 },
        offset: 96,
    });
    compare(&before, &[], &Allowed::default(), &all).expect_err("its rows would be lost");
}

#[test]
fn other_kinds_and_removed_steps_are_refused() {
    let before = saved(&[("a", spec::<u64>("keyed")), ("b", spec::<u64>("dedupe"))]);
    let after = now(&[("b", spec::<u64>("keyed"))]);
    let error = compare(&before, &after, &Allowed::default(), &all).expect_err("is refused");
    for part in ["`a` is gone", "put it back", "step `b` keeps something else", "dedupe by"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

mod versions {
    use super::*;
    use crate::stateful;

    #[stateful(name = "Cart")]
    struct CartV1 {
        orders: Vec<u32>,
    }
    #[stateful(name = "Cart", version = 2, from = CartV1)]
    struct CartV2 {
        orders: Vec<u64>,
    }
    #[stateful(version = 3, from = CartV2)]
    struct Cart {
        orders: Vec<u64>,
        paid: Vec<u64>,
    }
    impl From<CartV1> for CartV2 {
        fn from(old: CartV1) -> Self {
            CartV2 { orders: old.orders.into_iter().map(u64::from).collect() }
        }
    }
    impl From<CartV2> for Cart {
        fn from(old: CartV2) -> Self {
            Cart { orders: old.orders, paid: Vec::new() }
        }
    }
    /// The newest version, once nothing is converted any more.
    mod later {
        use super::*;
        #[stateful(version = 3)]
        pub(super) struct Cart {
            orders: Vec<u64>,
            paid: Vec<u64>,
        }
    }

    fn shape<V: Saved>() -> Shape {
        Shape::from(V::SCHEMA)
    }

    /// There are blocks of these shapes.
    fn blocks(shapes: &[Shape]) -> impl Fn(u32) -> Option<Written> + use<> {
        let schemas = shapes.iter().map(schema_of).collect();
        let written = Written { entries: 1, bytes: 8, schemas };
        move |_| Some(written.clone())
    }

    fn carts<V: Saved + 'static>() -> [(&'static str, StepSpec); 1] {
        [("carts", spec::<V>("keyed state"))]
    }

    #[test]
    fn every_older_version_is_taken_and_remembered_as_long_as_there_are_entries_of_it() {
        let none = Allowed::default();
        let [first, second, third] = [shape::<CartV1>(), shape::<CartV2>(), shape::<Cart>()];
        let log = saved(&carts::<CartV1>());
        let written = blocks(std::slice::from_ref(&first));
        let compared = compare(&log, &now(&carts::<CartV2>()), &none, &written).expect("migrates");
        assert_eq!(numbers(&compared), [("carts", 0)]);
        assert_eq!(
            compared.fates[0].fate,
            Fate::Migrated { change: "the version of `Cart` was 1 and is 2".into(), from: None }
        );
        assert_eq!(compared.steps[0].spec.older().collect::<Vec<_>>(), [&first]);
        // The next start, with the same program, and the one after that, with a newer one.
        let log = Manifest { steps: compared.steps, ..log };
        let written = blocks(&[first.clone(), second.clone()]);
        let compared = compare(&log, &now(&carts::<CartV2>()), &none, &written).expect("fits");
        assert_eq!((&compared.fates[0].fate, &compared.steps), (&Fate::Kept, &log.steps));
        let compared = compare(&log, &now(&carts::<Cart>()), &none, &written).expect("migrates");
        assert_eq!(compared.steps[0].spec.older().collect::<Vec<_>>(), [&first, &second]);
        // Once there is nothing of a version any more it is forgotten.
        let log = Manifest { steps: compared.steps, ..log };
        let written = blocks(&[second.clone(), third.clone()]);
        let compared = compare(&log, &now(&carts::<Cart>()), &none, &written).expect("fits");
        assert_eq!(compared.steps[0].spec.older().collect::<Vec<_>>(), [&second]);
    }

    #[test]
    fn a_step_is_renamed_and_migrated_at_once() {
        let log = saved(&carts::<CartV1>());
        let after = now(&[("shops", spec::<Cart>("keyed state"))]);
        let written = blocks(&[shape::<CartV1>()]);
        let compared = compare(&log, &after, &renames("carts", "shops"), &written).expect("fits");
        let Fate::Migrated { change, from } = &compared.fates[0].fate else {
            panic!("{compared:?}")
        };
        assert_eq!(
            (&**change, from.as_deref()),
            ("the version of `Cart` was 1 and is 3", Some("carts"))
        );
        // What can be converted fits: it is not dropped.
        let compared = compare(&log, &now(&carts::<Cart>()), &drops("carts", None), &written);
        assert_eq!(numbers(&compared.expect("fits")), [("carts", 0)]);
    }

    #[test]
    fn there_is_no_way_back() {
        let log = saved(&carts::<Cart>());
        let error = compare(&log, &now(&carts::<CartV2>()), &Allowed::default(), &all);
        let text = error.expect_err("is refused").to_string();
        assert!(text.contains("the version of `Cart` was 3 and is 2"), "{text}");
        assert!(
            text.contains("a newer program has saved it") && !text.contains("convert it"),
            "{text}"
        );
    }

    #[test]
    fn as_long_as_nothing_of_the_new_version_is_saved_it_can_be_taken_back() {
        let mut log = saved(&carts::<Cart>());
        log.steps[0].spec.add_older(vec![shape::<CartV1>()]);
        let (before, allowed) = (now(&carts::<CartV1>()), Allowed::default());
        let written = blocks(&[shape::<CartV1>()]);
        let compared = compare(&log, &before, &allowed, &written).expect("it is as it was");
        assert_eq!(compared.fates[0].fate, Fate::Kept);
        assert_eq!(compared.steps, saved(&carts::<CartV1>()).steps);
        let written = blocks(&[shape::<CartV1>(), shape::<Cart>()]);
        compare(&log, &before, &allowed, &written).expect_err("there is something of it");
    }

    #[test]
    fn without_a_chain_it_is_refused_with_the_way_to_one() {
        let log = saved(&carts::<CartV2>());
        let error = compare(&log, &now(&carts::<later::Cart>()), &Allowed::default(), &all);
        let text = error.expect_err("is refused").to_string();
        for part in [
            "of Cart v2 { orders: [u64] }",
            "of Cart v3 { orders: [u64], paid: [u64] }",
            "`#[stateful(version = 3, from = CartV2)]` on `Cart`",
            "`#[stateful(name = \"Cart\", version = 2)]`",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_version_of_which_there_are_entries_must_stay_in_the_chain() {
        let mut log = saved(&carts::<Cart>());
        log.steps[0].spec.add_older(vec![shape::<CartV1>()]);
        let (steps, allowed) = (now(&carts::<later::Cart>()), Allowed::default());
        let error = compare(&log, &steps, &allowed, &blocks(&[shape::<CartV1>(), shape::<Cart>()]));
        let text = error.expect_err("is refused").to_string();
        for part in
            ["has entries of an older version", "of Cart v1 {", "put the older version back"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        compare(&log, &steps, &allowed, &blocks(&[shape::<Cart>()])).expect("there are none");
        // One that the log has never heard of.
        let error = compare(&log, &steps, &allowed, &blocks(&[shape::<u8>()]));
        assert!(error.expect_err("is refused").to_string().contains("does not know the schema"));
    }

    #[test]
    fn an_older_type_that_is_not_what_it_was_is_named() {
        mod wrong {
            use super::*;
            #[stateful(name = "Cart")]
            pub(super) struct First {
                orders: Vec<u64>,
            }
            #[stateful(version = 2, from = First)]
            pub(super) struct Cart {
                all: Vec<u64>,
            }
            impl From<First> for Cart {
                fn from(old: First) -> Self {
                    Cart { all: old.orders }
                }
            }
        }
        let log = saved(&carts::<CartV1>());
        let error = compare(&log, &now(&carts::<wrong::Cart>()), &Allowed::default(), &all);
        let text = error.expect_err("is refused").to_string();
        let said = "it cannot be converted: as `First`: in field `orders`, the type was `u32` and is `u64`";
        assert!(text.contains(said), "{text}");
    }
}
