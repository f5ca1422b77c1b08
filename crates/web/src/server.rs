//! The server: accepting connections, and draining.
//!
//! ```text
//!  listening ──cancel──► draining: old connections finish their requests and close;
//!                        new ones are answered 503, but for health and metrics
//!                            └── the old ones are gone, or `drain_max` is over ──► closed
//! ```
//!
//! A connection holds one of `max_connections` places.

use crate::app::App;
use crate::auth::Auth;
use crate::connection::{Connection, HttpBuilder, http_settings};
use crate::options::{Serving, WebError, WebOptions};
use crate::tls;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often histograms are folded.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Wait after a failed `accept`: the process is out of files, and trying harder would not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that may wait to be accepted: a burst of clients beyond it waits for seconds, until the system
/// asks again. The system's own limit (`net.core.somaxconn`) stands above it.
const BACKLOG: u32 = 4096;
/// Answers to connections that came while draining get this long.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Starts to listen. `drain` begins the end; [`Serving::join`] is it.
///
/// # Errors
/// If the address cannot be had, the certificate or a key's hash cannot be used, or the address is
/// reachable from elsewhere while there are no keys.
pub async fn serve(options: WebOptions, drain: CancellationToken) -> Result<Serving, WebError> {
    let auth = Auth::new(&options.server.keys)?;
    let acceptor = options.server.tls.as_ref().map(tls::acceptor).transpose()?;
    let listen = options.server.listen.clone();
    let fail = |source| WebError::Listen { listen: listen.clone(), source };
    let listener = bind(&listen).await.map_err(fail)?;
    let addr = listener.local_addr().map_err(fail)?;
    if auth.is_open() && !addr.ip().is_loopback() && !options.server.allow_unauthenticated {
        return Err(WebError::Unauthenticated(addr));
    }
    let places = Arc::new(Semaphore::new(options.server.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let (head_timeout, drain_max) = (options.server.request_timeout.0, options.drain_max);
    let app = Arc::new(App::new(options, auth, drain.clone()));
    let server = Server {
        listener,
        acceptor,
        places,
        http: Arc::new(http_settings(head_timeout)),
        app,
        head_timeout,
        drain,
        abort: CancellationToken::new(),
    };
    Ok(Serving { addr, join: tokio::spawn(server.run(drain_max)) })
}

/// Listens at the first of the name's addresses that can be had.
async fn bind(listen: &str) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for addr in tokio::net::lookup_host(listen).await? {
        let listening = || {
            let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // The address of a server that ended a moment ago can be had at once.
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            socket.listen(BACKLOG)
        };
        match listening() {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

struct Server {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    http: Arc<HttpBuilder>,
    app: Arc<App>,
    head_timeout: Duration,
    drain: CancellationToken,
    /// Cuts off what draining did not end.
    abort: CancellationToken,
}

impl Server {
    async fn run(self, drain_max: Duration) {
        let upkeep = tokio::spawn(upkeep(self.app.clone()));
        let connections = TaskTracker::new();
        self.accept_until(&connections, self.drain.cancelled()).await;
        connections.close();
        let late = TaskTracker::new();
        let drained = async {
            if tokio::time::timeout(drain_max, connections.wait()).await.is_err() {
                tracing::warn!(open = connections.len(), "cutting off requests that did not finish in time");
            }
        };
        self.accept_until(&late, drained).await;
        drop(self.listener);
        late.close();
        // Late connections that do not read their answer are cut off with the rest.
        let _ = tokio::time::timeout(LATE_MAX, late.wait()).await;
        self.abort.cancel();
        connections.wait().await;
        late.wait().await;
        upkeep.abort();
    }

    async fn accept_until(&self, tasks: &TaskTracker, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            let accepted = tokio::select! {
                biased;
                () = end.as_mut() => return,
                accepted = self.accept() => accepted,
            };
            let Some((stream, place)) = accepted else { continue };
            let connection = Connection {
                http: self.http.clone(),
                app: self.app.clone(),
                head_timeout: self.head_timeout,
                drain: (!self.drain.is_cancelled()).then(|| self.drain.clone()),
                abort: self.abort.clone(),
            };
            let acceptor = self.acceptor.clone();
            tasks.spawn(async move {
                connection.app.telemetry.connections.increment(1.0);
                connection.shake_hands_and_drive(stream, acceptor).await;
                connection.app.telemetry.connections.decrement(1.0);
                drop(place);
            });
        }
    }

    async fn accept(&self) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let place = self.places.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _peer)) => Some((stream, place)),
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

async fn upkeep(app: Arc<App>) {
    let mut every = tokio::time::interval(UPKEEP_EVERY);
    loop {
        every.tick().await;
        app.upkeep();
    }
}
