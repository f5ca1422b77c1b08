//! Ctrl-C: the first asks to drain, the second stops at once.

use tokio_util::sync::CancellationToken;

/// What a server listens to besides its sockets.
#[derive(Clone)]
pub struct Signals {
    /// Take nothing new; finish what was begun.
    pub drain: CancellationToken,
}

/// Watches SIGINT and SIGTERM from now on.
pub fn watch() -> Signals {
    let signals = Signals { drain: CancellationToken::new() };
    let drain = signals.drain.clone();
    tokio::spawn(async move {
        asked_to_stop().await;
        eprintln!("draining; press Ctrl-C again to stop at once");
        drain.cancel();
        asked_to_stop().await;
        // Everything acknowledged is durable already: what is cut short here is done again at start.
        std::process::exit(130);
    });
    signals
}

#[cfg(unix)]
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn asked_to_stop() {
    let _ = tokio::signal::ctrl_c().await;
}
