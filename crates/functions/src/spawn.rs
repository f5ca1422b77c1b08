//! Starting a program: its environment, its limits, and the thread that starts it.
//!
//! Linux tells a process of its parent's death when the parent's *thread* ends, so all processes are
//! started by one thread that lives as long as the host.

use crate::settings::Settings;
use crate::warden::MARK;
use bourn_config::{Function, Runtime};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, PipeReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What of our own environment a function gets.
const INHERITED: [&str; 3] = ["PATH", "HOME", "TMPDIR"];

/// `RLIMIT_DATA` is a net under the watch on memory: a process that allocates faster than it is watched
/// is refused memory above its limit and this much.
const MEMORY_NET_BYTES: u64 = 1 << 30;

/// How a function's processes are started: all of it but what differs from process to process.
pub(crate) struct Program {
    pub code: PathBuf,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<String, OsString>,
    memory_bytes: u64,
}

/// What differs.
pub(crate) struct Ticket {
    pub port: u16,
    /// Value of [`MARK`].
    pub mark: String,
    pub log_stream: String,
}

/// A program that runs, with the reading end of its output.
pub(crate) struct Spawned {
    pub child: Child,
    pub pid: u32,
    pub output: PipeReader,
}

impl Program {
    /// `shims` is the folder that the shims were written to.
    pub fn new(name: &str, function: &Function, settings: &Settings, shims: &Path) -> Self {
        let code = code_folder(&settings.project, name, function);
        let code = std::path::absolute(&code).unwrap_or(code);
        let mut environment = documented(name, function, settings, &code, shims);
        for (key, value) in &function.environment {
            environment.insert(key.clone(), value.into());
        }
        for (key, secret) in &function.secrets {
            environment.insert(key.clone(), secret.reveal().into());
        }
        let path = environment.get("PATH").cloned();
        let (program, arguments): (PathBuf, Vec<OsString>) = match function.runtime {
            Runtime::Provided => (code.join("bootstrap"), Vec::new()),
            Runtime::Python3 => {
                (found("python3", path), vec!["-u".into(), shims.join(crate::shim::PYTHON).into()])
            }
            Runtime::Nodejs => (found("node", path), vec![shims.join(crate::shim::NODE).into()]),
        };
        let memory_bytes = function.memory.0;
        Self { code, program, arguments, environment, memory_bytes }
    }

    fn command(&self, ticket: &Ticket) -> io::Result<(Command, PipeReader)> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(&self.code)
            .env_clear()
            .envs(&self.environment)
            .env("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{}", ticket.port))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", &ticket.log_stream)
            .env(MARK, &ticket.mark)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .kill_on_drop(true);
        let net = self.memory_bytes.saturating_add(self.memory_bytes.max(MEMORY_NET_BYTES));
        let parent = std::process::id();
        // SAFETY: between fork and exec only system calls are made that POSIX calls safe after a fork.
        unsafe { command.pre_exec(move || settle_in(parent, net)) };
        Ok((command, reader))
    }
}

/// The folder with a function's code.
pub(crate) fn code_folder(project: &Path, name: &str, function: &Function) -> PathBuf {
    match &function.code {
        Some(code) => project.join(code),
        None => project.join("functions").join(name),
    }
}

/// A program on the path, or its bare name if there is none.
pub(crate) fn found(program: &str, path: Option<OsString>) -> PathBuf {
    let folders = path.into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut candidates = folders.map(|folder| folder.join(program));
    candidates.find(|candidate| is_executable(candidate)).unwrap_or_else(|| program.into())
}

pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The environment variables that AWS documents for every function.
fn documented(
    name: &str,
    function: &Function,
    settings: &Settings,
    code: &Path,
    shims: &Path,
) -> BTreeMap<String, OsString> {
    let mut environment: BTreeMap<String, OsString> = INHERITED
        .into_iter()
        .filter_map(|key| std::env::var_os(key).map(|value| (key.to_owned(), value)))
        .collect();
    let memory_mib = (function.memory.0 >> 20).max(1).to_string();
    let kind = if function.concurrency.reserved > 0 { "provisioned-concurrency" } else { "on-demand" };
    let pairs: [(&str, OsString); 13] = [
        ("_HANDLER", function.handler.clone().unwrap_or_default().into()),
        ("AWS_REGION", settings.region.clone().into()),
        ("AWS_DEFAULT_REGION", settings.region.clone().into()),
        ("AWS_LAMBDA_FUNCTION_NAME", name.into()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mib.into()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".into()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", kind.into()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}").into()),
        ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR".into()),
        ("LAMBDA_TASK_ROOT", code.into()),
        ("LAMBDA_RUNTIME_DIR", shims.into()),
        ("LANG", "en_US.UTF-8".into()),
        ("TZ", ":UTC".into()),
    ];
    environment.extend(pairs.map(|(key, value)| (key.to_owned(), value)));
    environment
}

/// In the child, before its program runs: a session of its own, death with us, limits.
fn settle_in(parent: u32, data_bytes_max: u64) -> io::Result<()> {
    let check = |result: i32| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: plain system calls on values of this frame.
    unsafe {
        check(libc::setsid())?;
        #[cfg(target_os = "linux")]
        {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong))?;
            if libc::getppid() as u32 != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            // Under pressure the system ends functions before it ends us. Best effort.
            let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if file >= 0 {
                libc::write(file, c"500".as_ptr().cast(), 3);
                libc::close(file);
            }
        }
        let limit = libc::rlimit { rlim_cur: data_bytes_max, rlim_max: data_bytes_max };
        check(libc::setrlimit(libc::RLIMIT_DATA, &limit))?;
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        check(libc::setrlimit(libc::RLIMIT_CORE, &none))
    }
}

struct Order {
    program: std::sync::Arc<Program>,
    ticket: Ticket,
    done: oneshot::Sender<io::Result<Spawned>>,
}

/// The thread that starts processes. They die when it ends.
pub(crate) struct Spawner(mpsc::Sender<Order>);

impl Spawner {
    pub fn start(runtime: Handle) -> io::Result<Self> {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::Builder::new().name("functions".into()).spawn(move || {
            for Order { program, ticket, done } in orders {
                let _inside = runtime.enter();
                let _ = done.send(start(&program, &ticket));
            }
        })?;
        Ok(Self(sender))
    }

    pub async fn spawn(&self, program: std::sync::Arc<Program>, ticket: Ticket) -> io::Result<Spawned> {
        let (done, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes is gone");
        self.0.send(Order { program, ticket, done }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn start(program: &Program, ticket: &Ticket) -> io::Result<Spawned> {
    let (mut command, output) = program.command(ticket)?;
    let child = command.spawn().map_err(|error| {
        io::Error::new(error.kind(), format!("{} does not start: {error}", program.program.display()))
    })?;
    let pid = child.id().ok_or_else(|| io::Error::other("the process ended at once"))?;
    Ok(Spawned { child, pid, output })
}
