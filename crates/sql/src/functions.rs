//! Functions and settings that Postgres clients expect beside those of the catalog library.

use crate::catalog::CATALOG;
use crate::engine::DEFAULT_ZONE;
use arrow::array::{ArrayRef, AsArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
    create_udf,
};
use datafusion::prelude::SessionContext;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::PgCatalogStaticTables;
use std::collections::HashMap;
use std::sync::Arc;

/// The Postgres version whose protocol and catalog are spoken.
pub const SERVER_VERSION: &str = "16.6";

/// Full text of `select version()`.
pub fn version() -> String {
    format!("PostgreSQL {SERVER_VERSION} (Bourn {})", env!("CARGO_PKG_VERSION"))
}

/// A setting's value for `SHOW` and `current_setting`, where it is the same for every session.
pub fn fixed_setting(name: &str) -> Option<String> {
    let value = match name {
        "server_version" => return Some(format!("{SERVER_VERSION} (Bourn {})", env!("CARGO_PKG_VERSION"))),
        "server_version_num" => "160006",
        "transaction_isolation" | "default_transaction_isolation" => "read committed",
        "transaction_read_only" | "default_transaction_read_only" => "on",
        "standard_conforming_strings" | "integer_datetimes" => "on",
        "client_encoding" | "server_encoding" => "UTF8",
        "is_superuser" | "in_hot_standby" | "jit" => "off",
        "max_identifier_length" => "63",
        "max_index_keys" => "32",
        "lc_collate" | "lc_ctype" => "C.UTF-8",
        "search_path" => DEFAULT_ZONE,
        "timezone" => "UTC",
        "datestyle" => "ISO, MDY",
        "intervalstyle" => "postgres",
        "extra_float_digits" => "1",
        "bytea_output" => "hex",
        "application_name" => "",
        "statement_timeout" | "lock_timeout" | "idle_in_transaction_session_timeout" => "0",
        "client_min_messages" => "notice",
        _ => return None,
    };
    Some(value.to_owned())
}

/// Functions that tell what no table here has (comments, indexes, view texts, …): always null.
const NOTHING: [&str; 11] = [
    "pg_advisory_unlock_all",
    "obj_description",
    "col_description",
    "shobj_description",
    "pg_get_viewdef",
    "pg_get_indexdef",
    "pg_get_serial_sequence",
    "pg_get_function_result",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_ruledef",
];

/// Every object can be seen without its schema.
const VISIBLE: [&str; 8] = [
    "pg_function_is_visible",
    "pg_type_is_visible",
    "pg_operator_is_visible",
    "pg_opclass_is_visible",
    "pg_collation_is_visible",
    "pg_conversion_is_visible",
    "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible",
];

/// Registers them; where the catalog library has one of the name, this one replaces it.
pub fn register(context: &SessionContext, tables: &PgCatalogStaticTables) {
    for udf in [
        constant("version", version()),
        constant("current_schema", DEFAULT_ZONE.to_owned()),
        constant("current_database", CATALOG.to_owned()),
        constant("current_catalog", CATALOG.to_owned()),
        current_schemas(),
        current_setting(),
        to_regtype(tables),
        Always::udf("pg_is_in_recovery", ScalarValue::Boolean(Some(false))),
        // Answers the value that was asked for, and keeps nothing.
        create_udf(
            "set_config",
            vec![DataType::Utf8, DataType::Utf8, DataType::Boolean],
            DataType::Utf8,
            Volatility::Volatile,
            Arc::new(|arguments: &[ColumnarValue]| Ok(arguments[1].clone())),
        ),
    ] {
        context.register_udf(udf);
    }
    NOTHING.iter().for_each(|name| context.register_udf(Always::udf(name, ScalarValue::Utf8(None))));
    VISIBLE.iter().for_each(|name| context.register_udf(Always::udf(name, ScalarValue::Boolean(Some(true)))));
}

/// A function that has one answer, whatever it is asked.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Always {
    name: String,
    signature: Signature,
    value: ScalarValue,
}

impl Always {
    fn udf(name: &str, value: ScalarValue) -> ScalarUDF {
        let signature =
            Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], Volatility::Stable);
        ScalarUDF::new_from_impl(Self { name: name.to_owned(), signature, value })
    }
}

impl ScalarUDFImpl for Always {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// `to_regtype('int8')` is the type's object identifier, or null.
fn to_regtype(tables: &PgCatalogStaticTables) -> ScalarUDF {
    let mut known: HashMap<String, i32> = HashMap::new();
    for batch in tables.pg_type.data() {
        let column = |name: &str| batch.column_by_name(name);
        let (Some(names), Some(oids)) = (column("typname"), column("oid")) else { continue };
        if let (Some(names), Some(oids)) =
            (names.as_string_opt::<i32>(), oids.as_primitive_opt::<Int32Type>())
        {
            known.extend(names.iter().flatten().map(str::to_owned).zip(oids.values().iter().copied()));
        }
    }
    create_udf(
        "to_regtype",
        vec![DataType::Utf8],
        DataType::Int32,
        Volatility::Stable,
        Arc::new(move |arguments: &[ColumnarValue]| {
            let arrays: Vec<ArrayRef> = ColumnarValue::values_to_arrays(arguments)?;
            let names = arrays[0].as_string::<i32>();
            let oid = |name: &str| known.get(name.trim_start_matches("pg_catalog.")).copied();
            let oids: Int32Array = names.iter().map(|name| name.and_then(oid)).collect();
            Ok(ColumnarValue::Array(Arc::new(oids)))
        }),
    )
}

fn constant(name: &str, value: String) -> ScalarUDF {
    let value = ScalarValue::Utf8(Some(value));
    create_udf(
        name,
        vec![],
        DataType::Utf8,
        Volatility::Stable,
        Arc::new(move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(value.clone()))),
    )
}

fn current_schemas() -> ScalarUDF {
    let list = DataType::new_list(DataType::Utf8, true);
    create_udf(
        "current_schemas",
        vec![DataType::Boolean],
        list,
        Volatility::Stable,
        Arc::new(|arguments: &[ColumnarValue]| {
            let implicit =
                matches!(arguments.first(), Some(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true)))));
            let names: &[&str] = if implicit { &["pg_catalog", DEFAULT_ZONE] } else { &[DEFAULT_ZONE] };
            let values: Vec<ScalarValue> = names.iter().map(|name| ScalarValue::from(*name)).collect();
            let list = ScalarValue::new_list_nullable(&values, &DataType::Utf8);
            Ok(ColumnarValue::Scalar(ScalarValue::List(list)))
        }),
    )
}

fn current_setting() -> ScalarUDF {
    create_udf(
        "current_setting",
        vec![DataType::Utf8],
        DataType::Utf8,
        Volatility::Stable,
        Arc::new(|arguments: &[ColumnarValue]| {
            let arrays: Vec<ArrayRef> = ColumnarValue::values_to_arrays(arguments)?;
            let names = arrays[0].as_string::<i32>();
            let values: StringArray =
                names.iter().map(|name| name.and_then(|n| fixed_setting(&n.to_lowercase()))).collect();
            Ok(ColumnarValue::Array(Arc::new(values)))
        }),
    )
}
