//! Dataflows as users write them, against plain loops over the same input.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flow_runtime::prelude::*;
use flow_tests::collect::Collect;
use flow_tests::given::{Given, given};
use flow_tests::runner::everywhere;
use proptest::prelude::{ProptestConfig, Strategy, prop, proptest};

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}

fn numbers() -> impl Strategy<Value = Vec<Vec<u64>>> {
    prop::collection::vec(prop::collection::vec(0..50_u64, 0..40), 1..4)
}

fn lines() -> impl Strategy<Value = Vec<Vec<String>>> {
    let line = prop::collection::vec("[a-dA-D]{1,2}", 0..6).prop_map(|words| words.join(" "));
    prop::collection::vec(prop::collection::vec(line, 0..20), 1..4)
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 24, ..ProptestConfig::default() }
}

mod stateless {
    use super::*;

    #[map]
    fn scale(n: u64, by: u64) -> u64 {
        n * by
    }

    #[filter]
    fn even(n: &u64) -> bool {
        n.is_multiple_of(2)
    }

    #[flat_map]
    fn below(n: u64, most: usize) -> impl Iterator<Item = u64> {
        (0..n).take(most)
    }

    #[filter_map]
    fn half(n: u64) -> Option<u64> {
        n.is_multiple_of(2).then_some(n / 2)
    }

    #[dataflow]
    fn steps(
        input: Given<u64>,
        by: u64,
        small: Collect<u64>,
        halves: Collect<u64>,
        all: Collect<u64>,
    ) {
        let numbers = source(input);
        let scaled = scale(numbers, by);
        let chosen = even(scaled);
        let many = below(chosen, 3);
        let few = filter(many, |n| *n != 1);
        let halved = half(scaled);
        let spread = rebalance(halved);
        let shifted = map(spread, |n| n + by);
        sink(few, small);
        sink(shifted, halves);
        sink(numbers, all);
    }

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn like_a_loop(input in numbers(), by in 1..4_u64, seed: u64, barriers in 0..20_usize) {
            let all = sorted(input.iter().flatten().copied());
            let scaled = || all.iter().map(|n| n * by);
            let many = scaled().filter(|n| n % 2 == 0).flat_map(|n| (0..n).take(3));
            let few = sorted(many.filter(|n| *n != 1));
            let shifted = sorted(scaled().filter(|n| n % 2 == 0).map(|n| n / 2 + by));
            everywhere(seed, barriers, || {
                let [a, b, c] = [1, 2, 3].map(Collect::new);
                let flow = steps(given(input.clone()), by, a.clone(), b.clone(), c.clone());
                let (few, shifted, all) = (&few, &shifted, &all);
                (flow, move || assert_eq!((&a.sorted(), &b.sorted(), &c.sorted()), (few, shifted, all)))
            });
        }
    }
}

mod words {
    use super::*;

    #[flat_map]
    fn split(line: String) -> impl Iterator<Item = String> {
        line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().into_iter()
    }

    #[stateful_map]
    fn count(total: &mut u64, _word: &str, _item: String) -> u64 {
        *total += 1;
        *total
    }

    #[stateful_filter_map]
    fn every_third(seen: &mut Option<u64>, word: &str, _item: String) -> Option<String> {
        let count = seen.unwrap_or(0) + 1;
        *seen = (count < 3).then_some(count);
        seen.is_none().then(|| word.repeat(3))
    }

    #[stateful_flat_map]
    fn so_many(count: &mut u64, _word: &str, item: String) -> Vec<String> {
        *count += 1;
        vec![item; *count as usize]
    }

