//! refine
