//! Loading a definition: reading its files and going through the steps of the crate's picture.

use crate::check;
use crate::explain;
use crate::fault::{Fault, Faults, Places};
use crate::model::Pipeline;
use crate::yaml::{self, Kind, Node};
use crate::{overlay, secret, suggest};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The definition's file in a pipeline's folder.
pub const FILE_NAME: &str = "bourn.yaml";

/// A definition without faults.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub pipeline: Pipeline,
    /// The pipeline's folder.
    pub dir: PathBuf,
    /// For faults that are found later, such as a transform that does not plan.
    pub places: Places,
}

impl Loaded {
    /// A path of the definition, relative to the pipeline's folder unless absolute.
    pub fn path(&self, relative: &Path) -> PathBuf {
        self.dir.join(relative)
    }

    /// Every setting in force, to be shown: secrets are hidden, and where a value came by reference the
    /// reference stands.
    pub fn shown(&self) -> Value {
        let mut value = serde_json::to_value(&self.pipeline).unwrap_or_default();
        for (pointer, written) in self.places.written() {
            if let Some(place) = value.pointer_mut(pointer) {
                *place = Value::String(written.to_string());
            }
        }
        value
    }
}

/// Loads `bourn.yaml` of a folder. `Err` holds every fault that can be told at once.
pub fn load(dir: &Path) -> Result<Loaded, Faults> {
    load_with(dir, None)
}

/// The same, with the values of `environments/<environment>.yaml`.
pub fn load_with(dir: &Path, environment: Option<&str>) -> Result<Loaded, Faults> {
    from_folder(dir, environment, true)
}

/// The same, but the files that it refers to need not be there: for those who only talk to the process
/// that runs it, or look at what it has stored.
pub fn load_alone(dir: &Path, environment: Option<&str>) -> Result<Loaded, Faults> {
    from_folder(dir, environment, false)
}

fn from_folder(dir: &Path, environment: Option<&str>, needs_files: bool) -> Result<Loaded, Faults> {
    let text = read(&dir.join(FILE_NAME)).map_err(|error| {
        let hint = "make a pipeline with `bourn init`, or name its folder with `--dir`".to_string();
        unreadable(FILE_NAME, &error, Some(hint))
    })?;
    let over = match environment {
        None => None,
        Some(name) => Some(read_environment(dir, name)?),
    };
    let over = over.as_ref().map(|(file, text)| (file.as_str(), text.as_str()));
    build(&text, FILE_NAME, over, dir, needs_files)
}

/// Loads a definition from text. `file_name` is what faults name; `dir` is where the files it refers to are.
pub fn load_text(text: &str, file_name: &str, dir: &Path) -> Result<Loaded, Faults> {
    build(text, file_name, None, dir, true)
}

fn build(
    text: &str,
    file: &str,
    over: Option<(&str, &str)>,
    dir: &Path,
    needs_files: bool,
) -> Result<Loaded, Faults> {
    let (root, mut faults) = yaml::parse(text, file, 0);
    let mut places = Places { files: vec![file.to_string()], ..Places::default() };
    let Some(mut root) = root else {
        if faults.is_empty() {
            faults.push(places.fault_at("", "the file is empty", Some("it needs at least a `name`".into())));
        }
        return Err(faults.sorted());
    };
    if let Some((over_file, over_text)) = over {
        places.files.push(over_file.to_string());
        lay_over(&mut root, over_file, over_text, &mut faults);
    }
    let mut value = yaml::flatten(&root, &mut places);
    let before = faults.0.len();
    secret::resolve(&mut value, dir, &mut places, &mut faults);
    let unresolved: Vec<String> = faults.0[before..].iter().map(|fault| fault.path.clone()).collect();
    // A value that could not be resolved is told once, not again as a bad value.
    let (refused, unknown) = explain::explain(&value, &places);
    faults.extend(refused.0.into_iter().filter(|fault| !unresolved.contains(&fault.path)));
    unknown.iter().for_each(|pointer| remove(&mut value, pointer));
    let pipeline = decode(&value, &places, &mut faults);
    if let Some(pipeline) = &pipeline {
        let found = check::check(pipeline, dir, &places, needs_files);
        faults.extend(found.0.into_iter().filter(|fault| !unresolved.contains(&fault.path)));
    }
    match pipeline {
        Some(pipeline) if faults.is_empty() => Ok(Loaded { pipeline, dir: dir.to_path_buf(), places }),
        _ => Err(faults.sorted()),
    }
}

