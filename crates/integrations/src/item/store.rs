//! Keyed tables in the state store: reading, writing at once and for good, and doing a request once.
//!
//! | key | value |
//! | --- | --- |
//! | `KeyedItem { table/key, sort key }` | the item, as attribute values by name |
//! | `KeyedRequest { id }` | what a write was asked, when, and its answer |
//!
//! A write and the record of its request are one atomic batch, so that a request that is made again
//! after a crash finds what it did. Records are kept for a day of running time and never for more than
//! `REQUESTS_MAX` requests; those of before a restart count from the restart.

use super::ItemError;
use super::calls::{self, Effect, ITEM_BYTES_MAX, Place, Search};
use super::value::{Item, item_bytes, item_of_json, item_to_json};
use bourn_config::KeyedTable;
use bourn_event::{Clock, Micros};
use bourn_state::{Durability, Key, KeyKind, Scope, State, StateError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// Requests whose answers are kept.
const REQUESTS_MAX: usize = 50_000;
const REQUEST_AGE_MAX: Micros = 86_400 * 1_000_000;
/// Records that are deleted with one write, so that no write is slow.
const FORGET_MAX: usize = 16;
/// Writes to different items at the same time.
const STRIPES: usize = 64;
/// A page of a `Query`, as DynamoDB has it.
const PAGE_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(PAGE_BYTES_MAX > ITEM_BYTES_MAX, "a page holds at least one item");

/// The calls on keyed tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Get,
    Put,
    Update,
    Delete,
    Query,
}

/// All keyed tables of a pipeline. Cheap to clone. Calls block on the disk.
#[derive(Clone)]
pub(crate) struct Tables {
    shared: Arc<Shared>,
}

struct Shared {
    tables: BTreeMap<String, KeyedTable>,
    state: State,
    clock: Arc<dyn Clock>,
    stripes: [Mutex<()>; STRIPES],
    /// Requests by the time they were recorded or found at start.
    requests: Mutex<VecDeque<(Micros, String)>>,
    sync: GroupSync,
}

/// A request that was done.
#[derive(Serialize, Deserialize)]
struct Done {
    /// Of the call and its parameters: another request with the same id is another request.
    print: u64,
    answer: Value,
}

