//! Starting a process and looking after it until it is gone: deadlines, memory, idleness.

use crate::api;
use crate::intake::Intake;
use crate::pool::Pool;
use crate::process::{Ending, GRACE, Process};
use crate::roster::{AWAY_FRESH, Stand};
use crate::spawn::Ticket;
use crate::warden;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::process::Child;

/// A process with work is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// One without is looked at this often for a while, and then only when it may be put away.
const LOOK_IDLE_EVERY: Duration = Duration::from_millis(100);
const LOOK_IDLE_FOR: Duration = Duration::from_secs(1);

impl Pool {
    /// Starts the process of an id and looks after it to its end.
    pub(crate) async fn start(self: Arc<Self>, id: u64) {
        let (process, child) = match self.begin(id).await {
            Ok(begun) => begun,
            Err(error) => return self.start_failed(id, &error),
        };
        self.watch(process, child).await;
    }

    async fn begin(self: &Arc<Self>, id: u64) -> io::Result<(Arc<Process>, Child)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mark = format!("{}{}.{id}.", self.shared.host_mark, self.name);
        let log_stream =
            format!("{}[$LATEST]{}", date_path(self.shared.clock.now()), uuid::Uuid::new_v4().simple());
        let ticket = Ticket { port: listener.local_addr()?.port(), mark: mark.clone(), log_stream };
        let spawned = self.shared.spawner.spawn(self.program.clone(), ticket).await?;
        let (log, clock) = (self.log.clone(), self.shared.clock.clone());
        let intake = Intake::new(spawned.output, log, clock, self.name.clone(), spawned.pid)?;
        let process = Arc::new(Process::new(id, spawned.pid, mark, intake));
        self.meter.processes.increment(1.0);
        if !self.roster.lock().spawned(id, process.clone()) {
            process.end(&Ending::Cut);
        }
        tokio::spawn(api::serve(self.clone(), process.clone(), listener));
        let reader = process.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = reader.intake.follow() => {}
                () = reader.gone.cancelled() => {}
            }
        });
        Ok((process, spawned.child))
    }

    async fn watch(self: Arc<Self>, process: Arc<Process>, mut child: Child) {
        let status = loop {
            let wait = self.look(&process);
            tokio::select! {
                biased;
                status = child.wait() => break status,
                () = process.poked() => {}
                () = tokio::time::sleep(wait) => {}
            }
        };
        warden::kill_group(process.pid, libc::SIGKILL);
        let mark = process.mark.clone();
        let swept = tokio::task::spawn_blocking(move || warden::sweep(&mark));
        process.gone.cancel();
        match status {
            Ok(status) => self.ended(&process, status),
            Err(error) => {
                tracing::warn!("function {}: its process cannot be waited for: {error}", self.name);
                self.ended(&process, Default::default());
            }
        }
        let _ = swept.await;
    }

    /// Does what the time asks for; gives how long until the next look.
    fn look(self: &Arc<Self>, process: &Arc<Process>) -> Duration {
        let now = Instant::now();
        let stand = self.roster.lock().stand(process.id, now);
        match stand {
            Stand::Starting { since } => {
                let deadline = since + self.shared.settings.init_timeout;
                self.look_at_work(process, now, deadline, Ending::InitTimeout)
            }
            Stand::Busy { deadline } => self.look_at_work(process, now, deadline, Ending::Timeout),
            Stand::Away { since, until } => {
                let away = now.duration_since(since);
                if away < AWAY_FRESH {
                    return AWAY_FRESH - away;
                }
                self.balance();
                self.look_at_work(process, now, until, Ending::Lost)
            }
            Stand::Parked { since, may_go } => {
                let idle = now.duration_since(since);
                let limit = self.function.idle.0;
                if may_go && idle >= limit {
                    self.end(process, Ending::Idle);
                    return GRACE;
                }
                if idle < LOOK_IDLE_FOR {
                    return LOOK_IDLE_EVERY.min(limit);
                }
                process.unmind();
                // It may have got work before that.
                if !matches!(self.roster.lock().stand(process.id, now), Stand::Parked { .. }) {
                    process.mind();
                    return Duration::ZERO;
                }
                limit.saturating_sub(idle).max(LOOK_IDLE_FOR)
            }
            Stand::Ending => {
                process.insist();
                GRACE
            }
        }
    }

    fn look_at_work(
        self: &Arc<Self>,
        process: &Arc<Process>,
        now: Instant,
        deadline: Instant,
        ending: Ending,
    ) -> Duration {
        let limit = self.function.memory.0;
        let bytes = process.weigh(limit);
        if bytes > limit {
            self.end(process, Ending::OutOfMemory { bytes });
            return GRACE;
        }
        if now >= deadline {
            self.end(process, ending);
            return GRACE;
        }
        LOOK_EVERY.min(deadline - now)
    }
}

/// `2026/11/21/`, as the names of Lambda's log streams begin.
fn date_path(now: bourn_event::Micros) -> String {
    let day = chrono::DateTime::from_timestamp_micros(now).unwrap_or_default();
    day.format("%Y/%m/%d/").to_string()
}
