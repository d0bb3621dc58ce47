//! Events for the example `cart`, and what it is to write.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A shop that chance decides: events as the program reads them, and what it is to write. Some lines are blank.
pub(crate) fn generated(lines: u64) -> (String, String) {
    let mut random = super::random::Random::of(0);
    let mut carts = vec![(Vec::new(), Vec::new()); 7];
    let (mut events, mut expected) = (String::new(), String::new());
    for line in 0..lines {
        let user = random.below(carts.len() as u64) as usize;
        let (unpaid, paid): &mut (Vec<u64>, Vec<u64>) = &mut carts[user];
        let (kind, order) = match random.below(8) {
            0 => {
                events.push_str("  \n");
                continue;
            }
            1..=3 if !unpaid.is_empty() => {
                let order = unpaid.remove(random.below(unpaid.len() as u64) as usize);
                paid.push(order);
                ("payment", order)
            }
            _ => {
                unpaid.push(line);
                ("order", line)
            }
        };
        writeln!(events, r#"{{"user":"user {user}","type":"{kind}","order_id":{order}}}"#)
            .and_then(|()| {
                let row = format!(r#""unpaid":{unpaid:?},"paid":{paid:?}"#).replace(", ", ",");
                writeln!(expected, r#"{{"epoch":{line},"user":"user {user}",{row}}}"#)
            })
            .expect("a string takes it");
    }
    (events, expected)
}

/// The lines of each user, in their order.
pub(crate) fn by_user(written: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut users: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in written.lines() {
        let user = line.split('"').nth(5).expect("a line has a user");
        users.entry(user).or_default().push(line);
    }
    users
}
