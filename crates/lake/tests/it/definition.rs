//! A definition that changed meets a table that stands.

use crate::lab::{Lab, ask, number, rows, schema};
use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use bourn_config::SchemaPolicy;
use bourn_lake::TableOptions;
use std::sync::Arc;

async fn with_one_row(lab: &Lab) {
    let table = lab.open().await;
    table.push(crate::lab::events(0, 1)).await.unwrap();
    table.close().await.unwrap();
}

fn changed(lab: &Lab, policy: SchemaPolicy, columns: &[(&str, DataType)]) -> TableOptions {
    TableOptions { policy, schema: schema(columns), ..lab.options() }
}

#[tokio::test(flavor = "multi_thread")]
async fn evolve_adds_columns_and_widens_types() {
    let lab = Lab::new();
    with_one_row(&lab).await;
    let columns = [("n", DataType::Float64), ("who", DataType::Utf8), ("new", DataType::Utf8)];
    let table = lab.lake().table(changed(&lab, SchemaPolicy::Evolve, &columns)).await.unwrap();
    let n: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
    let new: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    table.push(rows(1, 2, &[1], vec![("n", n), ("who", new.clone()), ("new", new)])).await.unwrap();
    for _ in 0..2 {
        let got = ask(table.provider(), "select n, new from t order by _offset").await;
        let got = arrow::compute::concat_batches(&got[0].schema(), &got).unwrap();
        assert_eq!(got.column(0).as_primitive::<Float64Type>().values(), &[0.0, 1.5]);
        assert_eq!(got.column(1).null_count(), 1);
        table.flush().await.unwrap();
    }
    assert_eq!(table.committed().offset, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn freeze_keeps_the_columns_and_puts_new_values_into_extra() {
    let lab = Lab::new();
    with_one_row(&lab).await;
    let columns = [("n", DataType::Int64), ("who", DataType::Utf8), ("new", DataType::Int64)];
    let table = lab.lake().table(changed(&lab, SchemaPolicy::Freeze, &columns)).await.unwrap();
    let n: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let who: ArrayRef = Arc::new(StringArray::from(vec!["ann"]));
    table.push(rows(1, 2, &[1], vec![("n", n.clone()), ("who", who), ("new", n)])).await.unwrap();
    let sql = "select count(*) from t where _extra = '{\"new\":1}'";
    assert_eq!(number(table.provider(), sql).await, 1);
    table.flush().await.unwrap();
    assert_eq!(number(table.provider(), sql).await, 1);
    assert!(table.schema().field_with_name("new").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_does_not_fit_is_refused_with_the_way_out() {
    use DataType::*;
    let lab = Lab::new();
    with_one_row(&lab).await;
    let check = async |options: TableOptions, expected: &str| {
        let error = lab.lake().table(options).await.err().expect(expected).to_string();
        assert!(error.contains(expected) && error.contains("bourn replay"), "{error}");
    };
    let wrong = [("n", Boolean), ("who", Utf8)];
    check(changed(&lab, SchemaPolicy::Evolve, &wrong), "column `n` is long in the table and boolean").await;
    let more = [("n", Int64), ("who", Utf8), ("new", Utf8)];
    check(changed(&lab, SchemaPolicy::Reject, &more), "`new` is new").await;
    check(lab.partitioned(&["who"]), "it is partitioned by [] and the definition says [who]").await;
}
