//! A table's columns: which Arrow types it keeps, how they are written in Delta's schema JSON,
//! and what happens when the definition's columns and the table's differ. Pure.

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use bourn_config::{Partition, PartitionFunction, SchemaPolicy};
use serde_json::{Value, json};
use std::sync::Arc;

/// The type a table keeps values of `given` in: the nearest one every Delta reader knows.
///
/// Timestamps are UTC microseconds (a timestamp without a zone is taken as UTC), unsigned
/// integers the next larger signed one, durations and times their text.
pub fn kept_type(given: &DataType) -> DataType {
    use DataType::*;
    match given {
        Boolean | Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Utf8 | Binary | Date32 => given.clone(),
        UInt8 => Int16,
        UInt16 => Int32,
        UInt32 => Int64,
        UInt64 => Decimal128(20, 0),
        Float16 => Float32,
        LargeUtf8 | Utf8View | Null | Time32(_) | Time64(_) | Duration(_) | Interval(_) => Utf8,
        LargeBinary | BinaryView | FixedSizeBinary(_) => Binary,
        Date64 | Timestamp(_, _) => Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) if *s >= 0 => Decimal128(*p, *s),
        Decimal256(p, s) if *p <= 38 && *s >= 0 => Decimal128(*p, *s),
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => Utf8,
        Dictionary(_, value) => kept_type(value),
        RunEndEncoded(_, values) => kept_type(values.data_type()),
        List(f) | LargeList(f) | FixedSizeList(f, _) | ListView(f) | LargeListView(f) => {
            List(Arc::new(Field::new("element", kept_type(f.data_type()), true)))
        }
        Struct(fields) => Struct(fields.iter().map(|f| kept_field(f, true)).collect::<Fields>()),
        Map(entries, _) => match entries.data_type() {
            Struct(pair) if pair.len() == 2 => {
                let key = Field::new("key", kept_type(pair[0].data_type()), false);
                let value = Field::new("value", kept_type(pair[1].data_type()), true);
                let pair = Struct(Fields::from(vec![key, value]));
                Map(Arc::new(Field::new("key_value", pair, false)), false)
            }
            _ => Utf8,
        },
        Union(..) => Utf8,
    }
}

fn kept_field(field: &Field, nullable: bool) -> FieldRef {
    Arc::new(Field::new(field.name(), kept_type(field.data_type()), nullable))
}

/// The columns of a table for a definition's `columns` and `partitions`: the given ones in kept
/// types, then the partition columns that are made by a function. Only system columns that are
/// never null stay so; every other column may be.
pub fn table_schema(columns: &Schema, partitions: &[Partition]) -> Result<Schema, String> {
    let mut fields: Vec<FieldRef> = columns
        .fields()
        .iter()
        .map(|f| kept_field(f, f.is_nullable() || !f.name().starts_with('_')))
        .collect();
    for partition in partitions {
        let source = columns
            .field_with_name(&partition.column)
            .map_err(|_| format!("`partition_by: {partition}` names no column"))?;
        let kept = kept_type(source.data_type());
        check_partition(partition, &kept)?;
        if partition.function != PartitionFunction::Identity {
            let name = partition.table_column();
            if fields.iter().any(|f| *f.name() == name) {
                return Err(format!("`partition_by: {partition}` makes `{name}`, which is a column already"));
            }
            fields.push(Arc::new(Field::new(name, DataType::Utf8, true)));
        }
    }
    Ok(Schema::new(fields))
}

fn check_partition(partition: &Partition, kept: &DataType) -> Result<(), String> {
    use DataType::*;
    let fits = match partition.function {
        PartitionFunction::Identity => {
            matches!(kept, Utf8 | Boolean | Int8 | Int16 | Int32 | Int64 | Date32)
                && !partition.column.starts_with('_')
        }
        PartitionFunction::Hour => matches!(kept, Timestamp(..)),
        _ => matches!(kept, Timestamp(..) | Date32),
    };
    if fits {
        return Ok(());
    }
    let expected = match partition.function {
        PartitionFunction::Identity => "text, whole numbers, booleans and dates, but no system column,",
        PartitionFunction::Hour => "timestamps",
        _ => "timestamps and dates",
    };
    Err(format!(
        "`partition_by: {partition}` does not fit its type {}: {expected} can be used so",
        name_of(kept)
    ))
}

