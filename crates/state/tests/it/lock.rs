//! The owner's lock, held by real processes that are really killed.

use bourn_event::ManualClock;
use bourn_state::{Held, LOCK_FILE, LockError, OwnerLock};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const CHILD_DIR: &str = "BOURN_TEST_LOCK_DIR";

/// Not a test by itself: run as a child process, it takes the lock and waits to be killed.
#[test]
fn child_that_holds_the_lock() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let mut lock = OwnerLock::acquire(Path::new(&dir), &ManualClock::at(42)).expect("the lock is free");
    lock.publish(Some("127.0.0.1:1".into()), Some("127.0.0.1:2".into())).expect("publish");
    println!("held");
    let _ = std::io::stdin().read(&mut [0]);
}

fn spawn_holder(dir: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", "lock::child_that_holds_the_lock", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("child");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.ends_with("held"))), "the child took the lock");
    child
}

fn holder_of(dir: &Path) -> Option<Held> {
    OwnerLock::inspect(dir).expect("inspect")
}

#[test]
fn a_second_process_is_told_who_holds_the_folder() {
    let dir = tempfile::tempdir().expect("dir");
    let mut child = spawn_holder(dir.path());
    let error = OwnerLock::acquire(dir.path(), &ManualClock::at(1)).expect_err("held");
    let LockError::Held { held, .. } = &error else { panic!("{error}") };
    assert_eq!((held.pid, held.since), (child.id(), 42));
    assert_eq!(held.http.as_deref(), Some("127.0.0.1:1"));
    assert_eq!(held.pg.as_deref(), Some("127.0.0.1:2"));
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", child.id())), "{text}");
    assert_eq!(holder_of(dir.path()).as_ref(), Some(held));
    child.kill().expect("kill");
    child.wait().expect("wait");
}

#[test]
fn kill_9_frees_the_folder_every_time() {
    let dir = tempfile::tempdir().expect("dir");
    for round in 0..5 {
        let mut child = spawn_holder(dir.path());
        assert_eq!(holder_of(dir.path()).map(|held| held.pid), Some(child.id()), "round {round}");
        child.kill().expect("SIGKILL");
        child.wait().expect("wait");
        assert_eq!(holder_of(dir.path()), None, "round {round}");
    }
    let lock = OwnerLock::acquire(dir.path(), &ManualClock::at(7)).expect("free");
    assert_eq!(lock.holder().pid, std::process::id());
}

#[test]
fn looking_neither_takes_nor_creates() {
    let dir = tempfile::tempdir().expect("dir");
    assert_eq!(holder_of(dir.path()), None);
    assert!(!dir.path().join(LOCK_FILE).exists());
    let lock = OwnerLock::acquire(dir.path(), &ManualClock::at(7)).expect("free");
    for _ in 0..100 {
        assert_eq!(holder_of(dir.path()).map(|held| held.since), Some(7));
    }
    drop(lock);
    assert_eq!(holder_of(dir.path()), None);
}

#[test]
fn lookers_do_not_keep_an_owner_out() {
    let dir = tempfile::tempdir().expect("dir");
    drop(OwnerLock::acquire(dir.path(), &ManualClock::at(0)).expect("free"));
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            for _ in 0..2_000 {
                OwnerLock::inspect(dir.path()).expect("inspect");
            }
        });
        for round in 0..50 {
            drop(OwnerLock::acquire(dir.path(), &ManualClock::at(round)).expect("free"));
        }
        looker.join().expect("looker");
    });
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("write");
    let error = OwnerLock::acquire(&file, &ManualClock::at(0)).expect_err("not a folder");
    assert!(matches!(error, LockError::Io { .. }) && error.to_string().contains("file"), "{error}");
}
