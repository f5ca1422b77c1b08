//! Every format, byte by byte.

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray,
    RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type};
use bourn_event::{QueryError, Rows};
use bourn_web::render::{Format, RenderError, TableStyle, render};
use futures::{StreamExt, stream};
use std::sync::Arc;

fn sample() -> RecordBatch {
    let point = StructArray::from(vec![(
        Arc::new(Field::new("x", DataType::Float64, true)),
        Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::NAN)])) as ArrayRef,
    )]);
    let list =
        ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    let decimal = Decimal128Array::from(vec![Some(123_456_789_012_345_678_901_i128), None, Some(-5)])
        .with_precision_and_scale(38, 2)
        .expect("a decimal");
    let moment = TimestampMicrosecondArray::from(vec![Some(1_763_707_445_000_001), None, Some(0)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("big", Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(-1)]))),
        ("real", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), Some(f64::INFINITY)]))),
        ("dec", Arc::new(decimal)),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("text", Arc::new(StringArray::from(vec![Some("a \"b\",\nc"), None, Some("")]))),
        ("at", Arc::new(moment.with_timezone("UTC"))),
        ("day", Arc::new(Date32Array::from(vec![Some(20_000), None, Some(0)]))),
        ("raw", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\x00\xff"), None, Some(b"")]))),
        ("point", Arc::new(point)),
        ("list", Arc::new(list)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("columns fit")
}

fn rows(batches: Vec<Result<RecordBatch, QueryError>>) -> Rows {
    let schema = batches[0].as_ref().expect("a first batch").schema();
    Rows { schema, batches: stream::iter(batches).boxed() }
}

fn bytes(batches: Vec<RecordBatch>, format: Format, style: TableStyle) -> Vec<u8> {
    let mut out = Vec::new();
    let rows = rows(batches.into_iter().map(Ok).collect());
    block_on(render(rows, format, style, &mut out)).expect("renders");
    out
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(future)
}

#[track_caller]
fn check(batch: RecordBatch, format: Format, style: TableStyle, expected: &str) {
    let text = String::from_utf8(bytes(vec![batch], format, style)).expect("text");
    assert_eq!(text, expected, "\n{text}");
}

const ROW_1: &str = r#"{"big":9223372036854775807,"real":0.1,"dec":1234567890123456789.01,"yes":true,"text":"a \"b\",\nc","at":"2025-11-21T06:44:05.000001Z","day":"2024-10-04","raw":"AP8=","point":{"x":1.5},"list":[1,null]}"#;
const ROW_2: &str = r#"{"big":null,"real":null,"dec":null,"yes":null,"text":null,"at":null,"day":null,"raw":null,"point":{"x":null},"list":null}"#;
const ROW_3: &str = r#"{"big":-1,"real":null,"dec":-0.05,"yes":false,"text":"","at":"1970-01-01T00:00:00Z","day":"1970-01-01","raw":"","point":{"x":null},"list":[]}"#;

#[test]
fn json_is_one_array_of_objects() {
    let expected = format!("[{ROW_1},\n{ROW_2},\n{ROW_3}]\n");
    check(sample(), Format::Json, TableStyle::default(), &expected);
    check(sample().slice(0, 0), Format::Json, TableStyle::default(), "[]\n");
    let two = bytes(vec![sample().slice(0, 1), sample().slice(1, 2)], Format::Json, TableStyle::default());
    assert_eq!(String::from_utf8(two).expect("text"), expected, "batches leave no trace");
}

#[test]
fn ndjson_is_an_object_a_line() {
    let expected = format!("{ROW_1}\n{ROW_2}\n{ROW_3}\n");
    check(sample(), Format::Ndjson, TableStyle::default(), &expected);
    check(sample().slice(0, 0), Format::Ndjson, TableStyle::default(), "");
}

#[test]
fn csv_tells_null_from_empty() {
    let expected = concat!(
        "big,real,dec,yes,text,at,day,raw,point,list\n",
        "9223372036854775807,0.1,1234567890123456789.01,true,\"a \"\"b\"\",\nc\",2025-11-21T06:44:05.000001Z,",
        "2024-10-04,AP8=,\"{\"\"x\"\":1.5}\",\"[1,null]\"\n",
        ",NaN,,,,,,,\"{\"\"x\"\":null}\",\n",
        "-1,inf,-0.05,false,\"\",1970-01-01T00:00:00Z,1970-01-01,\"\",\"{\"\"x\"\":null}\",[]\n",
    );
    check(sample(), Format::Csv, TableStyle::default(), expected);
}

fn names() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("carrier", Arc::new(StringArray::from(vec![Some("UA"), None, Some("東京\tair\u{1b}[2J")]))),
        ("flights", Arc::new(Int64Array::from(vec![Some(58_665), Some(1), None]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("columns fit")
}

#[test]
fn a_table_aligns_numbers_right_and_shows_nulls() {
    let expected = concat!(
        "carrier            | flights\n",
        "-------------------+--------\n",
        "UA                 |   58665\n",
        "null               |       1\n",
        "東京\\tair\\u{1b}[2J |    null\n",
        "(3 rows)\n",
    );
    check(names(), Format::Table, TableStyle::default(), expected);
}

#[test]
fn a_terminal_gets_lines_that_fit() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("long", Arc::new(StringArray::from(vec!["x".repeat(100)]))),
        ("n", Arc::new(Int64Array::from(vec![7]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("columns fit");
    let style = TableStyle { terminal_width: Some(20) };
    let expected =
        concat!("long             │ n\n", "─────────────────┼──\n", "xxxxxxxxxxxxxxx… │ 7\n", "(1 row)\n",);
    check(batch.clone(), Format::Table, style, expected);
    let uncut = bytes(vec![batch], Format::Table, TableStyle::default());
    assert!(String::from_utf8(uncut).expect("text").contains(&"x".repeat(100)));
}

#[test]
fn a_table_of_many_rows_is_streamed() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..25_000));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).expect("a column");
    let text = String::from_utf8(bytes(vec![batch], Format::Table, TableStyle::default())).expect("text");
    assert_eq!(text.lines().count(), 25_003);
    assert!(text.ends_with("(25000 rows)\n"));
}

#[test]
fn parquet_and_arrow_read_back_as_they_were() {
    let batches = vec![sample().slice(0, 1), sample().slice(1, 2)];
    let file = bytes(batches.clone(), Format::Parquet, TableStyle::default());
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file))
            .and_then(|builder| builder.build())
            .expect("a Parquet file");
    let read: Vec<RecordBatch> = reader.collect::<Result<_, _>>().expect("batches");
    assert_eq!(format!("{read:?}"), format!("{:?}", [sample()]));

    let stream = bytes(batches.clone(), Format::Arrow, TableStyle::default());
    let reader = arrow::ipc::reader::StreamReader::try_new(stream.as_slice(), None).expect("an Arrow stream");
    let read: Vec<RecordBatch> = reader.collect::<Result<_, _>>().expect("batches");
    assert_eq!(format!("{read:?}"), format!("{batches:?}"));
}

#[test]
fn a_query_that_fails_on_the_way_is_an_error_not_a_short_answer() {
    for format in Format::ALL {
        let rows = rows(vec![Ok(sample()), Err(QueryError::Memory("a sort".into()))]);
        let result = block_on(render(rows, format, TableStyle::default(), &mut Vec::new()));
        assert!(matches!(result, Err(RenderError::Query(QueryError::Memory(_)))), "{format:?}");
    }
}

#[test]
fn formats_are_known_by_name() {
    for format in Format::ALL {
        assert_eq!(Format::of_name(format.name()), Some(format));
    }
    assert_eq!(Format::of_name("xml"), None);
}
