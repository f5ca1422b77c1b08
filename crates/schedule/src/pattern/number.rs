//! Numbers of patterns and events, compared by value.

use std::cmp::Ordering;

/// A JSON number. Whole ones are kept as such, so that large ones stay apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Whole(i128),
    Real(f64),
}

impl Number {
    pub fn of(number: &serde_json::Number) -> Option<Self> {
        if let Some(whole) = number.as_i64() {
            return Some(Self::Whole(whole.into()));
        }
        if let Some(whole) = number.as_u64() {
            return Some(Self::Whole(whole.into()));
        }
        number.as_f64().map(Self::Real)
    }

    /// `None` only for what is no number.
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => Some(one.cmp(&other)),
            (Self::Real(one), Self::Real(other)) => one.partial_cmp(&other),
            (Self::Whole(one), Self::Real(other)) => compare_whole(one, other),
            (Self::Real(one), Self::Whole(other)) => compare_whole(other, one).map(Ordering::reverse),
        }
    }

    pub fn equals(self, other: Self) -> bool {
        self.compare(other) == Some(Ordering::Equal)
    }
}

/// Exact: the whole number is at most 64 bits wide, so that a real beyond 2^100 decides by its sign.
fn compare_whole(whole: i128, real: f64) -> Option<Ordering> {
    const BEYOND: f64 = (1u128 << 100) as f64;
    if real.is_nan() {
        return None;
    }
    if real.abs() >= BEYOND {
        return Some(if real > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let floor = real.floor();
    Some(match whole.cmp(&(floor as i128)) {
        Ordering::Equal if real > floor => Ordering::Less,
        ordering => ordering,
    })
}

/// What `numeric` asks: each bound with whether it is included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    pub above: Option<(Number, bool)>,
    pub below: Option<(Number, bool)>,
}

impl Range {
    pub fn contains(&self, number: Number) -> bool {
        let within = |bound: Option<(Number, bool)>, side: Ordering| match bound {
            None => true,
            Some((bound, included)) => match number.compare(bound) {
                Some(Ordering::Equal) => included,
                ordering => ordering == Some(side),
            },
        };
        within(self.above, Ordering::Greater) && within(self.below, Ordering::Less)
    }

    /// Is there no number in it?
    pub fn is_empty(&self) -> bool {
        match (self.above, self.below) {
            (Some((above, with_above)), Some((below, with_below))) => match above.compare(below) {
                Some(Ordering::Less) => false,
                Some(Ordering::Equal) => !(with_above && with_below),
                _ => true,
            },
            _ => false,
        }
    }
}
