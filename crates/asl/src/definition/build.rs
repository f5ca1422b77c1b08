//! From a document to a [`Machine`].

use super::{Machine, State};
use crate::{Diagnostic, document::Document};

pub(super) fn machine(_document: &Document) -> Result<Machine, Vec<Diagnostic>> {
    unimplemented!()
}
pub(super) fn diagnose(_document: &Document) -> Vec<Diagnostic> {
    unimplemented!()
}
pub(super) fn lone_state(_name: &str, _document: &Document) -> Result<State, Vec<Diagnostic>> {
    unimplemented!()
}