    #[dataflow]
    fn word_count(
        text: Given<String>,
        counts: Collect<(String, u64)>,
        thirds: Collect<(String, String)>,
        rising: Collect<String>,
    ) {
        let lines = source(text);
        let words = split(lines);
        let long = filter(words, |w| w.len() < 3);
        let by_word = key_by_ref(long, |w| w.as_str());
        let totals = count(by_word);
        let by_three = every_third(by_word);
        let many = so_many(by_word);
        let plain = values(many);
        sink(totals, counts);
        sink(by_three, thirds);
        sink(plain, rising);
    }

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn like_a_map(input in lines(), seed: u64, barriers in 0..20_usize) {
            let mut totals: BTreeMap<String, u64> = BTreeMap::new();
            let (mut counts, mut thirds, mut rising) = (Vec::new(), Vec::new(), Vec::new());
            for word in input.iter().flatten().flat_map(|line| line.split_whitespace()) {
                let word = word.to_lowercase();
                let total = totals.entry(word.clone()).or_default();
                *total += 1;
                counts.push((word.clone(), *total));
                rising.extend(vec![word.clone(); *total as usize]);
                if total.is_multiple_of(3) {
                    thirds.push((word.clone(), word.repeat(3)));
                }
            }
            let (counts, thirds, rising) = (sorted(counts), sorted(thirds), sorted(rising));
            everywhere(seed, barriers, || {
                let (a, b, c) = (Collect::new(1), Collect::new(2), Collect::new(1));
                let flow = word_count(given(input.clone()), a.clone(), b.clone(), c.clone());
                let (counts, thirds, rising) = (&counts, &thirds, &rising);
                (flow, move || {
                    assert_eq!(&a.sorted(), counts);
                    assert_eq!(&b.sorted(), thirds);
                    assert_eq!(&c.sorted(), rising);
                    // With one input the updates of a word are in order.
                    let mut last: BTreeMap<String, u64> = BTreeMap::new();
                    for (word, n) in a.items() {
                        assert_eq!(last.insert(word, n).unwrap_or(0) + 1, n);
                    }
                })
            });
        }
    }
}

mod keys {
    use super::*;

    #[stateful_map]
    fn number<K: Key>(n: &mut u64, _key: &K, item: u64) -> (u64, u64) {
        *n += 1;
        (*n, item % 2)
    }

    /// Exchange after exchange, with state between them that does not depend on order.
    #[dataflow]
    fn chain(input: Given<u64>, out: Collect<((u64, u64), u64)>, flat: Collect<(u64, (u64, u64))>) {
        let numbers = source(input);
        let spread = rebalance(numbers);
        let pairs = map(spread, |n| (n % 5, n));
        let by_five = into_keyed(pairs);
        let entered = entries(by_five);
        let again = into_keyed(entered);
        let by_two = key_by(again, |n| (n % 2, n % 3));
        let counted = number(by_two);
        let firsts = map(counted, |(n, _)| n);
        let by_parity = key_by(counted, |(_, parity)| *parity);
        let last = filter(by_parity, |(n, _)| n % 2 == 1);
        sink(firsts, out);
        sink(last, flat);
    }

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn like_maps(input in numbers(), seed: u64, barriers in 0..20_usize) {
            let mut states: BTreeMap<(u64, u64), u64> = BTreeMap::new();
            let mut numbered = Vec::new();
            for n in input.iter().flatten() {
                let key = (n % 2, n % 3);
                let state = states.entry(key).or_default();
                *state += 1;
                numbered.push((key, *state));
            }
            let flat = sorted(numbered.iter().filter(|(_, n)| n % 2 == 1).map(|(key, n)| (key.0, (*n, key.0))));
            let numbered = sorted(numbered);
            everywhere(seed, barriers, || {
                let (a, b) = (Collect::new(3), Collect::new(1));
                let flow = chain(given(input.clone()), a.clone(), b.clone());
                let (numbered, flat) = (&numbered, &flat);
                (flow, move || assert_eq!((&a.sorted(), &b.sorted()), (numbered, flat)))
            });
        }
    }
}

mod fan_in {
    use super::*;

    #[map]
    fn add(n: u64, m: u64) -> u64 {
        n + m
    }

