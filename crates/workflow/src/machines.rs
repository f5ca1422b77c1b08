//! Machines: registered from files and by the API, each definition kept under its content's hash.

use crate::api::*;
use crate::arn;
use crate::engine::Engine;
use crate::executions::{page_size, token};
use crate::machine::{Pattern, Resource};
use crate::store::{self, MachineRecord, TagRecord, get, put};
use crate::{ErrorKind, WorkflowError, Workflows};
use bourn_asl::{Machine, UseKind};
use bourn_config::WorkflowType;
use bourn_event::Micros;
use bourn_state::Key;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

const DIAGNOSTICS_DEFAULT: usize = 100;

/// Names a definition by its content.
fn revision_of(definition: &str) -> String {
    let hash = Sha256::digest(definition.as_bytes());
    hash.first_chunk::<16>().map_or_else(String::new, |bytes| Uuid::from_bytes(*bytes).to_string())
}

impl Engine {
    /// Every fault of a definition, the engine's own rules among them.
    pub fn diagnose(&self, definition: &str, machine_type: MachineType) -> Vec<Diagnostic> {
        let mut faults: Vec<Diagnostic> = Machine::validate(definition)
            .into_iter()
            .map(|fault| Diagnostic {
                severity: fault.severity.as_str(),
                code: fault.code.to_owned(),
                message: fault.message,
                location: fault.location,
            })
            .collect();
        if let Ok(machine) = Machine::parse(definition) {
            faults.extend(self.diagnose_uses(&machine, machine_type));
        }
        faults
    }

    fn diagnose_uses(&self, machine: &Machine, machine_type: MachineType) -> Vec<Diagnostic> {
        let mut faults = Vec::new();
        for used in machine.uses() {
            if used.kind != UseKind::Task {
                continue;
            }
            let resource = Resource::parse(used.resource);
            let refusal = match machine_type {
                MachineType::Express => refused_by_express(&resource),
                MachineType::Standard => None,
            };
            let parameters = Some(&used.parameters).filter(|parameters| !parameters.is_null());
            if let Some(message) = refusal.or_else(|| self.refusal(&resource, used.resource, parameters)) {
                faults.push(Diagnostic {
                    severity: "ERROR",
                    code: "SCHEMA_VALIDATION_FAILED".into(),
                    message,
                    location: used.pointer,
                });
            }
        }
        faults
    }

    /// Why nothing here can run a resource.
    fn refusal(
        &self,
        resource: &Resource,
        text: &str,
        parameters: Option<&serde_json::Value>,
    ) -> Option<String> {
        match resource {
            Resource::Activity(_) => None,
            Resource::Service { service, call, .. }
                if matches!(service.as_str(), "states" | "aws-sdk:sfn")
                    && call.split('.').next() == Some("startExecution") =>
            {
                None
            }
            Resource::Function(_) => self.options.tasks.check(text, "", parameters).err(),
            Resource::Service { base, pattern, .. } => {
                self.options.tasks.check(base, pattern.suffix(), parameters).err()
            }
        }
    }

    fn accept(&self, definition: &str, machine_type: MachineType) -> Result<Arc<Machine>, WorkflowError> {
        let faults = self.diagnose(definition, machine_type);
        let errors: Vec<String> = faults
            .iter()
            .filter(|fault| fault.severity == "ERROR")
            .map(|fault| match fault.code.as_str() {
                "INVALID_JSON_DESCRIPTION" => format!("{}: {}", fault.code, fault.message),
                code => format!("{code}: {} at {}", fault.message, fault.location),
            })
            .collect();
        let invalid = |why: String| {
            let message = format!("Invalid State Machine Definition: '{why}'");
            WorkflowError::new(ErrorKind::InvalidDefinition, message)
        };
        if !errors.is_empty() {
            return Err(invalid(errors.join(", ")));
        }
        let machine = Machine::parse(definition).map_err(|faults| {
            WorkflowError::new(
                ErrorKind::InvalidDefinition,
                bourn_asl::Diagnostic::invalid_definition(&faults),
            )
        })?;
        Ok(Arc::new(machine))
    }

