//! Which base serves which key group, and which changes count beside it.

use crate::recovery::block::NO_GROUP;
use crate::recovery::manifest::Base;

/// Where the entries of a frame come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The base with this number in the manifest.
    Base(u32),
    /// Changes of this barrier.
    Changes(u64),
}

/// For each group, and behind them for what belongs to none, the base that has the last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    groups: Vec<Option<Covered>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Covered {
    base: u32,
    barrier: u64,
}

impl Cover {
    /// Of two bases that hold a group the one of the later barrier serves it.
    pub(crate) fn of(bases: &[Base], groups: u32) -> Cover {
        let mut cover = Cover { groups: vec![None; groups as usize + 1] };
        for (number, base) in (0..).zip(bases) {
            let (first, last) = (cover.at(base.file.first), cover.at(base.file.last));
            let this = Covered { base: number, barrier: base.file.barrier };
            for covered in cover.groups.iter_mut().take(last + 1).skip(first) {
                if covered.is_none_or(|other| other.barrier <= this.barrier) {
                    *covered = Some(this);
                }
            }
        }
        cover
    }

    fn at(&self, group: u16) -> usize {
        let none = self.groups.len() - 1;
        if group == NO_GROUP { none } else { usize::from(group).min(none) }
    }

    /// Whether what a frame says of a group counts.
    pub(crate) fn counts(&self, group: u16, origin: Origin) -> bool {
        match (self.groups[self.at(group)], origin) {
            (Some(covered), Origin::Base(base)) => covered.base == base,
            (None, Origin::Base(_)) => false,
            (Some(covered), Origin::Changes(barrier)) => barrier > covered.barrier,
            (None, Origin::Changes(_)) => true,
        }
    }

    /// Whether the base with this number still serves a group.
    pub(crate) fn serves(&self, base: u32) -> bool {
        self.groups.iter().flatten().any(|covered| covered.base == base)
    }

    /// The barrier up to which bases say everything; `None` where a group has none.
    pub(crate) fn complete(&self) -> Option<u64> {
        let barriers = self.groups.iter().map(|covered| covered.map(|covered| covered.barrier));
        barriers.min().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::names::BaseName;

    fn base(barrier: u64, first: u16, last: u16) -> Base {
        Base { file: BaseName { barrier, generation: 1, first, last }, end: 0, crc: 0 }
    }

    #[test]
    fn the_later_base_has_the_last_word_and_later_changes_count() {
        let bases = [base(5, 0, NO_GROUP), base(9, 2, 3), base(7, 3, 5)];
        let cover = Cover::of(&bases, 8);
        for (group, serving) in [(0, 0), (2, 1), (3, 1), (4, 2), (6, 0), (NO_GROUP, 0)] {
            for number in 0..3 {
                assert_eq!(
                    cover.counts(group, Origin::Base(number)),
                    number == serving,
                    "{group} {number}"
                );
            }
        }
        assert!(!cover.counts(2, Origin::Changes(9)) && cover.counts(2, Origin::Changes(10)));
        assert!(!cover.counts(NO_GROUP, Origin::Changes(5)));
        assert!(cover.counts(7, Origin::Changes(6)));
        assert_eq!(cover.complete(), Some(5));
        assert!(cover.serves(0) && cover.serves(1) && cover.serves(2));
        let over = Cover::of(&[base(5, 0, 3), base(6, 0, NO_GROUP)], 8);
        assert!(!over.serves(0) && over.serves(1));
    }

    #[test]
    fn without_a_base_all_changes_count() {
        let cover = Cover::of(&[base(3, 1, 1)], 4);
        assert!(cover.counts(0, Origin::Changes(0)) && !cover.counts(0, Origin::Base(0)));
        assert!(cover.counts(NO_GROUP, Origin::Changes(0)));
        assert_eq!(cover.complete(), None);
    }
}
