//! The OpenAPI 3.1 document, built from the facts: the pipeline's streams, the admin verbs there are,
//! and whether keys are needed. Every status a route answers with stands in it.

mod paths;
mod schemas;

use crate::StreamDoc;
use crate::route::TaskVerb;
use serde_json::{Map, Value, json};

const DESCRIPTION: &str = "Events in, SQL out. Everything that is not a success is a problem document \
    (RFC 9457). AWS's own protocols, which the same port speaks when it has workflows or functions (`POST /` \
    with `X-Amz-Target`, and `/2015-03-31/…`), are not in this document: AWS publishes their models.";

/// What the document depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub streams: &'a [StreamDoc],
    /// Of administration.
    pub verbs: &'a [String],
    /// Can waiting tasks be answered?
    pub tasks: bool,
    /// Are there API keys?
    pub keys: bool,
}

/// The document.
///
/// Each stream has a path of its own, so that its body's schema can be the stream's. Without keys there
/// are no security requirements, and no 401.
pub fn document(facts: &Facts<'_>) -> Value {
    let Facts { streams, verbs, tasks, keys } = *facts;
    let mut routes = Map::new();
    for stream in streams {
        routes.insert(format!("/v1/streams/{}", encode(&stream.name)), paths::ingest(&stream.name, keys));
    }
    routes.insert("/v1/sql".into(), paths::sql(keys));
    for verb in verbs {
        routes.insert(format!("/v1/admin/{}", encode(verb)), paths::admin(verb, keys));
    }
    if tasks {
        for verb in TaskVerb::ALL {
            routes.insert(format!("/v1/tasks/{{token}}/{}", verb.name()), paths::task(verb, keys));
        }
    }
    routes.insert("/healthz".into(), paths::healthz());
    routes.insert("/readyz".into(), paths::readyz());
    routes.insert("/metrics".into(), paths::metrics(keys));
    routes.insert("/v1/openapi.json".into(), paths::openapi(keys));
    let mut components = json!({ "schemas": schemas::all(streams) });
    if keys {
        components["securitySchemes"] = json!({
            "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "An API key."},
        });
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bourn",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": routes,
        "components": components,
    })
}

/// Percent-encodes a path segment.
fn encode(segment: &str) -> String {
    segment.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}