    async fn save(
        &self,
        record: &MachineRecord,
        definition: &str,
        machine: Arc<Machine>,
    ) -> Result<(), WorkflowError> {
        let _in_use = self.revisions.read().await;
        let mut writes = Vec::new();
        let key = Key::WorkflowRevision { hash: record.revision.clone() };
        put(&mut writes, key, &definition)?;
        put(&mut writes, Key::WorkflowMachine { name: record.name.clone() }, record)?;
        store::commit(&self.state, writes)?;
        self.keep_machine(&record.revision, machine);
        Ok(())
    }

    fn definition(&self, revision: &str) -> Result<String, WorkflowError> {
        let key = Key::WorkflowRevision { hash: revision.to_owned() };
        Ok(get(&self.state, &key)?.unwrap_or_default())
    }

    /// Deletes definitions that no machine has and no execution runs.
    pub(crate) async fn sweep_revisions(&self) -> Result<u64, WorkflowError> {
        if self.unused_revisions()?.is_empty() {
            return Ok(0);
        }
        // Nothing begins while it is looked again: what was about to is stored by now.
        let _alone = self.revisions.write().await;
        let unused = self.unused_revisions()?;
        let mut writes = Vec::new();
        for hash in &unused {
            store::delete(&mut writes, Key::WorkflowRevision { hash: hash.clone() });
        }
        store::commit(&self.state, writes)?;
        Ok(unused.len() as u64)
    }

    fn unused_revisions(&self) -> Result<BTreeSet<String>, WorkflowError> {
        let (from, to) =
            (Key::WorkflowRevision { hash: String::new() }, Key::WorkflowExecution { execution: 0 });
        let mut unused = BTreeSet::new();
        for entry in self.state.range_raw(&from, &to) {
            if let Key::WorkflowRevision { hash } = entry?.0 {
                unused.insert(hash);
            }
        }
        for record in self.machine_records()? {
            unused.remove(&record.revision);
        }
        let key = |execution| Key::WorkflowExecution { execution };
        for entry in self.state.range_raw(&key(0), &key(u64::MAX)) {
            if unused.is_empty() {
                break;
            }
            unused.remove(store::revision_of(&entry?.1)?);
        }
        Ok(unused)
    }

    fn machine_records(&self) -> Result<Vec<MachineRecord>, WorkflowError> {
        let (from, to) =
            (Key::WorkflowMachine { name: String::new() }, Key::WorkflowRevision { hash: String::new() });
        self.state.range_raw(&from, &to).map(|entry| crate::codec::decode(&entry?.1)).collect()
    }
}

fn refused_by_express(resource: &Resource) -> Option<String> {
    let integration =
        |suffix: &str| format!("Express state machine does not support '{suffix}' service integration");
    match (resource, resource.pattern()) {
        (Resource::Activity(_), _) => Some("Express state machine does not support Activity ARN".into()),
        (_, Pattern::Sync | Pattern::Sync2) => Some(integration(".sync")),
        // AWS's message has a second space here.
        (_, Pattern::Token) => Some(integration(".waitForTaskToken") + " "),
        (_, Pattern::Answer) => None,
    }
}

fn limits(settings: &bourn_config::Workflow) -> (u64, u64, Micros) {
    (u64::from(settings.max_events), settings.max_payload.0, settings.history.micros())
}

