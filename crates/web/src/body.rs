//! Bodies: the request's under a deadline and a memory budget, the answer's out of a channel.
//!
//! A request body that arrives with its headers costs one allocation and no timer. Bytes count against
//! the budget from when they are read until the request is answered, so a client that announces much and
//! sends little holds little.

use bytes::{Buf, Bytes};
use http::Version;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

/// How long, and how much, is read of a body that was answered before its end.
const LINGER_MAX: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 256 << 20;

/// Memory that request bodies in flight may take together, in bytes.
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Would this many more bytes fit now?
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        bytes <= self.limit.saturating_sub(self.used()) as u64
    }

    fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Relaxed);
        let fits = before.saturating_add(bytes) <= self.limit;
        if !fits {
            self.used.fetch_sub(bytes, Relaxed);
        }
        fits
    }
}

/// Why a body was cut off by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    Slow,
    Overloaded,
}

const NO_FAULT: u8 = 0;
const SLOW: u8 = 1;
const OVERLOADED: u8 = 2;

/// What a request holds of the budget, and what went wrong with its body: shared by the body, which
/// is handed to a handler, and the request's own task.
pub(crate) struct Watch {
    budget: Arc<Budget>,
    held: AtomicUsize,
    fault: AtomicU8,
}

impl Watch {
    pub(crate) fn new(budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { budget, held: AtomicUsize::new(0), fault: AtomicU8::new(NO_FAULT) })
    }

    pub(crate) fn fault(&self) -> Option<BodyFault> {
        match self.fault.load(Relaxed) {
            SLOW => Some(BodyFault::Slow),
            OVERLOADED => Some(BodyFault::Overloaded),
            _ => None,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held.load(Relaxed), Relaxed);
    }
}

/// Why reading a request body failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the request body did not arrive in time")]
    Slow,
    #[error("request bodies in flight take all the memory they may")]
    Overloaded,
    #[error("the request body broke off: {0}")]
    Broken(hyper::Error),
}

/// A body that is read on for a moment if its handler answers before it was read to its end.
///
/// A connection that closes with bytes unread is reset, and a client that is still sending may then never see
/// the answer that tells it why (RFC 9112, 9.6). HTTP/2 has frames to say so.
pub(crate) struct Lingering {
    inner: Option<Incoming>,
    ended: bool,
}

impl Lingering {
    pub(crate) fn new(inner: Incoming, version: Version) -> Self {
        Self { inner: Some(inner), ended: version >= Version::HTTP_2 }
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(inner).poll_frame(cx));
        self.ended |= !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.ended || self.is_end_stream() {
            return;
        }
        if let (Some(rest), Ok(runtime)) = (self.inner.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(read_on(rest));
        }
    }
}

async fn read_on(mut rest: Incoming) {
    let mut bytes = 0;
    let reading = async {
        while let Some(Ok(frame)) = rest.frame().await
            && bytes < LINGER_BYTES_MAX
        {
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    let _ = tokio::time::timeout(LINGER_MAX, reading).await;
}

/// A request body that is cut off at the deadline or when the budget is used up.
pub(crate) struct GuardedBody {
    inner: Lingering,
    watch: Arc<Watch>,
    deadline: Instant,
    /// Made when the client first lets us wait.
    timer: Option<Pin<Box<Sleep>>>,
}

impl GuardedBody {
    pub(crate) fn new(inner: Lingering, watch: Arc<Watch>, deadline: Instant) -> Self {
        Self { inner, watch, deadline, timer: None }
    }

    fn fail(&self, fault: u8, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.watch.fault.store(fault, Relaxed);
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Buf::remaining);
                if !self.watch.budget.take(bytes) {
                    return self.fail(OVERLOADED, BodyError::Overloaded);
                }
                self.watch.held.fetch_add(bytes, Relaxed);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::Broken(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let deadline = self.deadline;
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                match timer.as_mut().poll(cx) {
                    Poll::Ready(()) => self.fail(SLOW, BodyError::Slow),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer cut off in the middle: the connection ends without the answer's end, so that no client
/// takes a part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off: {0}")]
pub(crate) struct CutOff(pub(crate) String);

/// A response body whose chunks come from another task. The task notices a client that went away by
/// the closed channel.
pub(crate) struct ChannelBody(mpsc::Receiver<Result<Bytes, CutOff>>);

impl ChannelBody {
    pub(crate) fn new(chunks_max: usize) -> (mpsc::Sender<Result<Bytes, CutOff>>, Self) {
        let (sender, receiver) = mpsc::channel(chunks_max);
        (sender, Self(receiver))
    }
}

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
