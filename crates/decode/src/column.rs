//! Columns that grow value by value and can be cut back.
//!
//! A column may lag behind its parent's rows: what is missing counts as null and is filled in when the
//! next value comes or the batch is finished. So an absent field costs nothing, and cutting a column back
//! to a number of rows undoes any part of an event.

use crate::plan::{Kind, Node, ObjectPlan};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};
use std::sync::Arc;

/// Digits of the decimals that hold integers beyond i64: all of u64.
pub(crate) const DECIMAL_DIGITS: u8 = 20;

/// Type of the columns for moments.
pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(crate) struct Column {
    pub rows: usize,
    /// Rows that are null, ascending. The values there are defaults.
    nulls: Vec<u32>,
    pub data: Data,
}

pub(crate) enum Data {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Decimal(Vec<i128>),
    Float(Vec<f64>),
    Timestamp(Vec<i64>),
    Date(Vec<i32>),
    Text(Texts),
    Struct(Structs),
    List(Box<Lists>),
}

pub(crate) struct Texts {
    pub ends: Vec<i32>,
    /// Always whole UTF-8 texts, one behind the other.
    pub bytes: Vec<u8>,
}

pub(crate) struct Structs {
    pub fields: Vec<Column>,
    /// After field `i` came field `next[i]` the last time; the last entry tells the first field.
    pub next: Vec<u32>,
    arrow: Fields,
}

pub(crate) struct Lists {
    pub ends: Vec<i32>,
    pub item: Column,
    arrow: FieldRef,
}

impl Column {
    pub fn new(node: &Node) -> Self {
        let data = match &node.kind {
            Kind::Json | Kind::Text => Data::Text(Texts { ends: vec![0], bytes: Vec::new() }),
            Kind::Bool => Data::Bool(Vec::new()),
            Kind::Int => Data::Int(Vec::new()),
            Kind::Decimal => Data::Decimal(Vec::new()),
            Kind::Float => Data::Float(Vec::new()),
            Kind::Timestamp => Data::Timestamp(Vec::new()),
            Kind::Date => Data::Date(Vec::new()),
            Kind::Struct(plan) => Data::Struct(Structs::new(plan)),
            Kind::List(plan) => Data::List(Box::new(Lists {
                ends: vec![0],
                item: Column::new(&plan.item),
                arrow: Arc::new(Field::new("item", plan.item.arrow_type(), true)),
            })),
        };
        Self { rows: 0, nulls: Vec::new(), data }
    }

    pub fn text() -> Self {
        Self { rows: 0, nulls: Vec::new(), data: Data::Text(Texts { ends: vec![0], bytes: Vec::new() }) }
    }

    /// Makes up for the rows that were not written, so that the next value is row `row`.
    #[inline]
    pub fn reach(&mut self, row: usize) {
        if self.rows < row {
            self.fill(row);
        }
    }

    #[cold]
    fn fill(&mut self, row: usize) {
        self.nulls.extend(self.rows as u32..row as u32);
        self.rows = row;
        match &mut self.data {
            Data::Bool(values) => values.resize(row, false),
            Data::Int(values) | Data::Timestamp(values) => values.resize(row, 0),
            Data::Decimal(values) => values.resize(row, 0),
            Data::Float(values) => values.resize(row, 0.0),
            Data::Date(values) => values.resize(row, 0),
            Data::Text(texts) => texts.ends.resize(row + 1, texts.bytes.len() as i32),
            Data::Struct(_) => {}
            Data::List(lists) => lists.ends.resize(row + 1, lists.item.rows as i32),
        }
    }

