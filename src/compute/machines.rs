//! The workflows of the pipeline's folder: `workflows/<name>.asl.json` and `.asl.yaml`, with every fault
//! in them at its place.

use anyhow::{Result, bail};
use bourn_asl::{Document, Machine, Severity, UseKind};
use bourn_config::{Fault, Faults, Loaded, Workflow};
use bourn_event::Tasks;
use bourn_workflow::MachineFile;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FOLDER: &str = "workflows";
const ENDINGS: [&str; 2] = [".asl.json", ".asl.yaml"];

/// A workflow's file, read and compiled.
pub struct WorkflowFile {
    pub name: String,
    /// Relative to the pipeline's folder.
    pub path: PathBuf,
    text: String,
    pub machine: Machine,
    pub settings: Workflow,
}

impl WorkflowFile {
    /// As the engine takes it.
    pub fn register(&self) -> MachineFile {
        MachineFile {
            name: self.name.clone(),
            definition: self.machine.source.to_string(),
            settings: self.settings.clone(),
        }
    }
}

/// Reads and compiles all workflows; tells all faults at once.
pub fn read(loaded: &Loaded) -> Result<Vec<WorkflowFile>, Faults> {
    let (mut files, mut faults) = (Vec::new(), Faults::default());
    for (name, path) in paths(loaded, &mut faults) {
        let settings = loaded.pipeline.workflows.get(&name).cloned().unwrap_or_default();
        match read_file(&loaded.dir, &path) {
            Ok((text, machine)) => files.push(WorkflowFile { name, path, text, machine, settings }),
            Err(wrong) => faults.extend(wrong.0),
        }
    }
    if faults.is_empty() { Ok(files) } else { Err(faults) }
}

/// One workflow by name.
pub fn read_one(loaded: &Loaded, name: &str) -> Result<Machine> {
    let mut faults = Faults::default();
    let paths = paths(loaded, &mut faults);
    let Some(path) = paths.get(name) else {
        let names: Vec<_> = paths.keys().map(String::as_str).collect();
        bail!("there is no workflow `{name}`; there are: {}", names.join(", "));
    };
    Ok(read_file(&loaded.dir, path)?.1)
}

/// Faults of the resources that the workflows' Tasks name.
pub fn check_uses(files: &[WorkflowFile], tasks: &dyn Tasks) -> Faults {
    let mut faults = Faults::default();
    for file in files {
        let document = Document::read(&file.text).ok();
        for used in file.machine.uses() {
            let why = match used.kind {
                UseKind::Task => refused(used.resource, &used.parameters, files, tasks),
                // The engine's own, over the lake's buckets.
                UseKind::ItemReader | UseKind::ResultWriter => None,
            };
            if let Some(message) = why {
                let place = document.as_ref().and_then(|document| document.place(&used.pointer));
                faults.push(fault(&file.path, place, &used.pointer, message));
            }
        }
    }
    faults
}

/// Why a Task cannot run, if it cannot. Activities and executions are the engine's own.
fn refused(resource: &str, parameters: &Value, files: &[WorkflowFile], tasks: &dyn Tasks) -> Option<String> {
    let (resource, suffix) = split(resource);
    if resource.contains(":activity:") {
        return None;
    }
    if resource.ends_with(":states:startExecution") {
        return unknown_workflow(parameters, files);
    }
    tasks.check(resource, suffix, Some(parameters)).err()
}

/// A resource without its suffix, and the suffix.
fn split(resource: &str) -> (&str, &str) {
    for suffix in [".sync:2", ".sync", ".waitForTaskToken"] {
        if let Some(plain) = resource.strip_suffix(suffix) {
            return (plain, suffix);
        }
    }
    (resource, "")
}

fn unknown_workflow(parameters: &Value, files: &[WorkflowFile]) -> Option<String> {
    let arn = parameters.get("StateMachineArn").and_then(Value::as_str)?;
    if arn.contains("{%") {
        return None;
    }
    let name = arn.rsplit(':').next().unwrap_or(arn);
    if files.iter().any(|file| file.name == name) {
        return None;
    }
    let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    Some(format!("there is no workflow `{name}`; there are: {}", names.join(", ")))
}

/// Where each workflow's definition lies: what the settings name, and what is in the folder.
fn paths(loaded: &Loaded, faults: &mut Faults) -> BTreeMap<String, PathBuf> {
    let mut paths = BTreeMap::new();
    let entries = std::fs::read_dir(loaded.dir.join(FOLDER)).into_iter().flatten().flatten();
    for entry in entries {
        let file_name = entry.file_name().to_string_lossy().into_owned();
        let name = ENDINGS.iter().find_map(|ending| file_name.strip_suffix(ending));
        if let Some(name) = name {
            let path = Path::new(FOLDER).join(&file_name);
            if let Some(other) = paths.insert(name.to_string(), path.clone()) {
                let message = format!("{} defines the workflow `{name}` too", other.display());
                faults.push(fault(&path, None, "", message));
            }
        }
    }
    for (name, settings) in &loaded.pipeline.workflows {
        let at = format!("/workflows/{name}");
        match &settings.file {
            Some(file) => drop(paths.insert(name.clone(), file.clone())),
            None if !paths.contains_key(name) => {
                let message = format!("there is no {FOLDER}/{name}.asl.json");
                let hint = "put the definition there, or name its `file`".to_string();
                faults.push(loaded.places.fault_at(&at, message, Some(hint)));
            }
            None => {}
        }
    }
    paths
}

fn read_file(dir: &Path, path: &Path) -> Result<(String, Machine), Faults> {
    let text = std::fs::read_to_string(dir.join(path))
        .map_err(|error| Faults::from(fault(path, None, "", format!("cannot be read: {error}"))))?;
    match Machine::parse(&text) {
        Ok(machine) => Ok((text, machine)),
        Err(diagnostics) => {
            let document = Document::read(&text).ok();
            let mut faults = Faults::default();
            faults.extend(diagnostics.into_iter().filter(|d| d.severity == Severity::Error).map(|wrong| {
                let place = document.as_ref().and_then(|document| document.place(&wrong.location));
                fault(path, place, &wrong.location, wrong.message)
            }));
            Err(faults)
        }
    }
}

fn fault(path: &Path, place: Option<bourn_asl::Place>, pointer: &str, message: String) -> Fault {
    Fault {
        file: path.display().to_string(),
        line: place.map_or(0, |place| place.line),
        column: place.map_or(0, |place| place.column),
        path: pointer.to_string(),
        message,
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_is_told_from_the_resource() {
        let check = |resource, expected| assert_eq!(split(resource), expected);
        check("arn:aws:states:::sqs:sendMessage", ("arn:aws:states:::sqs:sendMessage", ""));
        check("arn:aws:states:::a:b.sync:2", ("arn:aws:states:::a:b", ".sync:2"));
        check("arn:aws:states:::a:b.sync", ("arn:aws:states:::a:b", ".sync"));
        check("arn:aws:states:::a:b.waitForTaskToken", ("arn:aws:states:::a:b", ".waitForTaskToken"));
    }
}
