//! The event buses of workflows, as Tasks put events on them.

use async_trait::async_trait;
use bourn_integrations::{BusRefusal, EventBus};
use bourn_schedule::{Bus, BusError};
use serde_json::Value;
use std::sync::Arc;

pub struct Buses(pub Arc<Bus>);

#[async_trait]
impl EventBus for Buses {
    async fn put(&self, bus: &str, event: Value) -> Result<(), BusRefusal> {
        self.0.put(bus, event).await.map_err(|error| match error {
            BusError::Full | BusError::Closing => BusRefusal::Busy(error.to_string()),
            BusError::State(_) => BusRefusal::Failed(error.to_string()),
        })
    }
}
