//! The server around a pipeline that is not there, to try HTTP clients and checkers against:
//! `cargo run -p bourn-web --example serve -- 127.0.0.1:8686 [API-KEY]`.

#[path = "../tests/it/fakes.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod fakes;

use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut options = fakes::options(Arc::new(fakes::FakeQuery::default()));
    options.server.listen = args.next().unwrap_or("127.0.0.1:0".into());
    if let Some(key) = args.next() {
        let hash: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
        options.server.keys = vec![bourn_config::ApiKey {
            name: "all".into(),
            hash: format!("sha256:{hash}"),
            streams: vec![],
            verbs: vec![],
        }];
    }
    let serving = bourn_web::serve(options, CancellationToken::new()).await?;
    println!("ready http={}", serving.addr);
    serving.join.await?;
    Ok(())
}
