//! Serves a running pipeline: HTTP, Postgres wire, file sources and upkeep, until it is told to stop.

use crate::cli::{Outcome, Stop};
use crate::compute::{Answers, Compute};
use crate::metrics;
use crate::pipeline::Pipeline;
use crate::signals::Signals;
use anyhow::{Context, Result, anyhow};
use bourn_aws::AwsOptions;
use bourn_ingest::{BodyLimits, Budget};
use bourn_web::{AwsRoutes, Readiness, Reason, Serving, StreamDoc, WebOptions};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// How long requests in flight may take to finish when the server drains.
const DRAIN_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// Addresses that override those of `bourn.yaml`.
#[derive(Clone, Debug, Default)]
pub struct Listen {
    pub http: Option<String>,
    pub pg: Option<String>,
}

/// Where the pipeline serves.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub http: SocketAddr,
    pg: Option<SocketAddr>,
}

impl Addresses {
    /// The Postgres address, or `off`.
    pub fn pg(&self) -> String {
        self.pg.map_or_else(|| "off".to_string(), |address| address.to_string())
    }

    pub fn pg_address(&self) -> Option<SocketAddr> {
        self.pg
    }
}

/// Serves until the signals say drain, then closes the pipeline. `ready` is called once everything
/// listens.
pub async fn until_stopped(
    pipeline: &Arc<Pipeline>,
    listen: Listen,
    signals: &Signals,
    ready: impl FnOnce(&Addresses),
) -> Outcome {
    let server = match Server::start(pipeline, listen, &signals.drain).await {
        Ok(server) => server,
        Err(error) => {
            pipeline.close().await?;
            return Err(Stop::Failed(error));
        }
    };
    ready(&server.addresses);
    signals.drain.cancelled().await;
    server.stop().await?;
    pipeline.close().await?;
    Ok(())
}

/// A pipeline that serves.
pub struct Server {
    pub addresses: Addresses,
    web: Serving,
    pg: Option<bourn_sql::PgServer>,
    files: crate::files::FileTasks,
    upkeep: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
}

impl Server {
    pub async fn start(pipeline: &Arc<Pipeline>, listen: Listen, drain: &CancellationToken) -> Result<Self> {
        let stop = drain.child_token();
        let settings = &pipeline.definition.loaded.pipeline;
        let mut server = settings.server.clone();
        if let Some(address) = listen.http {
            server.listen = address;
        }
        let compute = pipeline.compute().await?;
        let web = bourn_web::serve(web_options(pipeline, compute, server, &stop)?, stop.clone()).await?;
        let pg = start_postgres(pipeline, listen.pg).await?;
        let addresses = Addresses { http: web.addr, pg: pg.as_ref().map(|pg| pg.address()) };
        pipeline.publish(Some(addresses.http), addresses.pg)?;
        let files = pipeline.start_files(&stop, false)?;
        compute.start(pipeline)?;
        let upkeep = tokio::spawn(pipeline.clone().maintain(stop.clone()));
        Ok(Self { addresses, web, pg, files, upkeep, stop })
    }

    /// Takes nothing new, finishes what was begun.
    pub async fn stop(self) -> Result<()> {
        self.stop.cancel();
        self.web.join.await.context("the HTTP server panicked")?;
        if let Some(pg) = self.pg {
            pg.shutdown().await;
        }
        self.files.join().await?;
        self.upkeep.await.context("the upkeep panicked")
    }
}

fn web_options(
    pipeline: &Arc<Pipeline>,
    compute: &Arc<Compute>,
    mut server: bourn_config::Server,
    drain: &CancellationToken,
) -> Result<WebOptions> {
    if let Some(tls) = &mut server.tls {
        let dir = &pipeline.definition.loaded.dir;
        (tls.cert, tls.key) = (dir.join(&tls.cert), dir.join(&tls.key));
    }
    let limits = BodyLimits {
        max_body: server.max_body.bytes(),
        max_inflated: server.max_inflated.bytes(),
        in_flight: Budget::new(server.max_in_flight.bytes()),
        timeout: server.request_timeout.0,
    };
    let watched = pipeline.clone();
    Ok(WebOptions {
        ingest: Arc::new(bourn_ingest::handler(pipeline.http_ports(), limits)),
        query: pipeline.engine.clone(),
        admin: pipeline.admin(),
        streams: pipeline
            .definition
            .streams
            .values()
            .map(|stream| StreamDoc { name: stream.name.clone(), json_schema: stream.schema_json.clone() })
            .collect(),
        ready: Arc::new(move || readiness(&watched)),
        aws: Some(aws_routes(pipeline, compute, drain)),
        tasks: Some(Arc::new(Answers(compute.workflows.clone()))),
        metrics: metrics::install()?,
        drain_max: DRAIN_MAX,
        server,
    })
}

/// AWS's own protocols over functions and workflows.
fn aws_routes(pipeline: &Arc<Pipeline>, compute: &Arc<Compute>, drain: &CancellationToken) -> AwsRoutes {
    let settings = &pipeline.definition.loaded.pipeline;
    let router = bourn_aws::router(AwsOptions {
        aws: settings.aws.clone(),
        clock: pipeline.clock.clone(),
        functions: pipeline.functions.clone(),
        function_settings: settings.functions.clone(),
        workflows: Arc::new(compute.workflows.clone()),
        drain: drain.clone(),
    });
    AwsRoutes { router, signed: !settings.aws.keys.is_empty() }
}

fn readiness(pipeline: &Pipeline) -> Readiness {
    let mut reasons: Vec<Reason> = pipeline
        .stopped_streams()
        .into_iter()
        .map(|name| Reason { subject: format!("stream {name}"), message: "it stopped; see the log".into() })
        .collect();
    for stream in pipeline.streams.values() {
        for log in [&stream.events, &stream.rejects, &stream.outcomes] {
            if let Some(message) = log.failing() {
                reasons.push(Reason { subject: format!("log of stream {}", stream.name), message });
            }
        }
        let health = stream.table.health();
        if health.failing_since.is_some() {
            let message = health.last_error.unwrap_or_default();
            reasons.push(Reason { subject: format!("table of stream {}", stream.name), message });
        }
    }
    if let Some(compute) = pipeline.compute_if_open() {
        let troubles = compute.runs.troubles().list();
        reasons.extend(troubles.into_iter().map(|(subject, message)| Reason { subject, message }));
    }
    Readiness { reasons }
}

async fn start_postgres(
    pipeline: &Arc<Pipeline>,
    listen: Option<String>,
) -> Result<Option<bourn_sql::PgServer>> {
    let settings = &pipeline.definition.loaded.pipeline.postgres;
    if !settings.enabled {
        return Ok(None);
    }
    let options = bourn_sql::PgOptions {
        listen: listen.unwrap_or_else(|| settings.listen.clone()),
        user: settings.user.clone(),
        password: settings.password.as_ref().map(|password| password.reveal().to_string()),
        ..bourn_sql::PgOptions::default()
    };
    let server = pipeline.engine.clone().postgres(options).await;
    server.map(Some).map_err(|error| anyhow!("{error}"))
}
