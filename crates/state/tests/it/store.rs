//! The store: reopening, atomicity, scopes, versions, errors.

use bourn_state::{Durability, FORMAT_VERSION, Key, KeyKind, Scope, State, StateError};

fn finished(stream: &str, identity: &str) -> Key {
    Key::FinishedFile { stream: stream.into(), identity: identity.into() }
}

#[test]
fn what_was_put_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("dir");
    let key = finished("orders", "x");
    {
        let state = State::open(dir.path()).expect("open");
        state.put(&key, &("path.jsonl", 17), Durability::Synced).expect("put");
        state.put(&finished("orders", "gone"), &1, Durability::Buffered).expect("put");
        state.delete(&finished("orders", "gone"), Durability::Synced).expect("delete");
    }
    let state = State::open(dir.path()).expect("reopen");
    assert_eq!(state.get(&key).expect("get"), Some(("path.jsonl".to_owned(), 17)));
    assert!(!state.contains(&finished("orders", "gone")).expect("contains"));
}

#[test]
fn a_batch_is_all_or_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let state = State::open(dir.path()).expect("open");
    let (a, b) = (finished("s", "a"), finished("s", "b"));
    state.put(&a, &1, Durability::Synced).expect("put");

    let mut dropped = state.batch();
    dropped.put(&b, &2).expect("put");
    dropped.delete(&a);
    drop(dropped);
    assert_eq!(state.get(&a).expect("get"), Some(1));
    assert_eq!(state.get::<i32>(&b).expect("get"), None);

    let mut batch = state.batch();
    batch.put(&b, &2).expect("put");
    batch.delete(&a);
    batch.commit(Durability::Synced).expect("commit");
    drop(state);
    let state = State::open(dir.path()).expect("reopen");
    assert_eq!(state.get::<i32>(&a).expect("get"), None);
    assert_eq!(state.get(&b).expect("get"), Some(2));
}

#[test]
fn a_torn_batch_at_the_journals_end_is_forgotten_as_a_whole() {
    let dir = tempfile::tempdir().expect("dir");
    {
        let state = State::open(dir.path()).expect("open");
        state.put(&finished("s", "before"), &1, Durability::Synced).expect("put");
    }
    let journal = journals(dir.path()).pop().expect("a journal");
    let whole = {
        let state = State::open(dir.path()).expect("open");
        let mut batch = state.batch();
        for i in 0..10 {
            batch.put(&finished("s", &format!("torn{i}")), &"some value of some length").expect("put");
        }
        batch.commit(Durability::Synced).expect("commit");
        std::fs::read(&journal).expect("journal")
    };
    let used = whole.iter().rposition(|byte| *byte != 0).expect("content") + 1;
    std::fs::write(&journal, &whole[..used - 20]).expect("tear");
    let state = State::open(dir.path()).expect("recovers");
    assert_eq!(state.get(&finished("s", "before")).expect("get"), Some(1));
    assert_eq!(
        state.scan::<String>(Scope::stream(KeyKind::FinishedFile, "s")).filter(Result::is_ok).count(),
        0
    );
}

fn journals(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(dir)
        .expect("dir")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .collect()
}

#[test]
fn a_scope_holds_its_own_keys_in_order() {
    let dir = tempfile::tempdir().expect("dir");
    let state = State::open(dir.path()).expect("open");
    for (stream, offset) in [("b", 1), ("a", 300), ("a", 2), ("aa", 7), ("a\0", 8)] {
        let key = Key::ResolvedReject { stream: stream.into(), offset };
        state.put(&key, &offset, Durability::Buffered).expect("put");
    }
    state.put(&finished("a", "file"), &0, Durability::Buffered).expect("put");
    let scan = |scope| -> Vec<u64> {
        state.scan(scope).map(|item| item.map(|(_, value)| value)).collect::<Result<_, _>>().expect("scan")
    };
    assert_eq!(scan(Scope::stream(KeyKind::ResolvedReject, "a")), [2, 300]);
    assert_eq!(scan(Scope::all(KeyKind::ResolvedReject)), [2, 300, 8, 7, 1]);
    assert_eq!(scan(Scope::stream(KeyKind::Replay, "a")), [0; 0]);
}

#[test]
fn a_newer_format_is_refused_with_the_folder_and_left_alone() {
    let dir = tempfile::tempdir().expect("dir");
    {
        let state = State::open(dir.path()).expect("open");
        state.put(&Key::FormatVersion, &(FORMAT_VERSION + 1), Durability::Synced).expect("put");
        state.put(&finished("s", "kept"), &1, Durability::Synced).expect("put");
    }
    let error = State::open(dir.path()).err().expect("refused");
    let text = error.to_string();
    assert!(matches!(error, StateError::NewerVersion { .. }), "{text}");
    assert!(text.contains(&dir.path().display().to_string()) && text.contains("newer version"), "{text}");
    let again = State::open(dir.path()).err().expect("still refused, not emptied");
    assert_eq!(again.to_string(), text);
}

#[test]
fn an_open_store_is_in_use() {
    let dir = tempfile::tempdir().expect("dir");
    let _state = State::open(dir.path()).expect("open");
    let error = State::open(dir.path()).err().expect("refused");
    assert!(matches!(error, StateError::InUse(_)), "{error}");
}

#[test]
fn a_value_of_another_type_names_its_key() {
    let dir = tempfile::tempdir().expect("dir");
    let state = State::open(dir.path()).expect("open");
    let key = Key::TableGeneration { stream: "orders".into() };
    state.put(&key, &"text", Durability::Synced).expect("put");
    let error = state.get::<u64>(&key).expect_err("not a number");
    assert!(error.to_string().contains("orders"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_with_its_name() {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("file");
    std::fs::write(&file, "not a folder").expect("write");
    let error = State::open(file.join("state")).err().expect("refused");
    assert!(error.to_string().contains("file/state"), "{error}");
}
