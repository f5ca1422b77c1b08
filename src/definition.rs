//! A pipeline's definition, compiled: schemas, lookups and plans, with every fault in its place.

use crate::compute::check::check;
use crate::compute::machines::WorkflowFile;
use crate::layout::Layout;
use bourn_config::{Faults, Loaded, Stream};
use bourn_decode::EventSchema;
use bourn_refine::{Lookups, Plan, RefineOptions};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Deepest nesting of an event; deeper ones are rejects.
const MAX_DEPTH: usize = 128;

/// Everything a pipeline is, ready to run.
pub struct Definition {
    pub loaded: Loaded,
    pub layout: Layout,
    pub lookups: Arc<Lookups>,
    pub streams: BTreeMap<String, StreamDefinition>,
    /// The events of streams that cannot run as they are defined. None if all was loaded.
    idle: BTreeMap<String, EventSchema>,
    pub workflows: Vec<WorkflowFile>,
}

/// One stream of it.
pub struct StreamDefinition {
    pub name: String,
    pub settings: Stream,
    /// The JSON Schema as it was written.
    pub schema_json: Value,
    pub schema: EventSchema,
    pub plan: Plan,
}

impl Definition {
    /// Reads and compiles everything; tells all faults at once.
    pub fn load(dir: &Path, environment: Option<&str>) -> Result<Self, Faults> {
        let loaded = bourn_config::load_with(dir, environment)?;
        let (lookups, faults) = open_lookups(&loaded);
        if !faults.is_empty() {
            // Streams that use them would only repeat it.
            return Err(faults);
        }
        let (definition, faults) = Self::compile(loaded, lookups);
        if faults.is_empty() { Ok(definition) } else { Err(faults) }
    }

    /// As much as there is of it, and what is wrong with the rest: enough to read what is stored.
    pub fn load_to_read(dir: &Path, environment: Option<&str>) -> Result<(Self, Faults), Faults> {
        let loaded = bourn_config::load_alone(dir, environment)?;
        let (lookups, mut faults) = open_lookups(&loaded);
        let (definition, others) = Self::compile(loaded, lookups);
        faults.extend(others.0);
        Ok((definition, faults))
    }

    fn compile(loaded: Loaded, lookups: Lookups) -> (Self, Faults) {
        let layout = Layout::of(&loaded);
        let (mut streams, mut idle) = (BTreeMap::new(), BTreeMap::new());
        let mut faults = Faults::default();
        for (name, settings) in &loaded.pipeline.streams {
            let compiled = compile_schema(&loaded, name, settings).and_then(|(json, schema)| {
                let plan = plan(&loaded, &layout, &lookups, (name.as_str(), settings), &schema);
                plan.inspect_err(|_| drop(idle.insert(name.clone(), schema.clone())))
                    .map(|plan| (json, schema, plan))
            });
            match compiled {
                Ok((schema_json, schema, plan)) => {
                    let (own_name, settings) = (name.clone(), settings.clone());
                    let stream = StreamDefinition { name: own_name, settings, schema_json, schema, plan };
                    streams.insert(name.clone(), stream);
                }
                Err(wrong) => faults.extend(wrong.0),
            }
        }
        let workflows = check(&loaded).unwrap_or_else(|wrong| {
            faults.extend(wrong.0);
            Vec::new()
        });
        (Self { loaded, layout, lookups: Arc::new(lookups), streams, idle, workflows }, faults)
    }

    /// The names of all streams, also of those that cannot run.
    pub fn stream_names(&self) -> impl Iterator<Item = &String> {
        self.loaded.pipeline.streams.keys()
    }

    /// What a stream's events look like; `None` if that cannot be told.
    pub fn schema(&self, stream: &str) -> Option<&EventSchema> {
        self.streams.get(stream).map(|stream| &stream.schema).or_else(|| self.idle.get(stream))
    }
}

fn open_lookups(loaded: &Loaded) -> (Lookups, Faults) {
    let (lookups, wrong) = Lookups::open_some(&loaded.pipeline.lookups, &loaded.dir);
    let mut faults = Faults::default();
    for fault in wrong {
        let place = format!("/lookups/{}/{}", fault.name, fault.key);
        faults.push(loaded.places.fault_at(&place, fault.message, Some(fault.hint)));
    }
    (lookups, faults)
}

