//! Workflows: executions of Amazon States Language machines, durable and resumable.
