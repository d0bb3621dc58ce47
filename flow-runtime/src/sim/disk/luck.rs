//! What survives a power cut.

use crate::io::Random;

/// The luck of one power cut.
pub(super) struct Luck<'a> {
    random: &'a mut Random,
    /// How many of ten survive.
    of_ten: u64,
}

impl<'a> Luck<'a> {
    /// Draws how lucky this one is. A single chance for all cuts would hardly ever lose only a little, or nearly all.
    pub(super) fn draw(random: &'a mut Random) -> Luck<'a> {
        let of_ten = *random.pick(&[0, 1, 5, 9, 10]);
        Luck { random, of_ten }
    }

    pub(super) fn survives(&mut self) -> bool {
        match self.of_ten {
            0 => false,
            10 => true,
            of_ten => self.random.below(10) < of_ten,
        }
    }
}
