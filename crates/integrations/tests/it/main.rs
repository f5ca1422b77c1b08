//! What Tasks do, over fakes of the other seams and real HTTP servers on the loopback.

mod breaker;
mod cache;
mod checks;
mod events;
mod http;
mod items;
mod outbound;
mod queries;
mod services;
mod world;
