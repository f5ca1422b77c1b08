//! Files: formats, resuming, growth, damage.

use crate::memory_log::MemoryLog;
use crate::world::{World, ndjson};
use arrow::array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bourn_config::{FileSource, Span};
use bourn_event::{AppendError, Log};
use bourn_ingest::{FileMemory, FileSourceError, FileSourceTask, FilesDone, RunMemory};
use flate2::{Compression, write::GzEncoder};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

struct Inbox {
    dir: TempDir,
    log: Arc<MemoryLog>,
    rejects: Arc<MemoryLog>,
    memory: Arc<RunMemory>,
}

impl Inbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self { dir, log: Arc::default(), rejects: Arc::default(), memory: Arc::default() }
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    }

    fn append(&self, name: &str, bytes: &str) {
        let path = self.dir.path().join(name);
        let mut file = fs::OpenOptions::new().append(true).open(path).expect("there");
        file.write_all(bytes.as_bytes()).expect("written");
    }

    fn task(&self, done: Option<&str>) -> FileSourceTask {
        FileSourceTask {
            port: World::over(Arc::clone(&self.log), Arc::clone(&self.rejects)).port,
            index: 1,
            dir: self.dir.path().into(),
            source: FileSource {
                path: "*.*".into(),
                format: None,
                watch: true,
                every: Span(Duration::from_millis(2)),
                done: done.map(PathBuf::from),
            },
            memory: Arc::clone(&self.memory) as Arc<dyn FileMemory>,
            observer: Arc::new(|_| {}),
        }
    }

    /// A new process that takes what is there.
    async fn once(&self) -> Result<FilesDone, FileSourceError> {
        self.task(None).run(CancellationToken::new(), true).await
    }

    fn world(&self) -> World {
        World::over(Arc::clone(&self.log), Arc::clone(&self.rejects))
    }

    /// Watches until the log has `events`.
    async fn watch_until(&self, events: u64) {
        let cancel = CancellationToken::new();
        let running = tokio::spawn(self.task(None).run(cancel.clone(), false));
        while self.log.end() < events && !running.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cancel.cancel();
        running.await.expect("no panic").expect("no failure");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn parquet(ids: std::ops::Range<i64>) -> Vec<u8> {
    let zoneless = DataType::Timestamp(TimeUnit::Microsecond, None);
    let schema =
        Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("at", zoneless, true)]);
    let times: TimestampMicrosecondArray = ids.clone().map(|id| (id % 2 == 0).then_some(id)).collect();
    let batch = RecordBatch::try_new(
        Arc::new(schema),
        vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(times)],
    )
    .expect("two columns");
    let mut bytes = Vec::new();
    let mut writer =
        ::parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("memory");
    writer.close().expect("memory");
    bytes
}

#[tokio::test]
async fn every_format_and_coding_is_read_once() {
    let text = ndjson(0..3);
    let two_members = [gzip(ndjson(0..2).as_bytes()), gzip(ndjson(2..3).as_bytes())].concat();
    let zst = zstd::encode_all(text.as_bytes(), 1).expect("memory");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a.jsonl", text.clone().into()),
        ("a.ndjson", text.trim_end().into()),
        ("a.json", "[{\"id\":0},\n{\"id\":\n1},{\"id\":2}]".into()),
        ("a.csv", "id,name\n0,\n1,x\r\n2,\"y\nz\"".into()),
        ("a.jsonl.gz", two_members),
        ("a.jsonl.zst", zst),
        ("a.csv.gz", gzip(b"id\n0\n1\n2\n")),
        ("a.parquet", parquet(0..3)),
    ];
    for (name, bytes) in cases {
        let inbox = Inbox::new();
        inbox.put(name, bytes);
        let done = inbox.once().await.expect("taken");
        assert_eq!((done.files, done.events, done.rejected, done.broken), (1, 3, 0, 0), "{name}");
        assert_eq!(inbox.world().ids(), [0, 1, 2], "{name}");
        assert_eq!(inbox.log.spans()[0].source, "files:1");
        let again = inbox.once().await.expect("nothing to take");
        assert_eq!((again.events, inbox.log.end()), (0, 3), "{name}");
    }
}

