//! Resources of Tasks: what each is called, what it takes, and which part of a pipeline it is about.

use bourn_config::suggest::{hint, listed, nearest};

/// How a resource is named, which decides how its answers and errors look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `arn:aws:states:::service:action`
    Optimized,
    /// `arn:aws:states:::aws-sdk:service:action`
    Sdk,
    /// `arn:aws:lambda:…:function:name`: parameters are the payload, the answer is the result.
    Function,
}

/// What a resource does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    LambdaInvoke,
    AthenaStart,
    AthenaGet,
    AthenaResults,
    AthenaStop,
    Sql,
    GlueStart,
    Job,
    Items(crate::item::Call),
    SqsSend,
    KinesisPut,
    EventsPut,
    SnsPublish,
    Http,
    ApiGateway,
}

/// What the name in a parameter refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refers {
    Function,
    Stream,
    /// A stream, or `default`.
    Bus,
    Table,
    Notifier,
    Job,
}

/// A resource that Bourn runs.
pub(crate) struct Spec {
    /// `service:action`
    pub name: &'static str,
    /// The same behind `aws-sdk:`; empty: there is none.
    pub sdk: &'static str,
    pub action: Action,
    /// Suffixes of the optimized resource; none is always allowed. `-`: there is no optimized resource.
    suffixes: &'static [&'static str],
    required: &'static [&'static str],
    optional: &'static [&'static str],
    pub refers: Option<(&'static str, Refers)>,
}

const TOKEN: &str = ".waitForTaskToken";
const SYNC: &str = ".sync";
const ONLY_SDK: &str = "-";

const WRITE: &[&str] = &[
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ReturnValues",
    "ReturnValuesOnConditionCheckFailure",
];

const fn spec(name: &'static str, sdk: &'static str, action: Action) -> Spec {
    Spec { name, sdk, action, suffixes: &[], required: &[], optional: &[], refers: None }
}

