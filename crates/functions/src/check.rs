//! Whether a function can run, before anything does.

use crate::spawn::{code_folder, found, is_executable};
use bourn_config::{Destination, Function, Runtime};
use std::path::Path;

/// The key below `functions.<name>` (empty: the function itself), what is wrong there, and the way out.
pub type Finding = (String, String, Option<String>);

/// Names of environment variables that only the runtime sets.
const RESERVED: [&str; 12] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
];

/// Most retries of an asynchronous invocation, as AWS has it.
const RETRIES_MAX: u32 = 2;

const MEMORY_BYTES_MIN: u64 = 4 << 20;

/// Looks at one function of the pipeline in `dir`. Starts nothing.
pub fn check(dir: &Path, name: &str, function: &Function) -> Result<(), Vec<Finding>> {
    let mut findings = Vec::new();
    let mut find = |key: &str, message: String, hint: Option<&str>| {
        findings.push((key.to_owned(), message, hint.map(str::to_owned)));
    };
    if !is_name(name) {
        let message = format!("`{name}` is not the name of a function");
        find("", message, Some("write 1 to 64 letters, digits, `_` and `-`"));
    }
    limits(function, &mut find);
    environment(function, &mut find);
    if function.on_failure == Some(Destination::Function(name.to_owned())) {
        let message = "a function cannot be told of its own failures".to_owned();
        find("on_failure", message, Some("name another function, or a stream"));
    }
    code(dir, name, function, &mut find);
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

/// May a function be called this? Its log is a file of this name.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

type Find<'a> = dyn FnMut(&str, String, Option<&str>) + 'a;

fn limits(function: &Function, find: &mut Find<'_>) {
    let concurrency = function.concurrency;
    if concurrency.max == 0 {
        find("concurrency.max", "0 processes can run nothing".into(), Some("write at least 1"));
    }
    if concurrency.reserved > concurrency.max {
        let message = format!("{} are reserved, of at most {}", concurrency.reserved, concurrency.max);
        find("concurrency.reserved", message, Some("reserve no more than `max`"));
    }
    if function.memory.0 < MEMORY_BYTES_MIN {
        let message = format!("{} is less than any program needs", function.memory);
        find("memory", message, Some("write at least 4MiB; Python needs about 20MiB, Node.js 60MiB"));
    }
    if function.timeout.0.is_zero() {
        find("timeout", "no invocation can end in no time".into(), Some("write a duration like `30s`"));
    }
    if function.retries > RETRIES_MAX {
        let message = format!("{} retries are more than {RETRIES_MAX}", function.retries);
        find("retries", message, Some("write 0, 1 or 2"));
    }
}

fn environment(function: &Function, find: &mut Find<'_>) {
    let plain = function.environment.keys().map(|key| ("environment", key));
    for (section, key) in plain.chain(function.secrets.keys().map(|key| ("secrets", key))) {
        let place = format!("{section}.{key}");
        if RESERVED.contains(&key.as_str()) || key == crate::warden::MARK {
            find(&place, format!("`{key}` is set by the runtime"), Some("choose another name"));
        } else if key.is_empty() || key.contains(['=', '\0']) {
            find(&place, format!("`{key}` is not the name of an environment variable"), None);
        }
    }
    let values = function.environment.iter().filter(|(_, value)| value.contains('\0'));
    for (key, _) in values {
        find(&format!("environment.{key}"), "a value cannot hold a NUL character".into(), None);
    }
    for key in function.secrets.keys().filter(|key| function.environment.contains_key(*key)) {
        find(&format!("secrets.{key}"), format!("`{key}` is in `environment` too"), Some("keep one of them"));
    }
}

fn code(dir: &Path, name: &str, function: &Function, find: &mut Find<'_>) {
    let folder = code_folder(dir, name, function);
    if !folder.is_dir() {
        let message = format!("there is no folder {}", folder.display());
        find("code", message, Some("put the function's files there, or say where they are with `code`"));
        return;
    }
    match function.runtime {
        Runtime::Provided => bootstrap(&folder, find),
        Runtime::Python3 => {
            interpreter("python3", function, find);
            module(&folder, function, &["py"], Some("__init__.py"), find);
        }
        Runtime::Nodejs => {
            interpreter("node", function, find);
            module(&folder, function, &["js", "mjs", "cjs"], None, find);
        }
    }
}

fn bootstrap(folder: &Path, find: &mut Find<'_>) {
    let path = folder.join("bootstrap");
    if !path.is_file() {
        let message = format!("there is no {}", path.display());
        find("runtime", message, Some("`provided` runs an executable called `bootstrap`"));
    } else if !is_executable(&path) {
        let hint = format!("chmod +x {}", path.display());
        find("runtime", format!("{} is not executable", path.display()), Some(&hint));
    }
}

fn interpreter(program: &str, function: &Function, find: &mut Find<'_>) {
    let path = function.environment.get("PATH").map(Into::into).or_else(|| std::env::var_os("PATH"));
    if !found(program, path).is_absolute() {
        let message = format!("`{program}` is not on the PATH");
        find("runtime", message, Some("install it, or set `environment: {PATH: …}`"));
    }
}

fn module(
    folder: &Path,
    function: &Function,
    extensions: &[&str],
    package: Option<&str>,
    find: &mut Find<'_>,
) {
    let hint = "write `module.function`, like `handler.main` for `main` in `handler.py`";
    let Some(handler) = &function.handler else {
        return find("handler", "which function is called is not said".into(), Some(hint));
    };
    let Some((module, callee)) = handler.rsplit_once('.') else {
        return find("handler", format!("`{handler}` is not `module.function`"), Some(hint));
    };
    if module.is_empty() || callee.is_empty() {
        return find("handler", format!("`{handler}` is not `module.function`"), Some(hint));
    }
    let stem = if package.is_some() { module.replace('.', "/") } else { module.to_owned() };
    let as_file = extensions.iter().any(|extension| folder.join(format!("{stem}.{extension}")).is_file());
    let as_package = package.is_some_and(|file| folder.join(&stem).join(file).is_file());
    let as_named = package.is_none() && folder.join(&stem).is_file();
    if !as_file && !as_package && !as_named {
        let path = folder.join(format!("{stem}.{}", extensions[0]));
        find("handler", format!("there is no {}", path.display()), Some(hint));
    }
}