#[tokio::test]
async fn csv_values_have_the_types_of_the_schema() {
    let inbox = Inbox::new();
    inbox.put("a.csv", "id,price,ok,name,other\n1,2.50,TRUE,7,8\n2,,,,\n3,cheap,true,x,y\n4,1\n");
    let done = inbox.once().await.expect("taken");
    assert_eq!((done.events, done.rejected), (2, 2));
    assert_eq!(
        inbox.log.lines(),
        [
            r#"{"id":1,"price":2.50,"ok":true,"name":"7","other":"8"}"#,
            r#"{"id":2,"price":null,"ok":null,"name":null,"other":null}"#,
        ]
    );
    let rejected = inbox.world().rejected();
    assert_eq!(rejected[0]["pointer"], "/price");
    assert_eq!(rejected[1]["original"], "4,1\n");
}

#[tokio::test]
async fn parquet_times_without_a_zone_are_utc() {
    let inbox = Inbox::new();
    inbox.put("a.parquet", parquet(0..2));
    inbox.once().await.expect("taken");
    assert_eq!(inbox.log.lines()[0], r#"{"id":0,"at":"1970-01-01T00:00:00Z"}"#);
    assert_eq!(inbox.log.lines()[1], r#"{"id":1,"at":null}"#);
}

/// Stops before every single append to either log, starts again, and compares.
async fn check_resume(name: &str, bytes: &[u8], events: u64, rejects: u64) {
    let mut crashes = 0;
    for in_rejects in [false, true] {
        for stop in 0.. {
            let case = format!("{name}, stopped before append {stop}, in the rejects: {in_rejects}");
            let inbox = Inbox::new();
            inbox.put(name, bytes);
            let crashed = if in_rejects { &inbox.rejects } else { &inbox.log };
            crashed.crash_after(Some(stop));
            let first = inbox.once().await;
            crashed.crash_after(None);
            inbox.once().await.expect("the second run succeeds");
            assert_eq!(inbox.world().ids(), (0..events as i64).collect::<Vec<_>>(), "{case}");
            assert_eq!(inbox.rejects.lines().len() as u64, rejects, "{case}");
            if first.is_ok() {
                break;
            }
            crashes += 1;
        }
    }
    assert!(crashes > 3, "{name}: only {crashes} crashes");
}

#[tokio::test]
async fn a_crash_at_any_batch_loses_and_repeats_nothing() {
    let filler = "x".repeat(300);
    let mut text = String::new();
    for id in 0..12_000 {
        text += &format!("{{\"id\":{id},\"name\":\"{filler}\"}}\n");
        if id % 1000 == 7 {
            text += "bad\n";
        }
    }
    check_resume("a.jsonl", text.as_bytes(), 12_000, 12).await;
    check_resume("a.jsonl.gz", &gzip(text.as_bytes()), 12_000, 12).await;
    let mut csv = String::from("id,name\n");
    (0..12_000).for_each(|id| csv += &format!("{id},{filler}\n"));
    csv += "bad\n";
    check_resume("a.csv", csv.as_bytes(), 12_000, 1).await;
    let array = format!("[{}]", text.replace("bad\n", "").trim_end().replace('\n', ",\n"));
    check_resume("a.json", array.as_bytes(), 12_000, 0).await;
}

#[tokio::test]
async fn parquet_resumes_at_a_row() {
    check_resume("a.parquet", &parquet(0..150_000), 150_000, 0).await;
}

#[tokio::test]
async fn a_growing_file_is_followed_by_whole_lines() {
    let inbox = Inbox::new();
    inbox.put("a.jsonl", "{\"id\":0}\n{\"i");
    inbox.watch_until(1).await;
    assert_eq!(inbox.world().ids(), [0]);
    inbox.append("a.jsonl", "d\":1}\n{\"id\":2}\n");
    inbox.watch_until(3).await;
    inbox.append("a.jsonl", &ndjson(3..2000));
    inbox.watch_until(2000).await;
    inbox.append("a.jsonl", "{\"id\":2000}");
    inbox.watch_until(2001).await;
    assert_eq!(inbox.world().ids(), (0..2001).collect::<Vec<_>>());
    assert!(inbox.rejects.lines().is_empty());
}

#[tokio::test]
async fn a_file_of_the_same_name_with_other_content_is_another_file() {
    let inbox = Inbox::new();
    inbox.put("a.jsonl", ndjson(0..3));
    inbox.once().await.expect("taken");
    inbox.put("a.jsonl", ndjson(5..6));
    inbox.once().await.expect("taken");
    inbox.put("a.jsonl", ndjson(7..1000));
    inbox.once().await.expect("taken");
    let path = inbox.dir.path();
    fs::rename(path.join("a.jsonl"), path.join("b.jsonl")).expect("renamed");
    inbox.once().await.expect("known by its content");
    let expected: Vec<i64> = (0..3).chain(5..6).chain(7..1000).collect();
    assert_eq!(inbox.world().ids(), expected);
}

#[tokio::test]
async fn a_broken_file_is_one_reject_and_the_next_goes_on() {
    let good = gzip(ndjson(0..50_000).as_bytes());
    let mut damaged_parquet = parquet(0..10);
    let len = damaged_parquet.len();
    damaged_parquet[len - 20..].fill(0xff);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a.jsonl.gz", good[..good.len() / 2].to_vec()),
        ("a.jsonl.gz", b"not gzip".to_vec()),
        ("a.jsonl.zst", b"not zstd".to_vec()),
        ("a.parquet", damaged_parquet),
        ("a.parquet", b"PAR1".to_vec()),
        ("a.csv", b"id,id\n1,2\n".to_vec()),
        ("a.unknown", b"{}".to_vec()),
    ];
    for (name, bytes) in cases {
        let inbox = Inbox::new();
        inbox.put(name, &bytes);
        inbox.put("b.jsonl", ndjson(90_000..90_002));
        for _ in 0..2 {
            inbox.once().await.expect("the source goes on");
            let rejected = inbox.world().rejected();
            assert_eq!(rejected.len(), 1, "{name}");
            assert_eq!(rejected[0]["reason"], "file", "{name}");
            let message = rejected[0]["message"].as_str().unwrap_or_default();
            assert!(message.starts_with(&format!("`{name}`, bytes 0 to {}:", bytes.len())), "{message}");
            assert_eq!(inbox.world().ids().last(), Some(&90_001), "{name}");
        }
    }
}

#[tokio::test]
async fn lines_that_are_too_large_are_rejects_of_bounded_size() {
    let inbox = Inbox::new();
    let huge = format!("{{\"id\":1,\"name\":\"{}\"}}", "x".repeat(5 << 20));
    inbox.put("a.jsonl", format!("{huge}\n{{\"id\":2}}\n"));
    inbox.put("b.json", format!("[{huge},{{\"id\":3}}]"));
    inbox.put("c.csv", format!("id,name\n1,{}\n4,x\n", "x".repeat(5 << 20)));
    let done = inbox.once().await.expect("taken");
    assert_eq!((done.events, done.rejected), (3, 3));
    assert_eq!(inbox.world().ids(), [2, 3, 4]);
    for reject in inbox.world().rejected() {
        assert_eq!(reject["reason"], "too_large");
        assert_eq!(reject["original"].as_str().map(str::len), Some(crate::world::MAX_REJECT));
        assert!(reject["original_len"].as_u64() > Some(5 << 20));
    }
}

#[tokio::test]
async fn a_full_log_delays_a_file_and_loses_nothing() {
    let inbox = Inbox::new();
    inbox.put("a.jsonl", ndjson(0..100));
    let full = AppendError::Full { retry_after: Duration::from_millis(1) };
    inbox.log.fail([full.clone(), AppendError::Unavailable("disk".into()), full]);
    let done = inbox.once().await.expect("taken");
    assert_eq!((done.events, inbox.log.end()), (100, 100));
}

#[tokio::test]
async fn finished_files_are_moved_when_asked() {
    let inbox = Inbox::new();
    for round in 0..2 {
        inbox.put("a.jsonl", ndjson(round * 10..round * 10 + 3));
        let done = inbox.task(Some("done")).run(CancellationToken::new(), true).await.expect("taken");
        assert_eq!(done.events, 3);
    }
    let moved = inbox.dir.path().join("done");
    assert!(moved.join("a.jsonl").exists() && moved.join("a.jsonl.1").exists());
    assert!(!inbox.dir.path().join("a.jsonl").exists());
}