/// All of them.
pub(crate) const SPECS: &[Spec] = &[
    Spec {
        suffixes: &[TOKEN],
        required: &["FunctionName"],
        optional: &["Payload", "InvocationType", "LogType", "ClientContext", "Qualifier"],
        refers: Some(("FunctionName", Refers::Function)),
        ..spec("lambda:invoke", "lambda:invoke", Action::LambdaInvoke)
    },
    Spec {
        suffixes: &[SYNC],
        required: &["QueryString"],
        optional: &[
            "ClientRequestToken",
            "ExecutionParameters",
            "QueryExecutionContext",
            "ResultConfiguration",
            "WorkGroup",
        ],
        ..spec("athena:startQueryExecution", "athena:startQueryExecution", Action::AthenaStart)
    },
    Spec {
        required: &["QueryExecutionId"],
        ..spec("athena:getQueryExecution", "athena:getQueryExecution", Action::AthenaGet)
    },
    Spec {
        required: &["QueryExecutionId"],
        optional: &["MaxResults", "NextToken"],
        ..spec("athena:getQueryResults", "athena:getQueryResults", Action::AthenaResults)
    },
    Spec {
        required: &["QueryExecutionId"],
        ..spec("athena:stopQueryExecution", "athena:stopQueryExecution", Action::AthenaStop)
    },
    Spec { required: &["Query"], optional: &["Parameters", "MaxRows"], ..spec("bourn:sql", "", Action::Sql) },
    Spec {
        suffixes: &[SYNC],
        required: &["JobName"],
        optional: &["Arguments", "JobRunId", "Timeout"],
        refers: Some(("JobName", Refers::Job)),
        ..spec("glue:startJobRun", "glue:startJobRun", Action::GlueStart)
    },
    Spec {
        required: &["Job"],
        optional: &["Stream", "Arguments"],
        refers: Some(("Job", Refers::Job)),
        ..spec("bourn:job", "", Action::Job)
    },
    Spec {
        required: &["TableName", "Key"],
        optional: &["ProjectionExpression", "ExpressionAttributeNames", "ConsistentRead"],
        refers: Some(("TableName", Refers::Table)),
        ..spec("dynamodb:getItem", "dynamodb:getItem", Action::Items(crate::item::Call::Get))
    },
    Spec {
        required: &["TableName", "Item"],
        optional: WRITE,
        refers: Some(("TableName", Refers::Table)),
        ..spec("dynamodb:putItem", "dynamodb:putItem", Action::Items(crate::item::Call::Put))
    },
    Spec {
        required: &["TableName", "Key"],
        optional: &[
            "UpdateExpression",
            "ConditionExpression",
            "ExpressionAttributeNames",
            "ExpressionAttributeValues",
            "ReturnValues",
            "ReturnValuesOnConditionCheckFailure",
        ],
        refers: Some(("TableName", Refers::Table)),
        ..spec("dynamodb:updateItem", "dynamodb:updateItem", Action::Items(crate::item::Call::Update))
    },
    Spec {
        required: &["TableName", "Key"],
        optional: WRITE,
        refers: Some(("TableName", Refers::Table)),
        ..spec("dynamodb:deleteItem", "dynamodb:deleteItem", Action::Items(crate::item::Call::Delete))
    },
    Spec {
        suffixes: &[ONLY_SDK],
        required: &["TableName", "KeyConditionExpression"],
        optional: &[
            "FilterExpression",
            "ProjectionExpression",
            "ExpressionAttributeNames",
            "ExpressionAttributeValues",
            "ConsistentRead",
            "ExclusiveStartKey",
            "Limit",
            "ScanIndexForward",
            "Select",
        ],
        refers: Some(("TableName", Refers::Table)),
        ..spec("dynamodb:query", "dynamodb:query", Action::Items(crate::item::Call::Query))
    },
    Spec {
        suffixes: &[TOKEN],
        required: &["QueueUrl", "MessageBody"],
        optional: &["MessageGroupId", "MessageDeduplicationId"],
        refers: Some(("QueueUrl", Refers::Stream)),
        ..spec("sqs:sendMessage", "sqs:sendMessage", Action::SqsSend)
    },
    Spec {
        suffixes: &[TOKEN],
        required: &["Data"],
        optional: &[
            "StreamName",
            "StreamARN",
            "PartitionKey",
            "ExplicitHashKey",
            "SequenceNumberForOrdering",
        ],
        refers: Some(("StreamName", Refers::Stream)),
        ..spec("kinesis:putRecord", "kinesis:putRecord", Action::KinesisPut)
    },
    Spec {
        suffixes: &[TOKEN],
        required: &["Entries"],
        ..spec("events:putEvents", "eventbridge:putEvents", Action::EventsPut)
    },
    Spec {
        suffixes: &[TOKEN],
        required: &["Message"],
        optional: &[
            "TopicArn",
            "TargetArn",
            "Subject",
            "MessageAttributes",
            "MessageStructure",
            "MessageGroupId",
            "MessageDeduplicationId",
        ],
        refers: Some(("TopicArn", Refers::Notifier)),
        ..spec("sns:publish", "sns:publish", Action::SnsPublish)
    },
    Spec {
        required: &["ApiEndpoint", "Method"],
        optional: &[
            "Authentication",
            "InvocationConfig",
            "Headers",
            "QueryParameters",
            "RequestBody",
            "Transform",
        ],
        ..spec("http:invoke", "", Action::Http)
    },
    Spec {
        suffixes: &[TOKEN],
        required: &["ApiEndpoint", "Method"],
        optional: &[
            "Headers",
            "Stage",
            "Path",
            "QueryParameters",
            "RequestBody",
            "AllowNullValues",
            "AuthType",
        ],
        ..spec("apigateway:invoke", "", Action::ApiGateway)
    },
];

/// A resource of a definition.
pub(crate) struct Resource {
    pub action: Action,
    pub style: Style,
    /// The function of [`Style::Function`].
    pub function: Option<String>,
    pub spec: &'static Spec,
}

