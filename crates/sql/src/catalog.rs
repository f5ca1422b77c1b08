//! The catalog `bourn`: a schema per zone, a table per registered source, resolved anew for
//! every statement.
//!
//! A table's past is reached through names that [`crate::travel`] writes: `flights@v3` is version
//! 3 of `flights`, `flights@t1000000` what it held one second after 1970.

use crate::source::{Point, TableSource};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::TableType;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The catalog's name in SQL.
pub const CATALOG: &str = "bourn";

/// Name of a table's past, to be used as a quoted identifier.
pub fn pinned_name(table: &str, point: Point) -> String {
    match point {
        Point::Version(version) => format!("{table}@v{version}"),
        Point::Time(micros) => format!("{table}@t{micros}"),
    }
}

fn unpin(name: &str) -> Option<(&str, Point)> {
    let (table, point) = name.rsplit_once('@')?;
    let point = match point.split_at_checked(1)? {
        ("v", version) => Point::Version(version.parse().ok()?),
        ("t", micros) => Point::Time(micros.parse().ok()?),
        _ => return None,
    };
    Some((table, point))
}

/// One zone's tables.
#[derive(Default)]
pub struct Zone(RwLock<BTreeMap<String, Arc<dyn TableSource>>>);

impl Zone {
    fn source(&self, name: &str) -> Option<Arc<dyn TableSource>> {
        self.0.read().get(name).cloned()
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.read().keys()).finish()
    }
}

#[async_trait]
impl SchemaProvider for Zone {
    fn table_names(&self) -> Vec<String> {
        self.0.read().keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let opened = match (self.source(name), unpin(name)) {
            (Some(source), _) => source.provider().await,
            (None, Some((table, point))) => match self.source(table) {
                Some(source) => source.at(point).await,
                None => return Ok(None),
            },
            (None, None) => return Ok(None),
        };
        let name = unpin(name).map_or(name, |(table, _)| table);
        opened.map(Some).map_err(|e| DataFusionError::Execution(format!("table {name} cannot be read: {e}")))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        let zone = self.0.read();
        zone.contains_key(name) || unpin(name).is_some_and(|(table, _)| zone.contains_key(table))
    }
}

/// All zones, and the schemas that DataFusion and the Postgres catalog add.
#[derive(Debug, Default)]
pub struct Catalog {
    zones: RwLock<BTreeMap<String, Arc<Zone>>>,
    extra: RwLock<BTreeMap<String, Arc<dyn SchemaProvider>>>,
}

impl Catalog {
    pub fn add_zone(&self, zone: &str) -> Arc<Zone> {
        self.zones.write().entry(zone.to_owned()).or_default().clone()
    }

    pub fn register(&self, zone: &str, name: &str, source: Arc<dyn TableSource>) {
        self.add_zone(zone).0.write().insert(name.to_owned(), source);
    }

    pub fn deregister(&self, zone: &str, name: &str) {
        if let Some(zone) = self.zones.read().get(zone) {
            zone.0.write().remove(name);
        }
    }

    pub fn has_zone(&self, zone: &str) -> bool {
        self.zones.read().contains_key(zone)
    }

    /// `zone.table` of every table, in order.
    pub fn table_paths(&self) -> Vec<String> {
        let zones = self.zones.read();
        let paths = zones.iter().flat_map(|(zone, tables)| {
            let names: Vec<_> = tables.0.read().keys().cloned().collect();
            names.into_iter().map(move |name| format!("{zone}.{name}"))
        });
        paths.collect()
    }
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        self.zones.read().keys().chain(self.extra.read().keys()).cloned().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match self.zones.read().get(name) {
            Some(zone) => Some(zone.clone()),
            None => self.extra.read().get(name).cloned(),
        }
    }

    fn register_schema(
        &self,
        name: &str,
        schema: Arc<dyn SchemaProvider>,
    ) -> Result<Option<Arc<dyn SchemaProvider>>> {
        Ok(self.extra.write().insert(name.to_owned(), schema))
    }
}

/// What `pg_catalog` tells about the tables: taken from the sources' declared columns, so that
/// listing the catalog opens no table and one broken table hides no other.
#[derive(Clone, Debug)]
pub struct Listing(pub Arc<Catalog>);

#[async_trait]
impl CatalogInfo for Listing {
    async fn catalog_names(&self) -> Result<Vec<String>> {
        Ok(vec![CATALOG.to_owned()])
    }

    async fn schema_names(&self, _catalog: &str) -> Result<Option<Vec<String>>> {
        Ok(Some(self.0.schema_names()))
    }

    async fn table_names(&self, _catalog: &str, schema: &str) -> Result<Option<Vec<String>>> {
        Ok(self.0.schema(schema).map(|schema| schema.table_names()))
    }

    async fn table_schema(&self, _catalog: &str, schema: &str, table: &str) -> Result<Option<SchemaRef>> {
        let zone = self.0.zones.read().get(schema).cloned();
        if let Some(zone) = zone {
            return Ok(zone.source(table).map(|source| source.schema()));
        }
        match self.0.schema(schema) {
            Some(schema) => {
                let table = schema.table(table).await?;
                Ok(Some(table.map_or_else(|| Arc::new(Schema::empty()), |table| table.schema())))
            }
            None => Ok(None),
        }
    }

    async fn table_type(&self, _catalog: &str, schema: &str, table: &str) -> Result<Option<TableType>> {
        let known = self.0.schema(schema).is_some_and(|schema| schema.table_exist(table));
        Ok(known.then_some(TableType::Base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinned_names_are_read_back() {
        for point in
            [Point::Version(0), Point::Version(12), Point::Time(-5), Point::Time(1_795_240_800_000_000)]
        {
            assert_eq!(unpin(&pinned_name("a@b", point)), Some(("a@b", point)));
        }
        for name in ["flights", "a@", "a@x3", "a@v", "a@vx", "@"] {
            assert_eq!(unpin(name), None, "{name}");
        }
    }
}
