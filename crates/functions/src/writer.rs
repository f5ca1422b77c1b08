//! Group commit for small durable writes: what arrives while one sync runs shares the next.

use bourn_state::{Durability, Key, State, StateError};
use serde_json::value::RawValue;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

/// Most writes under one sync.
const GROUP_MAX: usize = 512;

/// Keys with their new values; `None` deletes.
pub(crate) type Writes = Vec<(Key, Option<Box<RawValue>>)>;

struct Order {
    writes: Writes,
    durability: Durability,
    done: oneshot::Sender<Result<(), String>>,
}

/// Writes into the state, on a thread of its own.
pub(crate) struct Writer(Sender<Order>);

impl Writer {
    pub fn start(state: State) -> io::Result<Self> {
        let (sender, orders) = channel();
        std::thread::Builder::new().name("functions-state".into()).spawn(move || run(&state, &orders))?;
        Ok(Self(sender))
    }

    /// Resolves once the writes are in the state, as durable as asked for. All take effect or none.
    pub async fn write(&self, writes: Writes, durability: Durability) -> Result<(), String> {
        let gone = || "the thread that writes the state is gone".to_owned();
        let (done, answer) = oneshot::channel();
        self.0.send(Order { writes, durability, done }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn run(state: &State, orders: &Receiver<Order>) {
    while let Ok(first) = orders.recv() {
        let mut group = vec![first];
        group.extend(orders.try_iter().take(GROUP_MAX - 1));
        let result = commit(state, &group).map_err(|error| error.to_string());
        for order in group {
            let _ = order.done.send(result.clone());
        }
    }
}

fn commit(state: &State, group: &[Order]) -> Result<(), StateError> {
    let mut batch = state.batch();
    for (key, value) in group.iter().flat_map(|order| &order.writes) {
        match value {
            Some(value) => batch.put(key, value)?,
            None => batch.delete(key),
        }
    }
    let synced = group.iter().any(|order| order.durability == Durability::Synced);
    batch.commit(if synced { Durability::Synced } else { Durability::Buffered })
}
