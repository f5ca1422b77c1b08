//! The many ways to name a function: `name`, `account:function:name`, an ARN, each with a qualifier.

use crate::error::AwsError;
use bourn_config::Aws;
use bourn_event::percent_decode;

/// Longest name, in characters, with everything around it.
const CHARS_MAX: usize = 256;
const LATEST: &str = "$LATEST";

/// A function as a request names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FunctionName {
    /// Its name in the pipeline.
    pub(super) name: String,
    /// With the qualifier, if the request has one.
    pub(super) arn: String,
    /// Is it the one version there is?
    pub(super) is_latest: bool,
}

impl FunctionName {
    /// `text` may end in a qualifier of its own, which then must be the same as `qualifier`. Region and
    /// account of an ARN are not looked at: a definition that was written for another account runs here.
    pub(super) fn parse(text: &str, qualifier: Option<String>, aws: &Aws) -> Result<Self, AwsError> {
        let parts: Vec<&str> = text.split(':').collect();
        let (name, own) = match parts.as_slice() {
            ["arn", _, "lambda", _, _, "function", name] => (*name, None),
            ["arn", _, "lambda", _, _, "function", name, own] => (*name, Some(*own)),
            [_, "function", name] | ["function", name] => (*name, None),
            [_, "function", name, own] => (*name, Some(*own)),
            ["arn", ..] => return Err(invalid(text)),
            [name] => (*name, None),
            [name, own] => (*name, Some(*own)),
            _ => return Err(invalid(text)),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || text.chars().count() > CHARS_MAX || !name.chars().all(plain) {
            return Err(invalid(text));
        }
        if let (Some(own), Some(qualifier)) = (own, qualifier.as_deref())
            && own != qualifier
        {
            let detail =
                "The derived qualifier from the function name does not match the specified qualifier.";
            return Err(AwsError::new("InvalidParameterValueException", detail));
        }
        let qualifier = qualifier.as_deref().or(own);
        let mut arn = arn(aws, name);
        if let Some(qualifier) = qualifier {
            arn = format!("{arn}:{qualifier}");
        }
        Ok(Self { name: name.to_owned(), arn, is_latest: qualifier.is_none_or(|q| q == LATEST) })
    }
}

pub(super) fn arn(aws: &Aws, name: &str) -> String {
    format!("arn:aws:lambda:{}:{}:function:{name}", aws.region, aws.account)
}

fn invalid(text: &str) -> AwsError {
    let detail = format!(
        "1 validation error detected: Value '{text}' at 'functionName' failed to satisfy constraint: Member \
         must be the name of a function, a partial ARN or an ARN"
    );
    AwsError::new("ValidationException", detail)
}

/// Percent-decodes; `None` if that is not UTF-8.
pub(super) fn decode_segment(raw: &str) -> Option<String> {
    String::from_utf8(percent_decode(raw.as_bytes())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_many_names() {
        const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:echo";
        let cases = [
            ("echo", None, Ok((ARN.to_owned(), true))),
            ("echo:$LATEST", None, Ok((format!("{ARN}:$LATEST"), true))),
            ("echo:live", None, Ok((format!("{ARN}:live"), false))),
            ("echo", Some("3"), Ok((format!("{ARN}:3"), false))),
            ("echo:3", Some("3"), Ok((format!("{ARN}:3"), false))),
            ("123456789012:function:echo", None, Ok((ARN.to_owned(), true))),
            ("123456789012:function:echo:$LATEST", None, Ok((format!("{ARN}:$LATEST"), true))),
            ("function:echo", None, Ok((ARN.to_owned(), true))),
            ("arn:aws:lambda:eu-west-1:123456789012:function:echo", None, Ok((ARN.to_owned(), true))),
            ("arn:aws:lambda:eu-west-1:123456789012:function:echo:9", None, Ok((format!("{ARN}:9"), false))),
            ("echo:3", Some("4"), Err("InvalidParameterValueException")),
            ("arn:aws:sqs:eu-west-1:123456789012:echo", None, Err("ValidationException")),
            ("", None, Err("ValidationException")),
            ("a b", None, Err("ValidationException")),
            ("a:b:c:d:e", None, Err("ValidationException")),
        ];
        for (text, qualifier, expected) in cases {
            let parsed = FunctionName::parse(text, qualifier.map(str::to_owned), &Aws::default());
            if let Ok(parsed) = &parsed {
                assert_eq!(parsed.name, "echo", "{text}");
            }
            let seen = parsed.map(|name| (name.arn, name.is_latest)).map_err(|error| error.code);
            assert_eq!(seen, expected, "{text} {qualifier:?}");
        }
        assert!(FunctionName::parse(&"x".repeat(257), None, &Aws::default()).is_err());
    }
}
