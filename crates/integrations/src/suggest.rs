//! "Did you mean": the nearest of the names that would have been right.

/// The candidate that `found` most likely was meant to be, if one is near enough.
pub(crate) fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance costs the product of the lengths.
    if found.len() > 200 {
        return None;
    }
    let lower = found.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (likeness(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.86)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// From 0 to 1. Two swapped letters are one slip, however short the word.
fn likeness(found: &str, candidate: &str) -> f64 {
    match strsim::osa_distance(found, candidate) {
        1 if found.chars().count() >= 3 => 0.99,
        _ => strsim::jaro_winkler(found, candidate),
    }
}

/// The nearest one, else all that there are.
pub(crate) fn hint<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(name) = nearest(found, candidates.clone()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let all: Vec<_> = candidates.into_iter().map(|name| format!("`{name}`")).collect();
    match all.len() {
        0 => None,
        1..=24 => Some(format!("there is {}", all.join(", "))),
        _ => None,
    }
}