impl Resource {
    /// Reads a resource without its suffix. The error says what there is instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", _, service, _, _, rest] = parts.as_slice() else {
            return Err(format!(
                "`{text}` is no ARN: a resource looks like arn:aws:states:::lambda:invoke or \
                 arn:aws:lambda:us-east-1:000000000000:function:name"
            ));
        };
        match service {
            "lambda" => {
                let function = rest.strip_prefix("function:").filter(|name| !name.is_empty());
                let function =
                    function.ok_or_else(|| format!("`{text}` names no function (`function:name`)"))?;
                Ok(Self {
                    action: Action::LambdaInvoke,
                    style: Style::Function,
                    function: Some(function_name(function)),
                    spec: &SPECS[0],
                })
            }
            "states" => Self::service(rest),
            other => Err(format!(
                "Bourn runs no resources of `{other}`: it runs arn:aws:states:::service:action and functions \
                 (arn:aws:lambda:…:function:name)"
            )),
        }
    }

    fn service(name: &str) -> Result<Self, String> {
        let (style, wanted) = match name.strip_prefix("aws-sdk:") {
            Some(rest) => (Style::Sdk, rest),
            None => (Style::Optimized, name),
        };
        let named = |spec: &Spec| match style {
            Style::Sdk => spec.sdk,
            _ if spec.suffixes.contains(&ONLY_SDK) => "",
            _ => spec.name,
        };
        if let Some(spec) = SPECS.iter().find(|spec| named(spec) == wanted) {
            return Ok(Self { action: spec.action, style, function: None, spec });
        }
        let prefix = if style == Style::Sdk { "aws-sdk:" } else { "" };
        let other =
            SPECS.iter().find(|spec| spec.sdk == wanted || spec.name == wanted).map(|spec| match style {
                Style::Sdk => spec.name.to_string(),
                _ => format!("aws-sdk:{}", spec.sdk),
            });
        let names: Vec<&str> = SPECS.iter().map(named).filter(|name| !name.is_empty()).collect();
        let service = wanted.split(':').next().unwrap_or_default();
        let same_service: Vec<&str> =
            names.iter().copied().filter(|name| name.split(':').next() == Some(service)).collect();
        let instead = match (other, nearest(wanted, names.iter().copied()), same_service.is_empty()) {
            (Some(other), ..) => format!("did you mean `arn:aws:states:::{other}`?"),
            (None, Some(near), _) => format!("did you mean `arn:aws:states:::{prefix}{near}`?"),
            (None, None, false) => format!("of {service}, there is {}", listed(same_service)),
            (None, None, true) => format!("there is {}", listed(names)),
        };
        Err(format!("Bourn cannot run `arn:aws:states:::{name}`: {instead}"))
    }

    /// May it have this suffix?
    pub fn check_suffix(&self, suffix: &str) -> Result<(), String> {
        let allowed: &[&str] = match self.style {
            Style::Optimized => self.spec.suffixes,
            Style::Sdk => &[TOKEN],
            Style::Function => &[],
        };
        if suffix.is_empty() || (allowed.contains(&suffix) && suffix != ONLY_SDK) {
            return Ok(());
        }
        let name = self.spec.name;
        match allowed {
            [] => Err(format!(
                "`{name}` has no `{suffix}`: it answers when it is done, so leave the suffix out"
            )),
            allowed => Err(format!(
                "`{name}` has no `{suffix}`: there is {}, or none",
                listed(allowed.iter().copied())
            )),
        }
    }

    /// Is a parameter known, and are all there that must be? `names` are without `.$`.
    pub fn check_parameters(&self, names: &[&str]) -> Result<(), String> {
        if self.style == Style::Function {
            return Ok(());
        }
        let spec = self.spec;
        let known = || spec.required.iter().chain(spec.optional).copied();
        for name in names {
            if !known().any(|known| known == *name) {
                let hint = hint(name, known()).map(|hint| format!(": {hint}")).unwrap_or_default();
                return Err(format!("`{name}` is no parameter of `{}` that Bourn takes{hint}", spec.name));
            }
        }
        match spec.required.iter().find(|required| !names.contains(required)) {
            Some(missing) => Err(format!("`{}` needs the parameter `{missing}`", spec.name)),
            None => Ok(()),
        }
    }
}

/// The bare name of a function given by name, partial ARN (`account:function:name`) or ARN, each
/// perhaps with a version or alias, which Bourn does not have.
pub(crate) fn function_name(given: &str) -> String {
    let name = match given.rfind("function:") {
        Some(at) if at == 0 || given[..at].ends_with(':') => &given[at + "function:".len()..],
        _ => given,
    };
    name.split(':').next().unwrap_or_default().to_string()
}

/// The name at the end of an ARN or address: behind the last `/` or `:`.
pub(crate) fn last_part(given: &str) -> &str {
    given.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default()
}
