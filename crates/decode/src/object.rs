//! Objects of the walk: predicting keys, finding them otherwise, and keeping those the schema does not name.

use crate::column::Structs;
use crate::plan::{FEW_FIELDS, ObjectPlan};
use crate::walk::{Parsed, Walk};

/// Which fields of an object were seen.
#[derive(Default)]
struct Seen {
    /// Bits of the first [`FEW_FIELDS`].
    few: u64,
    /// The others, up to the last that was seen.
    many: Vec<bool>,
}

impl Seen {
    /// False if the field was seen before.
    #[inline]
    fn insert(&mut self, field: usize) -> bool {
        if field >= FEW_FIELDS {
            return self.insert_many(field - FEW_FIELDS);
        }
        let bit = 1 << field;
        let new = self.few & bit == 0;
        self.few |= bit;
        new
    }

    #[cold]
    fn insert_many(&mut self, at: usize) -> bool {
        if self.many.len() <= at {
            self.many.resize(at + 1, false);
        }
        !std::mem::replace(&mut self.many[at], true)
    }

    fn has(&self, field: usize) -> bool {
        match field.checked_sub(FEW_FIELDS) {
            None => self.few >> field & 1 == 1,
            Some(at) => self.many.get(at).copied().unwrap_or(false),
        }
    }
}

/// Does `bytes` begin with `key`? Most keys are 8 to 16 bytes long with their quotes and colon: two words.
#[inline]
fn begins_with(bytes: &[u8], key: &[u8]) -> bool {
    let Some(here) = bytes.get(..key.len()) else { return false };
    match (here.first_chunk::<8>(), here.last_chunk::<8>(), key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(a), Some(b), Some(c), Some(d)) if key.len() <= 16 => a == c && b == d,
        _ => here == key,
    }
}

impl Walk<'_> {
    /// Reads the object here into row `row` of `structs`.
    pub fn object(&mut self, plan: &ObjectPlan, structs: &mut Structs, row: usize) -> Parsed {
        let start = self.at;
        self.enter()?;
        self.at += 1;
        let mut seen = Seen::default();
        let mut count = 0u64;
        self.space();
        if self.peek() == b'}' {
            self.at += 1;
        } else {
            let mut scope = self.scratch.keys.open();
            let mut last = plan.fields.len();
            loop {
                count += 1;
                if self.peek() != b'"' {
                    self.space();
                }
                let key_at = self.at;
                let guess = structs.next[last] as usize;
                let here = self.bytes.get(key_at..).unwrap_or_default();
                let hit = plan.fields.get(guess).filter(|field| begins_with(here, &field.key));
                let found = match hit {
                    Some(field) => {
                        self.at = key_at + field.key.len();
                        Some(guess)
                    }
                    None => self.look_up(plan, &mut scope)?,
                };
                match found {
                    Some(index) => {
                        if !seen.insert(index) {
                            return Err(self.duplicate(self.at));
                        }
                        structs.next[last] = index as u32;
                        last = index;
                        self.space();
                        self.field(plan, structs, index, row)?;
                    }
                    None => self.unknown(plan, start, key_at)?,
                }
                if self.another(b'}', "a comma or } is missing")? {
                    break;
                }
            }
            self.scratch.keys.close(scope);
        }
        self.depth -= 1;
        self.check_object(plan, &seen, count, start);
        Ok(())
    }

    #[inline]
    fn field(&mut self, plan: &ObjectPlan, structs: &mut Structs, index: usize, row: usize) -> Parsed {
        let field = &plan.fields[index];
        let extra = self.scratch.extra.len();
        self.value(&field.node, &mut structs.fields[index], row)?;
        if self.scratch.extra.len() != extra {
            self.wrap_extra(extra, &field.key);
        }
        Ok(())
    }

    /// Reads the key here, which was not the one expected or not as expected: the index of its field, if it has one,
    /// whose colon was read too.
    #[cold]
    fn look_up(&mut self, plan: &ObjectPlan, scope: &mut crate::keys::Scope) -> Parsed<Option<usize>> {
        let key = self.key()?;
        let name = if key.escaped { &self.scratch.text[..] } else { &self.bytes[key.start..key.end] };
        if let Some(index) = plan.by_name.get(name).copied() {
            self.colon()?;
            return Ok(Some(index as usize));
        }
        if !self.scratch.keys.insert(scope, self.bytes, key.start, key.end, key.escaped) {
            return Err(self.duplicate(self.at));
        }
        Ok(None)
    }

    /// A member that the schema does not name; its key, which begins at `key_at`, was read.
    #[cold]
    fn unknown(&mut self, plan: &ObjectPlan, object_at: usize, key_at: usize) -> Parsed {
        let key_end = self.at;
        self.colon()?;
        let value_at = self.at;
        self.skip()?;
        if plan.closed {
            let key = &self.text[key_at..key_end];
            let shown = key.get(..80).unwrap_or(key);
            self.fault(
                object_at,
                "additionalProperties",
                format_args!("the schema allows no additional property {shown}"),
            );
            return Ok(());
        }
        let extra = &mut self.scratch.extra;
        extra.extend_from_slice(&self.bytes[key_at..key_end]);
        extra.push(b':');
        extra.extend_from_slice(&self.bytes[value_at..self.at]);
        extra.push(b',');
        Ok(())
    }

    /// Makes the members of `_extra` from `from` on the content of one member with this key.
    #[cold]
    pub fn wrap_extra(&mut self, from: usize, key: &[u8]) {
        let extra = &mut self.scratch.extra;
        extra.splice(from..from, key.iter().copied().chain(*b"{"));
        extra.pop();
        extra.extend_from_slice(b"},");
    }

    #[inline]
    fn check_object(&mut self, plan: &ObjectPlan, seen: &Seen, count: u64, start: usize) {
        if seen.few & plan.required_few != plan.required_few || plan.fields.len() > FEW_FIELDS {
            self.check_required(plan, seen, start);
        }
        if count < plan.min || plan.max.is_some_and(|max| count > max) {
            self.check_count(start, "Properties", count, plan.min, plan.max);
        }
    }

    fn check_required(&mut self, plan: &ObjectPlan, seen: &Seen, start: usize) {
        for index in &plan.required {
            if !seen.has(*index as usize) {
                let name = &plan.fields[*index as usize].name;
                self.fault(start, "required", format_args!("{name:?} is a required property"));
            }
        }
    }
}
