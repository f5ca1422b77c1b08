//! From `storage:` to an object store: a local folder, `s3://`, `gs://` or `az://`.
//!
//! Options have the names the `object_store` crate gives them; what is not set comes from the
//! environment, as in the cloud's own tools. S3 is addressed path style and commits by
//! `If-None-Match` (a conditional put), so that no lock service is needed.

use crate::LakeError;
use crate::local::SyncedFolder;
use bourn_config::Storage;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// A store and where in it the lake begins.
#[derive(Clone, Debug)]
pub struct Place {
    /// Rooted at the scheme and authority of `url`.
    pub store: Arc<dyn ObjectStore>,
    /// Ends in `/`.
    pub url: Url,
}

/// The store itself retries what passes within seconds; longer faults are the committer's.
fn retry() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 3, retry_timeout: Duration::from_secs(15) }
}

/// Opens the place that `storage` names; a relative folder lies in `base`. A local folder is
/// created when `create` is set.
pub fn open(storage: &Storage, base: &Path, create: bool) -> Result<Place, LakeError> {
    let fail = |problem: String| LakeError::Storage { place: storage.lake.clone(), problem };
    if !storage.lake.contains("://") {
        return open_folder(&base.join(&storage.lake), create).map_err(fail);
    }
    let text = format!("{}/", storage.lake.trim_end_matches('/'));
    let url = Url::parse(&text).map_err(|e| fail(e.to_string()))?;
    if url.scheme() == "file" {
        let folder = url.to_file_path().map_err(|()| fail("not a local path".into()))?;
        return open_folder(&folder, create).map_err(fail);
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(fail("the bucket is missing: write s3://bucket/prefix".into()));
    }
    let store: Arc<dyn ObjectStore> = match url.scheme() {
        "s3" | "s3a" => Arc::new(s3(storage, &url).map_err(fail)?),
        "gs" => Arc::new(gcs(storage, &url).map_err(fail)?),
        "az" | "abfs" | "abfss" | "adl" => Arc::new(azure(storage, &url).map_err(fail)?),
        other => {
            return Err(fail(format!("`{other}` is not known: write a folder, s3://, gs:// or az://")));
        }
    };
    Ok(Place { store, url })
}

fn open_folder(folder: &Path, create: bool) -> Result<Place, String> {
    if create {
        std::fs::create_dir_all(folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
    }
    let folder = folder.canonicalize().map_err(|e| format!("{}: {e}", folder.display()))?;
    let url = Url::from_directory_path(&folder).map_err(|()| format!("{} is no path", folder.display()))?;
    Ok(Place { store: Arc::new(SyncedFolder::new()), url })
}

fn options<K: FromStr>(storage: &Storage) -> Result<Vec<(K, String)>, String> {
    storage
        .options
        .iter()
        .map(|(name, value)| {
            let key = K::from_str(&name.to_ascii_lowercase())
                .map_err(|_| format!("storage.options.{name} is no option of this store"))?;
            Ok((key, value.clone()))
        })
        .collect()
}

fn s3(storage: &Storage, url: &Url) -> Result<impl ObjectStore + use<>, String> {
    let mut builder = AmazonS3Builder::from_env()
        .with_url(url.as_str().replacen("s3a://", "s3://", 1))
        .with_retry(retry())
        .with_virtual_hosted_style_request(false)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    for (key, value) in options::<AmazonS3ConfigKey>(storage)? {
        builder = builder.with_config(key, value);
    }
    builder.build().map_err(|e| e.to_string())
}

fn gcs(storage: &Storage, url: &Url) -> Result<impl ObjectStore + use<>, String> {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).with_retry(retry());
    for (key, value) in options::<GoogleConfigKey>(storage)? {
        builder = builder.with_config(key, value);
    }
    builder.build().map_err(|e| e.to_string())
}

fn azure(storage: &Storage, url: &Url) -> Result<impl ObjectStore + use<>, String> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_url(url.as_str())
        .with_retry(retry())
        .with_client_options(ClientOptions::new());
    for (key, value) in options::<AzureConfigKey>(storage)? {
        builder = builder.with_config(key, value);
    }
    builder.build().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_that_cannot_be_opened_says_why() {
        let check = |lake: &str, option: Option<(&str, &str)>, expected: &str| {
            let mut storage = Storage { lake: lake.into(), ..Storage::default() };
            storage.options.extend(option.map(|(k, v)| (k.to_string(), v.to_string())));
            let error = open(&storage, Path::new("/nowhere"), false).unwrap_err().to_string();
            assert!(error.contains(expected), "{lake}: {error}");
        };
        check("ftp://a/b", None, "`ftp` is not known");
        check("s3:///b", None, "the bucket is missing");
        check("s3://b/p", Some(("regoin", "x")), "storage.options.regoin is no option");
        check("missing/folder", None, "/nowhere/missing/folder");
    }

    #[test]
    fn every_cloud_is_configured_by_the_same_options() {
        let check = |lake: &str, options: &[(&str, &str)]| {
            let mut storage = Storage { lake: lake.into(), ..Storage::default() };
            storage.options.extend(options.iter().map(|(k, v)| (k.to_string(), v.to_string())));
            let place = open(&storage, Path::new("/"), false).unwrap();
            assert_eq!(place.url.as_str(), format!("{lake}/"));
        };
        let s3 = [("endpoint", "http://127.0.0.1:1"), ("allow_http", "true"), ("region", "r")];
        check("s3://bucket/some/prefix", &s3);
        check("gs://bucket/prefix", &[("google_skip_signature", "true")]);
        check("az://container/prefix", &[("account_name", "a"), ("azure_skip_signature", "true")]);
    }
}
