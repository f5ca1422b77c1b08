//! One connection: TLS, HTTP/1.1 and HTTP/2, and what ends it from outside.
//!
//! | it ends | when |
//! | --- | --- |
//! | by its client's silence | for a whole request timeout no request began, none is open and nothing was sent |
//! | by draining | it finished what it began; if it does not close then, when it was idle for [`IDLE_DRAIN`] |
//! | by being cut off | draining took too long |
//!
//! A client is looked at once a request timeout, so it is silent for up to two before it is cut off: no request
//! sets a timer of its own.

use crate::app::App;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

const HEAD_BYTES_MAX: u32 = 32 << 10;
/// HTTP/1.1 read buffer; also the largest request head.
const BUFFER_BYTES_MAX: usize = 256 << 10;
const HTTP2_STREAMS_MAX: u32 = 256;
/// HTTP/2 waits for the client to confirm that it sends nothing more; one that does not read never does.
const IDLE_DRAIN: Duration = Duration::from_secs(1);

pub(crate) type HttpBuilder = auto::Builder<TokioExecutor>;

pub(crate) fn http_settings(head_timeout: Duration) -> HttpBuilder {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().header_read_timeout(None).max_buf_size(BUFFER_BYTES_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .keep_alive_interval(Some(head_timeout))
        .keep_alive_timeout(head_timeout);
    http
}

/// What a connection needs of its server.
pub(crate) struct Connection {
    pub http: Arc<HttpBuilder>,
    pub app: Arc<App>,
    pub head_timeout: Duration,
    /// Not there for connections that came while draining: they are to be answered.
    pub drain: Option<CancellationToken>,
    pub abort: CancellationToken,
}

/// What a connection is told from outside.
enum Told {
    Drain,
    Close,
}

impl Connection {
    pub async fn shake_hands_and_drive(&self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        // Answers are small and wanted at once; a socket that cannot be told so still works.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = acceptor else { return self.drive(stream).await };
        let handshake = tokio::time::timeout(self.head_timeout, acceptor.accept(stream));
        tokio::select! {
            shaken = handshake => match shaken {
                Ok(Ok(stream)) => self.drive(stream).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            },
            () = self.abort.cancelled() => {}
        }
    }

    async fn drive(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let activity = Arc::new(Activity::default());
        let io = Watched { io, activity: activity.clone() };
        let service = service_fn({
            let (app, activity) = (self.app.clone(), activity.clone());
            move |request: Request<Incoming>| {
                let open = Open::new(&activity, request.version());
                let app = app.clone();
                async move {
                    let response = app.answer(request).await;
                    drop(open);
                    Ok::<_, Infallible>(response)
                }
            }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(io), service));
        // Polled only when one of them has something to say: the task is woken several times a request, and
        // each of them would take a lock that all connections share.
        let mut outside: FuturesUnordered<BoxFuture<'_, Told>> = FuturesUnordered::new();
        outside.push(self.abort.cancelled().map(|()| Told::Close).boxed());
        outside.push(activity.silence(self.head_timeout, Activity::is_not_pinged).boxed());
        if let Some(drain) = &self.drain {
            outside.push(drain.cancelled().map(|()| Told::Drain).boxed());
        }
        loop {
            let told = tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                Some(told) = outside.next() => told,
            };
            match told {
                Told::Close => return,
                Told::Drain => {
                    connection.as_mut().graceful_shutdown();
                    outside.push(activity.silence(IDLE_DRAIN, Activity::waits_for_pings).boxed());
                }
            }
        }
    }
}

/// What a connection has done.
#[derive(Default)]
struct Activity {
    begun: AtomicU64,
    open: AtomicU64,
    /// Of `begun`, those of HTTP/2, whose pings notice that nobody is there.
    pinged: AtomicU64,
    written_bytes: AtomicU64,
}

impl Activity {
    /// Ends when the connection did nothing for a whole `pause`, if it is one of those that `may_end` by that.
    async fn silence(&self, pause: Duration, may_end: fn(&Activity) -> bool) -> Told {
        let mut seen = (0, 0);
        loop {
            tokio::time::sleep(pause).await;
            let now = (self.begun.load(Relaxed), self.written_bytes.load(Relaxed));
            let did_nothing = now == seen || now.0 == 0;
            if did_nothing && self.open.load(Relaxed) == 0 && may_end(self) {
                return Told::Close;
            }
            seen = now;
        }
    }

    /// Speaks HTTP/1.1, or has said nothing yet.
    fn is_not_pinged(&self) -> bool {
        self.pinged.load(Relaxed) == 0
    }

    /// Speaks HTTP/2, or has said nothing yet. HTTP/1.1 closes by itself when its answer is sent, and a client
    /// that is slow to read it has time until draining ends.
    fn waits_for_pings(&self) -> bool {
        self.pinged.load(Relaxed) == self.begun.load(Relaxed)
    }
}

/// A request that is being answered.
struct Open(Arc<Activity>);

impl Open {
    fn new(activity: &Arc<Activity>, version: Version) -> Self {
        activity.begun.fetch_add(1, Relaxed);
        activity.open.fetch_add(1, Relaxed);
        if version >= Version::HTTP_2 {
            activity.pinged.fetch_add(1, Relaxed);
        }
        Self(activity.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Counts what is written.
struct Watched<I> {
    io: I,
    activity: Arc<Activity>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.activity.written_bytes.fetch_add(written as u64, Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.io).poll_write_vectored(cx, parts))?;
        self.activity.written_bytes.fetch_add(written as u64, Relaxed);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
