//! Where a target lies, as operators write it: `file:///dir`, `s3://bucket/prefix`.

use std::{io, path::PathBuf};

use rustix::fs::Access;

use crate::{Error, Result, error::AtPath as _};

/// Longest prefix in a bucket: keys of S3 have 1,024 bytes at most, of which objects need less than 100.
const PREFIX_MAX_BYTES: usize = 512;

/// Where a target lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetAddress {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket of S3, and what the keys of objects there begin with: nothing, or parts that end in `/`.
    Bucket(String, String),
}

impl TargetAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix("file://")
            && path.starts_with('/')
            && path.len() > 1
        {
            return Ok(Self::Folder(path.into()));
        }
        if let Some(place) = text.strip_prefix("s3://") {
            return bucket(text, place);
        }
        Err(Error::Invalid(format!(
            "backup target {text:?}: expected a folder on this machine, as file:///var/backups/ferry, or a bucket of S3, \
             as s3://bucket/prefix"
        )))
    }
}

/// Whether what is written to `target` would find a folder, as far as looking tells: it is there and may be written, or could be made.
/// Of a bucket nothing is looked at.
///
/// # Errors
/// Which folder is not there, or not to be written.
pub fn look_at_folder(target: &str) -> Result<()> {
    let TargetAddress::Folder(folder) = TargetAddress::parse(target)? else { return Ok(()) };
    let above = folder.parent().filter(|_| !folder.exists()).unwrap_or(&folder);
    rustix::fs::access(above, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(io::Error::from)
        .at("cannot write to", above)
}

fn bucket(text: &str, place: &str) -> Result<TargetAddress> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    // What has other characters is no bucket, or would be written otherwise in a URL than in a signature.
    let is_bucket = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_bucket) || bucket.contains("..") {
        return Err(Error::Invalid(format!(
            "backup target {text:?}: {bucket:?} is no bucket of S3: expected s3://bucket/prefix, the bucket in lower case; \
             keys and endpoint are settings of their own"
        )));
    }
    let prefix = prefix.trim_end_matches('/');
    let is_part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-=".contains(&byte))
    };
    if prefix.len() > PREFIX_MAX_BYTES || !(prefix.is_empty() || prefix.split('/').all(is_part)) {
        return Err(Error::Invalid(format!(
            "backup target {text:?}: a prefix has letters, digits, '.', '_', '-', '=' and single slashes between"
        )));
    }
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    Ok(TargetAddress::Bucket(bucket.to_owned(), prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_absolute_path_or_a_bucket() {
        let bucket = |name: &str, prefix: &str| TargetAddress::Bucket(name.to_owned(), prefix.to_owned());
        for (text, address) in [
            ("file:///var/x", TargetAddress::Folder("/var/x".into())),
            ("s3://my-bucket", bucket("my-bucket", "")),
            ("s3://my-bucket/", bucket("my-bucket", "")),
            ("s3://b.example.org/a/ferry-1", bucket("b.example.org", "a/ferry-1/")),
            ("s3://b.example.org/a/ferry-1/", bucket("b.example.org", "a/ferry-1/")),
        ] {
            assert_eq!(TargetAddress::parse(text).unwrap(), address, "{text}");
        }
        for bad in [
            "",
            "/var/x",
            "file://host/x",
            "file://",
            "file:///",
            "s3:bucket",
            "s3://",
            "s3:///x",
            "s3://Bucket",
            "s3://key:secret@bucket",
            "s3://bucket/a//b",
            "s3://bucket/../b",
            "s3://bucket/a b",
            "s3://bucket/?region=x",
            "https://bucket.example",
        ] {
            assert!(TargetAddress::parse(bad).is_err(), "{bad}");
        }
    }
}
