//! The AWS protocols over fakes, to try real clients against:
//! `cargo run -p bourn-aws --example serve_aws -- 127.0.0.1:8687 [KEY-ID SECRET]`.

#[path = "../tests/it/fakes.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod fakes;
#[path = "../tests/it/flows.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod flows;

use bourn_config::{AccessKey, Aws, Secret};
use bourn_event::SystemClock;
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:0".into());
    let mut aws = Aws::default();
    if let (Some(id), Some(secret)) = (args.next(), args.next()) {
        aws.keys = vec![AccessKey { id, secret: Secret::new(secret) }];
    }
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("ready http={}", listener.local_addr()?);
    axum::serve(listener, fakes::server_with(aws, Arc::new(SystemClock)).router).await?;
    Ok(())
}
