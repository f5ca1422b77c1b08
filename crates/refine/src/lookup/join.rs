//! Adds a lookup's columns to a batch: one hash and one comparison a row, then a `take` a column.

use super::{LookupTable, Lookups};
use crate::column::{Path, nearest, timestamp};
use crate::plan::PlanFault;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use bourn_config::{LookupStep, MissingKey};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// A lookup step, resolved against the columns before it.
#[derive(Clone, Debug)]
pub struct JoinPlan {
    pub table: String,
    on: Vec<Path>,
    on_names: Vec<String>,
    /// In which type each part of the key is compared.
    key_types: Vec<DataType>,
    taken: Vec<String>,
    /// The added columns.
    pub fields: Vec<FieldRef>,
    pub missing: MissingKey,
}

impl JoinPlan {
    /// Resolves step `at` against the columns that are there, and appends its faults.
    pub fn new(
        step: &LookupStep,
        at: usize,
        input: &Schema,
        lookups: &Lookups,
        faults: &mut Vec<PlanFault>,
    ) -> Option<Self> {
        let before = faults.len();
        let key = |name: &str| format!("enrich[{at}].lookup.{name}");
        let Some(table) = lookups.snapshot(&step.table) else {
            let names: Vec<&str> = lookups.names().collect();
            let hint = format!("define it under `lookups`; there are: {}", names.join(", "));
            let message = format!("there is no lookup `{}`", step.table);
            faults.push(PlanFault::new(key("table"), message, hint));
            return None;
        };
        let rows = table.rows.schema();
        let (on, key_types) = resolve_on(step, key("on"), input, &table, faults);
        let taken: Vec<String> = match step.take.as_slice() {
            [] => rows.fields().iter().map(|f| f.name().clone()).filter(|f| !table.key.contains(f)).collect(),
            names => names.to_vec(),
        };
        let mut fields: Vec<FieldRef> = Vec::new();
        for name in &taken {
            let Ok(field) = rows.field_with_name(name) else {
                let message = format!("the lookup `{}` has no column `{name}`", step.table);
                faults.push(PlanFault::new(key("take"), message, nearest(rows.fields(), name)));
                continue;
            };
            let added = format!("{}{name}", step.prefix);
            if input.field_with_name(&added).is_ok() || fields.iter().any(|field| *field.name() == added) {
                let message = format!("there is a column `{added}` already");
                let hint = format!("set `prefix`, like `prefix: {}_`, or leave it out of `take`", step.table);
                faults.push(PlanFault::new(key("take"), message, hint));
                continue;
            }
            fields.push(Arc::new(Field::new(added, field.data_type().clone(), true)));
        }
        let on_names = step.on.names().to_vec();
        let (table, missing) = (step.table.clone(), step.missing);
        (faults.len() == before).then_some(Self { table, on, on_names, key_types, taken, fields, missing })
    }

    /// What the event's key was, for a reject's message.
    pub fn key_names(&self) -> String {
        self.on_names.join(", ")
    }
}

fn resolve_on(
    step: &LookupStep,
    key: String,
    input: &Schema,
    table: &LookupTable,
    faults: &mut Vec<PlanFault>,
) -> (Vec<Path>, Vec<DataType>) {
    let (mut on, mut types) = (Vec::new(), Vec::new());
    if step.on.names().len() != table.key.len() {
        let message = format!("{} fields for a key of {}", step.on.names().len(), table.key.len());
        let hint = format!("the key of `{}` is: {}", step.table, table.key.join(", "));
        faults.push(PlanFault::new(key, message, hint));
        return (on, types);
    }
    for (name, column) in step.on.names().iter().zip(&table.key) {
        let Ok(column) = table.rows.schema().field_with_name(column).cloned() else { continue };
        match Path::resolve(input, name) {
            Ok(path) if !path.json.is_empty() => {
                let message = format!("`{name}` leads into JSON text");
                faults.push(PlanFault::new(&key, message, "name a field that has a column"));
            }
            Ok(path) => match common(&path.data_type, column.data_type()) {
                Some(common) => {
                    types.push(common);
                    on.push(path);
                }
                None => {
                    let message = format!(
                        "`{name}` is of type {}, the lookup's `{}` is of type {}",
                        path.data_type,
                        column.name(),
                        column.data_type()
                    );
                    faults.push(PlanFault::new(&key, message, "these cannot be compared"));
                }
            },
            Err((message, hint)) => faults.push(PlanFault::new(&key, message, hint)),
        }
    }
    (on, types)
}

