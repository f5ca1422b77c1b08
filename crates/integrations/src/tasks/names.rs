//! What a pipeline has, by name, and whether a definition may name a resource.

use super::resource::{Refers, Resource, function_name, last_part};
use async_trait::async_trait;
use bourn_config::Pipeline;
use bourn_config::suggest::hint;
use bourn_event::{TaskFailure, TaskRequest, Tasks};
use serde_json::Value;

/// The names that Tasks may refer to, each list in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub functions: Vec<String>,
    pub streams: Vec<String>,
    pub tables: Vec<String>,
    pub notifiers: Vec<String>,
    pub connections: Vec<String>,
    pub jobs: Vec<String>,
}

impl Names {
    /// Those of a pipeline's definition, for checks without running it.
    pub fn of(pipeline: &Pipeline) -> Self {
        Self {
            functions: pipeline.functions.keys().cloned().collect(),
            streams: pipeline.streams.keys().cloned().collect(),
            tables: pipeline.keyed.keys().cloned().collect(),
            notifiers: pipeline.notifiers.keys().cloned().collect(),
            connections: pipeline.connections.keys().cloned().collect(),
            jobs: ["compact", "replay", "retention", "vacuum"].map(String::from).to_vec(),
        }
    }

    /// As [`Tasks::check`].
    pub fn check(&self, resource: &str, suffix: &str, parameters: Option<&Value>) -> Result<(), String> {
        let resource = Resource::parse(resource)?;
        resource.check_suffix(suffix)?;
        if let Some(function) = &resource.function {
            return self.refers(Refers::Function, function);
        }
        // What is not an object is an expression, or the state's input.
        let Some(Value::Object(parameters)) = parameters else { return Ok(()) };
        let names: Vec<&str> =
            parameters.keys().map(|name| name.strip_suffix(".$").unwrap_or(name)).collect();
        resource.check_parameters(&names)?;
        let literal = |name: &str| parameters.get(name).and_then(literal_text);
        if let Some((parameter, kind)) = resource.spec.refers
            && let Some(given) = literal(parameter)
        {
            self.refers(kind, given)?;
        }
        if let Some(arn) = literal("StreamARN") {
            self.refers(Refers::Stream, arn)?;
        }
        if let Some(arn) = literal("TargetArn") {
            self.refers(Refers::Notifier, arn)?;
        }
        for entry in parameters.get("Entries").and_then(Value::as_array).into_iter().flatten() {
            if let Some(bus) = entry.get("EventBusName").and_then(literal_text) {
                self.refers(Refers::Bus, bus)?;
            }
        }
        for parent in ["Authentication", "InvocationConfig"] {
            let connection = parameters.get(parent).and_then(|parent| parent.get("ConnectionArn"));
            if let Some(given) = connection.and_then(literal_text) {
                let name = given
                    .split_once(":connection/")
                    .map_or(given, |(_, rest)| rest.split('/').next().unwrap_or_default());
                known("connection", name, &self.connections)?;
            }
        }
        let stream = parameters.get("Stream").or_else(|| parameters.get("Arguments")?.get("--stream"));
        match stream.and_then(literal_text) {
            Some(stream) if resource.spec.refers.is_some_and(|(_, kind)| kind == Refers::Job) => {
                self.refers(Refers::Stream, stream)
            }
            _ => Ok(()),
        }
    }

    fn refers(&self, kind: Refers, given: &str) -> Result<(), String> {
        match kind {
            Refers::Function => known("function", &function_name(given), &self.functions),
            Refers::Stream => known("stream", last_part(given), &self.streams),
            Refers::Bus if last_part(given) == "default" => Ok(()),
            Refers::Bus => {
                known("event bus (a stream's name, or `default`)", last_part(given), &self.streams)
            }
            Refers::Table => known("keyed table", last_part(given), &self.tables),
            Refers::Notifier => known("notifier", last_part(given), &self.notifiers),
            Refers::Job => known("job", given, &self.jobs),
        }
    }
}

/// A text that stands for itself. `{%…%}` is JSONata; paths stand under names that end in `.$`.
fn literal_text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.starts_with("{%"))
}

fn known(kind: &str, name: &str, all: &[String]) -> Result<(), String> {
    if all.iter().any(|known| known == name) {
        return Ok(());
    }
    let hint = hint(name, all.iter().map(String::as_str)).unwrap_or_else(|| "there is none".into());
    Err(format!("there is no {kind} `{name}`: {hint}"))
}

/// Tasks of a pipeline that does not run: they can be checked, and nothing more.
pub struct Unrunnable(pub Names);

#[async_trait]
impl Tasks for Unrunnable {
    fn check(&self, resource: &str, suffix: &str, parameters: Option<&Value>) -> Result<(), String> {
        self.0.check(resource, suffix, parameters)
    }

    async fn submit(&self, _: &TaskRequest) -> Result<Value, TaskFailure> {
        Err(not_running())
    }

    async fn wait(&self, _: &TaskRequest, _: &Value) -> Result<Value, TaskFailure> {
        Err(not_running())
    }
}

fn not_running() -> TaskFailure {
    TaskFailure::new("States.Runtime", "the pipeline does not run: start it with `bourn run`")
}