/// The Delta schema JSON of a table's columns.
pub fn delta_schema(schema: &Schema) -> String {
    struct_json(schema.fields()).to_string()
}

fn struct_json(fields: &Fields) -> Value {
    let fields: Vec<Value> = fields
        .iter()
        .map(|f| {
            json!({"name": f.name(), "type": type_json(f.data_type()), "nullable": f.is_nullable(), "metadata": {}})
        })
        .collect();
    json!({"type": "struct", "fields": fields})
}

fn type_json(kept: &DataType) -> Value {
    match kept {
        DataType::List(f) => {
            json!({"type": "array", "elementType": type_json(f.data_type()), "containsNull": f.is_nullable()})
        }
        DataType::Struct(fields) => struct_json(fields),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => json!({"type": "map", "keyType": type_json(pair[0].data_type()),
                "valueType": type_json(pair[1].data_type()), "valueContainsNull": pair[1].is_nullable()}),
            _ => json!("string"),
        },
        other => json!(name_of(other)),
    }
}

/// Delta's name of a kept type.
pub fn name_of(kept: &DataType) -> String {
    match kept {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "byte".into(),
        DataType::Int16 => "short".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "long".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Binary => "binary".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Decimal128(p, s) => format!("decimal({p},{s})"),
        DataType::List(f) => format!("array<{}>", name_of(f.data_type())),
        DataType::Struct(fields) => {
            let inner: Vec<_> =
                fields.iter().map(|f| format!("{}: {}", f.name(), name_of(f.data_type()))).collect();
            format!("struct<{}>", inner.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                format!("map<{}, {}>", name_of(pair[0].data_type()), name_of(pair[1].data_type()))
            }
            _ => "string".into(),
        },
        _ => "string".into(),
    }
}

/// What the schema policy makes of a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// The table's columns from now on.
    pub schema: SchemaRef,
    /// Do they differ from those it had?
    pub changed: bool,
    /// Do files that exist have to be written anew, because a type was widened?
    pub rewrite: bool,
    /// Columns of the definition that have no place in the table: their values go to `_extra`.
    pub frozen: Vec<String>,
}

/// Why a definition does not fit a table, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub problem: String,
    pub way_out: String,
}

const REPLAY: &str = "Run `bourn replay` to rebuild the table from the log under the new definition";

/// Fits the definition's columns (`wanted`) to the table's (`table`); both of kept types.
pub fn reconcile(table: &Schema, wanted: &Schema, policy: SchemaPolicy) -> Result<Reconciled, Misfit> {
    if policy == SchemaPolicy::Reject {
        refuse_differences(table, wanted)?;
    }
    let mut fields: Vec<FieldRef> = table.fields().iter().cloned().collect();
    let (mut changed, mut rewrite, mut frozen) = (false, false, Vec::new());
    for want in wanted.fields() {
        let Some(at) = fields.iter().position(|f| f.name() == want.name()) else {
            if policy == SchemaPolicy::Freeze {
                frozen.push(want.name().clone());
            } else {
                fields.push(Arc::new(want.as_ref().clone().with_nullable(true)));
                changed = true;
            }
            continue;
        };
        let have = fields[at].data_type().clone();
        match meet(&have, want.data_type()) {
            Some(Meeting::Same) => {}
            Some(met) if policy != SchemaPolicy::Freeze => {
                let (kind, anew) = match met {
                    Meeting::Grown(kind) => (kind, false),
                    Meeting::Widened(kind) => (kind, true),
                    Meeting::Same => continue,
                };
                fields[at] = Arc::new(Field::new(want.name(), kind, fields[at].is_nullable()));
                changed = true;
                rewrite |= anew;
            }
            _ => return Err(incompatible(want.name(), &have, want.data_type(), policy)),
        }
    }
    Ok(Reconciled { schema: Arc::new(Schema::new(fields)), changed, rewrite, frozen })
}

