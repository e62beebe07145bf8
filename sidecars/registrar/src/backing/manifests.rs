//! What a tentacle's shares add to its manifests: the Secrets with the credentials, what its contract says, and the ways to the
//! services. All of it is part of the apply like what the caller gave.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use tentacular_cluster::{Kind, Object};
use tentacular_contract::{
    TentacleName,
    backing::Service,
    keys,
    reach::{OURS, Scope},
    workflow::FILE,
};

use super::{
    PREFIX, contract, network,
    record::Record,
    share::{Fields, Share},
    tenant::Tenant,
};
use crate::tentacle::{
    dependencies,
    manifest::{Manifest, object_at},
    release::Live,
};

/// What the keys of a tentacle's identity begin with.
const IDENTITY: &str = "tentacular-identity";

/// The Secret that the server makes for the tentacle's credentials.
pub(crate) fn secret_name(tentacle: &str) -> String {
    format!("{OURS}exoskeleton-{tentacle}")
}

/// That Secret, among what there is of the tentacle.
pub(crate) fn secret<'a>(release: &'a [Live], tentacle: &str) -> Option<&'a Object> {
    let name = secret_name(tentacle);
    release.iter().find(|live| live.kind == Kind::Secret && live.name() == name).map(|live| &live.object)
}

/// What a tentacle's Secret says of each service that it says anything of.
pub(crate) type Used = BTreeMap<Service, Fields>;

/// What that Secret says of all services.
pub(crate) fn used(secret: Option<&Object>) -> Used {
    let said = Service::ALL.map(|service| (service, fields(secret, service)));
    said.into_iter().filter(|(_, fields)| !fields.is_empty()).collect()
}

/// What that Secret says of a service.
pub(super) fn fields(secret: Option<&Object>, service: Service) -> Fields {
    let data = secret.and_then(|secret| secret.data.get("data")?.as_object());
    let prefix = format!("{}.", named(service));
    let decoded = data.into_iter().flatten().filter_map(|(key, value)| {
        let value = STANDARD.decode(value.as_str()?).ok()?;
        Some((key.strip_prefix(&prefix)?.to_owned(), String::from_utf8(value).ok()?))
    });
    decoded.collect()
}

/// That the manifests bring what the server itself records of the tentacle's shares, whether it has any or not.
pub(crate) fn forged(tentacle: &TentacleName, manifests: &[Manifest]) -> Option<String> {
    let own = secret_name(tentacle.as_str());
    let forged = manifests.iter().any(|manifest| manifest.is_secret(&own));
    forged.then(|| format!("Secret/{own} is made by the server for its backing services; leave it out"))
}

/// Adds the shares to the manifests. What the `secret` says of services that the contract does not ask for any more stays: they
/// have the tentacle's data. The error says what of the manifests is in the way.
pub(crate) fn furnish(
    scope: &Scope<'_>,
    tenant: &Tenant,
    manifests: &mut Vec<Manifest>,
    shares: &[Share],
    (secret, now): (Option<&Object>, DateTime<Utc>),
) -> Result<(), String> {
    if shares.is_empty() {
        return Ok(());
    }
    let tentacle = scope.tentacle.as_str();
    complete_contract(scope.tentacle, manifests, shares)?;
    let own = secret_name(tentacle);
    let identity = [
        ("principal", tenant.principal()),
        ("namespace", tenant.enclave.to_string()),
        ("workflow", tenant.tentacle.to_string()),
    ];
    let identity: Fields = identity.map(|(key, value)| (key.to_owned(), value)).into();
    let identity = (IDENTITY.to_owned(), &identity);
    let former =
        used(secret).into_iter().filter(|(service, _)| !shares.iter().any(|share| share.service == *service));
    let former: Vec<_> = former.map(|(service, fields)| (named(service), fields)).collect();
    let former = former.iter().map(|(name, fields)| (name.clone(), fields));
    put(scope, manifests, &own, flat(former.chain([identity.clone()])));
    let record = (keys::CREDENTIALS.to_owned(), recorded(secret, shares, now).to_text());
    manifests
        .iter_mut()
        .filter(|manifest| manifest.is_secret(&own))
        .for_each(|own| own.annotate([record.clone()].into()));
    put(scope, manifests, &objects_name(tentacle), objects([identity]));
    complete(tentacle, &mut *manifests, shares);
    network::open(scope.tentacle, manifests, shares);
    manifests.sort_by_key(|manifest| manifest.kind);
    Ok(())
}

