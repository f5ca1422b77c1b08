//! "Did you mean": the nearest of the names that would have been right.

/// The candidate that `found` most likely was meant to be, if one is near enough.
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer text is not a slip of the fingers, and the distance costs the product of the lengths.
    if found.len() > 200 {
        return None;
    }
    let lower = found.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (likeness(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.78)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// From 0 to 1. Two swapped letters are one slip, however short the word.
fn likeness(found: &str, candidate: &str) -> f64 {
    match strsim::osa_distance(found, candidate) {
        0 => 1.0,
        1 if found.chars().count() >= 3 => 0.99,
        _ => strsim::jaro_winkler(found, candidate),
    }
}

/// A hint for an unknown name: the nearest one, else all that there are.
pub fn hint<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(name) = nearest(found, candidates.clone()) {
        return Some(format!("did you mean `{name}`?"));
    }
    match candidates.clone().into_iter().count() {
        1..=24 => Some(format!("there is {}", listed(candidates))),
        _ => None,
    }
}

/// The names as a sentence shows them.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