fn plan(
    loaded: &Loaded,
    layout: &Layout,
    lookups: &Lookups,
    (name, settings): (&str, &Stream),
    schema: &EventSchema,
) -> Result<Plan, Faults> {
    let transform_file = settings.transform.as_ref().and_then(|transform| transform.file());
    let transform_sql = match transform_file {
        None => None,
        Some(path) => Some(read(loaded, &format!("/streams/{name}/transform"), path)?),
    };
    let options = RefineOptions {
        stream: name.to_string(),
        columns: schema.arrow(),
        schema_version: schema.version().to_string(),
        settings: settings.clone(),
        transform_sql,
        dedupe_dir: layout.dedupe(name),
        partition: 0,
    };
    let plan = bourn_refine::plan(options, lookups).map_err(|wrong| {
        let mut faults = Faults::default();
        for fault in wrong {
            let key = fault.key.replace(['.', '['], "/").replace(']', "");
            let message = match (fault.line, transform_file) {
                (Some(line), Some(path)) if fault.key == "transform" => {
                    format!("{}:{line}:{}: {}", path.display(), fault.column.unwrap_or(1), fault.message)
                }
                _ => fault.message,
            };
            faults.push(loaded.places.fault_at(&format!("/streams/{name}/{key}"), message, hint(fault.hint)));
        }
        faults
    })?;
    check_partitions(loaded, name, settings, &plan)?;
    Ok(plan)
}

fn compile_schema(loaded: &Loaded, name: &str, settings: &Stream) -> Result<(Value, EventSchema), Faults> {
    let place = format!("/streams/{name}/schema");
    let text = read(loaded, &place, &settings.schema)?;
    let fault = |message: String, hint: Option<String>| loaded.places.fault_at(&place, message, hint);
    let json: Value = serde_json::from_str(&text).map_err(|error| {
        let at = format!("{}:{}:{}", settings.schema.display(), error.line(), error.column());
        Faults::from(fault(format!("{at}: the schema is not JSON: {error}"), None))
    })?;
    let options = bourn_decode::Options {
        draft: draft(settings.draft),
        assert_format: match settings.format {
            bourn_config::FormatKeyword::Draft => None,
            bourn_config::FormatKeyword::Assert => Some(true),
            bourn_config::FormatKeyword::Annotate => Some(false),
        },
        max_event_bytes: settings.max_event.bytes(),
        max_depth: MAX_DEPTH,
    };
    match EventSchema::compile_text(&text, options) {
        Ok(schema) => Ok((json, schema)),
        Err(wrong) => {
            let mut faults = Faults::default();
            for one in wrong {
                let message = format!("{}#{}: {}", settings.schema.display(), one.pointer, one.message);
                faults.push(fault(message, hint(one.hint)));
            }
            Err(faults)
        }
    }
}

fn check_partitions(loaded: &Loaded, name: &str, settings: &Stream, plan: &Plan) -> Result<(), Faults> {
    let schema = plan.table_schema();
    let mut faults = Faults::default();
    for (index, partition) in settings.partition_by.iter().enumerate() {
        if schema.field_with_name(&partition.column).is_err() {
            let columns: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            faults.push(loaded.places.fault_at(
                &format!("/streams/{name}/partition_by/{index}"),
                format!("the table has no column `{}`", partition.column),
                Some(format!("its columns are {}", columns.join(", "))),
            ));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn hint(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn draft(draft: bourn_config::Draft) -> bourn_decode::Draft {
    match draft {
        bourn_config::Draft::Draft202012 => bourn_decode::Draft::Draft202012,
        bourn_config::Draft::Draft201909 => bourn_decode::Draft::Draft201909,
        bourn_config::Draft::Draft7 => bourn_decode::Draft::Draft7,
        bourn_config::Draft::Draft6 => bourn_decode::Draft::Draft6,
        bourn_config::Draft::Draft4 => bourn_decode::Draft::Draft4,
    }
}

fn read(loaded: &Loaded, place: &str, path: &Path) -> Result<String, Faults> {
    let file = loaded.dir.join(path);
    std::fs::read_to_string(&file).map_err(|error| {
        Faults::from(loaded.places.fault_at(
            place,
            format!("{} cannot be read: {error}", path.display()),
            None,
        ))
    })
}