    #[stateful_map]
    fn total(sum: &mut u64, _key: &u64, _n: u64) -> u64 {
        *sum += 1;
        *sum * 100
    }

    /// Diamonds: fan-out, different ways, and together again, plain and keyed, two and three at a time.
    #[dataflow]
    fn diamonds(
        left: Given<u64>,
        right: Given<u64>,
        out: Collect<u64>,
        keyed: Collect<(u64, u64)>,
    ) {
        let a = source(left);
        let b = source(right);
        let up = add(a, 100);
        let down = filter(a, |n| n % 3 == 0);
        let far = rebalance(a);
        let three = merge(up, down, far);
        let all = merge(three, b, a, a);
        sink(all, out);
        let by_a = key_by(down, |n| n % 4);
        let by_b = key_by(b, |n| n % 4);
        let both = merge(by_a, by_b);
        let totals = total(both);
        sink(totals, keyed);
    }

    #[stateful_flat_map]
    fn join(
        sides: &mut (Vec<u64>, Vec<u64>),
        _key: &u64,
        item: Either<u64, u64>,
    ) -> Vec<(u64, u64)> {
        match item {
            Either::Left(left) => {
                sides.0.push(left);
                sides.1.iter().map(|right| (left, *right)).collect()
            }
            Either::Right(right) => {
                sides.1.push(right);
                sides.0.iter().map(|left| (*left, right)).collect()
            }
        }
    }

    /// Two-sided logic: every pair of one key.
    #[dataflow]
    fn joined(left: Given<u64>, right: Given<u64>, out: Collect<(u64, (u64, u64))>) {
        let a = source(left);
        let b = source(right);
        let by_a = key_by(a, |n| n % 7);
        let by_b = key_by(b, |n| n % 7);
        let both = connect(by_a, by_b);
        let pairs = join(both);
        sink(pairs, out);
    }

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn merged(left in numbers(), right in numbers(), seed: u64, barriers in 0..20_usize) {
            let a = || left.iter().flatten().copied();
            let b = || right.iter().flatten().copied();
            let down = || a().filter(|n| n % 3 == 0);
            let three = a().map(|n| n + 100).chain(down()).chain(a());
            let all = sorted(three.chain(b()).chain(a()).chain(a()));
            let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
            down().chain(b()).for_each(|n| *counts.entry(n % 4).or_default() += 1);
            let keyed = sorted(counts.into_iter().flat_map(|(k, n)| (1..=n).map(move |n| (k, n * 100))));
            everywhere(seed, barriers, || {
                let (out, sums) = (Collect::new(1), Collect::new(1));
                let flow = diamonds(given(left.clone()), given(right.clone()), out.clone(), sums.clone());
                let (all, keyed) = (&all, &keyed);
                (flow, move || assert_eq!((&out.sorted(), &sums.sorted()), (all, keyed)))
            });
        }

        #[test]
        fn connected(left in numbers(), right in numbers(), seed: u64, barriers in 0..20_usize) {
            let pairs = left.iter().flatten().flat_map(|l| right.iter().flatten().map(move |r| (*l, *r)));
            let pairs = sorted(pairs.filter(|(l, r)| l % 7 == r % 7).map(|(l, r)| (l % 7, (l, r))));
            everywhere(seed, barriers, || {
                let out = Collect::new(1);
                let flow = joined(given(left.clone()), given(right.clone()), out.clone());
                let pairs = &pairs;
                (flow, move || assert_eq!(&out.sorted(), pairs))
            });
        }
    }
}

mod ways {
    use super::*;

    #[map]
    fn judge(n: u64, limit: u64) -> Result<u64, String> {
        if n <= limit { Ok(n) } else { Err(n.to_string()) }
    }

    #[map]
    fn side(n: u64) -> Either<u64, u64> {
        if n.is_multiple_of(2) { Either::Left(n) } else { Either::Right(n) }
    }

