//! The facts in memory: open addressing over 32-byte slots, ordered by hash.
//!
//! A slot's place is the hash's high half scaled to the capacity, so that growing and spilling walk
//! the memory in order. Linear probing; removal shifts back, so there are no tombstones.

use bourn_event::{Micros, Offset};

/// The hash of an event without a key: never a duplicate.
pub const NO_KEY: u128 = 0;

const EMPTY: Offset = Offset::MAX;
const CAPACITY_MIN: usize = 64;
/// Rows whose slots are asked for together, so that their cache misses overlap.
pub const TOUCH: usize = 16;

/// The event at `offset` is the first with `key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    pub key: u128,
    pub offset: Offset,
    pub received_at: Micros,
}

const _: () = assert!(size_of::<Fact>() == 32);

pub struct Table {
    slots: Vec<Fact>,
    len: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { slots: empty(CAPACITY_MIN), len: 0 }
    }
}

fn empty(capacity: usize) -> Vec<Fact> {
    vec![Fact { key: 0, offset: EMPTY, received_at: 0 }; capacity]
}

impl Table {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Fact>()
    }

    /// Makes room for `more` facts at a load of at most 3/4.
    pub fn reserve(&mut self, more: usize) {
        let needed = (self.len + more).div_ceil(3) * 4;
        if needed > self.slots.len() {
            self.resize(needed.max(self.slots.len() * 3 / 2));
        }
    }

    fn resize(&mut self, capacity: usize) {
        let old = std::mem::replace(&mut self.slots, empty(capacity.max(CAPACITY_MIN)));
        for fact in old.into_iter().filter(|fact| fact.offset != EMPTY) {
            let Err(slot) = self.find(fact.key) else { continue };
            self.slots[slot] = fact;
        }
    }

    fn home(&self, key: u128) -> usize {
        (((key >> 64) * self.slots.len() as u128) >> 64) as usize
    }

    /// The slot of `key`, or the one it would take.
    pub fn find(&self, key: u128) -> Result<usize, usize> {
        let mut slot = self.home(key);
        loop {
            let fact = &self.slots[slot];
            if fact.offset == EMPTY {
                return Err(slot);
            }
            if fact.key == key {
                return Ok(slot);
            }
            slot += 1;
            if slot == self.slots.len() {
                slot = 0;
            }
        }
    }

    /// Loads the slots of the keys, all at once.
    pub fn touch(&self, keys: &[u128]) {
        let mut seen = 0;
        for key in keys {
            seen ^= self.slots[self.home(*key)].offset;
        }
        std::hint::black_box(seen);
    }

    pub fn get(&self, slot: usize) -> &Fact {
        &self.slots[slot]
    }

    /// Fills the slot that [`Self::find`] gave; room must have been reserved.
    pub fn put(&mut self, slot: usize, fact: Fact) {
        self.len += usize::from(self.slots[slot].offset == EMPTY);
        self.slots[slot] = fact;
    }

    pub fn remove(&mut self, slot: usize) {
        let capacity = self.slots.len();
        let mut hole = slot;
        let mut next = (slot + 1) % capacity;
        while self.slots[next].offset != EMPTY {
            let home = self.home(self.slots[next].key);
            // A fact may move back to the hole unless its home lies behind the hole.
            if (next + capacity - home) % capacity >= (next + capacity - hole) % capacity {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = (next + 1) % capacity;
        }
        self.slots[hole].offset = EMPTY;
        self.len -= 1;
    }

    /// The facts in the order of their keys.
    ///
    /// A stretch of filled slots holds exactly the keys whose homes lie in it, so that stretches are in
    /// order and only what is inside one has to be sorted. The stretch over the wrapped end is two: what
    /// wrapped comes last.
    pub fn in_order(&self) -> impl Iterator<Item = Fact> {
        let border = self.slots.iter().position(|fact| fact.offset == EMPTY).unwrap_or(self.slots.len());
        let (head, rest) = self.slots.split_at(border);
        let (first, wrapped): (Vec<Fact>, Vec<Fact>) =
            head.iter().partition(|fact| self.home(fact.key) < border);
        let mut stretch = first;
        sort(&mut stretch);
        let (mut rest, mut wrapped) = (rest.iter(), Some(wrapped));
        let (mut at, mut done) = (0, false);
        std::iter::from_fn(move || {
            loop {
                if let Some(fact) = stretch.get(at) {
                    at += 1;
                    return Some(*fact);
                }
                if done {
                    return None;
                }
                stretch.clear();
                at = 0;
                loop {
                    match rest.next() {
                        Some(fact) if fact.offset != EMPTY => stretch.push(*fact),
                        Some(_) if stretch.is_empty() => {}
                        Some(_) => break,
                        None => {
                            stretch.append(&mut wrapped.take().unwrap_or_default());
                            done = true;
                            break;
                        }
                    }
                }
                sort(&mut stretch);
            }
        })
    }
}

fn sort(stretch: &mut [Fact]) {
    stretch.sort_unstable_by_key(|fact| fact.key);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_table_equals_a_hash_map_under_random_inserts_and_removals() {
        let mut random = 7u64;
        let mut next = |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let (mut table, mut model) = (Table::default(), HashMap::new());
        for step in 0..20_000u64 {
            // Few distinct high halves make long probe sequences, and some wrap around the end.
            let key = (u128::from(u64::MAX - next(3)) << 64) | u128::from(next(400) + 1);
            table.reserve(1);
            match (next(3), table.find(key)) {
                (0, Ok(slot)) => {
                    table.remove(slot);
                    assert!(model.remove(&key).is_some(), "step {step}");
                }
                (0, Err(_)) => assert!(!model.contains_key(&key), "step {step}"),
                (_, Ok(slot) | Err(slot)) => {
                    table.put(slot, Fact { key, offset: step, received_at: 0 });
                    model.insert(key, step);
                }
            }
            assert_eq!(table.len(), model.len(), "step {step}");
        }
        let facts: Vec<Fact> = table.in_order().collect();
        assert_eq!(facts.len(), model.len());
        assert!(facts.is_sorted_by_key(|fact| fact.key));
        for fact in facts {
            assert_eq!(model.get(&fact.key), Some(&fact.offset));
        }
    }
}
