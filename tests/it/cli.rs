//! What the command line says, and with which exit code.

use crate::support::{Folder, bourn};

#[test]
fn every_verb_has_help_with_examples() {
    let verbs = [
        "init", "validate", "run", "demo", "send", "sql", "tail", "ledger", "replay", "compact", "fsck",
        "schema",
    ];
    for verb in verbs {
        let output = bourn().args([verb, "--help"]).output().expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("Example"), "{verb}: {text}");
    }
}

#[test]
fn all_faults_are_told_at_once_with_their_places() {
    let folder = Folder::orders();
    let broken = crate::support::ORDERS
        .replace("window: 24h", "window: 24")
        .replace("transform:", "transfrom:")
        .replace("table: products", "table: product");
    folder.write("bourn.yaml", broken);
    let output = folder.bourn(&["validate"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for expected in [
        "bourn.yaml:8:",
        "window",
        "bourn.yaml:11:",
        "transfrom",
        "`transform`",
        "bourn.yaml:10:",
        "products",
    ] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
}

#[test]
fn a_transform_that_does_not_plan_is_refused_with_its_place() {
    let folder = Folder::orders();
    folder.write("transforms/orders.sql", "select order_id,\n  no_such_column from events");
    for verb in [&["validate"][..], &["run", "--once"]] {
        let output = folder.bourn(verb);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("transforms/orders.sql") && said.contains("no_such_column"), "{said}");
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = bourn().args(["completions", shell]).output().expect("the binary runs");
        assert!(output.status.success() && output.stdout.len() > 1000, "{shell}");
    }
}

#[test]
fn fsck_names_a_damaged_frame_and_changes_nothing() {
    let folder = Folder::orders();
    let running = folder.start();
    for id in 0..5 {
        running.send("orders", &format!("{{\"order_id\":\"{id}\",\"sku\":\"A\",\"quantity\":1}}\n"));
    }
    assert_eq!(running.stop(), Some(0));
    folder.ok(&["fsck"]);
    let log = folder.join(".bourn/streams/orders/events");
    let segment = std::fs::read_dir(log)
        .expect("the log's folder")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "zst"))
        .expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&segment, &bytes).expect("a segment");
    let output = folder.bourn(&["fsck"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stdout));
    let name = segment.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(String::from_utf8_lossy(&output.stdout).contains(&name));
    assert_eq!(std::fs::read(&segment).expect("a segment"), bytes);
}
