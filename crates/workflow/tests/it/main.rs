//! Workflows from outside: the recorded conformance cases, faults, timers and the operations of the API.

mod clock;
mod compare;
mod conformance;
mod durable;
mod mapruns;
mod player;
mod rig;
mod speed;
