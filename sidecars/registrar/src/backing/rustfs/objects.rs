//! The bucket and the objects in it.

use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata as _,
    types::{BucketLocationConstraint, CreateBucketConfiguration, Delete, EncodingType, ObjectIdentifier},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{connect::failure, settings::Server};
use crate::backing::service::Failure;

/// The region that is not named when a bucket is made.
const UNNAMED_REGION: &str = "us-east-1";
/// Objects that are removed at the same time by a call each.
const AT_ONCE: usize = 8;
/// How many of the keys that stay are named.
const NAMED: usize = 3;

/// Makes the bucket, unless it is there.
pub(super) async fn make_bucket(s3: &Client, server: &Server) -> Result<(), Failure> {
    let Err(error) = s3.head_bucket().bucket(&server.bucket).send().await else { return Ok(()) };
    if error.raw_response().is_none_or(|answer| answer.status().as_u16() != 404) {
        return Err(failure(&error));
    }
    let make = s3.create_bucket().bucket(&server.bucket);
    let place = (server.region != UNNAMED_REGION).then(|| {
        let region = BucketLocationConstraint::from(server.region.as_str());
        CreateBucketConfiguration::builder().location_constraint(region).build()
    });
    match make.set_create_bucket_configuration(place).send().await {
        // Another registrar, in the meantime.
        Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => Ok(()),
        answer => answer.map(drop).map_err(|error| failure(&error)),
    }
}

/// Whether the bucket's own policy lets everybody do something.
pub(super) async fn is_public(s3: &Client, bucket: &str) -> Result<bool, Failure> {
    match s3.get_bucket_policy().bucket(bucket).send().await {
        Ok(answer) => {
            let policy = serde_json::from_str::<Value>(answer.policy().unwrap_or_default()).unwrap_or_default();
            Ok(super::policy::is_for_everybody(&policy))
        }
        Err(error) if error.code() == Some("NoSuchBucketPolicy") => Ok(false),
        Err(error) => Err(failure(&error)),
    }
}

/// Removes all objects of that prefix with all their versions, as many at once as a call may name. Returns whether there were any.
pub(super) async fn remove(s3: &Client, bucket: &str, prefix: &str) -> Result<bool, Failure> {
    let mut former = Vec::new();
    loop {
        let list = s3.list_object_versions().bucket(bucket).prefix(prefix).encoding_type(EncodingType::Url);
        let found = match list.send().await {
            Ok(found) => found,
            Err(error) if error.code() == Some("NoSuchBucket") => return Ok(!former.is_empty()),
            Err(error) => return Err(failure(&error)),
        };
        let versions = found.versions().iter().map(|found| (found.key(), found.version_id()));
        let markers = found.delete_markers().iter().map(|found| (found.key(), found.version_id()));
        let objects = versions.chain(markers).map(|(key, version)| {
            let key = decoded(key, found.encoding_type())?;
            let object = ObjectIdentifier::builder().key(key).set_version_id(version.map(str::to_owned)).build();
            object.map_err(|error| Failure::Refused(error.to_string()))
        });
        let objects = objects.collect::<Result<Vec<_>, _>>()?;
        if objects.is_empty() {
            return Ok(!former.is_empty());
        }
        if objects == former {
            return Err(stays("objects", prefix, objects.iter().map(ObjectIdentifier::key)));
        }
        let (together, apart): (Vec<_>, Vec<_>) = objects.iter().cloned().partition(|object| is_plain(object.key()));
        remove_together(s3, (bucket, prefix), together).await?;
        remove_apart(s3, bucket, apart).await?;
        former = objects;
    }
}

/// Removes objects by one call that names them in XML.
async fn remove_together(
    s3: &Client,
    (bucket, prefix): (&str, &str),
    objects: Vec<ObjectIdentifier>,
) -> Result<(), Failure> {
    if objects.is_empty() {
        return Ok(());
    }
    let all = Delete::builder().set_objects(Some(objects)).quiet(true).build();
    let all = all.map_err(|error| Failure::Refused(error.to_string()))?;
    let removed = s3.delete_objects().bucket(bucket).delete(all).send().await.map_err(|error| failure(&error))?;
    let Some(left) = removed.errors().first() else { return Ok(()) };
    let why = left.message().or(left.code()).unwrap_or("no reason was given");
    Err(Failure::Refused(format!("objects of {prefix} cannot be removed: {why}")))
}

/// Removes objects by a call each, which names it in its path.
async fn remove_apart(s3: &Client, bucket: &str, objects: Vec<ObjectIdentifier>) -> Result<(), Failure> {
    let removals = stream::iter(objects).map(Ok);
    let remove = |object: ObjectIdentifier| async move {
        let remove = s3.delete_object().bucket(bucket).key(object.key).set_version_id(object.version_id);
        remove.send().await.map(drop).map_err(|error| failure(&error))
    };
    removals.try_for_each_concurrent(AT_ONCE, remove).await
}

/// Ends the uploads in parts of that prefix, which nobody lists among the objects. Some servers only know them by their whole
/// names, and end them by themselves.
pub(super) async fn end_uploads(s3: &Client, bucket: &str, prefix: &str) -> Result<(), Failure> {
    let mut former = Vec::new();
    loop {
        let list = s3.list_multipart_uploads().bucket(bucket).prefix(prefix).encoding_type(EncodingType::Url);
        let found = match list.send().await {
            Err(error) if error.code() == Some("NoSuchBucket") => return Ok(()),
            found => found.map_err(|error| failure(&error))?,
        };
        let uploads = found.uploads().iter();
        let uploads =
            uploads.map(|upload| Ok((decoded(upload.key(), found.encoding_type())?, upload.upload_id.clone())));
        let uploads = uploads.collect::<Result<Vec<_>, Failure>>()?;
        if uploads.is_empty() {
            return Ok(());
        }
        if uploads == former {
            return Err(stays("uploads", prefix, uploads.iter().map(|(key, _)| &**key)));
        }
        for (key, id) in &uploads {
            match s3.abort_multipart_upload().bucket(bucket).key(key).set_upload_id(id.clone()).send().await {
                Err(error) if error.code() != Some("NoSuchUpload") => return Err(failure(&error)),
                _ => {}
            }
        }
        former = uploads;
    }
}

/// The key that a server lists. Some do not encode keys though they are asked to, and do not say that they do.
fn decoded(key: Option<&str>, encoding: Option<&EncodingType>) -> Result<String, Failure> {
    let key = key.unwrap_or_default();
    if encoding != Some(&EncodingType::Url) {
        return Ok(key.to_owned());
    }
    // As forms are encoded: a plus sign is a space, unless it is encoded itself.
    let spaced = key.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let decoded = decoded.map_err(|_| Failure::Refused(format!("it lists {key:?}, which is no key in UTF-8")))?;
    Ok(decoded.into_owned())
}

/// Whether XML 1.0 has all characters of the key.
fn is_plain(key: &str) -> bool {
    let is_xml = |sign: char| matches!(sign, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    key.chars().all(is_xml)
}

/// That what was removed is listed as before.
fn stays<'a>(what: &str, prefix: &str, keys: impl ExactSizeIterator<Item = &'a str>) -> Failure {
    let count = keys.len();
    let named: Vec<_> = keys.take(NAMED).map(|key| format!("{key:?}")).collect();
    Failure::Refused(format!(
        "it goes on listing {count} {what} of {prefix} that were removed, perhaps by names that are not theirs: {}{}",
        named.join(", "),
        if count > NAMED { ", …" } else { "" },
    ))
}
