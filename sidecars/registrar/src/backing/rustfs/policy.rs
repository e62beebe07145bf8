//! What a tentacle may do with the bucket, in the language of IAM policies.

use serde_json::{Value, json};

use crate::backing::tenant::Tenant;

/// What the tenant's objects' names begin with. Names of enclaves and tentacles have no slash, so that no prefix is the beginning
/// of another's, and no sign that means something in a policy.
pub(super) fn prefix(tenant: &Tenant) -> String {
    format!("ns/{}/tentacles/{}/", tenant.enclave, tenant.tentacle)
}

/// Everything with objects of that prefix, uploads in parts included, and nothing else. Listing the uploads that are going on is
/// not among it: servers know no prefix for that, so it would show those of others too.
pub(super) fn document(bucket: &str, prefix: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [
                    "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
                    "s3:ListMultipartUploadParts",
                ],
                "Resource": [format!("arn:aws:s3:::{bucket}/{prefix}*")],
            },
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": [format!("arn:aws:s3:::{bucket}")],
                "Condition": { "StringLike": { "s3:prefix": [format!("{prefix}*")] } },
            },
        ],
    })
}

/// Whether the policy is about objects of that prefix, in whichever bucket.
pub(super) fn is_about(document: &Value, prefix: &str) -> bool {
    let ending = format!("/{prefix}*");
    resources(document).any(|resource| resource.ends_with(&ending))
}

/// The tenant whose objects the policy is about, in whichever bucket.
pub(super) fn tenant(document: &Value) -> Option<Tenant> {
    resources(document).find_map(|resource| {
        let (_, prefix) = resource.split_once("/ns/")?;
        let (enclave, tentacle) = prefix.strip_suffix("/*")?.split_once("/tentacles/")?;
        format!("{enclave}/{tentacle}").parse().ok()
    })
}

/// Whether it lets everybody do something.
pub(super) fn is_for_everybody(document: &Value) -> bool {
    list(&document["Statement"]).any(|statement| {
        let principal = &statement["Principal"];
        let everybody = |value: &Value| list(value).any(|name| name == "*");
        statement["Effect"] == "Allow" && (everybody(principal) || everybody(&principal["AWS"]))
    })
}

fn resources(document: &Value) -> impl Iterator<Item = &str> {
    list(&document["Statement"]).flat_map(|statement| list(&statement["Resource"])).filter_map(Value::as_str)
}

/// One or several: policies may say either.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice).iter()
}
