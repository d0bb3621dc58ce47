//! Seeded input whose frequencies follow Zipf's law: lines of words, and keys.

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, but not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Ranks whose frequency is one over the rank.
pub struct Zipf {
    /// The sum of the frequencies up to each rank.
    shares: Vec<f64>,
}

impl Zipf {
    /// So many ranks.
    pub fn of(different: usize) -> Zipf {
        let mut sum = 0.0;
        let share = |rank: usize| {
            sum += 1.0 / rank as f64;
            sum
        };
        Zipf { shares: (1..=different).map(share).collect() }
    }

    /// A rank, from 0.
    pub fn draw(&self, random: &mut Random) -> usize {
        let at = random.unit() * self.shares.last().expect("there is a rank");
        self.shares.partition_point(|share| *share <= at).min(self.shares.len() - 1)
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
    let ranks = Zipf::of(different);
    // It stays, so that the timed part does not find its memory free and seem to need less.
    let vocabulary = vocabulary.leak();
    let mut lines = Vec::with_capacity(words.div_ceil(LINE));
    let mut left = words;
    while left > 0 {
        let count = left.min(LINE);
        left -= count;
        let mut line = String::with_capacity(count * 8);
        for n in 0..count {
            let rank = ranks.draw(&mut random);
            if n > 0 {
                line.push(' ');
            }
            line.push_str(&vocabulary[rank]);
        }
        lines.push(&*line.leak());
    }
    lines.leak()
}