impl Tables {
    pub fn open(
        tables: BTreeMap<String, KeyedTable>,
        state: State,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StateError> {
        let now = clock.now();
        let mut requests = VecDeque::new();
        for entry in state.scan::<serde::de::IgnoredAny>(Scope::all(KeyKind::KeyedRequest)) {
            if let Key::KeyedRequest { id } = entry?.0 {
                requests.push_back((now, id));
            }
        }
        let stripes = std::array::from_fn(|_| Mutex::new(()));
        let requests = Mutex::new(requests);
        let shared = Shared { tables, state, clock, stripes, requests, sync: GroupSync::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.shared.tables.keys().map(String::as_str)
    }

    /// Does a call. A write that was done under this id is not done again; it gives the same answer.
    pub fn call(&self, call: Call, id: &str, parameters: &Value) -> Result<Value, ItemError> {
        let (name, schema) = self.table(parameters)?;
        match call {
            Call::Get => {
                let place = Place::of(schema, &calls::item(parameters, "Key")?, true)?;
                calls::get(parameters, self.read(name, &place)?)
            }
            Call::Query => self.query(name, schema, parameters),
            Call::Put => {
                let item = calls::item(parameters, "Item")?;
                let place = Place::of(schema, &item, false)?;
                self.write(call, id, parameters, name, &place, |before| calls::put(parameters, before, item))
            }
            Call::Delete => {
                let place = Place::of(schema, &calls::item(parameters, "Key")?, true)?;
                self.write(call, id, parameters, name, &place, |before| calls::delete(parameters, before))
            }
            Call::Update => {
                let key = calls::item(parameters, "Key")?;
                let place = Place::of(schema, &key, true)?;
                self.write(call, id, parameters, name, &place, |before| {
                    calls::update(schema, parameters, before, key)
                })
            }
        }
    }

    fn table(&self, parameters: &Value) -> Result<(&str, &KeyedTable), ItemError> {
        let given = match calls::text(parameters, "TableName")? {
            Some(name) => name,
            None => {
                return Err(ItemError::Validation(
                    "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: \
                     Member must not be null"
                        .into(),
                ));
            }
        };
        let name = given.rsplit_once(":table/").map_or(given, |(_, name)| name);
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(ItemError::Validation(format!(
                "1 validation error detected: Value '{given}' at 'tableName' failed to satisfy constraint: \
                 Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
            )));
        }
        let found = self.shared.tables.get_key_value(name).ok_or(ItemError::NoTable)?;
        Ok((found.0, found.1))
    }

    fn read(&self, table: &str, place: &Place) -> Result<Option<Item>, ItemError> {
        match self.shared.state.get::<Value>(&key(table, place))? {
            Some(json) => Ok(Some(item_of_json(&json)?)),
            None => Ok(None),
        }
    }

    fn write(
        &self,
        call: Call,
        id: &str,
        parameters: &Value,
        table: &str,
        place: &Place,
        change: impl FnOnce(Option<&Item>) -> Result<Effect, ItemError>,
    ) -> Result<Value, ItemError> {
        let shared = &*self.shared;
        let print = print(call, parameters);
        let request = Key::KeyedRequest { id: id.to_string() };
        let ticket;
        let answer = {
            let _turn = shared.stripe(table, place).lock();
            if let Some(done) = shared.state.get::<Done>(&request)?
                && done.print == print
            {
                // It may have been written without having been synced.
                ticket = shared.sync.ticket();
                done.answer
            } else {
                let effect = change(self.read(table, place)?.as_ref())?;
                let mut batch = shared.state.batch();
                match &effect.after {
                    Some(item) => batch.put(&key(table, place), &item_to_json(item))?,
                    None => batch.delete(&key(table, place)),
                }
                batch.put(&request, &Done { print, answer: effect.answer.clone() })?;
                for id in shared.remember(id) {
                    batch.delete(&Key::KeyedRequest { id });
                }
                batch.commit(Durability::Buffered)?;
                ticket = shared.sync.ticket();
                effect.answer
            }
        };
        shared.sync.wait(ticket, || shared.state.sync())?;
        Ok(answer)
    }

    fn query(&self, table: &str, schema: &KeyedTable, parameters: &Value) -> Result<Value, ItemError> {
        let search = Search::of(schema, parameters)?;
        let start = match parameters.get("ExclusiveStartKey") {
            None | Some(Value::Null) => None,
            Some(_) => Some(Place::of(schema, &calls::item(parameters, "ExclusiveStartKey")?, true)?.sort),
        };
        let partition = format!("{table}/{}", search.partition);
        let mut page: VecDeque<(Item, usize)> = VecDeque::new();
        let (mut bytes, mut more) = (0, false);
        let over = |page: &VecDeque<_>, bytes| page.len() > search.limit || bytes > PAGE_BYTES_MAX;
        for entry in self.shared.state.scan::<Value>(Scope::stream(KeyKind::KeyedItem, &partition)) {
            let (Key::KeyedItem { sort, .. }, json) = entry? else { continue };
            match &start {
                Some(start) if search.forward && sort <= *start => continue,
                Some(start) if !search.forward && sort >= *start => break,
                _ => {}
            }
            let item = item_of_json(&json)?;
            if !search.finds(&item) {
                continue;
            }
            let size = item_bytes(&item);
            bytes += size;
            page.push_back((item, size));
            if !over(&page, bytes) {
                continue;
            }
            more = true;
            if search.forward {
                page.pop_back();
                break;
            }
            // The store reads forward; of a backward search the last page is what remains.
            while over(&page, bytes) {
                bytes -= page.pop_front().map_or(0, |(_, size)| size);
            }
        }
        let mut found: Vec<Item> = page.into_iter().map(|(item, _)| item).collect();
        if !search.forward {
            found.reverse();
        }
        let last = found.last().filter(|_| more).map(|item| {
            let is_key = |name: &String| *name == schema.key || schema.sort.as_ref() == Some(name);
            item.iter().filter(|(name, _)| is_key(name)).map(|(name, v)| (name.clone(), v.clone())).collect()
        });
        Ok(search.answer(found, last))
    }
}

fn key(table: &str, place: &Place) -> Key {
    Key::KeyedItem { partition: format!("{table}/{}", place.partition), sort: place.sort.clone() }
}

fn print(call: Call, parameters: &Value) -> u64 {
    xxh3_64(json!([format!("{call:?}"), parameters]).to_string().as_bytes())
}

impl Shared {
    fn stripe(&self, table: &str, place: &Place) -> &Mutex<()> {
        let mut hasher = Xxh3Default::new();
        (table, place).hash(&mut hasher);
        &self.stripes[hasher.finish() as usize % STRIPES]
    }

    /// Notes a request; gives those to forget.
    fn remember(&self, id: &str) -> Vec<String> {
        let now = self.clock.now();
        let mut requests = self.requests.lock();
        requests.push_back((now, id.to_string()));
        let mut forget = Vec::new();
        while forget.len() < FORGET_MAX
            && requests.front().is_some_and(|(noted, _)| {
                requests.len() > REQUESTS_MAX || now.saturating_sub(*noted) > REQUEST_AGE_MAX
            })
        {
            forget.extend(requests.pop_front().map(|(_, id)| id));
        }
        forget
    }
}

/// One sync for all writes that came before it.
#[derive(Default)]
struct GroupSync {
    written: AtomicU64,
    synced: Mutex<u64>,
}

impl GroupSync {
    /// After a write: its number.
    fn ticket(&self) -> u64 {
        self.written.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Returns once that write is durable. Who holds the lock syncs for all that wait for it.
    fn wait(&self, ticket: u64, sync: impl FnOnce() -> Result<(), StateError>) -> Result<(), StateError> {
        let mut synced = self.synced.lock();
        if *synced >= ticket {
            return Ok(());
        }
        let written = self.written.load(Ordering::SeqCst);
        sync()?;
        *synced = written;
        Ok(())
    }
}
