//! A definition that is read without the files it refers to.

use bourn_config::{load_alone, load_with};

const DEFINITION: &str = "\
name: shop
streams:
  orders:
    schema: schemas/order.json
    sources:
      - http: {}
    enrich:
      - lookup: {table: products, on: sku}
lookups:
  products: {file: lookups/products.csv, key: sku}
";

#[test]
fn a_definition_read_alone_asks_for_no_files_but_tells_other_faults() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |text: &str| std::fs::write(folder.path().join("bourn.yaml"), text).expect("written");
    write(DEFINITION);
    let faults = load_with(folder.path(), None).expect_err("files are missing").to_string();
    for missing in ["schemas/order.json", "lookups/products.csv"] {
        assert!(faults.contains(missing), "{faults}");
    }
    let loaded = load_alone(folder.path(), None).expect("the definition itself is right");
    assert!(loaded.pipeline.streams.contains_key("orders"));
    write(&DEFINITION.replace("table: products", "table: product"));
    let faults = load_alone(folder.path(), None).expect_err("no such lookup").to_string();
    assert!(faults.contains("product") && !faults.contains("there is no file"), "{faults}");
}