/// The type in which values of two types are compared.
fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    let is_date = |t: &DataType| matches!(t, DataType::Timestamp(_, _) | DataType::Date32);
    if a.is_nested() || b.is_nested() {
        return None;
    }
    Some(match (a, b) {
        _ if a.is_integer() && b.is_integer() => DataType::Int64,
        _ if a == b => a.clone(),
        _ if a.is_numeric() && b.is_numeric() => DataType::Float64,
        _ if is_date(a) && is_date(b) => timestamp(),
        (DataType::Utf8, _) | (_, DataType::Utf8) => DataType::Utf8,
        _ => return None,
    })
}

/// A lookup step with the rows it has now.
pub struct Join {
    pub plan: JoinPlan,
    table: Arc<LookupTable>,
    taken: Vec<ArrayRef>,
    index: KeyIndex,
}

impl Join {
    pub fn new(plan: JoinPlan, lookups: &Lookups) -> Result<Self, ArrowError> {
        let table = lookups
            .snapshot(&plan.table)
            .ok_or_else(|| ArrowError::SchemaError(format!("there is no lookup `{}`", plan.table)))?;
        let taken = plan
            .taken
            .iter()
            .map(|name| Ok(Arc::clone(table.rows.column(table.rows.schema().index_of(name)?))))
            .collect::<Result<_, ArrowError>>()?;
        let columns: Vec<ArrayRef> =
            table.key.iter().filter_map(|name| table.rows.column_by_name(name).cloned()).collect();
        let index = KeyIndex::new(columns, &plan.key_types)?;
        Ok(Self { plan, table, taken, index })
    }

