//! Other programs' readers: run when `BOURN_READERS_PYTHON` names a Python that has `deltalake`,
//! `duckdb`, `duckdb-extension-delta` and `polars`.

use crate::lab::{Lab, events, stored};
use std::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn deltalake_duckdb_and_polars_read_the_table() {
    let Ok(python) = std::env::var("BOURN_READERS_PYTHON") else {
        eprintln!("skipped: BOURN_READERS_PYTHON is not set");
        return;
    };
    let lab = Lab::new();
    let table = lab.lake().table(lab.partitioned(&["day(_received_at)", "who"])).await.unwrap();
    for n in 0..5 {
        table.push(events(n * 1000, n * 1000 + 1000)).await.unwrap();
        table.flush().await.unwrap();
    }
    table.compact().await.unwrap();
    table.checkpoint().await.unwrap();
    table.push(events(5000, 5100)).await.unwrap();
    table.close().await.unwrap();
    let sum: i64 = (0..5100).filter(|o| o % 10 != 9).sum();
    let output = Command::new(python)
        .arg("tests/readers/read.py")
        .arg(lab.folder.path().join("silver/things"))
        .args([stored(5100).to_string(), sum.to_string()])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
