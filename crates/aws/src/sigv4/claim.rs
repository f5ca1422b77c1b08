//! What a request says about its own signature.

use super::{ALGORITHM, EXPIRES_SECS_MAX, SKEW_MAX, SignatureFault, canonical, hex};
use bourn_event::Micros;
use chrono::{DateTime, NaiveDateTime, Utc};
use http::HeaderMap;
use http::header::{AUTHORIZATION, DATE};
use http::request::Parts;
use sha2::{Digest, Sha256};

const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// Day, region and service that a signature is for.
pub(super) struct Scope {
    pub(super) date: String,
    pub(super) region: String,
    pub(super) service: String,
}

/// A signature with everything that goes with it; nothing of it is believed yet.
pub(super) struct Claim {
    /// The access key's id.
    pub(super) key: String,
    pub(super) scope: Scope,
    /// In lower case, in the order they were sent.
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: String,
    time: DateTime<Utc>,
    /// Seconds from `time`; only presigned addresses have it.
    expires: Option<i64>,
}

fn incomplete(detail: impl Into<String>) -> SignatureFault {
    SignatureFault::Incomplete(detail.into())
}

impl Claim {
    pub(super) fn of(head: &Parts) -> Result<Self, SignatureFault> {
        match head.headers.get(AUTHORIZATION) {
            Some(value) => {
                let text = value.to_str().map_err(|_| incomplete("Authorization is not a text"))?;
                Self::of_header(text, &head.headers)
            }
            None => Self::of_query(head),
        }
    }

    fn of_header(text: &str, headers: &HeaderMap) -> Result<Self, SignatureFault> {
        let fields = match text.trim().split_once(char::is_whitespace) {
            Some((ALGORITHM, fields)) => fields,
            _ => return Err(incomplete(format!("Authorization must begin with '{ALGORITHM}'."))),
        };
        let field = |name: &str| {
            let found = fields.split(',').find_map(|part| {
                let (key, value) = part.trim().split_once('=')?;
                (key == name).then(|| value.to_owned())
            });
            found.ok_or_else(|| incomplete(format!("Authorization header requires '{name}' parameter.")))
        };
        let (key, scope) = parse_credential(&field("Credential")?)?;
        Ok(Self {
            key,
            scope,
            signed_headers: parse_signed_headers(&field("SignedHeaders")?),
            signature: field("Signature")?,
            time: header_time(headers)?,
            expires: None,
        })
    }

    fn of_query(head: &Parts) -> Result<Self, SignatureFault> {
        let pairs = canonical::query_pairs(head.uri.query().unwrap_or_default());
        let find = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        if find("X-Amz-Signature").is_none() && find("X-Amz-Credential").is_none() {
            return Err(SignatureFault::Missing);
        }
        let field = |name: &str| {
            find(name).ok_or_else(|| incomplete(format!("The query requires the parameter '{name}'.")))
        };
        if field("X-Amz-Algorithm")? != ALGORITHM {
            return Err(incomplete(format!("X-Amz-Algorithm must be '{ALGORITHM}'.")));
        }
        let (key, scope) = parse_credential(&field("X-Amz-Credential")?)?;
        let expires = field("X-Amz-Expires")?;
        let in_range = |secs: &i64| (1..=EXPIRES_SECS_MAX).contains(secs);
        let expires = expires.parse().ok().filter(in_range).ok_or_else(|| {
            incomplete(format!("X-Amz-Expires must be a number from 1 to {EXPIRES_SECS_MAX}."))
        })?;
        Ok(Self {
            key,
            scope,
            signed_headers: parse_signed_headers(&field("X-Amz-SignedHeaders")?),
            signature: field("X-Amz-Signature")?,
            time: parse_time(&field("X-Amz-Date")?)?,
            expires: Some(expires),
        })
    }

