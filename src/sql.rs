//! Statements whose answers the command line prints itself.

use anyhow::Result;
use bourn_event::{Query, QueryOptions};
use bourn_web::render::{Format, TableStyle, render};

/// The answer as a table of text.
pub async fn table(query: &dyn Query, sql: &str) -> Result<String> {
    let rows = query.query(sql, QueryOptions::default()).await?;
    let mut text = Vec::new();
    render(rows, Format::Table, TableStyle::default(), &mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
