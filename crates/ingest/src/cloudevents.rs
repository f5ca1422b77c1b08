//! CloudEvents 1.0 (CNCF, with its HTTP protocol binding and JSON format) to plain events.
//!
//! The stored event is the CloudEvent's `data` object with its attributes added as fields:
//! `id` as `ce_id`, `source` as `ce_source`, and so on, extensions included. A schema that names
//! them gets columns; otherwise they are unknown fields like any other and end up in `_extra`.
//!
//! ```text
//!  {"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"sku":"a"}}
//!  ─► {"sku":"a","ce_specversion":"1.0","ce_id":"1","ce_source":"/s","ce_type":"t"}
//! ```
//!
//! Deliberately absent: `data_base64` and data that is not a JSON object. They are rejects.

use crate::split::fold;
use bourn_event::{Fault, RejectReason, percent_decode};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Attributes every CloudEvent has (specification §2.4.1), none empty.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];
/// Members of the JSON format that are not attributes.
const PAYLOAD: [&str; 2] = ["data", "data_base64"];

/// Attributes from the `ce-` headers of a binary request: names without the prefix, values decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(String, String)>);

impl Attributes {
    /// From headers in lower case with their values. `datacontenttype` comes from `content-type`.
    pub fn from_headers<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut attributes = Vec::new();
        for (name, value) in headers {
            match name.strip_prefix("ce-") {
                Some(name) if !PAYLOAD.contains(&name) => {
                    attributes.push((name.to_owned(), header_text(value)))
                }
                Some(_) => {}
                None if name == "content-type" => {
                    attributes.push(("datacontenttype".to_owned(), header_text(value)));
                }
                None => {}
            }
        }
        Self(attributes)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The event in a CloudEvent in the JSON format, as one line.
pub fn structured(bytes: &[u8]) -> Result<Vec<u8>, Box<Fault>> {
    let members: Members<'_> = serde_json::from_slice(bytes).map_err(|error| parse(error.to_string()))?;
    let members = members.0;
    let mut data = None;
    for (name, value) in &members {
        match name.as_ref() {
            "data" => data = Some(value.get()),
            "data_base64" if value.get() != "null" => {
                return Err(schema(
                    "/data_base64",
                    "not",
                    "binary data is not taken: send `data` as a JSON object",
                ));
            }
            _ => {}
        }
    }
    let attributes = || members.iter().filter(|(name, _)| !PAYLOAD.contains(&name.as_ref()));
    for (name, value) in attributes() {
        check_name(name)?;
        if value.get().starts_with(['{', '[']) {
            return Err(schema(
                &format!("/{name}"),
                "type",
                "an attribute is a string, a number or a boolean",
            ));
        }
    }
    for required in REQUIRED {
        let value = members.iter().find(|(name, _)| name == required).map(|(_, value)| value.get());
        let text = value.map(serde_json::from_str::<Cow<'_, str>>);
        match text {
            None => check_required(required, None)?,
            Some(Ok(text)) => check_required(required, Some(&text))?,
            Some(Err(_)) => return Err(schema(&format!("/{required}"), "type", "a string was expected")),
        }
    }
    let attributes = attributes()
        .filter(|(_, value)| value.get() != "null")
        .map(|(name, value)| (name.as_ref(), Cow::Borrowed(value.get())));
    compose(data.unwrap_or("{}"), attributes)
}

/// The event in a CloudEvent whose attributes came in headers and whose data is the body.
pub fn binary(attributes: &Attributes, body: &[u8]) -> Result<Vec<u8>, Box<Fault>> {
    for required in REQUIRED {
        check_required(required, attributes.get(required))?;
    }
    let content_type = attributes.get("datacontenttype").unwrap_or("application/json");
    if !is_json(content_type) {
        let message = format!("the data is `{content_type}`; only JSON objects are taken");
        return Err(schema("/datacontenttype", "const", message));
    }
    for (index, (name, _)) in attributes.0.iter().enumerate() {
        check_name(name)?;
        if attributes.0[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(parse(format!("the header `ce-{name}` comes twice")));
        }
    }
    let data = std::str::from_utf8(body).map_err(|_| parse("the data is not UTF-8"))?;
    let data = match data.trim_matches([' ', '\t', '\r', '\n']) {
        "" => "{}",
        data => data,
    };
    // The envelope of the structured form is parsed above; here the data must be one value itself.
    serde_json::from_str::<&RawValue>(data).map_err(|error| parse(error.to_string()))?;
    let quoted = attributes.0.iter().map(|(name, value)| (name.as_str(), Cow::Owned(quote(value))));
    compose(data, quoted)
}

fn compose<'a>(
    data: &str,
    attributes: impl Iterator<Item = (&'a str, Cow<'a, str>)>,
) -> Result<Vec<u8>, Box<Fault>> {
    let data = if data == "null" { "{}" } else { data };
    let (Some(body), true) = (data.strip_suffix('}'), data.starts_with('{')) else {
        return Err(schema("/data", "type", "the data of a CloudEvent must be a JSON object"));
    };
    let mut event = String::with_capacity(data.len() + 256);
    event.push_str(body);
    let mut empty = body[1..].trim_matches([' ', '\t', '\r', '\n']).is_empty();
    for (name, value) in attributes {
        event.push_str(if empty { "\"ce_" } else { ",\"ce_" });
        empty = false;
        event.push_str(name);
        event.push_str("\":");
        event.push_str(&value);
    }
    event.push('}');
    let event = event.into_bytes();
    Ok(if memchr::memchr(b'\n', &event).is_some() { fold(&event) } else { event })
}

fn check_required(name: &str, value: Option<&str>) -> Result<(), Box<Fault>> {
    let pointer = format!("/{name}");
    match value {
        None => Err(schema(&pointer, "required", format!("a CloudEvent needs the attribute `{name}`"))),
        Some("") => Err(schema(&pointer, "minLength", format!("the attribute `{name}` is empty"))),
        Some(version) if name == "specversion" && version != "1.0" => {
            Err(schema(&pointer, "const", format!("CloudEvents {version} is not known here, only 1.0")))
        }
        Some(_) => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), Box<Fault>> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return Ok(());
    }
    let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    Err(schema(&pointer, "propertyNames", "an attribute's name has only lower-case letters and digits"))
}

fn is_json(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || media == "text/json" || media.ends_with("+json")
}

/// Header values carry what is not printable ASCII as `%xx` of UTF-8 (HTTP binding §3.1.3.2).
fn header_text(value: &[u8]) -> String {
    String::from_utf8_lossy(&percent_decode(value)).into_owned()
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn parse(message: impl Into<String>) -> Box<Fault> {
    Box::new(Fault::new(RejectReason::Parse, message))
}

fn schema(pointer: &str, keyword: &str, message: impl Into<String>) -> Box<Fault> {
    Box::new(Fault::new(RejectReason::Schema, message).at(pointer, keyword))
}

/// The members of a JSON object in their order; a name that comes twice is an error.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a CloudEvent, which is a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(8);
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(serde::de::Error::custom(format_args!(
                            "the member `{name}` comes twice"
                        )));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