    pub(super) fn check_scope(&self, service: &str) -> Result<(), SignatureFault> {
        let day = self.time.format("%Y%m%d").to_string();
        if self.scope.date != day {
            let detail = format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{}' != '{day}', from '{}'.",
                self.scope.date,
                self.time.format(TIME_FORMAT)
            );
            return Err(SignatureFault::Scope(detail));
        }
        if self.scope.service != service {
            let detail = format!("Credential should be scoped to correct service: '{service}'.");
            return Err(SignatureFault::Scope(detail));
        }
        Ok(())
    }

    pub(super) fn check_signed_headers(&self, headers: &HeaderMap) -> Result<(), SignatureFault> {
        let signed = |name: &str| self.signed_headers.iter().any(|signed| signed == name);
        let dated = self.expires.is_some() || signed("x-amz-date") || signed("date");
        let missing = [("host", signed("host")), ("x-amz-date", dated)]
            .into_iter()
            .find_map(|(name, there)| (!there).then_some(name))
            .or_else(|| {
                let names = headers.keys().map(|name| name.as_str());
                names.into_iter().find(|name| name.starts_with("x-amz-") && !signed(name))
            });
        match missing {
            None => Ok(()),
            Some(name) => Err(incomplete(format!("'{name}' must be a 'SignedHeader'."))),
        }
    }

    pub(super) fn check_time(&self, now: Micros) -> Result<(), SignatureFault> {
        let signed_at = self.time.timestamp_micros();
        let show = |micros: Micros| {
            DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default().format(TIME_FORMAT).to_string()
        };
        if signed_at.saturating_sub(SKEW_MAX) > now {
            let detail = format!(
                "Signature not yet current: {} is still later than {} ({} + 15 min.)",
                show(signed_at),
                show(now.saturating_add(SKEW_MAX)),
                show(now)
            );
            return Err(SignatureFault::Expired(detail));
        }
        let valid_for = self.expires.map_or(SKEW_MAX, |secs| secs * 1_000_000);
        if signed_at.saturating_add(valid_for) < now {
            let detail = format!(
                "Signature expired: {} is now earlier than {} ({} - {} min.)",
                show(signed_at),
                show(now.saturating_sub(valid_for)),
                show(now),
                valid_for / 60_000_000
            );
            return Err(SignatureFault::Expired(detail));
        }
        Ok(())
    }

    pub(super) fn string_to_sign(&self, canonical: &str) -> String {
        let Scope { date, region, service } = &self.scope;
        let (time, hash) = (self.time.format(TIME_FORMAT), hex(&Sha256::digest(canonical)));
        format!("{ALGORITHM}\n{time}\n{date}/{region}/{service}/aws4_request\n{hash}")
    }
}

fn parse_credential(text: &str) -> Result<(String, Scope), SignatureFault> {
    // A key's id may hold a slash; the scope behind it has four parts.
    let mut parts = text.rsplitn(5, '/');
    let mut next = || parts.next().filter(|part| !part.is_empty());
    match (next(), next(), next(), next(), next()) {
        (Some("aws4_request"), Some(service), Some(region), Some(date), Some(key)) => {
            let scope = Scope { date: date.into(), region: region.into(), service: service.into() };
            Ok((key.to_owned(), scope))
        }
        _ => Err(incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. \
             keyid/date/region/service/aws4_request, got '{text}'"
        ))),
    }
}

fn parse_signed_headers(text: &str) -> Vec<String> {
    text.split(';').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
}

fn header_time(headers: &HeaderMap) -> Result<DateTime<Utc>, SignatureFault> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(time) = text("x-amz-date") {
        return parse_time(time);
    }
    let Some(time) = text(DATE.as_str()) else {
        let detail = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";
        return Err(incomplete(detail));
    };
    match DateTime::parse_from_rfc2822(time) {
        Ok(time) => Ok(time.to_utc()),
        Err(_) => parse_time(time),
    }
}

fn parse_time(text: &str) -> Result<DateTime<Utc>, SignatureFault> {
    NaiveDateTime::parse_from_str(text, TIME_FORMAT)
        .map(|time| time.and_utc())
        .map_err(|_| incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{text}'.")))
}
