//! The bucket and the objects in it.

use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata as _,
    types::{BucketLocationConstraint, CreateBucketConfiguration, Delete, ObjectIdentifier},
};
use serde_json::Value;

use super::{connect::failure, settings::Server};
use crate::backing::service::Failure;

/// The region that is not named when a bucket is made.
const UNNAMED_REGION: &str = "us-east-1";

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
    let mut any = false;
    loop {
        let found = match s3.list_object_versions().bucket(bucket).prefix(prefix).send().await {
            Ok(found) => found,
            Err(error) if error.code() == Some("NoSuchBucket") => return Ok(any),
            Err(error) => return Err(failure(&error)),
        };
        let versions = found.versions().iter().map(|found| (found.key(), found.version_id()));
        let markers = found.delete_markers().iter().map(|found| (found.key(), found.version_id()));
        let objects = versions.chain(markers).map(|(key, version)| {
            ObjectIdentifier::builder()
                .set_key(key.map(str::to_owned))
                .set_version_id(version.map(str::to_owned))
                .build()
        });
        let objects = objects.collect::<Result<Vec<_>, _>>().map_err(|error| Failure::Refused(error.to_string()))?;
        if objects.is_empty() {
            return Ok(any);
        }
        any = true;
        let all = Delete::builder().set_objects(Some(objects)).quiet(true).build();
        let all = all.map_err(|error| Failure::Refused(error.to_string()))?;
        let removed = s3.delete_objects().bucket(bucket).delete(all).send().await.map_err(|error| failure(&error))?;
        if let Some(left) = removed.errors().first() {
            let why = left.message().or(left.code()).unwrap_or("no reason was given");
            return Err(Failure::Refused(format!("objects of {prefix} cannot be removed: {why}")));
        }
    }
}

/// Ends the uploads in parts of that prefix, which nobody lists among the objects. Some servers only know them by their whole
/// names, and end them by themselves.
pub(super) async fn end_uploads(s3: &Client, bucket: &str, prefix: &str) -> Result<(), Failure> {
    loop {
        let found = match s3.list_multipart_uploads().bucket(bucket).prefix(prefix).send().await {
            Err(error) if error.code() == Some("NoSuchBucket") => return Ok(()),
            found => found.map_err(|error| failure(&error))?,
        };
        if found.uploads().is_empty() {
            return Ok(());
        }
        for upload in found.uploads() {
            let abort = s3.abort_multipart_upload().bucket(bucket);
            let abort = abort.set_key(upload.key.clone()).set_upload_id(upload.upload_id.clone());
            match abort.send().await {
                Err(error) if error.code() != Some("NoSuchUpload") => return Err(failure(&error)),
                _ => {}
            }
        }
    }
}
