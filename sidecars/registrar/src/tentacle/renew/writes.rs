//! What a look at a tentacle's credentials writes, under the tentacle's lock.

use chrono::{DateTime, Utc};
use serde_json::json;
use tentacular_cluster::{Conflicts, Kind, Object, Objects};
use tentacular_contract::{
    keys,
    reach::{self, Scope},
};
use tentacular_process::link::ToolError;

use super::{Found, as_read};
use crate::{
    backing::{self, Record, Share, Tenant},
    locks::Held,
    registrar::Registrar,
    tentacle::{checksum, claim::claim, dependencies, manifest::Manifest, release::is_terminating},
};

/// The writes of one look.
pub(super) struct Writes<'a> {
    pub(super) registrar: &'a Registrar,
    pub(super) tenant: &'a Tenant,
    pub(super) held: &'a Held,
}

impl Writes<'_> {
    /// Brings the shares to where pods read them. Returns the record and the Secret that has it, and whether pods roll because of
    /// that.
    pub(super) async fn write(
        &self,
        found: &Found,
        shares: &[Share],
        now: DateTime<Utc>,
    ) -> Result<(Record, Object, bool), ToolError> {
        let tentacle = self.tenant.tentacle.as_str();
        let mut manifests = Vec::new();
        let read = found.read_by_pods();
        let file = dependencies::file(&self.tenant.tentacle, &read).map(|(index, _)| read[index].name.as_str());
        let file = file.and_then(|name| Some((Kind::ConfigMap, found.live(Kind::ConfigMap, name)?)));
        let objects = found.live(Kind::Secret, &backing::objects_name(tentacle)).map(|live| (Kind::Secret, live));
        let secret = (Kind::Secret, &found.secret);
        let mut standing = Vec::new();
        for (kind, live) in [Some(secret), file, objects].into_iter().flatten() {
            self.held.require()?;
            let live = claim(&self.objects(kind), live.clone()).await?;
            manifests.push(Manifest::applied(kind, &live)?);
            standing.push(live);
        }
        let record = backing::renew(&self.scope(), &mut manifests, &standing, shares, (&found.secret, now))
            .map_err(|problem| ToolError::new(format_args!("the tentacle as it stands: {problem}")))?;
        let mut read = found.read_by_pods();
        let mut written = Vec::new();
        for (manifest, live) in manifests.iter().zip(&standing) {
            self.held.require()?;
            let object = manifest.to_object(Some(live))?;
            let object = self.objects(manifest.kind).apply(&object, Conflicts::TakeOver).await?;
            let same = |other: &&mut Manifest| other.kind == manifest.kind && other.name == manifest.name;
            if let Some(other) = read.iter_mut().find(same) {
                *other = as_read(manifest.kind, &object);
            }
            written.push(object);
        }
        let rolls = self.roll(found, &read).await?;
        // It is the first.
        Ok((record, written.swap_remove(0), rolls))
    }

    /// Has the Deployments roll whose pods read something else than when they rolled last. Returns whether one does.
    async fn roll(&self, found: &Found, read: &[Manifest]) -> Result<bool, ToolError> {
        let uid = |manifest: &Manifest| found.live(manifest.kind, &manifest.name)?.metadata.uid.as_deref();
        let mut rolls = false;
        for live in found.release.iter().filter(|live| live.kind == Kind::Deployment && !is_terminating(&live.object))
        {
            let Ok(object) = reach::Object::read(live.kind.as_str(), live.name(), &live.object.data) else {
                continue;
            };
            let Some(checksum) = checksum::of(read.iter(), &object.names(&self.scope()), uid) else { continue };
            let annotations = live.object.data.pointer("/spec/template/metadata/annotations");
            if annotations.and_then(|annotations| annotations.get(keys::CONFIG_CHECKSUM)) == Some(&json!(checksum)) {
                continue;
            }
            self.held.require()?;
            let patch = json!({
                "metadata": { "uid": live.uid() },
                "spec": { "template": { "metadata": { "annotations": { (keys::CONFIG_CHECKSUM): checksum } } } },
            });
            self.objects(live.kind).patch(live.name(), &patch).await?;
            rolls = true;
        }
        Ok(rolls)
    }

    /// Revokes what the shares replaced. Returns why some of it still works.
    pub(super) async fn revoke(
        &self,
        shares: &[Share],
        record: Record,
        secret: &Object,
    ) -> Result<Option<ToolError>, ToolError> {
        let (mut revoked, mut failure) = (Vec::new(), None);
        for share in shares.iter().filter(|share| record.is_pending(share.service)) {
            self.held.require()?;
            let one = std::slice::from_ref(share);
            match self.registrar.backing.revoke(self.tenant, one, Some(secret)).await {
                Ok(()) => revoked.push(share.service),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if !revoked.is_empty() {
            let Tenant { enclave, tentacle } = self.tenant;
            let services = revoked.iter().map(|service| service.as_str()).collect::<Vec<_>>().join(", ");
            tracing::info!(%enclave, %tentacle, services, "former credentials are revoked");
            self.held.require()?;
            let record = record.revoked(&revoked).to_text();
            let patch = json!({ "metadata": {
                "uid": secret.metadata.uid, "resourceVersion": secret.metadata.resource_version,
                "annotations": { (keys::CREDENTIALS): record },
            } });
            self.objects(Kind::Secret).patch(secret.metadata.name.as_deref().unwrap_or_default(), &patch).await?;
        }
        Ok(failure)
    }

    fn scope(&self) -> Scope<'_> {
        let Tenant { enclave, tentacle } = self.tenant;
        Scope { enclave, tentacle, ingress_domain: self.registrar.platform.ingress_domain.as_deref() }
    }

    fn objects(&self, kind: Kind) -> Objects<Object> {
        self.registrar.cluster.objects(kind, self.tenant.enclave.as_str())
    }
}
