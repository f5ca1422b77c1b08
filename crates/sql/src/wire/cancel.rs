//! Cancelling a query from another connection, as Postgres does it.
//!
//! pgwire stops the planning of a cancelled query itself; the rows that are already flowing are
//! stopped here.

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::cancel::CancelHandler;
use datafusion_postgres::pgwire::api::{ClientInfo, ConnectionManager};
use datafusion_postgres::pgwire::messages::cancel::CancelRequest;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::sync::watch;

/// The connections whose queries may be cancelled.
#[derive(Default)]
pub struct Cancels {
    /// Knows the keys that clients have to show.
    pub manager: Arc<ConnectionManager>,
    sessions: Mutex<HashMap<i32, Weak<Session>>>,
}

/// Lives as long as its connection; counts the cancel requests that it got.
struct Session {
    count: watch::Sender<u64>,
}

impl Cancels {
    /// Resolves when somebody cancels the client's query; begins to listen now.
    pub fn watch(&self, client: &(impl ClientInfo + ?Sized)) -> watch::Receiver<u64> {
        let session = client
            .session_extensions()
            .get_or_insert_with(|| Arc::new(Session { count: watch::Sender::new(0) }));
        let (pid, _) = client.pid_and_secret_key();
        let mut sessions = self.sessions.lock();
        sessions.retain(|_, session| session.strong_count() > 0);
        sessions.insert(pid, Arc::downgrade(&session));
        session.count.subscribe()
    }
}

#[async_trait]
impl CancelHandler for Cancels {
    async fn on_cancel_request(&self, request: CancelRequest) {
        if !self.manager.cancel(request.pid, &request.secret_key).await {
            return;
        }
        let session = self.sessions.lock().get(&request.pid).and_then(Weak::upgrade);
        if let Some(session) = session {
            session.count.send_modify(|count| *count += 1);
        }
    }
}
