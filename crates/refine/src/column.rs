//! Finds columns by field name or JSON pointer, and the types a table can store.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use std::sync::Arc;

/// Microseconds in UTC: the one timestamp type of tables.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Where a field's values lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    column: usize,
    children: Vec<usize>,
    /// The rest of the pointer, inside a column of JSON text.
    pub json: Vec<String>,
    pub data_type: DataType,
}

impl Path {
    /// `name` is a field at the top, or a JSON pointer (RFC 6901) if it begins with `/`.
    ///
    /// # Errors
    /// What is wrong with the name, and a hint.
    pub fn resolve(schema: &Schema, name: &str) -> Result<Self, (String, String)> {
        let segments: Vec<String> = match name.strip_prefix('/') {
            Some(pointer) => {
                pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
            }
            None => vec![name.to_owned()],
        };
        let mut fields: &Fields = schema.fields();
        let mut places = Vec::new();
        for (depth, segment) in segments.iter().enumerate() {
            let Some((at, field)) = fields.find(segment) else {
                return Err((format!("there is no field `{name}`"), nearest(fields, segment)));
            };
            places.push(at);
            let rest = &segments[depth + 1..];
            match field.data_type() {
                DataType::Struct(inner) if !rest.is_empty() => fields = inner,
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                    return Ok(Self::at(places, rest.to_vec(), field));
                }
                _ if rest.is_empty() => return Ok(Self::at(places, Vec::new(), field)),
                other => {
                    let message = format!("`{name}` leads into `{}`, which is of type {other}", field.name());
                    return Err((message, "name a field of an object".to_owned()));
                }
            }
        }
        Err((
            format!("`{name}` names no field"),
            "write a field's name, or a pointer like /device/id".to_owned(),
        ))
    }

    fn at(mut places: Vec<usize>, json: Vec<String>, field: &Field) -> Self {
        let column = places.remove(0);
        Self { column, children: places, json, data_type: field.data_type().clone() }
    }

    /// The column, null where an object around it is null.
    pub fn values(&self, batch: &RecordBatch) -> ArrayRef {
        let mut array = Arc::clone(batch.column(self.column));
        let mut nulls: Option<NullBuffer> = None;
        for &child in &self.children {
            nulls = NullBuffer::union(nulls.as_ref(), array.nulls());
            let inner = Arc::clone(array.as_struct().column(child));
            array = inner;
        }
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => array,
            Some(outer) => {
                let nulls = NullBuffer::union(Some(&outer), array.nulls());
                match array.to_data().into_builder().nulls(nulls).build() {
                    Ok(data) => arrow::array::make_array(data),
                    // Only validity was added to a valid array.
                    Err(_) => new_null_array(array.data_type(), array.len()),
                }
            }
        }
    }
}

/// "did you mean", or all there is.
pub fn nearest(fields: &Fields, wanted: &str) -> String {
    let names: Vec<&str> =
        fields.iter().map(|field| field.name().as_str()).filter(|name| !name.starts_with('_')).collect();
    let close = names.iter().map(|name| (distance(name, wanted), *name)).min();
    match close {
        Some((changes, name)) if changes <= 1 + wanted.len() / 4 => format!("did you mean `{name}`?"),
        _ => format!("there are: {}", names.join(", ")),
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The type in which a table stores values of this one.
///
/// # Errors
/// A hint, if no table can.
pub fn stored_type(data_type: &DataType) -> Result<DataType, String> {
    use DataType as T;
    Ok(match data_type {
        T::Utf8View | T::LargeUtf8 | T::Utf8 | T::Null => T::Utf8,
        T::BinaryView | T::LargeBinary | T::FixedSizeBinary(_) | T::Binary => T::Binary,
        T::Dictionary(_, values) => stored_type(values)?,
        T::RunEndEncoded(_, values) => stored_type(values.data_type())?,
        T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => T::Int64,
        T::Float16 => T::Float32,
        T::Date64 => T::Date32,
        T::Timestamp(_, _) => timestamp(),
        T::Decimal32(precision, scale) | T::Decimal64(precision, scale) => T::Decimal128(*precision, *scale),
        T::Decimal256(precision, scale) if *precision <= 38 => T::Decimal128(*precision, *scale),
        T::Decimal256(_, _) => return Err("cast it to decimal(38, …), double or varchar".to_owned()),
        T::List(field) | T::LargeList(field) | T::FixedSizeList(field, _) => T::List(stored_field(field)?),
        T::ListView(field) | T::LargeListView(field) => T::List(stored_field(field)?),
        T::Struct(fields) => T::Struct(fields.iter().map(stored_field).collect::<Result<Fields, _>>()?),
        T::Time32(_) | T::Time64(_) => {
            return Err("a table has no time of day: cast it to varchar, like `t::varchar`".to_owned());
        }
        T::Interval(_) | T::Duration(_) => {
            return Err("a table has no length of time: cast it to varchar or to a number, like \
                        `extract(epoch from later - earlier)`"
                .to_owned());
        }
        T::Union(_, _) => {
            return Err("its type differs from row to row: use `->>`, or json_get_str, json_get_int, \
                        json_get_float or json_get_bool"
                .to_owned());
        }
        T::Map(_, _) => return Err("take its entries by key, or make a struct of it".to_owned()),
        other => other.clone(),
    })
}

fn stored_field(field: &Arc<Field>) -> Result<Arc<Field>, String> {
    let stored = stored_type(field.data_type())?;
    Ok(Arc::new(Field::new(field.name(), stored, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_reaches_into_objects_and_json_text() {
        let inner = Fields::from(vec![Field::new("id", DataType::Int64, true)]);
        let schema = Schema::new(vec![
            Field::new("device", DataType::Struct(inner), true),
            Field::new("payload", DataType::Utf8, true),
        ]);
        let cases = [
            ("device", Ok(vec![])),
            ("/device/id", Ok(vec![])),
            ("payload", Ok(vec![])),
            ("/payload/a~1b/0", Ok(vec!["a/b", "0"])),
            ("/device/ip", Err("did you mean `id`?")),
            ("payloads", Err("did you mean `payload`?")),
            ("/device/id/x", Err("name a field of an object")),
        ];
        for (name, expected) in cases {
            let got = Path::resolve(&schema, name);
            match (got, expected) {
                (Ok(path), Ok(json)) => assert_eq!(path.json, json, "{name}"),
                (Err((_, hint)), Err(expected)) => assert_eq!(hint, expected, "{name}"),
                (got, _) => panic!("{name}: {got:?}"),
            }
        }
    }
}
