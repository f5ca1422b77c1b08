//! The AWS protocols, to try real clients against: over fakes, or with a folder over the workflow engine
//! (whose `lambda:invoke` echoes).
//! `cargo run -p bourn-aws --example serve_aws -- 127.0.0.1:8687 [--engine DIR] [KEY-ID SECRET]`.

#[path = "../tests/it/engine.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod engine;
#[path = "../tests/it/fakes.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod fakes;
#[path = "../tests/it/flows.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod flows;

use bourn_config::{AccessKey, Aws, Secret};
use bourn_event::SystemClock;
use std::path::Path;
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).peekable();
    let listen = args.next().unwrap_or("127.0.0.1:0".into());
    let dir = args.next_if_eq("--engine").and_then(|_| args.next());
    let mut aws = Aws::default();
    if let (Some(id), Some(secret)) = (args.next(), args.next()) {
        aws.keys = vec![AccessKey { id, secret: Secret::new(secret) }];
    }
    let server = match dir {
        Some(dir) => {
            let flows = Arc::new(engine::workflows(Path::new(&dir)).await);
            fakes::server_over(aws, Arc::new(SystemClock), flows)
        }
        None => fakes::server_with(aws, Arc::new(SystemClock)),
    };
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("ready http={}", listener.local_addr()?);
    axum::serve(listener, server.router).await?;
    Ok(())
}
