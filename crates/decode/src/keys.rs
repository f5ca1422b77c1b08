//! Finding duplicate keys among those that no plan names.

use crate::scan::unescape;
use std::collections::HashSet;

/// Up to here keys are compared one by one, beyond they are hashed.
const LINEAR: usize = 24;

#[derive(Clone, Copy)]
struct Key {
    start: usize,
    len: usize,
    /// Lies in `decoded` rather than in the event, because it has escapes.
    escaped: bool,
}

/// The keys of the objects that are open, innermost last. Reused from event to event.
#[derive(Default)]
pub(crate) struct Keys {
    open: Vec<Key>,
    decoded: Vec<u8>,
}

/// One open object's part of [`Keys`].
pub(crate) struct Scope {
    first: usize,
    first_decoded: usize,
    many: Option<HashSet<Box<[u8]>>>,
}

impl Keys {
    pub fn clear(&mut self) {
        self.open.clear();
        self.decoded.clear();
    }

    #[inline]
    pub fn open(&self) -> Scope {
        Scope { first: self.open.len(), first_decoded: self.decoded.len(), many: None }
    }

    #[inline]
    pub fn close(&mut self, scope: Scope) {
        self.open.truncate(scope.first);
        self.decoded.truncate(scope.first_decoded);
    }

    /// Adds the key `bytes[start..end]` (between its quotes, its escapes known to be good); false if the
    /// object has it already.
    #[inline]
    pub fn insert(
        &mut self,
        scope: &mut Scope,
        bytes: &[u8],
        start: usize,
        end: usize,
        escaped: bool,
    ) -> bool {
        let key = if escaped {
            let from = self.decoded.len();
            // The caller has read the key before, so this cannot break.
            let _ = unescape(bytes, start, &mut self.decoded);
            Key { start: from, len: self.decoded.len() - from, escaped }
        } else {
            Key { start, len: end - start, escaped }
        };
        if self.open.len() - scope.first >= LINEAR {
            return self.insert_hashed(scope, bytes, key);
        }
        let text = text(&self.decoded, bytes, key);
        let new = self.open[scope.first..]
            .iter()
            .all(|other| other.len != key.len || self::text(&self.decoded, bytes, *other) != text);
        self.open.push(key);
        new
    }

    #[cold]
    fn insert_hashed(&mut self, scope: &mut Scope, bytes: &[u8], key: Key) -> bool {
        let many = scope.many.get_or_insert_with(|| {
            self.open[scope.first..].iter().map(|key| text(&self.decoded, bytes, *key).into()).collect()
        });
        many.insert(text(&self.decoded, bytes, key).into())
    }
}

#[inline]
fn text<'a>(decoded: &'a [u8], bytes: &'a [u8], key: Key) -> &'a [u8] {
    let from = if key.escaped { decoded } else { bytes };
    &from[key.start..key.start + key.len]
}
