//! The pipeline definition: `bourn.yaml` as types, and every fault in it with its place.
//!
//! ```text
//!  bytes ─ yaml ─► tree with places ─ overlay ─► tree ─ secrets ─► values
//!        ─ explain (JSON Schema of the types) ─► serde ─ check ─► Loaded, or all Faults at once
//! ```
//!
//! What the definition refers to (schemas, SQL) is only looked for here. Whether it compiles is
//! known to the steps that use it; they report through [`Places::fault_at`].

mod check;
mod explain;
mod fault;
mod load;
pub mod model;
mod overlay;
mod reference;
mod schema;
mod secret;
pub mod suggest;
mod yaml;

pub use fault::{Fault, Faults, Places};
pub use load::{FILE_NAME, Loaded, load, load_alone, load_text, load_with};
pub use model::*;
pub use reference::reference_markdown;
pub use schema::json_schema;