fn incompatible(column: &str, have: &DataType, want: &DataType, policy: SchemaPolicy) -> Misfit {
    let frozen = if policy == SchemaPolicy::Freeze { " and the schema policy is `freeze`" } else { "" };
    Misfit {
        problem: format!(
            "column `{column}` is {} in the table and {} in the definition{frozen}",
            name_of(have),
            name_of(want)
        ),
        way_out: REPLAY.into(),
    }
}

fn refuse_differences(table: &Schema, wanted: &Schema) -> Result<(), Misfit> {
    let mut faults = Vec::new();
    for want in wanted.fields() {
        match table.field_with_name(want.name()) {
            Err(_) => faults.push(format!("`{}` is new", want.name())),
            Ok(have) if !matches!(meet(have.data_type(), want.data_type()), Some(Meeting::Same)) => faults
                .push(format!(
                    "`{}` is {} in the table and {} in the definition",
                    want.name(),
                    name_of(have.data_type()),
                    name_of(want.data_type())
                )),
            Ok(_) => {}
        }
    }
    for have in table.fields() {
        if wanted.field_with_name(have.name()).is_err() {
            faults.push(format!("`{}` is gone", have.name()));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(Misfit {
        problem: format!("the columns differ: {}; the schema policy is `reject`", faults.join(", ")),
        way_out: format!("Set `policy: {{schema: evolve}}`, undo the change, or rebuild. {REPLAY}"),
    })
}

enum Meeting {
    /// Values of the definition's type fit the table's as it is.
    Same,
    /// Fields were added inside; files that exist lack them and read as null.
    Grown(DataType),
    /// The table's type must widen, and files that exist with it.
    Widened(DataType),
}

/// The type that holds values of both, if one does without loss.
fn meet(have: &DataType, want: &DataType) -> Option<Meeting> {
    use DataType::*;
    if fits(want, have) {
        return Some(Meeting::Same);
    }
    if fits(have, want) {
        return Some(Meeting::Widened(want.clone()));
    }
    match (have, want) {
        (Struct(have), Struct(want)) => {
            let mut fields: Vec<FieldRef> = have.iter().cloned().collect();
            let mut widened = false;
            for w in want {
                match fields.iter().position(|f| f.name() == w.name()) {
                    None => fields.push(w.clone()),
                    Some(at) => match meet(fields[at].data_type(), w.data_type())? {
                        Meeting::Same => {}
                        Meeting::Grown(kind) => fields[at] = Arc::new(Field::new(w.name(), kind, true)),
                        Meeting::Widened(kind) => {
                            widened = true;
                            fields[at] = Arc::new(Field::new(w.name(), kind, true));
                        }
                    },
                }
            }
            let kind = Struct(fields.into());
            Some(if widened { Meeting::Widened(kind) } else { Meeting::Grown(kind) })
        }
        (List(have), List(want)) => {
            let wrap = |kind| List(Arc::new(Field::new("element", kind, true)));
            Some(match meet(have.data_type(), want.data_type())? {
                Meeting::Same => Meeting::Same,
                Meeting::Grown(kind) => Meeting::Grown(wrap(kind)),
                Meeting::Widened(kind) => Meeting::Widened(wrap(kind)),
            })
        }
        _ => None,
    }
}

/// Does every value of `narrow` have an equal one in `wide`? Whole numbers in a double count as
/// fitting: a rewrite checks that each one does.
fn fits(narrow: &DataType, wide: &DataType) -> bool {
    use DataType::*;
    let rank = |kind: &DataType| match kind {
        Int8 => Some(1),
        Int16 => Some(2),
        Int32 => Some(3),
        Int64 => Some(4),
        _ => None,
    };
    match (narrow, wide) {
        (a, b) if a == b => true,
        (Timestamp(..), Timestamp(..)) => true,
        (a, b) if rank(a).is_some() && rank(b).is_some() => rank(a) < rank(b),
        (Int8 | Int16 | Int32 | Int64 | Float32, Float64) => true,
        (Int8 | Int16, Float32) => true,
        (Date32, Timestamp(..)) => true,
        (Int8 | Int16 | Int32 | Int64 | Boolean, Utf8) => true,
        (Decimal128(p, s), Decimal128(q, t)) => {
            t >= s && i16::from(*q) - i16::from(*t) >= i16::from(*p) - i16::from(*s)
        }
        (Int64, Decimal128(p, s)) => i16::from(*p) - i16::from(*s) >= 19,
        (List(a), List(b)) => fits(a.data_type(), b.data_type()),
        (Map(a, _), Map(b, _)) => fits(a.data_type(), b.data_type()),
        (Struct(a), Struct(b)) => {
            a.iter().all(|f| b.iter().any(|g| g.name() == f.name() && fits(f.data_type(), g.data_type())))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SchemaPolicy::*;

    fn schema(columns: &[(&str, DataType)]) -> Schema {
        Schema::new(columns.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>())
    }

    #[test]
    fn a_difference_is_met_as_the_policy_says() {
        use DataType::*;
        let inner = |kinds: &[(&str, DataType)]| Struct(schema(kinds).fields().clone());
        let check = |policy, have: &[(&str, DataType)], want: &[(&str, DataType)], expected: &str| {
            let got = match reconcile(&schema(have), &schema(want), policy) {
                Ok(r) => {
                    let columns: Vec<_> = r
                        .schema
                        .fields()
                        .iter()
                        .map(|f| format!("{} {}", f.name(), name_of(f.data_type())))
                        .collect();
                    let rewrite = if r.rewrite { " rewritten" } else { "" };
                    format!("{}{rewrite} extra={:?}", columns.join(","), r.frozen)
                }
                Err(misfit) => misfit.problem,
            };
            assert!(got.contains(expected), "{policy:?} {have:?} {want:?}\n got {got}\nwant {expected}");
        };
        check(Evolve, &[("a", Int64)], &[("a", Int64), ("b", Utf8)], "a long,b string extra=[]");
        check(Evolve, &[("a", Int64), ("b", Utf8)], &[("a", Int64)], "a long,b string extra=[]");
        check(Evolve, &[("a", Int64)], &[("a", Float64)], "a double rewritten");
        check(Evolve, &[("a", Float64)], &[("a", Int64)], "a double extra=[]");
        check(Evolve, &[("a", Int32)], &[("a", Utf8)], "a string rewritten");
        check(Evolve, &[("a", Utf8)], &[("a", Date32)], "column `a` is string in the table and date in the");
        check(
            Evolve,
            &[("a", Boolean)],
            &[("a", Int64)],
            "column `a` is boolean in the table and long in the",
        );
        check(
            Evolve,
            &[("s", inner(&[("x", Int64)]))],
            &[("s", inner(&[("y", Utf8)]))],
            "s struct<x: long, y: string> extra",
        );
        check(Freeze, &[("a", Int64)], &[("a", Int64), ("b", Utf8)], "a long extra=[\"b\"]");
        check(Freeze, &[("a", Int64)], &[("a", Utf8)], "and the schema policy is `freeze`");
        check(Freeze, &[("a", Float64)], &[("a", Int64)], "a double extra=[]");
        check(Reject, &[("a", Int64)], &[("a", Int64)], "a long extra=[]");
        check(
            Reject,
            &[("a", Int64), ("c", Utf8)],
            &[("a", Utf8), ("b", Utf8)],
            "`a` is long in the table and string in the definition, `b` is new, `c` is gone",
        );
    }

    #[test]
    fn partitions_that_do_not_fit_are_refused() {
        let columns =
            schema(&[("at", DataType::Date32), ("n", DataType::Float64), ("at_day", DataType::Utf8)]);
        let check = |text: &str, expected: &str| {
            let error = table_schema(&columns, &[Partition::parse(text).unwrap()]).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("day(gone)", "names no column");
        check("hour(at)", "timestamps can be used so");
        check("n", "does not fit its type double");
        check("day(at)", "makes `at_day`, which is a column already");
    }
}
