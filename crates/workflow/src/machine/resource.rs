//! The resource of a Task: what it names, and how its end is waited for.

/// What a Task runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `arn:aws:lambda:…`: the function itself, whose events have names of their own.
    Function(String),
    /// `arn:aws:states:<region>:<account>:activity:<name>`.
    Activity(String),
    /// `arn:aws:states:::<service>:<call>`, or `<service>:<call>`.
    Service {
        /// `sqs`, `aws-sdk:sfn`.
        service: String,
        /// `sendMessage.waitForTaskToken`: with its suffix.
        call: String,
        /// The whole without its suffix.
        base: String,
        pattern: Pattern,
    },
}

/// When a service's Task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// With the service's answer.
    Answer,
    /// With the end of the job (`.sync`).
    Sync,
    /// The same, with the output as JSON (`.sync:2`).
    Sync2,
    /// When somebody answers its token (`.waitForTaskToken`).
    Token,
}

impl Pattern {
    const SUFFIXES: [(&str, Self); 3] =
        [(".sync:2", Self::Sync2), (".sync", Self::Sync), (".waitForTaskToken", Self::Token)];

    /// As a definition writes it.
    pub fn suffix(self) -> &'static str {
        Self::SUFFIXES.iter().find(|(_, pattern)| *pattern == self).map_or("", |(suffix, _)| suffix)
    }
}

impl Resource {
    pub fn parse(text: &str) -> Self {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        if let ["arn", _, service, _, _, rest] = parts.as_slice() {
            if *service == "lambda" {
                return Self::Function(text.to_owned());
            }
            if *service == "states" && rest.starts_with("activity:") {
                return Self::Activity(text.to_owned());
            }
        }
        let (base, pattern) = Pattern::SUFFIXES
            .iter()
            .find_map(|(suffix, pattern)| text.strip_suffix(suffix).map(|base| (base, *pattern)))
            .unwrap_or((text, Pattern::Answer));
        let local = match parts.as_slice() {
            ["arn", _, "states", "", "", rest] => *rest,
            _ => text,
        };
        let name = local.strip_suffix(pattern.suffix()).unwrap_or(local);
        let (service, call) = name.rsplit_once(':').unwrap_or(("", name));
        Self::Service {
            service: service.to_owned(),
            call: format!("{call}{}", pattern.suffix()),
            base: base.to_owned(),
            pattern,
        }
    }

    pub fn pattern(&self) -> Pattern {
        match self {
            Self::Service { pattern, .. } => *pattern,
            _ => Pattern::Answer,
        }
    }

    /// May its end be answered by a token?
    pub fn has_token(&self) -> bool {
        matches!(self, Self::Activity(_)) || self.pattern() != Pattern::Answer
    }
}