fn lay_over(root: &mut Node, file: &str, text: &str, faults: &mut Faults) {
    let (over, found) = yaml::parse(text, file, 1);
    faults.extend(found.0);
    match over {
        None => {}
        Some(Node { kind: Kind::Scalar(Value::Null), .. }) => {}
        Some(over) => overlay::apply(root, over, file, faults),
    }
}

/// The types; if the schema has refused something, as much of them as still can be had, so that
/// the checks of meaning are told in the same answer.
fn decode(value: &Value, places: &Places, faults: &mut Faults) -> Option<Pipeline> {
    match serde_json::from_value(value.clone()) {
        Ok(pipeline) => Some(pipeline),
        Err(error) => {
            if faults.is_empty() {
                faults.push(explain::undecodable(&error, places));
                return None;
            }
            salvage(value)
        }
    }
}

/// Takes a key out of the mapping it stands in.
fn remove(value: &mut Value, pointer: &str) {
    if let Some((parent, key)) = pointer.rsplit_once('/')
        && let Some(Value::Object(map)) = value.pointer_mut(parent)
    {
        map.remove(&key.replace("~1", "/").replace("~0", "~"));
    }
}

/// Sections whose members have names.
const MEMBERS: [&str; 9] = [
    "streams",
    "lookups",
    "functions",
    "workflows",
    "schedules",
    "triggers",
    "keyed",
    "notifiers",
    "connections",
];

/// Leaves out the parts that do not decode: sections, their members, and keys of a member.
fn salvage(value: &Value) -> Option<Pipeline> {
    let mut kept = serde_json::Map::new();
    kept.insert("name".into(), "_".into());
    for (section, content) in value.as_object()? {
        let single = |content: Value| serde_json::json!({"name": "_", section.as_str(): content});
        let decodes = |content: &Value| serde_json::from_value::<Pipeline>(single(content.clone())).is_ok();
        if section == "name" {
            if content.is_string() {
                kept.insert(section.clone(), content.clone());
            }
        } else if decodes(content) {
            kept.insert(section.clone(), content.clone());
        } else if let (true, Some(members)) = (MEMBERS.contains(&section.as_str()), content.as_object()) {
            let mut good = serde_json::Map::new();
            for (name, member) in members {
                let whole = |member: &Value| decodes(&serde_json::json!({name.as_str(): member}));
                if let Some(member) = salvage_member(member, whole) {
                    good.insert(name.clone(), member);
                }
            }
            kept.insert(section.clone(), Value::Object(good));
        }
    }
    serde_json::from_value(Value::Object(kept)).ok()
}

fn salvage_member(member: &Value, decodes: impl Fn(&Value) -> bool) -> Option<Value> {
    if decodes(member) {
        return Some(member.clone());
    }
    let mut member = member.clone();
    let keys: Vec<String> = member.as_object()?.keys().cloned().collect();
    // A key is kept if it decodes beside the ones that must be there.
    let required = ["schema", "file", "key", "runtime", "when", "run", "pattern", "webhook"];
    let mut probe: serde_json::Map<String, Value> = serde_json::Map::new();
    for key in required {
        if let Some(value) = member.get(key) {
            probe.insert(key.into(), value.clone());
        }
    }
    if !decodes(&Value::Object(probe.clone())) {
        return None;
    }
    for key in keys.iter().filter(|key| !required.contains(&key.as_str())) {
        let mut alone = probe.clone();
        alone.insert(key.clone(), member[key].clone());
        if !decodes(&Value::Object(alone))
            && let Some(map) = member.as_object_mut()
        {
            map.remove(key);
        }
    }
    decodes(&member).then_some(member)
}

fn read_environment(dir: &Path, name: &str) -> Result<(String, String), Faults> {
    let file = format!("environments/{name}.yaml");
    if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
        let message = format!("`{name}` is not the name of an environment: letters, digits, `_` and `-`");
        return Err(Fault { file, line: 0, column: 0, path: String::new(), message, hint: None }.into());
    }
    read(&dir.join(&file)).map(|text| (file.clone(), text)).map_err(|error| {
        let there: Vec<String> = std::fs::read_dir(dir.join("environments"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".yaml").map(str::to_string))
            .collect();
        unreadable(&file, &error, suggest::hint(name, there.iter().map(String::as_str)))
    })
}

fn unreadable(file: &str, error: &std::io::Error, hint: Option<String>) -> Faults {
    let message = match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_string(),
        _ => format!("cannot be read: {error}"),
    };
    Fault { file: file.into(), line: 0, column: 0, path: String::new(), message, hint }.into()
}

/// At most one byte more than a definition may have, so that a wrong file does not fill the memory.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(yaml::MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}
