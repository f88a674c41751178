//! What targets say of their metrics: name, kind, unit and help text of each family.
//!
//! A fleet of exporters says the same a thousand times over; each family is kept once for all targets that agree on it.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use model::Metadata;
use parking_lot::Mutex;

/// What one target says of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// The name, as the exposition declares it.
    pub name: String,
    /// What is said of it.
    pub metadata: Metadata,
}

/// The families of all targets.
pub(crate) struct Families {
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: HashTable<Arc<Family>>,
    /// At so many, those that no target has any more are let go.
    sweep_at: usize,
}

/// Fewer than this are not looked through.
const SWEEP_MIN: usize = 1024;

impl Families {
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::new(), state: Mutex::default() }
    }

    /// The family that all targets share which say the same.
    pub(crate) fn share(&self, family: Family) -> Arc<Family> {
        let hash_of = |family: &Family| self.hasher.hash_one((&family.name, &family.metadata.help));
        let hash = hash_of(&family);
        let mut state = self.state.lock();
        if let Some(known) = state.known.find(hash, |known| **known == family) {
            return Arc::clone(known);
        }
        if state.known.len() >= state.sweep_at {
            // Only this table has it: no other thread can be about to take it, since that takes the lock.
            state.known.retain(|family| Arc::strong_count(family) > 1);
            state.sweep_at = (state.known.len() * 2).max(SWEEP_MIN);
        }
        let family = Arc::new(family);
        state.known.insert_unique(hash, Arc::clone(&family), |family| hash_of(family));
        family
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(name: &str, help: &str) -> Family {
        let metadata = Metadata { help: help.to_owned(), ..Metadata::default() };
        Family { name: name.to_owned(), metadata }
    }

    #[test]
    fn who_says_the_same_shares_it_and_what_nobody_says_goes() {
        let families = Families::new();
        let first = families.share(family("a", "A."));
        assert!(Arc::ptr_eq(&first, &families.share(family("a", "A."))));
        assert!(!Arc::ptr_eq(&first, &families.share(family("a", "B."))));
        for number in 0..4 * SWEEP_MIN {
            families.share(family("b", &number.to_string()));
        }
        assert!(families.state.lock().known.len() <= 2 * SWEEP_MIN);
        assert!(Arc::ptr_eq(&first, &families.share(family("a", "A."))));
    }
}