/// Puts the shares into what stands of a tentacle: manifests that say what its objects, in the same order, were applied as. What
/// is not asked for any more stays where it is only recorded. Returns the record that goes with them.
pub(crate) fn renew(
    scope: &Scope<'_>,
    manifests: &mut [Manifest],
    standing: &[Object],
    shares: &[Share],
    (secret, now): (&Object, DateTime<Utc>),
) -> Result<Record, String> {
    let tentacle = scope.tentacle.as_str();
    let record = recorded(Some(secret), shares, now);
    complete_contract(scope.tentacle, manifests, shares)?;
    let shares = shares.iter().map(|share| (named(share.service), &share.fields));
    for (manifest, live) in manifests.iter_mut().zip(standing) {
        let data = if manifest.is_secret(&secret_name(tentacle)) {
            manifest.annotate([(keys::CREDENTIALS.to_owned(), record.to_text())].into());
            flat(shares.clone())
        } else if manifest.is_secret(&objects_name(tentacle)) {
            let is_there = |key: &String| live.data.get("data").and_then(|data| data.get(key)).is_some();
            objects(shares.clone()).into_iter().filter(|(key, _)| is_there(key)).collect()
        } else {
            continue;
        };
        if let Some(present) = object_at(&mut manifest.body, "data") {
            present.extend(data);
        }
    }
    Ok(record)
}

/// Puts what the shares say into the contract, where there is one among the manifests.
fn complete_contract(tentacle: &TentacleName, manifests: &mut [Manifest], shares: &[Share]) -> Result<(), String> {
    if let Some((index, file)) = dependencies::file(tentacle, manifests) {
        let completed = contract::complete(file, shares);
        let completed = completed.map_err(|error| format!("{}: data[{FILE:?}]: {error}", manifests[index]))?;
        manifests[index].body["data"][FILE] = completed.into();
    }
    Ok(())
}

/// What is recorded of the credentials in the Secret, once it has those of the shares.
fn recorded(secret: Option<&Object>, shares: &[Share], now: DateTime<Utc>) -> Record {
    let (record, used) = (Record::of(secret), used(secret));
    record.issued(shares, |service| used.contains_key(&service), now)
}

/// Puts what the shares say into the Secrets that are among the manifests.
pub(crate) fn complete<'a>(tentacle: &str, manifests: impl IntoIterator<Item = &'a mut Manifest>, shares: &[Share]) {
    let shares = shares.iter().map(|share| (named(share.service), &share.fields));
    for manifest in manifests.into_iter().filter(|manifest| manifest.kind == Kind::Secret) {
        let data = match &manifest.name {
            name if *name == secret_name(tentacle) => flat(shares.clone()),
            name if *name == objects_name(tentacle) => objects(shares.clone()),
            _ => continue,
        };
        if let Some(present) = object_at(&mut manifest.body, "data") {
            present.extend(data);
        }
    }
}

/// The Secret that the tentacle's engine reads, which has other things too.
pub(crate) fn objects_name(tentacle: &str) -> String {
    format!("{tentacle}-secrets")
}

/// A key for each field of a service.
fn flat<'a>(services: impl IntoIterator<Item = (String, &'a Fields)>) -> Map<String, Value> {
    let services = services.into_iter();
    let fields = services.flat_map(|(name, fields)| {
        fields.iter().map(move |(field, value)| (format!("{name}.{field}"), encoded(value)))
    });
    fields.collect()
}

/// A key for each service.
fn objects<'a>(services: impl IntoIterator<Item = (String, &'a Fields)>) -> Map<String, Value> {
    let services = services.into_iter();
    services.map(|(name, fields)| (name, encoded(&json!(fields).to_string()))).collect()
}

/// The dependency by which a contract asks for the service.
fn named(service: Service) -> String {
    format!("{PREFIX}{}", service.as_str())
}

fn encoded(value: &str) -> Value {
    STANDARD.encode(value).into()
}

/// Puts `data` into the Secret of that name, which is made where there is none.
fn put(scope: &Scope<'_>, manifests: &mut Vec<Manifest>, name: &str, data: Map<String, Value>) {
    let found = manifests.iter().position(|manifest| manifest.is_secret(name));
    let index = found.unwrap_or_else(|| {
        let body = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "type": "Opaque" });
        let mut made = Manifest { kind: Kind::Secret, name: name.to_owned(), body };
        made.place(scope.enclave, scope.tentacle);
        manifests.push(made);
        manifests.len() - 1
    });
    let manifest = &mut manifests[index];
    if name.starts_with(OURS)
        && let Some(labels) = manifest.body.get_mut("metadata").and_then(|metadata| object_at(metadata, "labels"))
    {
        labels.insert(keys::EXOSKELETON.to_owned(), "true".into());
    }
    if let Some(present) = object_at(&mut manifest.body, "data") {
        present.extend(data);
    }
}
