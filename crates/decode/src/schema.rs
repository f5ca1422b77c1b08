//! A compiled schema: plan, judge and Arrow schema together.

use crate::compile::Compiler;
use crate::decoder::Decoder;
use crate::flatten::Flattener;
use crate::judge::Judge;
use crate::mapping::{self, MappedColumn};
use crate::options::{Draft, Options, SchemaFault};
use crate::order;
use crate::plan::ObjectPlan;
use crate::refs::Survey;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bourn_event::SystemColumn;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// A schema that events are checked and decoded with. Cheap to clone.
#[derive(Clone)]
pub struct EventSchema(pub(crate) Arc<Compiled>);

pub(crate) struct Compiled {
    pub plan: ObjectPlan,
    /// Every event is judged.
    pub judged: bool,
    pub judge: Judge,
    pub arrow: SchemaRef,
    pub version: String,
    pub options: Options,
}

impl fmt::Debug for EventSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSchema").field("version", &self.0.version).field("arrow", &self.0.arrow).finish()
    }
}

impl EventSchema {
    /// Compiles a schema from its text. Columns come in the order in which the text names them.
    pub fn compile_text(schema: &str, options: Options) -> Result<Self, Vec<SchemaFault>> {
        let (value, ordered) = order::read(schema)
            .map_err(|error| vec![SchemaFault::new("", format!("the schema is not JSON: {error}"), "")])?;
        Self::build(&value, &ordered, options)
    }

    /// Compiles a schema. Columns come in the order of the value's maps: that of their names, unless
    /// `serde_json` was told to keep another. [`EventSchema::compile_text`] keeps the text's order.
    pub fn compile(schema: &Value, options: Options) -> Result<Self, Vec<SchemaFault>> {
        Self::build(schema, schema, options)
    }

    fn build(schema: &Value, ordered: &Value, mut options: Options) -> Result<Self, Vec<SchemaFault>> {
        options.max_depth = options.max_depth.clamp(2, 128);
        let draft = match schema.get("$schema").and_then(Value::as_str) {
            None => options.draft,
            Some(uri) => Draft::of_uri(uri).ok_or_else(|| {
                let hint = format!("use one of {}", Draft::ALL.map(Draft::uri).join(", "));
                vec![SchemaFault::new("/$schema", format!("{uri:?} is no known draft"), hint)]
            })?,
        };
        let survey = Survey::of(schema);
        let mut faults = Judge::meta_faults(schema, draft);
        faults.extend(survey.faults(schema));
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut compiler = Compiler {
            flattener: Flattener { root: ordered, draft, plain_refs: !survey.rebased },
            assert_format: options.assert_format.unwrap_or(draft.asserts_format()),
            nodes: 0,
            faults: Vec::new(),
        };
        let (plan, judged) = compiler.root(ordered);
        let mut faults = compiler.faults;
        match Judge::new(schema, &options) {
            Ok(judge) if faults.is_empty() => {
                let extra = Field::new(SystemColumn::Extra.name(), DataType::Utf8, true);
                let fields = plan.arrow_fields().iter().cloned().chain([Arc::new(extra)]).collect::<Vec<_>>();
                let arrow = Arc::new(Schema::new(fields));
                let version = version(ordered, &options);
                Ok(Self(Arc::new(Compiled { plan, judged, judge, arrow, version, options })))
            }
            Ok(_) => Err(faults),
            Err(fault) => {
                faults.push(fault);
                Err(faults)
            }
        }
    }

    /// The columns: the schema's properties in order, then `_extra` (Utf8). All are nullable.
    pub fn arrow(&self) -> SchemaRef {
        Arc::clone(&self.0.arrow)
    }

    /// A short hash (16 hex digits) of schema and options: equal ones have equal versions, today and in
    /// later builds.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// Each column with its type and the reason for it.
    pub fn mapping(&self) -> Vec<MappedColumn> {
        mapping::list(&self.0.plan)
    }

    pub fn decoder(&self) -> Decoder {
        Decoder::new(self.clone())
    }
}

/// FNV-1a over the schema's compact text and the options that change a verdict or a column.
fn version(schema: &Value, options: &Options) -> String {
    let Options { draft, assert_format, max_event_bytes, max_depth } = options;
    let assert_format = assert_format.map_or("draft", |assert| if assert { "yes" } else { "no" });
    let text = format!("{schema}|{}|{assert_format}|{max_event_bytes}|{max_depth}", draft.uri());
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
