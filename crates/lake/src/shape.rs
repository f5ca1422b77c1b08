//! The columns of a table in the three forms they take: as queried, as buffered, as filed.

use crate::conform::{conform, file_schema};
use crate::partition::{self, PartitionKey};
use crate::schema;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use bourn_config::{Partition, PartitionFunction};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Columns and partitioning of a table.
#[derive(Debug)]
pub struct Shape {
    /// As queried: every column.
    pub table: SchemaRef,
    /// As buffered: without the partition columns that functions make.
    pub body: SchemaRef,
    /// As filed: without any partition column.
    pub file: SchemaRef,
    pub partitions: Vec<Partition>,
    pub partition_columns: Vec<String>,
    /// Columns of the definition whose values go to `_extra`.
    pub frozen: Vec<String>,
}

impl Shape {
    pub fn new(table: SchemaRef, partitions: Vec<Partition>, frozen: Vec<String>) -> Self {
        let made: Vec<String> = partitions
            .iter()
            .filter(|p| p.function != PartitionFunction::Identity)
            .map(Partition::table_column)
            .collect();
        let partition_columns: Vec<String> = partitions.iter().map(Partition::table_column).collect();
        let body = file_schema(&table, &made);
        let file = file_schema(&table, &partition_columns);
        Self { table, body, file, partitions, partition_columns, frozen }
    }

    /// The shape a definition asks for, before it meets a table.
    pub fn defined(columns: &Schema, partitions: &[Partition]) -> Result<Self, String> {
        let table = schema::table_schema(columns, partitions)?;
        Ok(Self::new(Arc::new(table), partitions.to_vec(), Vec::new()))
    }

    pub fn to_body(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        conform(rows, &self.body, &self.frozen)
    }

    pub fn to_table(&self, body: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        partition::with_partition_columns(body, &self.partitions, &self.table)
    }

    pub fn split(&self, body: &RecordBatch) -> Result<Vec<(PartitionKey, RecordBatch)>, ArrowError> {
        partition::split(body, &self.partitions, &self.file)
    }

    pub fn folder(&self, key: &PartitionKey) -> String {
        partition::folder(&self.partition_columns, key)
    }

    pub fn values(&self, key: &PartitionKey) -> BTreeMap<String, Option<String>> {
        self.partition_columns.iter().cloned().zip(key.iter().cloned()).collect()
    }
}
