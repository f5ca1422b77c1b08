//! The ledger: `received = stored + duplicate + rejected + filtered + late + in_flight`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::{AddAssign, Sub};

/// How an event's way through a stream ended. Stored by name in tables' transactions and the
/// outcomes' log: add to it, never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Stored,
    Duplicate,
    Rejected,
    Filtered,
    Late,
}

impl Outcome {
    pub const ALL: [Outcome; 5] = [Self::Stored, Self::Duplicate, Self::Rejected, Self::Filtered, Self::Late];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
            Self::Filtered => "filtered",
            Self::Late => "late",
        }
    }
}

/// The ledger's row of one stream, or of one source of it, in events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub received: u64,
    pub stored: u64,
    pub duplicate: u64,
    pub rejected: u64,
    pub filtered: u64,
    pub late: u64,
    pub in_flight: u64,
}

impl Counts {
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Stored => self.stored,
            Outcome::Duplicate => self.duplicate,
            Outcome::Rejected => self.rejected,
            Outcome::Filtered => self.filtered,
            Outcome::Late => self.late,
        }
    }

    pub fn outcome_mut(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Stored => &mut self.stored,
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Rejected => &mut self.rejected,
            Outcome::Filtered => &mut self.filtered,
            Outcome::Late => &mut self.late,
        }
    }

    /// Events whose way has ended.
    pub fn settled(&self) -> u64 {
        self.stored + self.duplicate + self.rejected + self.filtered + self.late
    }

    /// Does the equation hold?
    pub fn balances(&self) -> bool {
        self.received == self.settled() + self.in_flight
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.in_flight += other.in_flight;
        for outcome in Outcome::ALL {
            *self.outcome_mut(outcome) += other.outcome(outcome);
        }
    }
}

impl Sub for Counts {
    type Output = [i64; 7];

    /// Differences in the order of the fields.
    fn sub(self, other: Self) -> [i64; 7] {
        let row =
            |c: Counts| [c.received, c.stored, c.duplicate, c.rejected, c.filtered, c.late, c.in_flight];
        let (a, b) = (row(self), row(other));
        std::array::from_fn(|i| a[i] as i64 - b[i] as i64)
    }
}

/// Counts by source.
pub type SourceCounts = BTreeMap<String, Counts>;

/// The ledger of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    #[serde(flatten)]
    pub total: Counts,
    pub sources: SourceCounts,
}

impl Ledger {
    pub fn of(sources: SourceCounts) -> Self {
        let mut total = Counts::default();
        sources.values().for_each(|counts| total += *counts);
        Self { total, sources }
    }

    pub fn balances(&self) -> bool {
        self.total.balances() && self.sources.values().all(Counts::balances)
    }
}
