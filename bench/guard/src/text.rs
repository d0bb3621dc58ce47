//! Text that is the same whatever the number of items.

/// Words of a line.
pub const LINE: u64 = 10;
const LINES: u64 = 20_000;
const DIFFERENT: u64 = 20_000;

/// A text of 200,000 words, few of them often and most of them seldom, as in a language.
pub fn lines() -> &'static [String] {
    (0..LINES).map(line).collect::<Vec<_>>().leak()
}

fn line(n: u64) -> String {
    let words = (0..LINE).map(|at| word(skewed(n * LINE + at)));
    words.collect::<Vec<_>>().join(" ")
}

/// A rank below `DIFFERENT`; that it is below half of them is as likely as that it is below a quarter, and so on.
fn skewed(n: u64) -> u64 {
    let random = mixed(n);
    let most = DIFFERENT >> (random % 15);
    mixed(random) % most.max(1)
}

/// Three to seven letters.
fn word(rank: u64) -> String {
    let mut rest = rank + 26 * 26;
    let mut word = String::new();
    while rest > 0 {
        word.push(char::from(b'a' + (rest % 26) as u8));
        rest /= 26;
    }
    let more = (mixed(rank) % 4) as usize;
    word + &"xyz"[..more]
}

/// The n-th number of a row without visible order (splitmix64).
#[inline(always)]
pub fn mixed(n: u64) -> u64 {
    let z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
