//! The listing of a schema's columns, for documentation and system tables.

use crate::plan::{Kind, Node, ObjectPlan};
use arrow_schema::DataType;

/// One column, or one field or item inside one.
#[derive(Clone, Debug, PartialEq)]
pub struct MappedColumn {
    /// Names from the top, joined by dots; `[]` stands for the items of a list.
    pub path: String,
    pub data_type: DataType,
    /// Which part of the schema made it so.
    pub why: &'static str,
    /// Events with this value are judged by the slower validator.
    pub judged: bool,
}

pub(crate) fn list(plan: &ObjectPlan) -> Vec<MappedColumn> {
    let mut columns = Vec::new();
    fields(plan, "", &mut columns);
    columns.push(MappedColumn {
        path: bourn_event::SystemColumn::Extra.name().to_owned(),
        data_type: DataType::Utf8,
        why: "the fields that the schema does not name, as a JSON object",
        judged: false,
    });
    columns
}

fn fields(plan: &ObjectPlan, prefix: &str, columns: &mut Vec<MappedColumn>) {
    for field in &plan.fields {
        add(&field.node, format!("{prefix}{}", field.name), columns);
    }
}

fn add(node: &Node, path: String, columns: &mut Vec<MappedColumn>) {
    columns.push(MappedColumn {
        path: path.clone(),
        data_type: node.arrow_type(),
        why: node.why,
        judged: node.judged,
    });
    match &node.kind {
        Kind::Struct(plan) => fields(plan, &format!("{path}."), columns),
        Kind::List(plan) => add(&plan.item, format!("{path}[]"), columns),
        _ => {}
    }
}