impl Workflows {
    /// Makes the machines what the pipeline's files say: new ones are made, changed ones updated, and
    /// those whose file is gone are deleted (what they began goes on, and their history stays).
    pub async fn register(&self, files: Vec<MachineFile>) -> Result<(), WorkflowError> {
        let engine = &self.engine;
        let mut names = BTreeSet::new();
        for file in files {
            let machine_type = match file.settings.r#type {
                WorkflowType::Standard => MachineType::Standard,
                WorkflowType::Express => MachineType::Express,
            };
            let machine = engine.accept(&file.definition, machine_type).map_err(|error| {
                WorkflowError::new(error.kind(), format!("workflow `{}`: {}", file.name, error.message()))
            })?;
            let (events_max, payload_bytes_max, history) = limits(&file.settings);
            let key = Key::WorkflowMachine { name: file.name.clone() };
            let before: Option<MachineRecord> = get(&engine.state, &key)?;
            let record = MachineRecord {
                name: file.name.clone(),
                machine_type,
                role_arn: before.as_ref().map(|b| b.role_arn.clone()).unwrap_or_else(|| self.role()),
                revision: revision_of(&file.definition),
                created_at: before.as_ref().map_or_else(|| engine.now().wall, |before| before.created_at),
                from_file: true,
                logging: file.settings.log.map(|log| log.logging_configuration().to_string()),
                tracing: None,
                events_max,
                payload_bytes_max,
                history,
            };
            if before.as_ref() != Some(&record) {
                engine.save(&record, &file.definition, machine).await?;
            }
            names.insert(file.name);
        }
        for record in engine.machine_records()? {
            if record.from_file && !names.contains(&record.name) {
                self.delete_machine(&self.machine_arn(&record.name)).await?;
            }
        }
        Ok(())
    }

    fn role(&self) -> String {
        format!("arn:aws:iam::{}:role/bourn", self.engine.options.account)
    }

    /// `arn:aws:states:<region>:<account>:stateMachine:<name>`.
    pub fn machine_arn(&self, name: &str) -> String {
        self.engine.machine_arn(name)
    }

    pub async fn create_machine(&self, request: CreateMachine) -> Result<MachineCreated, WorkflowError> {
        let engine = &self.engine;
        if !arn::is_name(&request.name) {
            return Err(WorkflowError::new(
                ErrorKind::InvalidName,
                format!("Invalid Name: '{}'", request.name),
            ));
        }
        let machine = engine.accept(&request.definition, request.machine_type)?;
        let arn = engine.machine_arn(&request.name);
        let (events_max, payload_bytes_max, history) = limits(&bourn_config::Workflow::default());
        let record = MachineRecord {
            name: request.name.clone(),
            machine_type: request.machine_type,
            role_arn: request.role_arn,
            revision: revision_of(&request.definition),
            created_at: engine.now().wall,
            from_file: false,
            logging: request.logging.map(|value| value.to_string()),
            tracing: request.tracing.map(|value| value.to_string()),
            events_max,
            payload_bytes_max,
            history,
        };
        if let Some(before) =
            get::<MachineRecord>(&engine.state, &Key::WorkflowMachine { name: request.name })?
        {
            let created_at = before.created_at;
            if (MachineRecord { created_at, ..record.clone() }) == before {
                return Ok(MachineCreated { arn, created_at });
            }
            let message = format!("State Machine Already Exists: '{arn}'");
            return Err(WorkflowError::new(ErrorKind::StateMachineAlreadyExists, message));
        }
        engine.save(&record, &request.definition, machine).await?;
        if !request.tags.is_empty() {
            self.tag(&arn, request.tags).await?;
        }
        Ok(MachineCreated { arn, created_at: record.created_at })
    }

    pub async fn update_machine(&self, request: UpdateMachine) -> Result<MachineUpdated, WorkflowError> {
        let engine = &self.engine;
        let mut record = engine.record(&request.arn)?;
        let definition = match request.definition {
            Some(definition) => definition,
            None => engine.definition(&record.revision)?,
        };
        let machine = engine.accept(&definition, record.machine_type)?;
        record.revision = revision_of(&definition);
        record.role_arn = request.role_arn.unwrap_or(record.role_arn);
        record.logging = request.logging.map(|value| value.to_string()).or(record.logging);
        record.tracing = request.tracing.map(|value| value.to_string()).or(record.tracing);
        engine.save(&record, &definition, machine).await?;
        Ok(MachineUpdated { updated_at: engine.now().wall, revision_id: record.revision })
    }

    pub async fn describe_machine(&self, arn: &str) -> Result<MachineDescription, WorkflowError> {
        let record = self.engine.record(arn)?;
        self.described(record)
    }

    /// Only what kind of machine it is: for who starts many executions.
    pub async fn machine_type(&self, arn: &str) -> Result<MachineType, WorkflowError> {
        Ok(self.engine.record(arn)?.machine_type)
    }

    fn described(&self, record: MachineRecord) -> Result<MachineDescription, WorkflowError> {
        let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(MachineDescription {
            arn: self.machine_arn(&record.name),
            definition: self.engine.definition(&record.revision)?,
            name: record.name,
            machine_type: record.machine_type,
            role_arn: record.role_arn,
            logging: json(record.logging),
            tracing: json(record.tracing),
            created_at: record.created_at,
            revision_id: record.revision,
            from_file: record.from_file,
        })
    }

    /// The machine and definition that an execution runs.
    pub async fn describe_machine_for_execution(
        &self,
        execution_arn: &str,
    ) -> Result<MachineDescription, WorkflowError> {
        let meta = self.engine.find(execution_arn)?.meta;
        let name = meta.machine_name.split('/').next().unwrap_or_default().to_owned();
        let record = self.engine.record(&self.machine_arn(&name))?;
        self.described(MachineRecord { revision: meta.revision, ..record })
    }

    /// In the order of names.
    pub async fn list_machines(&self, page: Paging) -> Result<Page<MachineItem>, WorkflowError> {
        let (size, after) = (page_size(&page), token::<String>(&page)?);
        let records = self.engine.machine_records()?;
        let mut rest = records.into_iter().filter(|r| after.as_ref().is_none_or(|after| r.name > *after));
        let items: Vec<MachineItem> = rest
            .by_ref()
            .take(size)
            .map(|record| MachineItem {
                arn: self.machine_arn(&record.name),
                name: record.name,
                machine_type: record.machine_type,
                created_at: record.created_at,
            })
            .collect();
        let more = rest.next().is_some();
        let next_token = items.last().filter(|_| more).map(|item| item.name.clone());
        Ok(Page { items, next_token })
    }

    /// Nothing happens if there is none. Executions that run go on.
    pub async fn delete_machine(&self, arn: &str) -> Result<(), WorkflowError> {
        let record = match self.engine.record(arn) {
            Ok(record) => record,
            Err(error) if error.kind() == ErrorKind::StateMachineDoesNotExist => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut writes = Vec::new();
        store::delete(&mut writes, Key::WorkflowMachine { name: record.name });
        store::delete(&mut writes, Key::WorkflowTags { arn: arn.to_owned() });
        store::commit(&self.engine.state, writes)
    }

    /// Every fault of a definition, with its place.
    pub fn validate(&self, request: ValidateMachine) -> Validation {
        let mut diagnostics = self.engine.diagnose(&request.definition, request.machine_type);
        if !request.warnings {
            diagnostics.retain(|diagnostic| diagnostic.severity == "ERROR");
        }
        let max = if request.max_results == 0 { DIAGNOSTICS_DEFAULT } else { request.max_results as usize };
        let truncated = diagnostics.len() > max;
        let ok = diagnostics.iter().all(|diagnostic| diagnostic.severity != "ERROR");
        diagnostics.truncate(max);
        Validation { ok, diagnostics, truncated }
    }

    pub async fn tag(&self, arn: &str, tags: Tags) -> Result<(), WorkflowError> {
        const TAGS_MAX: usize = 50;
        let mut all = self.tags(arn).await?;
        all.extend(tags);
        if all.len() > TAGS_MAX {
            return Err(WorkflowError::new(
                ErrorKind::TooManyTags,
                format!("Too many tags: at most {TAGS_MAX}"),
            ));
        }
        self.save_tags(arn, all)
    }

    pub async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), WorkflowError> {
        let mut all = self.tags(arn).await?;
        all.retain(|key, _| !keys.contains(key));
        self.save_tags(arn, all)
    }

    pub async fn tags(&self, arn: &str) -> Result<Tags, WorkflowError> {
        let none = || WorkflowError::new(ErrorKind::ResourceNotFound, format!("Resource not found: '{arn}'"));
        match arn::parse(arn) {
            Some(arn::Arn::Machine { .. }) => drop(self.engine.record(arn).map_err(|_| none())?),
            Some(arn::Arn::Activity { .. }) if self.engine.has_activity(arn) => {}
            Some(_) => return Err(none()),
            None => return Err(WorkflowError::new(ErrorKind::InvalidArn, format!("Invalid Arn: '{arn}'"))),
        }
        let stored: Option<TagRecord> = get(&self.engine.state, &Key::WorkflowTags { arn: arn.to_owned() })?;
        Ok(stored.unwrap_or_default().0)
    }

    fn save_tags(&self, arn: &str, tags: Tags) -> Result<(), WorkflowError> {
        let mut writes = Vec::new();
        put(&mut writes, Key::WorkflowTags { arn: arn.to_owned() }, &TagRecord(tags))?;
        store::commit(&self.engine.state, writes)
    }
}
