//! Connections by name: the headers and credentials that a call gets, and the addresses it may go to.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bourn_config::Connection;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

/// Adds what a connection has, over what is there. The error holds no secret.
pub fn connect(
    name: &str,
    connection: &Connection,
    url: &Url,
    headers: &mut HeaderMap,
) -> Result<(), String> {
    if let Some(prefix) = &connection.url
        && !allows(prefix, url)
    {
        return Err(format!(
            "connection `{name}` is only for addresses that begin with {}",
            prefix.split(['?', '#']).next().unwrap_or_default()
        ));
    }
    for (header, secret) in &connection.headers {
        let bad = || format!("header `{header}` of connection `{name}` is not a valid HTTP header");
        let key = HeaderName::from_bytes(header.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(secret.reveal()).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    if let Some(basic) = &connection.basic {
        let token = BASE64_STANDARD.encode(format!("{}:{}", basic.user, basic.password.reveal()));
        let bad = |_| format!("the basic authentication of connection `{name}` is not valid");
        let mut value = HeaderValue::from_str(&format!("Basic {token}")).map_err(bad)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(())
}

/// Does the address lie under the prefix? The path counts by whole segments, after `..` was resolved.
fn allows(prefix: &str, url: &Url) -> bool {
    let Ok(prefix) = Url::parse(prefix) else { return false };
    let same_server = prefix.scheme() == url.scheme()
        && prefix.host_str() == url.host_str()
        && prefix.port_or_known_default() == url.port_or_known_default();
    let (base, path) = (prefix.path().trim_end_matches('/'), url.path());
    // A server may take an encoded slash or dot for the real one.
    let lowered = path.to_ascii_lowercase();
    let hidden = ["%2f", "%2e", "%5c"].iter().any(|code| lowered.contains(code));
    let beneath = base.is_empty()
        || (!hidden && path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    same_server && url.username().is_empty() && url.password().is_none() && beneath
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_under_the_prefix_are_allowed() {
        let cases = [
            ("https://api.test/v1", "https://api.test/v1", true),
            ("https://api.test/v1", "https://api.test/v1/orders?x=1", true),
            ("https://api.test/v1/", "https://api.test/v1/orders", true),
            ("https://api.test", "https://api.test:443/any", true),
            ("https://api.test/v1", "https://api.test/v10", false),
            ("https://api.test/v1", "https://api.test/v1/../admin", false),
            ("https://api.test/v1", "https://api.test/v1/%2e%2e/admin", false),
            ("https://api.test/v1", "https://api.test/v1/..%2fadmin", false),
            ("https://api.test/v1", "http://api.test/v1", false),
            ("https://api.test/v1", "https://api.test:8443/v1", false),
            ("https://api.test/v1", "https://api.test.evil/v1", false),
            ("https://api.test/v1", "https://api.test@evil/v1", false),
            ("https://api.test/v1", "https://user:word@api.test/v1", false),
            ("not an address", "https://api.test/v1", false),
        ];
        for (prefix, url, allowed) in cases {
            assert_eq!(allows(prefix, &Url::parse(url).expect(url)), allowed, "{prefix} {url}");
        }
    }
}
