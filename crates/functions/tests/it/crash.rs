//! `kill -9` of the host: its processes die with it, and what it had taken goes on.

use crate::kit::{Kit, Taken, call, eventually, lives, until};
use bourn_event::Functions;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const DIR: &str = "BOURN_TEST_CRASH_DIR";

/// Writes down its process ids, and waits until a file is there.
const WAITER: &str = r#"
import os, subprocess, time

def main(event, context):
    folder = os.environ["FOLDER"]
    plain = subprocess.Popen(["sleep", "3600"])
    other = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    with open(folder + "/new", "w") as file:
        file.write("%s %d %d %d" % (context.aws_request_id, os.getpid(), plain.pid, other.pid))
    os.rename(folder + "/new", folder + "/started-" + str(os.getpid()))
    while not os.path.exists(folder + "/go"):
        time.sleep(0.01)
    with open(folder + "/done", "a") as file:
        file.write(context.aws_request_id + "\n")
"#;

fn kit(folder: &Path) -> Kit {
    let kit = Kit::new().python("f", WAITER);
    let folder = folder.display().to_string();
    kit.with("f", |f| {
        f.environment.insert("FOLDER".into(), folder);
    })
}

/// The host of the test below, in a process of its own.
#[tokio::test]
#[ignore = "run by kill_of_the_host_ends_its_processes_and_loses_no_call"]
async fn host_to_be_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let mut kit = kit(dir);
    kit.dir =
        tempfile::Builder::new().prefix("host").disable_cleanup(true).tempdir_in(dir).expect("a folder");
    let kit = kit.python("f", WAITER).with("f", |f| {
        f.environment.insert("FOLDER".into(), dir.display().to_string());
    });
    let host = kit.open();
    host.start(Arc::new(Taken::default()));
    let id = host.invoke_later(call("f", "{}")).await.expect("taken");
    std::fs::write(dir.join("taken"), format!("{id} {}", kit.dir.path().display())).expect("written");
    std::future::pending().await
}

fn start_host(dir: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "crash::host_to_be_killed", "--ignored"])
        .env(DIR, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a host")
}

fn started(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a folder").flatten();
    let files = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("started-"));
    files.map(|entry| std::fs::read_to_string(entry.path()).expect("ids")).collect()
}

#[tokio::test]
async fn kill_of_the_host_ends_its_processes_and_loses_no_call() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut child = start_host(dir.path());
    let text = eventually("the function runs", || started(dir.path()).pop()).await;
    let taken = eventually("it is said", || {
        std::fs::read_to_string(dir.path().join("taken")).ok().filter(|text| text.contains(' '))
    })
    .await;
    let (id, home) = taken.split_once(' ').expect("two words");
    let mut words = text.split(' ');
    assert_eq!(words.next(), Some(id));
    let pids: Vec<u64> = words.map(|pid| pid.parse().expect("a pid")).collect();
    assert!(pids.len() == 3 && pids.iter().all(|pid| lives(*pid)));
    child.kill().expect("killed");
    child.wait().expect("gone");
    for pid in pids {
        until("it dies with its host", || !lives(pid)).await;
    }

    std::fs::write(dir.path().join("go"), "").expect("written");
    let mut kit = kit(dir.path());
    let fresh = kit.dir;
    kit.dir = tempfile::tempdir_in(dir.path()).expect("a folder");
    drop(fresh);
    std::fs::remove_dir(kit.dir.path()).expect("empty");
    std::fs::rename(home, kit.dir.path()).expect("moved");
    let host = kit.open();
    host.start(Arc::new(Taken::default()));
    until("it is settled", || host.functions()[0].pending == 0).await;
    let done = std::fs::read_to_string(dir.path().join("done")).expect("done");
    assert_eq!(done, format!("{id}\n"));
    host.close(Duration::ZERO).await;
}
