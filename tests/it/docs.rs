//! Documents that are generated are up to date.

use crate::support::bourn;

fn check(args: &[&str], file: &str) {
    let output = bourn().args(args).output().expect("the binary runs");
    let stands = std::fs::read(file).unwrap_or_default();
    assert!(
        output.stdout == stands,
        "{file} is not what the types say; write it anew with `bourn {} > {file}`",
        args.join(" ")
    );
}

#[test]
fn the_configuration_reference_is_generated_from_the_types() {
    check(&["schema", "--reference"], "docs/configuration.md");
}

#[test]
fn the_definition_schema_is_generated_from_the_types() {
    check(&["schema"], "docs/bourn.schema.json");
}
