//! The Tasks of workflows: each resource on the part of the pipeline that it is about.
//!
//! ```text
//! lambda ─► Functions   athena, bourn:sql ─► Query   glue, bourn:job ─► Jobs   dynamodb ─► keyed tables
//! sqs, kinesis, events ─► Streams (and triggers)     sns, http, apigateway ─► Outbound
//! ```
//!
//! Shapes of answers, and names and words of errors, are AWS's where AWS has the resource. A Task that
//! is done again after a crash under the same id changes a keyed table once, is one event of a
//! stream, one query and one job run; functions, webhooks and HTTP calls are called again.

mod background;
mod bind;
mod events;
mod form;
mod http;
mod jobs;
mod lambda;
mod names;
mod queries;
mod read;
mod resource;
mod service;
mod sql;
mod streams;

pub use events::{BusRefusal, EventBus};
pub use names::{Names, Unrunnable};

use crate::item::{Call, ItemError, Tables};
use crate::outbound::Outbound;
use async_trait::async_trait;
use bourn_config::{Aws, Connection, KeyedTable, Notifier};
use bourn_event::{Clock, Functions, Jobs, Query, Streams, TaskFailure, TaskRequest, Tasks};
use bourn_state::{State, StateError};
use events::Putter;
use http::Web;
use jobs::JobRuns;
use queries::Queries;
use resource::{Action, Resource};
use serde_json::{Value, json};
use service::{Caller, Service};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the Tasks of a pipeline run on.
pub struct Parts {
    pub functions: Arc<dyn Functions>,
    pub query: Arc<dyn Query>,
    pub jobs: Arc<dyn Jobs>,
    pub streams: Arc<dyn Streams>,
    pub clock: Arc<dyn Clock>,
    pub state: State,
    pub outbound: Outbound,
    pub keyed: BTreeMap<String, KeyedTable>,
    pub notifiers: BTreeMap<String, Notifier>,
    pub connections: BTreeMap<String, Connection>,
    pub aws: Aws,
    /// Gets the events of `events:putEvents`.
    pub bus: Arc<dyn EventBus>,
}

/// Runs the Tasks of a pipeline's workflows.
pub struct Integrations {
    functions: Arc<dyn Functions>,
    query: Arc<dyn Query>,
    jobs: Arc<dyn Jobs>,
    streams: Arc<dyn Streams>,
    clock: Arc<dyn Clock>,
    queries: Queries,
    job_runs: JobRuns,
    tables: Tables,
    web: Web,
    aws: Aws,
    bus: Arc<dyn EventBus>,
}

impl Integrations {
    /// Joins the parts; reads from the state what earlier processes left.
    pub fn open(parts: Parts) -> Result<Self, StateError> {
        let Parts {
            functions,
            query,
            jobs,
            streams,
            clock,
            state,
            outbound,
            keyed,
            notifiers,
            connections,
            aws,
            bus,
        } = parts;
        Ok(Self {
            queries: Queries::open(query.clone(), state.clone(), clock.clone())?,
            job_runs: JobRuns::new(jobs.clone(), clock.clone()),
            tables: Tables::open(keyed, state, clock.clone())?,
            web: Web { outbound, connections, notifiers },
            functions,
            query,
            jobs,
            streams,
            clock,
            aws,
            bus,
        })
    }

    fn names(&self) -> Names {
        Names {
            functions: self.functions.names(),
            streams: self.streams.names(),
            tables: self.tables.names().map(String::from).collect(),
            notifiers: self.web.notifiers.keys().cloned().collect(),
            connections: self.web.connections.keys().cloned().collect(),
            jobs: self.jobs.names(),
        }
    }