    /// Takes the newest rows, if there are newer ones.
    pub fn refresh(&mut self, lookups: &Lookups) -> Result<(), ArrowError> {
        match lookups.snapshot(&self.plan.table) {
            Some(newest) if !Arc::ptr_eq(&newest, &self.table) => {
                *self = Self::new(self.plan.clone(), lookups)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The lookup's row for each of the batch's, null where there is none.
    pub fn rows_of(&self, batch: &RecordBatch) -> Result<UInt32Array, ArrowError> {
        self.index.find(self.plan.on.iter().map(|path| path.values(batch)).collect(), &self.plan.key_types)
    }

    /// The added columns.
    pub fn columns(&self, rows: &UInt32Array) -> Result<Vec<ArrayRef>, ArrowError> {
        self.taken.iter().map(|column| take(column, rows, None)).collect()
    }
}

/// Open addressing over `(hash's high half, row)`, at most half full. Null keys are left out.
struct KeyIndex {
    slots: Vec<(u32, u32)>,
    keys: Keys,
}

const NO_ROW: u32 = u32::MAX;

enum Keys {
    Text(StringArray),
    Integer(Int64Array),
    Rows(RowConverter, arrow::row::Rows),
}

impl KeyIndex {
    fn new(columns: Vec<ArrayRef>, types: &[DataType]) -> Result<Self, ArrowError> {
        let count = columns.first().map_or(0, |column| column.len());
        let columns = comparable(columns, types)?;
        let named = named_rows(&columns);
        let keys = match (types, columns.as_slice()) {
            ([DataType::Utf8], [column]) => Keys::Text(column.as_string::<i32>().clone()),
            ([_], [column]) if column.data_type() == &DataType::Int64 => {
                Keys::Integer(column.as_primitive::<Int64Type>().clone())
            }
            _ => {
                let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
                let converter = RowConverter::new(fields.collect())?;
                let rows = converter.convert_columns(&columns)?;
                Keys::Rows(converter, rows)
            }
        };
        let slots = vec![(0, NO_ROW); (count * 2).next_power_of_two().max(8)];
        let mut index = Self { slots, keys };
        for row in (0..count).filter(|row| named(*row)) {
            let hash = index.keys.hash(row);
            let slot = match index.probe(hash, |other| index.keys.equal(row, other)) {
                Ok(slot) | Err(slot) => slot,
            };
            index.slots[slot] = ((hash >> 32) as u32, row as u32);
        }
        Ok(index)
    }

    /// The slot of a key, or the empty one it would take.
    fn probe(&self, hash: u64, equal: impl Fn(usize) -> bool) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let (tag, row) = self.slots[slot];
            if row == NO_ROW {
                return Err(slot);
            }
            if tag == (hash >> 32) as u32 && equal(row as usize) {
                return Ok(slot);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn row(&self, hash: u64, equal: impl Fn(usize) -> bool) -> Option<u32> {
        self.probe(hash, equal).ok().map(|slot| self.slots[slot].1)
    }

    fn find(&self, columns: Vec<ArrayRef>, types: &[DataType]) -> Result<UInt32Array, ArrowError> {
        let count = columns.first().map_or(0, |column| column.len());
        let columns = comparable(columns, types)?;
        let named = named_rows(&columns);
        let (mut rows, mut missing) = (Vec::with_capacity(count), false);
        let mut push = |found: Option<u32>| {
            missing |= found.is_none();
            rows.push(found.unwrap_or(NO_ROW));
        };
        match (&self.keys, columns.as_slice()) {
            (Keys::Text(keys), [column]) => {
                let values = column.as_string::<i32>();
                for row in 0..count {
                    let value = values.value(row);
                    let found = || self.row(hash_text(value), |other| keys.value(other) == value);
                    push(if named(row) { found() } else { None });
                }
            }
            (Keys::Integer(keys), [column]) => {
                let values = column.as_primitive::<Int64Type>();
                for row in 0..count {
                    let value = values.value(row);
                    let found = || self.row(hash_integer(value), |other| keys.value(other) == value);
                    push(if named(row) { found() } else { None });
                }
            }
            (Keys::Rows(converter, keys), columns) => {
                let values = converter.convert_columns(columns)?;
                for row in 0..count {
                    let value = values.row(row);
                    let hash = xxh3_64(value.as_ref());
                    let found = || self.row(hash, |other| keys.row(other).as_ref() == value.as_ref());
                    push(if named(row) { found() } else { None });
                }
            }
            _ => return Err(ArrowError::ComputeError("a key of another width than the lookup's".to_owned())),
        }
        Ok(match missing {
            false => UInt32Array::from(rows),
            true => rows.into_iter().map(|row| (row != NO_ROW).then_some(row)).collect(),
        })
    }
}

impl Keys {
    fn hash(&self, row: usize) -> u64 {
        match self {
            Self::Text(keys) => hash_text(keys.value(row)),
            Self::Integer(keys) => hash_integer(keys.value(row)),
            Self::Rows(_, keys) => xxh3_64(keys.row(row).as_ref()),
        }
    }

    fn equal(&self, a: usize, b: usize) -> bool {
        match self {
            Self::Text(keys) => keys.value(a) == keys.value(b),
            Self::Integer(keys) => keys.value(a) == keys.value(b),
            Self::Rows(_, keys) => keys.row(a) == keys.row(b),
        }
    }
}

fn hash_text(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

fn hash_integer(value: i64) -> u64 {
    xxh3_64(&value.to_le_bytes())
}

/// Columns in the types keys are compared in; times and dates as the integers they are.
fn comparable(columns: Vec<ArrayRef>, types: &[DataType]) -> Result<Vec<ArrayRef>, ArrowError> {
    let single = types.len() == 1;
    let to = |column: ArrayRef, to: &DataType| match column.data_type() == to {
        true => Ok(column),
        false => cast(&column, to),
    };
    columns
        .into_iter()
        .zip(types)
        .map(|(column, common)| match to(column, common)? {
            column if single && matches!(common, DataType::Timestamp(_, _)) => to(column, &DataType::Int64),
            column if single && *common == DataType::Date32 => {
                to(to(column, &DataType::Int32)?, &DataType::Int64)
            }
            column => Ok(column),
        })
        .collect()
}

/// Rows none of whose key parts is null.
fn named_rows(columns: &[ArrayRef]) -> impl Fn(usize) -> bool {
    let nulls: Vec<_> = columns.iter().filter_map(|column| column.nulls().cloned()).collect();
    move |row| nulls.iter().all(|nulls| nulls.is_valid(row))
}
