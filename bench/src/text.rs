//! Seeded text: lines of words whose frequencies follow Zipf's law.

/// splitmix64.
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, but not including, 1.
    fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Words of a line.
const LINE: usize = 10;

/// So many words, of so many different ones, in lines. The text lives as long as the program, as input in memory does.
pub fn zipf_lines(words: usize, different: usize, seed: u64) -> &'static [&'static str] {
    let mut random = Random(seed);
    // Two to twelve letters, the rank's digits at the end keep words apart.
    let vocabulary: Vec<String> = (0..different)
        .map(|rank| {
            let letters = 2 + (random.word() % 5) as usize;
            let mut word: String =
                (0..letters).map(|_| char::from(b'a' + (random.word() % 26) as u8)).collect();
            let mut rest = rank;
            while rest > 0 {
                word.push(char::from(b'a' + (rest % 26) as u8));
                rest /= 26;
            }
            word
        })
        .collect();
    let mut sum = 0.0;
    let shares: Vec<f64> = (1..=different)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    let mut lines = Vec::with_capacity(words.div_ceil(LINE));
    let mut left = words;
    while left > 0 {
        let count = left.min(LINE);
        left -= count;
        let mut line = String::with_capacity(count * 8);
        for n in 0..count {
            let at = random.unit() * sum;
            let rank = shares.partition_point(|share| *share <= at).min(different - 1);
            if n > 0 {
                line.push(' ');
            }
            line.push_str(&vocabulary[rank]);
        }
        lines.push(&*line.leak());
    }
    lines.leak()
}
