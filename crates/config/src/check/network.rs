//! `storage:`, `server:`, `postgres:` and `sql:`: addresses, keys, limits.

use super::Context;
use crate::model::ByteSize;
use crate::suggest;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

const LAKES: [&str; 7] = ["s3", "s3a", "gs", "az", "azure", "abfs", "abfss"];

pub(super) fn check(context: &mut Context<'_>) {
    storage(context);
    server(context);
    keys(context);
    postgres(context);
    context.at_least("/sql/memory", context.pipeline.sql.memory, ByteSize::mib(1));
    context.longer_than_nothing("/sql/timeout", context.pipeline.sql.timeout);
}

fn storage(context: &mut Context<'_>) {
    let storage = &context.pipeline.storage;
    if storage.state.as_os_str().is_empty() {
        context.fault("/storage/state", "expected a folder, found nothing", None);
    }
    if storage.lake.trim().is_empty() {
        context.fault("/storage/lake", "expected a folder or a URL, found nothing", None);
    }
    if Path::new(&storage.lake) == storage.state {
        context.fault("/storage/lake", "the lake and the state cannot share a folder", None);
    }
    if let Some((scheme, rest)) = storage.lake.split_once("://") {
        if scheme != "file" && !LAKES.contains(&scheme) {
            let hint = suggest::hint(scheme, LAKES);
            context.fault(
                "/storage/lake",
                format!("`{}` is not in a store that Bourn knows", storage.lake),
                hint,
            );
        } else if rest.trim_start_matches('/').is_empty() {
            let message = format!("`{}` names no bucket", storage.lake);
            context.fault("/storage/lake", message, Some(format!("write `{scheme}://bucket/prefix`")));
        }
    }
}

fn server(context: &mut Context<'_>) {
    let server = &context.pipeline.server;
    let open = server.keys.is_empty() && !server.allow_unauthenticated;
    if let Some(address) = listen(context, "/server/listen", &server.listen)
        && !address.is_loopback()
        && open
    {
        let message =
            format!("`{}` can be reached from other machines, and there are no API keys", server.listen);
        let hint = "add `server.keys`, listen on 127.0.0.1, or set `server.allow_unauthenticated: true`";
        context.fault("/server/listen", message, Some(hint.into()));
    }
    if let Some(tls) = &server.tls {
        context.file("/server/tls/cert", &tls.cert);
        context.file("/server/tls/key", &tls.key);
    }
    let least = ByteSize(1024);
    context.at_least("/server/max_body", server.max_body, least);
    context.at_least("/server/max_inflated", server.max_inflated, least);
    context.at_least("/server/max_in_flight", server.max_in_flight, least);
    if server.max_in_flight < server.max_body {
        let message =
            format!("{} is less than one body of `max_body` ({})", server.max_in_flight, server.max_body);
        context.fault("/server/max_in_flight", message, None);
    }
    context.longer_than_nothing("/server/request_timeout", server.request_timeout);
    if server.max_connections == 0 {
        context.fault("/server/max_connections", "must be at least 1", None);
    }
}

fn keys(context: &mut Context<'_>) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, key) in context.pipeline.server.keys.iter().enumerate() {
        let at = format!("/server/keys/{index}");
        if key.name.trim().is_empty() {
            context.fault(&format!("{at}/name"), "expected a name, found nothing", None);
        }
        let hex = key.hash.strip_prefix("sha256:");
        if !hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            // What stands here may be the key itself: it is not shown.
            let hint = "make it with `printf %s \"$KEY\" | sha256sum`";
            let message = "expected `sha256:` and 64 hexadecimal digits";
            context.fault(&format!("{at}/hash"), message, Some(hint.into()));
        }
        if let Some(first) = seen.insert(&key.name, index) {
            context.fault(
                &format!("{at}/name"),
                format!("`{}` is the name of key {first} too", key.name),
                None,
            );
        }
        for (position, stream) in key.streams.iter().enumerate() {
            if !context.pipeline.streams.contains_key(stream) {
                let hint = suggest::hint(stream, context.pipeline.streams.keys().map(String::as_str));
                context.fault(
                    &format!("{at}/streams/{position}"),
                    format!("there is no stream `{stream}`"),
                    hint,
                );
            }
        }
    }
}

fn postgres(context: &mut Context<'_>) {
    let postgres = &context.pipeline.postgres;
    let address = listen(context, "/postgres/listen", &postgres.listen);
    if !postgres.enabled {
        return;
    }
    if let Some(address) = address
        && !address.is_loopback()
        && postgres.password.is_none()
    {
        let message =
            format!("`{}` can be reached from other machines, and there is no password", postgres.listen);
        let hint = "set `postgres.password: ${env:…}`, or listen on 127.0.0.1";
        context.fault("/postgres/listen", message, Some(hint.into()));
    }
    if postgres.password.as_ref().is_some_and(|password| password.reveal().is_empty()) {
        context.fault("/postgres/password", "the password is empty", None);
    }
    if postgres.password.is_some() && !context.places.references.contains_key("/postgres/password") {
        let message = "a password stands in the file in plain text";
        context.fault(
            "/postgres/password",
            message,
            Some("refer to it: `${env:NAME}` or `${file:path}`".into()),
        );
    }
    if postgres.user.trim().is_empty() {
        context.fault("/postgres/user", "expected a name, found nothing", None);
    }
    let server: Option<SocketAddr> = context.pipeline.server.listen.parse().ok();
    let own: Option<SocketAddr> = postgres.listen.parse().ok();
    if own.is_some_and(|own| own.port() != 0 && server == Some(own)) {
        context.fault("/postgres/listen", "the HTTP server listens on the same address", None);
    }
}

/// The address of `HOST:PORT`, faulting what is not one. `localhost` is loopback.
fn listen(context: &mut Context<'_>, pointer: &str, text: &str) -> Option<IpAddr> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_string(),
    };
    match numeric.parse::<SocketAddr>() {
        Ok(address) => Some(address.ip()),
        Err(_) => {
            let hint = match text.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => format!("add a port: `{text}:8686`"),
                Ok(IpAddr::V6(_)) => format!("add brackets and a port: `[{text}]:8686`"),
                Err(_) if text.parse::<u16>().is_ok() => format!("add an address: `127.0.0.1:{text}`"),
                Err(_) => "write it like `127.0.0.1:8686`".to_string(),
            };
            context.fault(pointer, format!("`{text}` is not an address and a port"), Some(hint));
            None
        }
    }
}
