//! Which resources a machine uses, so that its owner can judge them.

use super::{Flow, Kind, Machine, QueryLanguage};
use crate::document::join;
use serde_json::Value;

/// A resource and where it stands.
#[derive(Debug, Clone)]
pub struct Use<'a> {
    pub kind: UseKind,
    /// The state it belongs to.
    pub state: &'a str,
    /// Of the resource: `/States/X/Resource`, `/States/M/ItemReader/Resource`.
    pub pointer: String,
    pub resource: &'a str,
    /// `Parameters` or `Arguments` as written, `Null` if absent.
    pub parameters: Value,
    pub query_language: QueryLanguage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseKind {
    Task,
    ItemReader,
    ResultWriter,
}

pub(super) fn of(machine: &Machine) -> Vec<Use<'_>> {
    let mut uses = Vec::new();
    collect(&machine.flow, &machine.source, &mut uses);
    uses
}

fn collect<'a>(flow: &'a Flow, source: &Value, uses: &mut Vec<Use<'a>>) {
    for state in &flow.states {
        let mut push = |kind, pointer: String, resource: &'a str| {
            let parameters = ["Parameters", "Arguments"]
                .iter()
                .find_map(|key| source.pointer(&join(&pointer, key)))
                .cloned()
                .unwrap_or_default();
            let query_language = state.query_language;
            let pointer = format!("{pointer}/Resource");
            uses.push(Use { kind, state: &state.name, pointer, resource, parameters, query_language });
        };
        match &state.kind {
            Kind::Task(task) => push(UseKind::Task, state.pointer.clone(), &task.resource),
            Kind::Map(map) => {
                if let Some(reader) = &map.reader {
                    push(UseKind::ItemReader, format!("{}/ItemReader", state.pointer), &reader.resource);
                }
                if let Some(resource) = map.writer.as_ref().and_then(|w| w.resource.as_deref()) {
                    push(UseKind::ResultWriter, format!("{}/ResultWriter", state.pointer), resource);
                }
            }
            _ => {}
        }
        for flow in state.flows() {
            collect(flow, source, uses);
        }
    }
}