    fn caller<'a>(&self, resource: &Resource, request: &'a TaskRequest) -> Caller<'a> {
        Caller {
            service: service_of(resource.action),
            style: resource.style,
            id: &request.id,
            now: self.clock.now(),
        }
    }

    async fn item(&self, call: Call, caller: Caller<'_>, parameters: &Value) -> Result<Value, TaskFailure> {
        let (tables, id, held) = (self.tables.clone(), caller.id.to_string(), parameters.clone());
        let done = tokio::task::spawn_blocking(move || tables.call(call, &id, &held)).await;
        let internal =
            |why: String| caller.fail("InternalServerErrorException", "InternalServerError", 500, why);
        match done {
            Ok(Ok(answer)) => Ok(caller.answer(service::object(answer), "application/x-amz-json-1.0", &[])),
            Ok(Err(ItemError::Validation(message))) => {
                Err(caller.fail("", "ValidationException", 400, message))
            }
            Ok(Err(error @ ItemError::ConditionFailed { .. })) => {
                let name = "ConditionalCheckFailedException";
                let mut failure = caller.fail(name, name, 400, &error);
                if let ItemError::ConditionFailed { item: Some(item) } = error {
                    failure.cause = format!("{}; item: {}", failure.cause, json!(item));
                }
                Err(failure)
            }
            Ok(Err(error @ ItemError::NoTable)) => {
                Err(caller.fail("ResourceNotFoundException", "ResourceNotFoundException", 400, error))
            }
            Ok(Err(ItemError::State(error))) => Err(internal(error.to_string())),
            Err(error) => Err(internal(error.to_string())),
        }
    }
}

fn service_of(action: Action) -> Service {
    match action {
        Action::LambdaInvoke => service::LAMBDA,
        Action::AthenaStart
        | Action::AthenaGet
        | Action::AthenaResults
        | Action::AthenaStop
        | Action::Sql => service::ATHENA,
        Action::GlueStart | Action::Job => service::GLUE,
        Action::Items(_) => service::DYNAMODB,
        Action::SqsSend => service::SQS,
        Action::KinesisPut => service::KINESIS,
        Action::EventsPut => service::EVENTS,
        Action::SnsPublish | Action::Http | Action::ApiGateway => service::SNS,
    }
}

fn unknown(why: String) -> TaskFailure {
    TaskFailure::new("States.Runtime", why)
}

#[async_trait]
impl Tasks for Integrations {
    fn check(&self, resource: &str, suffix: &str, parameters: Option<&Value>) -> Result<(), String> {
        self.names().check(resource, suffix, parameters)
    }

    async fn submit(&self, request: &TaskRequest) -> Result<Value, TaskFailure> {
        let resource = Resource::parse(&request.resource).map_err(unknown)?;
        let caller = self.caller(&resource, request);
        let (parameters, execution) = (&request.parameters, request.execution.as_str());
        let (functions, aws) = (&*self.functions, &self.aws);
        let streams = &*self.streams;
        match resource.action {
            Action::LambdaInvoke => match &resource.function {
                Some(function) => lambda::call(functions, aws, caller, function, parameters).await,
                None => lambda::invoke(functions, aws, caller, parameters).await,
            },
            Action::AthenaStart => self.queries.start(caller, parameters).await,
            Action::AthenaGet => self.queries.show(caller, parameters).await,
            Action::AthenaResults => self.queries.results(caller, parameters).await,
            Action::AthenaStop => self.queries.stop(caller, parameters).await,
            Action::Sql => sql::run(&*self.query, caller, parameters).await,
            Action::GlueStart => self.job_runs.start(caller, parameters),
            Action::Job => self.job_runs.run(caller, parameters).await,
            Action::Items(call) => self.item(call, caller, parameters).await,
            Action::SqsSend => streams::send_message(streams, caller, execution, parameters).await,
            Action::KinesisPut => streams::put_record(streams, caller, execution, parameters).await,
            Action::EventsPut => {
                let putter = Putter { streams, bus: &self.bus, aws, caller, execution };
                putter.put(parameters).await
            }
            Action::SnsPublish => self.web.publish(caller, parameters).await,
            Action::Http => self.web.invoke(caller, parameters).await,
            Action::ApiGateway => self.web.invoke_gateway(caller, parameters).await,
        }
    }

    async fn wait(&self, request: &TaskRequest, submitted: &Value) -> Result<Value, TaskFailure> {
        let resource = Resource::parse(&request.resource).map_err(unknown)?;
        let caller = self.caller(&resource, request);
        match resource.action {
            Action::AthenaStart => self.queries.wait(caller, submitted).await,
            Action::GlueStart => self.job_runs.wait(caller, &request.parameters).await,
            _ => Err(unknown(format!("`{}` cannot be waited for", request.resource))),
        }
    }
}