    #[dataflow]
    fn branches(
        input: Given<u64>,
        good: Collect<(u64, u64)>,
        bad: Collect<String>,
        odd: Collect<u64>,
    ) {
        let numbers = source(input);
        let by_key = key_by(numbers, |n| n % 3);
        let judged = judge(by_key, 25);
        let Result { ok: fine, err: wrong } = branch(judged);
        let texts = values(wrong);
        let sided = side(numbers);
        let Either { left: evens, right: odds } = branch(sided);
        sink(fine, good);
        sink(texts, bad);
        sink(odds, odd);
        discard(evens, "only the odd ones are wanted");
    }

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn taken_apart(input in numbers(), seed: u64, barriers in 0..20_usize) {
            let all = || input.iter().flatten().copied();
            let good = sorted(all().filter(|n| *n <= 25).map(|n| (n % 3, n)));
            let bad = sorted(all().filter(|n| *n > 25).map(|n| n.to_string()));
            let odd = sorted(all().filter(|n| n % 2 == 1));
            everywhere(seed, barriers, || {
                let (a, b, c) = (Collect::new(1), Collect::new(2), Collect::new(1));
                let flow = branches(given(input.clone()), a.clone(), b.clone(), c.clone());
                let (good, bad, odd) = (&good, &bad, &odd);
                (flow, move || assert_eq!((&a.sorted(), &b.sorted(), &c.sorted()), (good, bad, odd)))
            });
        }
    }
}

mod held {
    use super::*;

    /// `dedupe` and `chunk`: what is kept per key or per worker.
    #[dataflow]
    fn gathered(
        input: Given<u64>,
        firsts: Collect<(u64, u64)>,
        chunks: Collect<(u64, usize)>,
        loose: Collect<u64>,
    ) {
        let numbers = source(input);
        let by_number = key_by(numbers, |n| *n);
        let once = dedupe(by_number, Ttl::never());
        let by_three = key_by(numbers, |n| n % 3);
        let gathered = chunk(by_three, 4, Duration::from_secs(3600));
        let sizes = map(gathered, |chunk| chunk.len());
        let heaps = chunk(numbers, 5, Duration::from_secs(3600));
        let apart = flat_map(heaps, |heap| {
            assert!((1..=5).contains(&heap.len()));
            heap
        });
        sink(once, firsts);
        sink(sizes, chunks);
        sink(apart, loose);
    }

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn like_sets_and_slices(input in numbers(), seed: u64, barriers in 0..20_usize) {
            let all = || input.iter().flatten().copied();
            let once: Vec<_> = all().collect::<BTreeSet<_>>().into_iter().map(|n| (n, n)).collect();
            let mut by_three: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            all().for_each(|n| by_three.entry(n % 3).or_default().push(n));
            let sizes = by_three.iter().flat_map(|(k, all)| all.chunks(4).map(|chunk| (*k, chunk.len())));
            let (sizes, all) = (sorted(sizes), sorted(all()));
            everywhere(seed, barriers, || {
                let (a, b, c) = (Collect::new(1), Collect::new(2), Collect::new(1));
                let flow = gathered(given(input.clone()), a.clone(), b.clone(), c.clone());
                let (once, sizes, all) = (&once, &sizes, &all);
                (flow, move || assert_eq!((&a.sorted(), &b.sorted(), &c.sorted()), (once, sizes, all)))
            });
        }
    }
}

mod nested {
    use super::*;

    #[map]
    fn add(n: u64, m: u64) -> u64 {
        n + m
    }

    #[stateful_map]
    fn count<K: Key>(n: &mut u64, _key: &K, _item: u64) -> u64 {
        *n += 1;
        *n
    }

    /// Generic over the key.
    #[dataflow]
    fn counted<K: Key>(keyed: Keyed<K, u64>) -> Keyed<K, u64> {
        let counts = count(keyed);
        counts
    }

