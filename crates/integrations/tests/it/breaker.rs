//! The circuit breaker, as a table of claims and against a model of what must never happen.

use bourn_integrations::outbound::{Breaker, BreakerRule, BreakerState, Outcome, Permit};
use proptest::prelude::*;
use std::time::Duration;

const SECOND: i64 = 1_000_000;

fn rule() -> BreakerRule {
    BreakerRule {
        failures: 3,
        failure_percent: 50,
        calls_min: 10,
        window: Duration::from_secs(10),
        open_for: Duration::from_secs(5),
        open_for_max: Duration::from_secs(12),
        probes: 2,
    }
}

/// A story: each letter is one thing that happens. `s` and `f`: a call that succeeds or fails; `.`: a
/// second passes; `r`: a call that must be refused; `o`: a probe that stays open; `a`: a call that is
/// abandoned; `<`: the clock is set back by an hour.
fn told(story: &str) -> BreakerState {
    let (mut breaker, mut now) = (Breaker::new(rule()), 1_000_000 * SECOND);
    for (index, letter) in story.chars().enumerate() {
        let outcome = match letter {
            '.' => {
                now += SECOND;
                continue;
            }
            '<' => {
                now -= 3600 * SECOND;
                continue;
            }
            'r' => {
                assert!(breaker.admit(now).is_err(), "letter {index} of {story} was let in");
                continue;
            }
            's' => Some(Outcome::Success),
            'f' => Some(Outcome::Failure),
            'a' => Some(Outcome::Abandoned),
            'o' => None,
            other => panic!("no letter {other}"),
        };
        let permit = breaker.admit(now).unwrap_or_else(|_| panic!("letter {index} of {story} was refused"));
        if let Some(outcome) = outcome {
            breaker.record(now, permit, outcome);
        }
    }
    breaker.state(now)
}

#[test]
fn claims_hold() {
    use BreakerState::*;
    let cases = [
        ("", Closed),
        ("sssssss", Closed),
        ("ffsffsff", Closed),
        ("fff", Open),
        ("ffasf", Closed),
        ("ffaf", Open),
        ("fffr", Open),
        ("fff....r", Open),
        ("fff.....", HalfOpen),
        ("fff.....s", HalfOpen),
        ("fff.....ss", Closed),
        ("fff.....oor", HalfOpen),
        ("fff.....aaass", Closed),
        ("fff.....sfr", Open),
        // The second time it is open for ten seconds, then for twelve at most.
        ("fff.....f.........r", Open),
        ("fff.....f..........", HalfOpen),
        ("fff.....f..........f............", HalfOpen),
        ("fff.....f..........f...........r", Open),
        // Closed again, it starts from the beginning.
        ("fff.....ssffsff", Closed),
        ("fff.....ssfff....r", Open),
        // Half of ten calls within the window.
        ("sfsfsfsfsf", Open),
        ("sfsfsfsfs", Closed),
        ("sfsfsf..........sfsf", Closed),
        ("sfsf..sfsf..sf", Open),
        // A clock that was set back does not keep it open.
        ("fff<r.....", HalfOpen),
        ("sfsfsfsf<sf", Closed),
    ];
    for (story, state) in cases {
        assert_eq!(told(story), state, "{story}");
    }
}

#[test]
fn outcomes_of_an_earlier_state_say_nothing() {
    let (mut breaker, now) = (Breaker::new(rule()), 0);
    let early = breaker.admit(now).expect("closed");
    for _ in 0..3 {
        let permit = breaker.admit(now).expect("closed");
        breaker.record(now, permit, Outcome::Failure);
    }
    breaker.record(now, early, Outcome::Success);
    assert_eq!(breaker.state(now), BreakerState::Open);
    let probe = breaker.admit(5 * SECOND).expect("half-open");
    breaker.record(5 * SECOND, early, Outcome::Failure);
    assert_eq!(breaker.state(5 * SECOND), BreakerState::HalfOpen);
    breaker.record(5 * SECOND, probe, Outcome::Failure);
    assert_eq!(breaker.admit(6 * SECOND).expect_err("open").retry_after, Duration::from_secs(9));
}

#[test]
fn a_rule_of_zeros_never_opens_and_always_probes() {
    let zeros = BreakerRule { failures: 0, failure_percent: 0, calls_min: 0, probes: 0, ..rule() };
    let mut breaker = Breaker::new(zeros);
    for now in 0..1000 {
        let permit = breaker.admit(now).expect("closed");
        breaker.record(now, permit, Outcome::Failure);
    }
    assert_eq!(breaker.state(1000), BreakerState::Closed);
    let mut breaker = Breaker::new(BreakerRule { failures: 1, probes: 0, ..rule() });
    let permit = breaker.admit(0).expect("closed");
    breaker.record(0, permit, Outcome::Failure);
    let probe = breaker.admit(5 * SECOND).expect("a probe");
    breaker.record(5 * SECOND, probe, Outcome::Success);
    assert_eq!(breaker.state(5 * SECOND), BreakerState::Closed);
}

#[derive(Clone, Debug)]
enum Step {
    Ask,
    End(usize, u8),
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Ask),
        4 => (0..8usize, 0..3u8).prop_map(|(which, how)| Step::End(which, how)),
        2 => (-2 * SECOND..7 * SECOND).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn it_never_lets_too_many_in_and_always_recovers(steps in steps()) {
        let (mut breaker, mut now) = (Breaker::new(rule()), 1000 * SECOND);
        let mut flying: Vec<(Permit, BreakerState)> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(by) => now += by,
                Step::Ask => {
                    let before = breaker.state(now);
                    match breaker.admit(now) {
                        Ok(permit) => {
                            prop_assert_ne!(before, BreakerState::Open);
                            flying.push((permit, breaker.state(now)));
                        }
                        Err(refused) => {
                            prop_assert_ne!(before, BreakerState::Closed);
                            prop_assert!(refused.retry_after <= rule().open_for_max);
                        }
                    }
                }
                Step::End(which, how) if !flying.is_empty() => {
                    let (permit, _) = flying.remove(which % flying.len());
                    let outcome = [Outcome::Success, Outcome::Failure, Outcome::Abandoned][how as usize];
                    let before = breaker.state(now);
                    breaker.record(now, permit, outcome);
                    // Only a failure opens, only a success closes.
                    if before != breaker.state(now) {
                        let wanted = if outcome == Outcome::Failure { BreakerState::Open } else { BreakerState::Closed };
                        prop_assert_eq!(breaker.state(now), wanted);
                    }
                }
                Step::End(..) => {}
            }
        }
        // All that flies is given up, and the endpoint is well: it closes within its longest time.
        for (permit, _) in flying {
            breaker.record(now, permit, Outcome::Abandoned);
        }
        // Asked once, it has seen a clock that was set back.
        if let Ok(permit) = breaker.admit(now) {
            breaker.record(now, permit, Outcome::Abandoned);
        }
        now += 13 * SECOND;
        for _ in 0..2 {
            let permit = breaker.admit(now);
            prop_assert!(permit.is_ok());
            breaker.record(now, permit.expect("it was let in"), Outcome::Success);
        }
        prop_assert_eq!(breaker.state(now), BreakerState::Closed);
    }
}
