//! How answers and failures of services are worded.
//!
//! ```text
//! optimized  SQS.AmazonSQSException     … (Service: AmazonSQS; Status Code: 400; Error Code: …; Request ID: …; Proxy: null)
//! aws-sdk    Sqs.SqsException           … (Service: Sqs, Status Code: 400, Request ID: …)
//! ```

use super::resource::Style;
use bourn_event::{Micros, TaskFailure};
use serde_json::{Map, Value, json};

/// The names of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    /// Prefix of its errors.
    pub prefix: &'static str,
    /// As its causes call it.
    pub name: &'static str,
    /// Of the errors that have no name of their own.
    pub general: &'static str,
    /// The same for `aws-sdk` resources, where it is the causes' name too.
    pub sdk_prefix: &'static str,
    pub sdk_general: &'static str,
}

pub(crate) const LAMBDA: Service = Service {
    prefix: "Lambda",
    name: "AWSLambda",
    general: "AWSLambdaException",
    sdk_prefix: "Lambda",
    sdk_general: "LambdaException",
};
pub(crate) const DYNAMODB: Service = Service {
    prefix: "DynamoDB",
    name: "AmazonDynamoDBv2",
    general: "AmazonDynamoDBException",
    sdk_prefix: "DynamoDb",
    sdk_general: "DynamoDbException",
};
pub(crate) const SQS: Service = Service {
    prefix: "SQS",
    name: "AmazonSQS",
    general: "AmazonSQSException",
    sdk_prefix: "Sqs",
    sdk_general: "SqsException",
};
pub(crate) const SNS: Service = Service {
    prefix: "SNS",
    name: "AmazonSNS",
    general: "AmazonSNSException",
    sdk_prefix: "Sns",
    sdk_general: "SnsException",
};
pub(crate) const KINESIS: Service = Service {
    prefix: "Kinesis",
    name: "AmazonKinesis",
    general: "AmazonKinesisException",
    sdk_prefix: "Kinesis",
    sdk_general: "KinesisException",
};
pub(crate) const EVENTS: Service = Service {
    prefix: "EventBridge",
    name: "AmazonEventBridge",
    general: "AmazonEventBridgeException",
    sdk_prefix: "EventBridge",
    sdk_general: "EventBridgeException",
};
pub(crate) const ATHENA: Service = Service {
    prefix: "Athena",
    name: "AmazonAthena",
    general: "AmazonAthenaException",
    sdk_prefix: "Athena",
    sdk_general: "AthenaException",
};
pub(crate) const GLUE: Service = Service {
    prefix: "Glue",
    name: "AWSGlue",
    general: "AWSGlueException",
    sdk_prefix: "Glue",
    sdk_general: "GlueException",
};

/// One call of a service: who answers, in which style, under which request id.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub service: Service,
    pub style: Style,
    /// Of the Task; unique to the attempt.
    pub id: &'a str,
    pub now: Micros,
}

impl Caller<'_> {
    pub fn is_sdk(&self) -> bool {
        self.style == Style::Sdk
    }

    /// The request id that a client sees.
    pub fn request_id(&self) -> String {
        uuid_of(&["request", self.id])
    }

    /// A failure with a name of its own (`QueueDoesNotExistException`), or the service's general one if
    /// `name` is empty.
    pub fn fail(&self, name: &str, code: &str, status: u16, message: impl std::fmt::Display) -> TaskFailure {
        let (service, id) = (&self.service, self.request_id());
        if self.is_sdk() {
            let name = if name.is_empty() { service.sdk_general } else { name };
            return TaskFailure::new(
                format!("{}.{name}", service.sdk_prefix),
                format!(
                    "{message} (Service: {}, Status Code: {status}, Request ID: {id})",
                    service.sdk_prefix
                ),
            );
        }
        let name = if name.is_empty() { service.general } else { name };
        TaskFailure::new(
            format!("{}.{name}", service.prefix),
            format!(
                "{message} (Service: {}; Status Code: {status}; Error Code: {code}; Request ID: {id}; Proxy: null)",
                service.name
            ),
        )
    }

    /// The answer with what an optimized integration adds about the HTTP exchange.
    pub fn answer(&self, mut body: Map<String, Value>, content_type: &str, extra: &[(&str, &str)]) -> Value {
        if self.is_sdk() {
            return Value::Object(body);
        }
        let length = Value::Object(body.clone()).to_string().len();
        let id = self.request_id();
        let mut headers = vec![
            ("Content-Length".to_string(), length.to_string()),
            ("Content-Type".into(), content_type.into()),
            ("Date".into(), http_date(self.now)),
            ("x-amzn-RequestId".into(), id.clone()),
        ];
        headers.extend(extra.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        let all: Map<_, _> = headers.iter().map(|(name, value)| (name.clone(), json!([value]))).collect();
        let single: Map<_, _> = headers.into_iter().map(|(name, value)| (name, value.into())).collect();
        body.insert(
            "SdkHttpMetadata".into(),
            json!({"AllHttpHeaders": all, "HttpHeaders": single, "HttpStatusCode": 200}),
        );
        body.insert("SdkResponseMetadata".into(), json!({ "RequestId": id }));
        Value::Object(body)
    }
}

/// A UUID made of a text: the same for the same parts, so that an attempt that is made again answers the same.
pub(crate) fn uuid_of(parts: &[&str]) -> String {
    let text = parts.join("\0");
    uuid::Builder::from_random_bytes(xxhash_rust::xxh3::xxh3_128(text.as_bytes()).to_be_bytes())
        .into_uuid()
        .to_string()
}

/// `Thu, 18 Apr 2024 06:27:01 GMT`
fn http_date(now: Micros) -> String {
    chrono::DateTime::from_timestamp_micros(now)
        .map(|time| time.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}

/// `2024-04-18T06:27:01.123Z`
pub(crate) fn iso_time(now: Micros) -> String {
    chrono::DateTime::from_timestamp_micros(now)
        .map(|time| time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
        .unwrap_or_default()
}

/// The body of an answer.
pub(crate) fn object(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
