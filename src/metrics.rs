//! The process's metrics registry.

use anyhow::{Context, Result};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::OnceLock;

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the registry once; later calls give the same one.
pub fn install() -> Result<PrometheusHandle> {
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = bourn_web::install_metrics().context("the metrics registry cannot be installed")?;
    Ok(HANDLE.get_or_init(|| handle).clone())
}