    /// A sub-flow in a sub-flow, with configuration, a closure and two outputs.
    #[dataflow]
    fn sides<F: Fn(&u64) -> bool + Clone + Send + 'static>(
        numbers: Stream<u64>,
        by: u64,
        wanted: F,
    ) -> (Stream<u64>, Keyed<u64, u64>) {
        let more = add(numbers, by);
        let chosen = filter(more, wanted);
        let by_five = key_by(more, |n| n % 5);
        let counts = counted(by_five);
        (chosen, counts)
    }

    /// Without inputs.
    #[dataflow]
    fn feed(input: Given<u64>) -> Stream<u64> {
        let raw = source(input);
        let more = add(raw, 1);
        more
    }

    #[dataflow]
    fn whole(input: Given<u64>, out: Collect<u64>, counts: Collect<(u64, u64)>) {
        let numbers = source(feed(input));
        let (few, per_five) = sides(numbers, 2, |n| n % 4 == 0);
        let (none, more) = sides(few, 1, |_| false);
        discard(none, "the closure lets nothing pass");
        let all = merge(per_five, more);
        sink(few, out);
        sink(all, counts);
    }

    const _: () = {
        assert!(whole::GRAPH.has("few"));
        assert!(whole::GRAPH.has("numbers"));
    };

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn like_functions(input in numbers(), seed: u64, barriers in 0..20_usize) {
            let few = sorted(input.iter().flatten().map(|n| n + 3).filter(|n| n % 4 == 0));
            let counts = |all: &mut dyn Iterator<Item = u64>| {
                let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
                all.for_each(|n| *counts.entry(n % 5).or_default() += 1);
                counts.into_iter().flat_map(|(k, n)| (1..=n).map(move |n| (k, n))).collect::<Vec<_>>()
            };
            let first = counts(&mut input.iter().flatten().map(|n| n + 3));
            let second = counts(&mut few.iter().map(|n| n + 1));
            let both = sorted(first.into_iter().chain(second));
            everywhere(seed, barriers, || {
                let (a, b) = (Collect::new(1), Collect::new(1));
                let flow = whole(given(input.clone()), a.clone(), b.clone());
                let (few, both) = (&few, &both);
                (flow, move || assert_eq!((&a.sorted(), &b.sorted()), (few, both)))
            });
        }
    }
}

mod live {
    use super::*;

    #[filter]
    fn within(n: &u64, limit: &u64) -> bool {
        n <= limit
    }

    /// A limit that grows: what passes at once depends on the schedule, what never passes does not.
    #[dataflow]
    fn limited(input: Given<u64>, limits: Given<u64>, out: Collect<u64>) {
        let numbers = source(input);
        let changes = source(limits);
        let limit =
            broadcast(changes, |limit: &mut u64, change: u64| *limit = (*limit).max(change));
        let passed = within(numbers, limit);
        sink(passed, out);
    }

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn between_the_first_and_the_last_value(input in numbers(), limits in numbers(), seed: u64, barriers in 0..20_usize) {
            let most = limits.iter().flatten().copied().max().unwrap_or(0);
            let all = sorted(input.iter().flatten().copied());
            everywhere(seed, barriers, || {
                let out = Collect::new(1);
                let flow = limited(given(input.clone()), given(limits.clone()), out.clone());
                let all = &all;
                (flow, move || {
                    let passed = out.sorted();
                    let zeros = |items: &[u64]| items.iter().filter(|n| **n == 0).count();
                    assert_eq!(zeros(&passed), zeros(all));
                    assert!(passed.iter().all(|n| *n <= most && all.contains(n)));
                })
            });
        }
    }
}

mod typed {
    use super::*;

    /// What becomes of an order.
    #[derive(Branch)]
    enum Decision {
        Allow(u64),
        Deny(String),
        Review(u64),
    }

    #[map]
    fn decide(n: u64) -> Decision {
        match n % 3 {
            0 => Decision::Allow(n),
            1 => Decision::Deny(n.to_string()),
            _ => Decision::Review(n),
        }
    }

