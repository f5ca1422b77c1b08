//! Small durable state beside the logs and tables, and the lock on the folder that holds all three.
//!
//! * [`State`]: a key-value store on an embedded LSM tree. Every key that is ever persisted is a
//!   variant of [`Key`] with a stable number; values are JSON.
//! * [`Book`]: files of lines that are turned over, for logs; [`Recent`]: their newest rows in memory.
//! * [`OwnerLock`]: one process owns a data folder. The operating system releases the lock when the
//!   process ends, however it ends.
//!
//! What is deliberately absent: counters of the ledger (they are committed with the tables), dedupe
//! keys (the refine step has its own index), and reading a store beside its owner (ask the owner).

mod book;
mod error;
mod key;
mod lock;
mod recent;
mod store;

pub use book::{Book, read_book};
pub use error::{LockError, StateError};
pub use key::{BadKey, Key, KeyKind, Scope};
pub use lock::{Held, LOCK_FILE, OwnerLock};
pub use recent::{Recent, RecentMax, Written};
pub use store::{Batch, Durability, FORMAT_VERSION, State, StoreOptions};
