//! How a target is reached: what its address does not say.

use std::fmt;

use rusty_s3::{Credentials, UrlStyle};
use tokio_util::sync::CancellationToken;

use crate::{BackupKey, BackupTarget, Error, Folder, Result, TargetAddress, s3::BucketTarget};

/// Where S3 is, unless somebody says it.
const DEFAULT_REGION: &str = "us-east-1";

/// What a hub shows to S3. It is never written anywhere.
#[derive(Clone)]
pub struct S3Credentials {
    /// Name of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// Of keys that end soon.
    pub session_token: Option<String>,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Credentials(..)")
    }
}

/// Which S3 it is.
#[derive(Clone, Debug, Default)]
pub struct S3Access {
    /// An address, `https://s3.example.org`; none: Amazon's of the region.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Whether the bucket stands in the path instead of the host name; none: it does where an endpoint is named.
    pub path_style: Option<bool>,
    /// What is shown there.
    pub credentials: Option<S3Credentials>,
}

/// How targets are reached.
#[derive(Clone, Debug, Default)]
pub struct TargetAccess {
    /// Of buckets.
    pub s3: S3Access,
    /// What their backups are encrypted with; none: they are not.
    pub key: Option<BackupKey>,
    /// Ends whatever waits for a target.
    pub stopping: CancellationToken,
}

impl TargetAccess {
    /// Whether this target can be reached so, as far as settings can tell.
    ///
    /// # Errors
    /// What is wrong or missing.
    pub fn check(&self, url: &str) -> Result<()> {
        match TargetAddress::parse(url)? {
            TargetAddress::Folder(_) => Ok(()),
            TargetAddress::Bucket(bucket, _) => self.s3.bucket(&bucket).map(|_| ()),
        }
    }
}

impl S3Access {
    /// A bucket there, and what is shown.
    pub(crate) fn bucket(&self, name: &str) -> Result<(rusty_s3::Bucket, Credentials)> {
        let missing = || {
            Error::Invalid(format!(
                "the bucket {name} asks for keys: set backup.s3_access_key_id and backup.s3_secret_access_key, as \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ))
        };
        let shown = self.credentials.as_ref().ok_or_else(missing)?;
        let region = self.region.as_deref().unwrap_or(DEFAULT_REGION);
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(Error::Invalid(format!(
                "backup.s3_region {region:?}: expected a name such as eu-central-1"
            )));
        }
        let amazon = || format!("https://s3.{region}.amazonaws.com");
        let endpoint = self.endpoint.clone().unwrap_or_else(amazon);
        let bad = || {
            Error::Invalid(format!(
                "backup.s3_endpoint {endpoint:?}: expected an address such as https://s3.example.org, without path, user and password"
            ))
        };
        let url: url::Url = endpoint.parse().map_err(|_| bad())?;
        let is_plain = matches!(url.scheme(), "https" | "http")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && (url.username().is_empty() && url.password().is_none())
            && (matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none());
        if !is_plain {
            return Err(bad());
        }
        let in_path = self.path_style.unwrap_or(self.endpoint.is_some());
        let style = if in_path { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let bucket =
            rusty_s3::Bucket::new(url, style, name.to_owned(), region.to_owned()).map_err(|_| bad())?;
        let S3Credentials { access_key_id, secret_access_key, session_token } = shown.clone();
        let credentials = match session_token {
            Some(token) => Credentials::new_with_token(access_key_id, secret_access_key, token),
            None => Credentials::new(access_key_id, secret_access_key),
        };
        Ok((bucket, credentials))
    }
}

/// The target that a URL names. Its calls wait, and may be made on threads of a Tokio runtime that may.
///
/// # Errors
/// When the URL names none, or how to reach it is not set.
///
/// # Panics
/// For a bucket outside of a Tokio runtime.
pub fn open_target(url: &str, access: &TargetAccess) -> Result<Box<dyn BackupTarget>> {
    match TargetAddress::parse(url)? {
        TargetAddress::Folder(path) => Ok(Box::new(Folder::new(&path))),
        TargetAddress::Bucket(name, prefix) => {
            let (bucket, credentials) = access.s3.bucket(&name)?;
            Ok(Box::new(BucketTarget::new(url, (bucket, credentials), prefix, access.stopping.clone())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(endpoint: Option<&str>) -> S3Access {
        let credentials = S3Credentials {
            access_key_id: "name".to_owned(),
            secret_access_key: "hush".to_owned(),
            session_token: None,
        };
        S3Access {
            endpoint: endpoint.map(str::to_owned),
            credentials: Some(credentials),
            ..S3Access::default()
        }
    }

    #[test]
    fn a_bucket_stands_in_the_host_name_at_amazon_and_in_the_path_elsewhere() {
        let url = |access: &S3Access| access.bucket("bucket").unwrap().0.base_url().to_string();
        assert_eq!(url(&access(None)), "https://bucket.s3.us-east-1.amazonaws.com/");
        let north = S3Access { region: Some("eu-north-1".to_owned()), ..access(None) };
        assert_eq!(url(&north), "https://bucket.s3.eu-north-1.amazonaws.com/");
        assert_eq!(url(&access(Some("http://127.0.0.1:9000"))), "http://127.0.0.1:9000/bucket/");
        let host = S3Access { path_style: Some(false), ..access(Some("https://s3.example.org/")) };
        assert_eq!(url(&host), "https://bucket.s3.example.org/");
    }

    #[test]
    fn what_is_missing_is_told_and_no_secret_is_shown() {
        let bare = TargetAccess::default();
        assert!(bare.check("file:///x").is_ok());
        let told = bare.check("s3://bucket").unwrap_err().to_string();
        assert!(told.contains("AWS_SECRET_ACCESS_KEY"), "{told}");
        for bad in ["s3.example.org", "ftp://x", "https://a:b@x", "https://x/path", "https://x?region=y", ""]
        {
            let told = access(Some(bad)).bucket("bucket").unwrap_err().to_string();
            assert!(told.contains("s3_endpoint"), "{bad}: {told}");
        }
        let bad = S3Access { region: Some("eu west".to_owned()), ..access(None) };
        assert!(bad.bucket("bucket").unwrap_err().to_string().contains("s3_region"));
        assert!(!format!("{:?}", access(None)).contains("hush"));
    }
}