    /// State in fields, one of them a collection.
    #[stateful]
    #[derive(Default)]
    struct Seen {
        total: u64,
        parities: BTreeMap<u64, u64>,
    }

    #[stateful_map]
    fn tally(seen: &mut Seen, key: &u64, item: u64) -> (u64, u64) {
        seen.total += 1;
        let parity = seen.parities.entry(item % 2).or_default();
        *parity += 1;
        (key + seen.parities.values().sum::<u64>(), seen.total)
    }

    /// State without a default, which goes.
    #[stateful]
    enum Open {
        Once,
        Twice,
    }

    #[stateful_filter_map]
    fn triple(open: &mut Option<Open>, key: &u64, _item: u64) -> Option<u64> {
        *open = match open {
            None => Some(Open::Once),
            Some(Open::Once) => Some(Open::Twice),
            Some(Open::Twice) => None,
        };
        open.is_none().then_some(*key)
    }

    /// The streams of a sub-flow, by name.
    #[derive(Outputs)]
    struct Sorted {
        good: Stream<u64>,
        bad: Stream<String>,
        unsure: Keyed<u64, u64>,
    }

    #[dataflow]
    fn sort_out(orders: Stream<u64>) -> Sorted {
        let decided = decide(orders);
        let Decision { allow, deny, review } = branch(decided);
        let by_size = key_by(review, |n| n % 4);
        Sorted { good: allow, bad: deny, unsure: by_size }
    }

    #[dataflow]
    fn orders(
        input: Given<u64>,
        allowed: Collect<u64>,
        denied: Collect<String>,
        tallies: Collect<(u64, (u64, u64))>,
        triples: Collect<(u64, u64)>,
    ) {
        let all = source(input);
        let Sorted { good, bad, unsure } = sort_out(all);
        let tallied = tally(unsure);
        let thirds = triple(unsure);
        sink(good, allowed);
        sink(bad, denied);
        sink(tallied, tallies);
        sink(thirds, triples);
    }

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn like_matches_and_maps(input in numbers(), seed: u64, barriers in 0..20_usize) {
            let of = |kind: u64| input.iter().flatten().copied().filter(move |n| n % 3 == kind);
            let good = sorted(of(0));
            let bad = sorted(of(1).map(|n| n.to_string()));
            let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
            of(2).for_each(|n| *counts.entry(n % 4).or_default() += 1);
            let tallied = counts.iter().flat_map(|(k, n)| (1..=*n).map(move |n| (*k, (k + n, n))));
            let thirds = counts.iter().flat_map(|(k, n)| (0..n / 3).map(move |_| (*k, *k)));
            let (tallied, thirds) = (sorted(tallied), sorted(thirds));
            everywhere(seed, barriers, || {
                let (a, b) = (Collect::new(1), Collect::new(1));
                let (c, d) = (Collect::new(2), Collect::new(1));
                let flow = orders(given(input.clone()), a.clone(), b.clone(), c.clone(), d.clone());
                let (good, bad, tallied, thirds) = (&good, &bad, &tallied, &thirds);
                (flow, move || {
                    assert_eq!((&a.sorted(), &b.sorted()), (good, bad));
                    assert_eq!((&c.sorted(), &d.sorted()), (tallied, thirds));
                })
            });
        }
    }

    #[test]
    fn it_describes_itself() {
        let (a, b, c, d) = (Collect::new(1), Collect::new(1), Collect::new(1), Collect::new(1));
        let flow = orders(given(vec![vec![1]]), a, b, c, d);
        let described = flow.describe();
        let tallied =
            described.steps().find(|step| step.id.as_str() == "tallied").expect("it is there");
        let state = tallied.state.expect("it keeps state").to_string();
        assert_eq!(state, "Seen v1 { total: u64, parities: {u64: u64} }");
        assert_eq!((described.sources.len(), described.sinks.len()), (1, 4), "{described}");
        assert!(flow.graph().to_text().contains("good/decided"), "{}", flow.graph().to_text());
    }
}
