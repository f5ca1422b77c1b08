//! Tests of texts. Each takes time linear in the text it looks at.

use memchr::memmem::Finder;

/// What a text is held against.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Equals(String),
    /// Lower case.
    EqualsFolded(String),
    Prefix(String),
    PrefixFolded(String),
    Suffix(String),
    SuffixFolded(String),
    Wildcard(Wildcard),
}

impl Text {
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Equals(other) => text == other,
            Self::EqualsFolded(folded) => fold(text).eq(folded.chars()),
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::PrefixFolded(prefix) => begins(fold(text), prefix.chars()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::SuffixFolded(suffix) => {
                let backwards = text.chars().rev().flat_map(|c| c.to_lowercase().rev());
                begins(backwards, suffix.chars().rev())
            }
            Self::Wildcard(wildcard) => wildcard.matches(text),
        }
    }
}

/// Lower case, as the folded variants hold it.
pub(super) fn folded(text: &str) -> String {
    fold(text).collect()
}

fn fold(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

fn begins(mut text: impl Iterator<Item = char>, mut prefix: impl Iterator<Item = char>) -> bool {
    prefix.all(|c| text.next() == Some(c))
}

/// `*` stands for any characters, also none; `\*` and `\\` for themselves.
///
/// The texts between the stars are looked for one behind the other, each at its first place: with only stars
/// between them, an earlier place never spoils what follows.
#[derive(Clone, Debug)]
pub(super) struct Wildcard {
    /// Before the first star; the whole text if there is no star.
    first: String,
    /// Between stars.
    inner: Vec<Finder<'static>>,
    /// Behind the last star, if there is a star.
    last: Option<String>,
}

impl Wildcard {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = vec![String::new()];
        let mut chars = text.chars();
        let mut was_star = false;
        while let Some(c) = chars.next() {
            let literal = match c {
                '*' if was_star => return Err("has two `*` in a row: one stands for any characters".into()),
                '*' => {
                    was_star = true;
                    parts.push(String::new());
                    continue;
                }
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '\\')) => escaped,
                    _ => {
                        return Err(
                            "has a `\\` that escapes neither `*` nor `\\`: write `\\\\` for one".into()
                        );
                    }
                },
                other => other,
            };
            was_star = false;
            if let Some(part) = parts.last_mut() {
                part.push(literal);
            }
        }
        let mut parts = parts.into_iter();
        let first = parts.next().unwrap_or_default();
        let last = parts.next_back();
        let inner = parts.map(|part| Finder::new(part.as_bytes()).into_owned()).collect();
        Ok(Self { first, inner, last })
    }

    fn matches(&self, text: &str) -> bool {
        let Some(last) = &self.last else { return text == self.first };
        let Some(rest) = text.as_bytes().strip_prefix(self.first.as_bytes()) else { return false };
        let Some(mut rest) = rest.strip_suffix(last.as_bytes()) else { return false };
        for part in &self.inner {
            let Some(at) = part.find(rest) else { return false };
            rest = &rest[at + part.needle().len()..];
        }
        true
    }
}
