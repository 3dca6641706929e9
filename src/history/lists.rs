//! Lists of families, one after the other, each once.

use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::families::FamilyId;

/// Lists of families.
#[derive(Debug, Default)]
pub(super) struct Lists {
    families: Vec<FamilyId>,
    /// Where the list is that was added or found last: it is mostly wanted again.
    last: Range<usize>,
    /// Where the lists are, by their content.
    places: HashTable<Range<usize>>,
    hasher: DefaultHashBuilder,
}

impl Lists {
    /// Where the list begins that is equal to `wanted`, which is added if there is none.
    pub(super) fn intern(&mut self, wanted: &[FamilyId]) -> u32 {
        if self.at(&self.last) != wanted {
            self.last = self.find_or_add(wanted);
        }
        // An answer has less than 2^32 bytes, and fewer samples.
        u32::try_from(self.last.start).unwrap_or(u32::MAX)
    }

    fn find_or_add(&mut self, wanted: &[FamilyId]) -> Range<usize> {
        let hash = self.hasher.hash_one(wanted);
        let found = self.places.find(hash, |place| self.at(place) == wanted);
        if let Some(place) = found {
            return place.clone();
        }
        let start = self.families.len();
        self.families.extend_from_slice(wanted);
        let place = start..self.families.len();
        let Self {
            families,
            places,
            hasher,
            ..
        } = self;
        let hash_of = |place: &Range<usize>| hasher.hash_one(at(families, place));
        places.insert_unique(hash, place.clone(), hash_of);
        place
    }

    /// So many families from a position on.
    pub(super) fn get(&self, start: u32, count: usize) -> &[FamilyId] {
        let start = start as usize;
        self.at(&(start..start.saturating_add(count)))
    }

    fn at(&self, place: &Range<usize>) -> &[FamilyId] {
        at(&self.families, place)
    }

    /// Frees what only finding lists needs.
    pub(super) fn finish(&mut self) {
        self.families.shrink_to_fit();
        self.places = HashTable::new();
    }

    /// The memory in bytes, once [`Self::finish`] was called.
    pub(super) fn bytes(&self) -> usize {
        self.families.capacity() * size_of::<FamilyId>()
    }
}

fn at<'f>(families: &'f [FamilyId], place: &Range<usize>) -> &'f [FamilyId] {
    families.get(place.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_is_stored_once() {
        let mut lists = Lists::default();
        for (wanted, start, families) in [
            (&[][..], 0, 0),
            (&[1, 2, 3], 0, 3),
            (&[1, 2, 3], 0, 3),
            // The beginning of a list is another one.
            (&[1, 2], 3, 5),
            (&[1, 2, 3], 0, 5),
            (&[1, 2, 4], 5, 8),
            (&[1, 2], 3, 8),
            (&[], 8, 8),
        ] {
            let place = lists.intern(wanted);
            assert_eq!(lists.get(place, wanted.len()), wanted);
            assert_eq!((place, lists.families.len()), (start, families));
        }
        lists.finish();
        assert_eq!(lists.get(5, 3), [1, 2, 4]);
        assert_eq!(lists.get(6, 2), [2, 4]);
        assert_eq!(lists.get(6, 3), [0; 0]);
    }
}
