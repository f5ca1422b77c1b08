//! Functions whose result is as long as an argument says, with a bound on that argument.
//!
//! DataFusion's `lpad` and `rpad` reserve memory for the length they are given before they look at
//! it, and a reservation that fails ends the process: one event could stop every stream, and again
//! after each restart.

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::max;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::functions::unicode;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use std::sync::Arc;

/// Longest text, in characters, that one call pads to.
const LENGTH_MAX: i64 = 1 << 24;

/// Bytes that the calls of one batch may reserve together.
const BATCH_BYTES_MAX: i64 = 1 << 28;

/// The functions, under DataFusion's names.
pub fn functions() -> Vec<ScalarUDF> {
    [unicode::lpad(), unicode::rpad()].map(|inner| ScalarUDF::from(Bounded { inner })).into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(lengths) = args.args.get(1) {
            let lengths = lengths.cast_to(&DataType::Int64, None)?.into_array(args.number_rows)?;
            let lengths = lengths.as_primitive::<Int64Type>();
            if let Some(longest) = max(lengths)
                && longest > LENGTH_MAX
            {
                return exec_err!("{} to a length of {longest}: at most {LENGTH_MAX}", self.name());
            }
            let together: i64 = lengths.iter().flatten().filter(|length| *length > 0).sum();
            if together > BATCH_BYTES_MAX {
                return exec_err!("{} to {together} characters in one batch", self.name());
            }
        }
        self.inner.invoke_with_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }
}