    /// Cuts the column back to `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        while self.nulls.last().is_some_and(|row| *row as usize >= rows) {
            self.nulls.pop();
        }
        match &mut self.data {
            Data::Bool(values) => values.truncate(rows),
            Data::Int(values) | Data::Timestamp(values) => values.truncate(rows),
            Data::Decimal(values) => values.truncate(rows),
            Data::Float(values) => values.truncate(rows),
            Data::Date(values) => values.truncate(rows),
            Data::Text(texts) => {
                texts.ends.truncate(rows + 1);
                texts.bytes.truncate(texts.ends.last().map_or(0, |end| *end as usize));
            }
            Data::Struct(structs) => structs.fields.iter_mut().for_each(|field| field.truncate(rows)),
            Data::List(lists) => {
                lists.ends.truncate(rows + 1);
                lists.item.truncate(lists.ends.last().map_or(0, |end| *end as usize));
            }
        }
        self.rows = self.rows.min(rows);
    }

    /// Takes the first `rows` rows as an array and begins anew.
    pub fn finish(&mut self, rows: usize) -> ArrayRef {
        self.reach(rows);
        let nulls = null_buffer(&mut self.nulls, rows);
        self.rows = 0;
        match &mut self.data {
            Data::Bool(values) => Arc::new(BooleanArray::new(take_bools(values), nulls)),
            Data::Int(values) => Arc::new(Int64Array::new(take(values), nulls)),
            Data::Timestamp(values) => {
                Arc::new(TimestampMicrosecondArray::new(take(values), nulls).with_timezone("UTC"))
            }
            Data::Decimal(values) => Arc::new(
                Decimal128Array::new(take(values), nulls)
                    .with_data_type(DataType::Decimal128(DECIMAL_DIGITS, 0)),
            ),
            Data::Float(values) => Arc::new(Float64Array::new(take(values), nulls)),
            Data::Date(values) => Arc::new(Date32Array::new(take(values), nulls)),
            Data::Text(texts) => texts.finish(nulls),
            Data::Struct(structs) => {
                let fields = structs.fields.iter_mut().map(|field| field.finish(rows)).collect();
                Arc::new(StructArray::new(structs.arrow.clone(), fields, nulls))
            }
            Data::List(lists) => {
                let items = lists.ends.last().map_or(0, |end| *end as usize);
                let item = lists.item.finish(items);
                let ends = OffsetBuffer::new(take_ends(&mut lists.ends));
                Arc::new(ListArray::new(Arc::clone(&lists.arrow), ends, item, nulls))
            }
        }
    }
}

impl Structs {
    pub fn new(plan: &ObjectPlan) -> Self {
        let count = plan.fields.len() as u32;
        Self {
            fields: plan.fields.iter().map(|field| Column::new(&field.node)).collect(),
            next: (1..=count).chain([0]).collect(),
            arrow: plan.arrow_fields(),
        }
    }
}

impl Texts {
    #[inline]
    pub fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.end();
    }

    /// What was added to `bytes` is a text.
    #[inline]
    pub fn end(&mut self) {
        self.ends.push(self.bytes.len() as i32);
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let room = self.bytes.len() + self.bytes.len() / 8;
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(room));
        let ends = OffsetBuffer::new(take_ends(&mut self.ends));
        // SAFETY: the ends ascend and stay within the bytes, since `end` writes them; every text is cut
        // at quotes or brackets out of an event that was validated as UTF-8, or comes from `unescape`,
        // which writes whole characters; so each is UTF-8 by itself.
        Arc::new(unsafe { StringArray::new_unchecked(ends, Buffer::from_vec(bytes), nulls) })
    }
}

/// Takes the values; the room they had is made ready for the next batch.
fn take<T: arrow_buffer::ArrowNativeType>(values: &mut Vec<T>) -> ScalarBuffer<T> {
    let room = values.len();
    ScalarBuffer::from(std::mem::replace(values, Vec::with_capacity(room)))
}

fn take_ends(ends: &mut Vec<i32>) -> ScalarBuffer<i32> {
    let mut next = Vec::with_capacity(ends.len());
    next.push(0);
    ScalarBuffer::from(std::mem::replace(ends, next))
}

fn null_buffer(nulls: &mut Vec<u32>, rows: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut bits = BooleanBufferBuilder::new(rows);
    bits.append_n(rows, true);
    for row in nulls.drain(..) {
        bits.set_bit(row as usize, false);
    }
    Some(NullBuffer::new(bits.finish()))
}

/// Boolean columns keep a byte per value while they grow, and become bits here.
fn take_bools(values: &mut Vec<bool>) -> BooleanBuffer {
    let mut bits = BooleanBufferBuilder::new(values.len());
    bits.append_slice(values);
    values.clear();
    bits.finish()
}
