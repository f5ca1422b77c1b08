//! Objects of the walk: predicting keys, finding them otherwise, and keeping those the schema does not name.

use crate::column::Structs;
use crate::plan::ObjectPlan;
use crate::walk::{Parsed, Walk};

/// Which fields of an object were seen: bits, without memory of their own up to 128 fields.
struct Seen {
    few: u128,
    many: Vec<bool>,
}

impl Seen {
    #[inline]
    fn new(fields: usize) -> Self {
        Self { few: 0, many: if fields > 128 { vec![false; fields] } else { Vec::new() } }
    }

    /// False if the field was seen before.
    #[inline]
    fn insert(&mut self, field: usize) -> bool {
        match self.many.get_mut(field) {
            Some(seen) => !std::mem::replace(seen, true),
            None => {
                let bit = 1u128 << (field & 127);
                let new = self.few & bit == 0;
                self.few |= bit;
                new
            }
        }
    }

    #[inline]
    fn has(&self, field: usize) -> bool {
        self.many.get(field).copied().unwrap_or(self.few >> (field & 127) & 1 == 1)
    }
}

impl Walk<'_> {
    /// Reads the object here into row `row` of `structs`.
    pub fn object(&mut self, plan: &ObjectPlan, structs: &mut Structs, row: usize) -> Parsed {
        let start = self.at;
        self.enter()?;
        self.at += 1;
        let mut seen = Seen::new(plan.fields.len());
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
                let hit = plan.fields.get(guess).filter(|field| {
                    !field.quoted.is_empty() && self.bytes[key_at..].starts_with(&field.quoted)
                });
                let found = match hit {
                    Some(field) => {
                        self.at = key_at + field.quoted.len();
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
                        self.colon()?;
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
            match field.quoted.is_empty() {
                false => self.wrap_extra(extra, &field.quoted),
                true => self.wrap_extra(extra, &serde_json::to_vec(&field.name).unwrap_or_default()),
            }
        }
        Ok(())
    }

    /// Reads the key here, which was not the one expected: the index of its field, if it has one.
    #[cold]
    fn look_up(&mut self, plan: &ObjectPlan, scope: &mut crate::keys::Scope) -> Parsed<Option<usize>> {
        let key = self.key()?;
        let name = if key.escaped { &self.scratch.text[..] } else { &self.bytes[key.start..key.end] };
        if let Some(index) = plan.by_name.get(name) {
            return Ok(Some(*index as usize));
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
    pub fn wrap_extra(&mut self, from: usize, quoted_key: &[u8]) {
        let extra = &mut self.scratch.extra;
        extra.splice(from..from, quoted_key.iter().copied().chain(*b":{"));
        extra.pop();
        extra.extend_from_slice(b"},");
    }

    #[inline]
    fn check_object(&mut self, plan: &ObjectPlan, seen: &Seen, count: u64, start: usize) {
        for index in &plan.required {
            if !seen.has(*index as usize) {
                let name = &plan.fields[*index as usize].name;
                self.fault(start, "required", format_args!("{name:?} is a required property"));
            }
        }
        if count < plan.min || plan.max.is_some_and(|max| count > max) {
            self.check_count(start, "Properties", count, plan.min, plan.max);
        }
    }
}
