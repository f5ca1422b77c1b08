//! S3 against a real server: SeaweedFS, when `BOURN_SEAWEEDFS` names its `weed` binary.

use crate::lab::{Lab, assert_exact, events};
use bourn_config::Storage;
use bourn_lake::Lake;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Server {
    child: Child,
    endpoint: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn start(binary: &str) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let s3 = free_port();
    let child = Command::new(binary)
        .arg("server")
        .arg(format!("-dir={}", folder.path().display()))
        .args(["-ip=127.0.0.1", "-filer", "-s3"])
        .arg(format!("-s3.port={s3}"))
        .arg(format!("-master.port={}", free_port()))
        .arg(format!("-volume.port={}", free_port()))
        .arg(format!("-filer.port={}", free_port()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..600 {
        if TcpStream::connect(("127.0.0.1", s3)).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Server { child, endpoint: format!("http://127.0.0.1:{s3}"), _folder: folder }
}

fn storage(server: &Server) -> Storage {
    let mut storage = Storage { lake: "s3://lake/shop".into(), ..Storage::default() };
    let options = [
        ("endpoint", server.endpoint.as_str()),
        ("allow_http", "true"),
        ("region", "us-east-1"),
        ("access_key_id", "any"),
        ("secret_access_key", "any"),
        ("skip_signature", "true"),
    ];
    storage.options.extend(options.map(|(k, v)| (k.to_string(), v.to_string())));
    storage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_on_s3_is_committed_exactly_once_by_conditional_puts() {
    let Ok(binary) = std::env::var("BOURN_SEAWEEDFS") else {
        eprintln!("skipped: BOURN_SEAWEEDFS is not set");
        return;
    };
    let server = start(&binary).await;
    let bucket = AmazonS3Builder::new()
        .with_endpoint(&server.endpoint)
        .with_bucket_name("lake")
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_skip_signature(true)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build()
        .unwrap();
    make_bucket(&server).await;
    let path = Path::from("probe");
    let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    bucket.put_opts(&path, "a".into(), create()).await.unwrap();
    let second = bucket.put_opts(&path, "b".into(), create()).await;
    assert!(matches!(second, Err(object_store::Error::AlreadyExists { .. })), "{second:?}");
    assert_eq!(bucket.get(&path).await.unwrap().bytes().await.unwrap().as_ref(), b"a");

    let lab = Lab::new();
    let open = async || {
        let lake = Lake::open(&storage(&server), lab.folder.path()).unwrap();
        lake.table(lab.partitioned(&["who"])).await.unwrap()
    };
    let table = open().await;
    for n in 0..4 {
        table.push(events(n * 100, n * 100 + 100)).await.unwrap();
        table.flush().await.unwrap();
    }
    table.compact().await.unwrap();
    table.checkpoint().await.unwrap();
    table.close().await.unwrap();
    let table = open().await;
    assert_exact(&table, 400).await;
}

/// `PUT /lake`: the one request that an object store has no call for.
async fn make_bucket(server: &Server) {
    use std::io::{Read, Write};
    let address = server.endpoint.trim_start_matches("http://").to_string();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "PUT /lake HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        if answer.starts_with("HTTP/1.1 200") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the bucket cannot be made");
}
