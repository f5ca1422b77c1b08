//! `environments/<name>.yaml`: other values for the same topology.

use crate::fault::{Fault, Faults, child, key_path};
use crate::suggest;
use crate::yaml::{Entry, Kind, Node};

/// Lays `over` upon `base`. Mappings are merged, anything else is replaced. Streams, lookups,
/// sources and steps can be changed, but neither added nor removed.
pub(crate) fn apply(base: &mut Node, over: Node, file: &str, faults: &mut Faults) {
    merge(base, over, "", &mut |mark: (usize, usize), pointer, message, hint| {
        faults.push(Fault {
            file: file.into(),
            line: mark.0,
            column: mark.1,
            path: key_path(pointer),
            message,
            hint,
        });
    });
}

type Report<'a> = dyn FnMut((usize, usize), &str, String, Option<String>) + 'a;

const TOPOLOGY: &str = "an environment changes values; it cannot add or remove";

fn merge(base: &mut Node, over: Node, pointer: &str, report: &mut Report<'_>) {
    let Node { mark, file, kind } = over;
    match (&mut base.kind, kind) {
        (Kind::Mapping(entries), Kind::Mapping(changes)) => {
            for change in changes {
                merge_entry(entries, change, pointer, report);
            }
        }
        (Kind::List(items), Kind::List(changes)) if is_topology(pointer) => {
            if items.len() != changes.len() {
                let message = format!("{TOPOLOGY} {}: there are {}", last(pointer), items.len());
                report(mark, pointer, message, Some("list all of them, in the same order".into()));
                return;
            }
            for (index, (item, change)) in items.iter_mut().zip(changes).enumerate() {
                merge(item, change, &format!("{pointer}/{index}"), report);
            }
        }
        (_, _) if is_topology(pointer) => {
            report(mark, pointer, format!("{TOPOLOGY} {}", last(pointer)), None);
        }
        (slot, kind) => {
            *slot = kind;
            base.mark = mark;
            base.file = file;
        }
    }
}

fn merge_entry(entries: &mut Vec<Entry>, change: Entry, pointer: &str, report: &mut Report<'_>) {
    let at = child(pointer, &change.key);
    if let Some(entry) = entries.iter_mut().find(|entry| entry.key == change.key) {
        let before = entry.value.file;
        merge(&mut entry.value, change.value, &at, report);
        if entry.value.file != before {
            entry.mark = change.mark;
        }
        return;
    }
    if adds_topology(pointer, &change.key) {
        let names: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        let hint = suggest::hint(&change.key, names.iter().copied());
        report(change.mark, &at, format!("{TOPOLOGY} `{}`", change.key), hint);
        return;
    }
    entries.push(change);
}

fn parts(pointer: &str) -> Vec<&str> {
    pointer.split('/').skip(1).collect()
}

fn last(pointer: &str) -> &str {
    parts(pointer).last().copied().unwrap_or("the pipeline")
}

/// Values that may not be replaced as a whole.
fn is_topology(pointer: &str) -> bool {
    matches!(
        parts(pointer).as_slice(),
        [] | ["streams" | "lookups"]
            | ["streams" | "lookups", _]
            | ["streams", _, "sources" | "enrich"]
            | ["streams", _, "sources" | "enrich", _]
            | ["streams", _, "sources" | "enrich", _, _]
    )
}

/// Keys that may not be added to the mapping at `pointer`.
fn adds_topology(pointer: &str, key: &str) -> bool {
    match parts(pointer).as_slice() {
        [] => matches!(key, "streams" | "lookups"),
        ["streams" | "lookups"] | ["streams", _, "sources" | "enrich", _] => true,
        ["streams", _] => matches!(key, "sources" | "enrich"),
        _ => false,
    }
}
