//! The Postgres wire: a listener that speaks protocol 3 to psql, drivers and BI tools.
//!
//! ```text
//!  accept ─► startup (trust or SCRAM) ─► session ─┬─ simple query ───┐
//!                                                 └─ extended query ─┴─► Engine::plan, Engine::run
//! ```
//!
//! The protocol and the encoding of rows are pgwire's and datafusion-postgres'. Every statement
//! is planned and run by the [`Engine`], under its limits; prepared statements are planned anew at
//! each execution, so that they see fresh data. Transactions are accepted and mean nothing:
//! everything only reads. Left out on purpose: COPY, LISTEN that ever notifies, server-side PREPARE.

mod cancel;
mod compat;
mod cursors;
mod error;
mod params;
mod session;
mod settings;
mod startup;

use crate::engine::Engine;
use crate::error::SqlError;
use cancel::Cancels;
use datafusion_postgres::pgwire::tokio::process_socket;
use session::Wire;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// How the Postgres listener is reached.
#[derive(Clone)]
pub struct PgOptions {
    /// `HOST:PORT`; port 0 picks a free one.
    pub listen: String,
    /// The only user who may log in; anybody if there is no password.
    pub user: String,
    /// Checked by SCRAM-SHA-256. `None` trusts everybody, which only a loopback address may do.
    pub password: Option<String>,
    /// Offered to clients that ask for it.
    pub tls: Option<Arc<ServerConfig>>,
    /// Further ones are told so and closed.
    pub connections_max: usize,
    /// How long a shutdown waits for running queries.
    pub drain: Duration,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:5433".to_owned(),
            user: "bourn".to_owned(),
            password: None,
            tls: None,
            connections_max: 100,
            drain: Duration::from_secs(10),
        }
    }
}

/// A running listener. Dropping it closes it and every connection at once.
pub struct PgServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    running: watch::Receiver<usize>,
    drain: Duration,
    task: tokio::task::JoinHandle<()>,
}

impl PgServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no further connection or query, waits for the running ones as long as the options
    /// say, then closes everything.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let idle = self.running.wait_for(|running| *running == 0);
        if timeout(self.drain, idle).await.is_err() {
            tracing::warn!("queries on the Postgres listener were cut off by the shutdown");
        }
    }
}

impl Drop for PgServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    /// Serves the catalog over the Postgres protocol.
    pub async fn postgres(self: Arc<Self>, options: PgOptions) -> Result<PgServer, SqlError> {
        let failed = |source| SqlError::Listen { address: options.listen.clone(), source };
        let listener = TcpListener::bind(&options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if options.password.is_none() && !address.ip().is_loopback() {
            return Err(SqlError::Open(options.listen));
        }
        let (stop, stopping) = watch::channel(false);
        let (running, running_seen) = watch::channel(0);
        let drain = options.drain;
        let shared = Arc::new(Shared {
            engine: self,
            cancels: Arc::new(Cancels::default()),
            seats: Arc::new(Semaphore::new(options.connections_max)),
            running,
            stopping,
            options,
        });
        let task = tokio::spawn(accept(listener, shared));
        Ok(PgServer { address, stop, running: running_seen, drain, task })
    }
}

/// What all connections of a listener share.
pub(crate) struct Shared {
    engine: Arc<Engine>,
    options: PgOptions,
    cancels: Arc<Cancels>,
    seats: Arc<Semaphore>,
    /// Queries whose rows are still being sent.
    running: watch::Sender<usize>,
    stopping: watch::Receiver<bool>,
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut stopping = shared.stopping.clone();
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => break,
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => drop(connections.spawn(serve(socket, shared.clone()))),
                // Out of file descriptors: those that are open must have a chance to close.
                Err(error) => {
                    tracing::warn!("the Postgres listener cannot accept: {error}");
                    tokio::task::yield_now().await;
                }
            },
        }
    }
    drop(listener);
    // Held open for the queries that are still running; the server's end aborts this task.
    while connections.join_next().await.is_some() {}
}

/// Resolves once the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    while !*stopping.borrow_and_update() {
        if stopping.changed().await.is_err() {
            return;
        }
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) {
    let seat = shared.seats.clone().try_acquire_owned().ok();
    let tls = shared.options.tls.clone().map(TlsAcceptor::from);
    let wire = Arc::new(Wire::new(shared, seat.is_some()));
    if let Err(error) = process_socket(socket, tls, wire).await {
        tracing::debug!("a Postgres connection ended: {error}");
    }
    drop(seat);
}
