//! The streams seam: events that workflows, functions and schedules send, through the same door as
//! those from outside.

use async_trait::async_trait;
use bourn_event::{Ack, Producer, SendError, Sending, Sent, Streams};
use bourn_ingest::{Framing, IngestError, Shape, StreamPort, Submission};
use bytes::{BufMut, BytesMut};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Errors of a sending that are told one by one.
const ERRORS_MAX: usize = 10;

/// The streams of a running pipeline.
pub struct Ports(pub Arc<BTreeMap<String, Arc<StreamPort>>>);

#[async_trait]
impl Streams for Ports {
    async fn send(&self, sending: Sending) -> Result<Sent, SendError> {
        let Some(port) = self.0.get(&sending.stream) else {
            return Err(SendError::NotFound(sending.stream));
        };
        let submission = Submission {
            // An array keeps an event that spans lines, or is no JSON, one event.
            body: array(&sending),
            framing: Framing::Plain(Shape::Json),
            source: sending.source.into(),
            producer: sending.id.as_deref().map(Producer::once),
            ack: Ack::Durable,
            strict: false,
        };
        match port.submit(submission).await {
            Ok(answer) => Ok(Sent {
                accepted: answer.accepted,
                rejected: answer.rejected,
                first_offset: answer.first_offset,
                errors: answer
                    .errors
                    .into_iter()
                    .take(ERRORS_MAX)
                    .map(|error| (usize::try_from(error.index).unwrap_or(usize::MAX), error.message))
                    .collect(),
            }),
            Err(IngestError::Empty) => Ok(Sent::default()),
            Err(error) => Err(SendError::Unavailable { stream: sending.stream, why: error.to_string() }),
        }
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

fn array(sending: &Sending) -> bytes::Bytes {
    let size: usize = sending.events.iter().map(|event| event.len() + 1).sum();
    let mut body = BytesMut::with_capacity(size + 2);
    body.put_u8(b'[');
    for (index, event) in sending.events.iter().enumerate() {
        if index > 0 {
            body.put_u8(b',');
        }
        body.put_slice(event);
    }
    body.put_u8(b']');
    body.freeze()
}
