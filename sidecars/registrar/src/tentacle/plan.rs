//! What an apply is going to do: each object as it should be and as it stands, and what is no longer wanted.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tentacular_cluster::{Cluster, Error, Kind, Object};
use tentacular_contract::{
    EnclaveName, TentacleName,
    facts::Pairs,
    keys,
    reach::{self, ENCLAVE_POLICIES, Scope},
    release::release_of,
};

use super::{
    checksum, differences, fields, inventory,
    manifest::Manifest,
    others::Others,
    outcome::{Change, Effect},
    prune::Superfluous,
    release::{Live, is_terminating},
};

/// Requests to the API server at the same time.
pub(super) const AT_ONCE: usize = 8;

/// What the caller asks for beside the manifests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wishes {
    /// Take over objects of the same names that are nobody's.
    pub(crate) adopt: bool,
    /// Delete and make again Jobs whose pods are to be different.
    pub(crate) replace_jobs: bool,
    /// Remove volumes that no manifest has.
    pub(crate) prune_volumes: bool,
}

/// One object: as it should be and as it is.
pub(super) struct Planned {
    pub(super) manifest: Manifest,
    /// The same, as the rules look at it.
    pub(super) object: Option<reach::Object>,
    pub(super) live: Option<Object>,
    pub(super) effect: Effect,
    /// What the API server would make of it; only once it was rehearsed.
    pub(super) rehearsed: Option<Object>,
    /// The uid of the object that was made by this apply.
    pub(super) made: Option<String>,
}

impl Planned {
    fn uid(&self) -> Option<&str> {
        self.made.as_deref().or_else(|| self.live.as_ref()?.metadata.uid.as_deref())
    }

    /// Whether it is one of an older server's of which nothing was claimed, as in a dry run: what an apply would remove of it
    /// does not show.
    pub(super) fn is_of_older_server(&self) -> bool {
        self.live.as_ref().is_some_and(|live| !fields::is_applied(live) && fields::migrated(live).is_some())
    }
}

/// All that an apply is going to do.
pub(crate) struct Plan<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) scope: &'a Scope<'a>,
    pub(super) planned: Vec<Planned>,
    pub(super) superfluous: Superfluous,
    pub(super) wishes: Wishes,
    /// Whether the enclave's owner asks, who may adopt what is nobody's.
    pub(super) commanded: bool,
}

impl<'a> Plan<'a> {
    /// `release` is what the tentacle has now; `objects` are the manifests as the rules look at them.
    pub(crate) fn of(
        cluster: &'a Cluster,
        scope: &'a Scope<'a>,
        (manifests, objects): (Vec<Manifest>, &[reach::Object]),
        release: Vec<Live>,
        (wishes, commanded): (Wishes, bool),
    ) -> Self {
        let planned = manifests.into_iter().map(|manifest| {
            let is_it = |live: &&Live| live.kind == manifest.kind && live.name() == manifest.name;
            let live = release.iter().find(is_it).map(|live| live.object.clone());
            let same =
                |object: &&reach::Object| object.kind() == manifest.kind.as_str() && object.name() == manifest.name;
            let object = objects.iter().find(same).cloned();
            Planned { manifest, object, live, effect: Effect::Unchanged, rehearsed: None, made: None }
        });
        let planned: Vec<_> = planned.collect();
        let manifests: Vec<_> = planned.iter().map(|planned| &planned.manifest).collect();
        let superfluous = super::prune::superfluous(release, &manifests, wishes.prune_volumes);
        Self { cluster, scope, planned, superfluous, wishes, commanded }
    }

    /// Reads what stands where manifests go and is among the `others`.
    pub(crate) async fn look(&mut self, others: &Others) -> Result<(), Error> {
        let (cluster, enclave) = (self.cluster, self.enclave());
        let is_there = |planned: &&mut Planned| {
            planned.live.is_none() && others.has(planned.manifest.kind, &planned.manifest.name)
        };
        let found = self.planned.iter_mut().filter(is_there).map(|planned| async move {
            let objects = cluster.objects(planned.manifest.kind, enclave.as_str());
            planned.live = objects.get(&planned.manifest.name).await?;
            Ok::<_, Error>(())
        });
        stream::iter(found.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await
    }

    /// The manifests, to be completed before they are written.
    pub(crate) fn manifests(&mut self) -> impl Iterator<Item = &mut Manifest> {
        self.planned.iter_mut().map(|planned| &mut planned.manifest)
    }

    pub(super) const fn enclave(&self) -> &'a EnclaveName {
        self.scope.enclave
    }

    pub(super) const fn tentacle(&self) -> &'a TentacleName {
        self.scope.tentacle
    }

    /// Whether the apply may get in the way of another tentacle's: it makes an object, or changes which pods one chooses,
    /// how its pods are labelled, or on which hosts it answers.
    pub(crate) fn meets_others(&self) -> bool {
        self.planned.iter().any(|planned| {
            let live =
                planned.live.as_ref().filter(|live| release_of(&live.metadata) == Some(self.tentacle().as_str()));
            let before = live.and_then(|live| {
                reach::Object::read(planned.manifest.kind.as_str(), &planned.manifest.name, &live.data).ok()
            });
            match (&before, &planned.object) {
                (Some(before), Some(object)) => !object.meets_others_like(before),
                _ => true,
            }
        })
    }

    /// What stands where the manifests go and is not this tentacle's to change.
    pub(crate) fn obstacles(&self) -> Vec<String> {
        let obstacles = self.planned.iter().filter_map(|planned| {
            let live = planned.live.as_ref()?;
            let problem = match release_of(&live.metadata) {
                Some(release) if release == self.tentacle().as_str() => {
                    let problem = "is still being deleted; try again when it is gone".to_owned();
                    return is_terminating(live).then(|| format!("{} {problem}", planned.manifest));
                }
                Some(other) => format!("belongs to tentacle {other}"),
                None => self.why_not_adopted(planned.manifest.kind, live)?,
            };
            Some(format!("{} {problem}; choose another name, as a tentacle changes only its own", planned.manifest))
        });
        obstacles.collect()
    }

    /// Why an object that is of no release is not taken over.
    fn why_not_adopted(&self, kind: Kind, live: &Object) -> Option<String> {
        if kind == Kind::NetworkPolicy
            && ENCLAVE_POLICIES.contains(&live.metadata.name.as_deref().unwrap_or_default())
        {
            return Some("is the enclave's own".to_owned());
        }
        if live.metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty()) {
            return Some("belongs to the object that made it".to_owned());
        }
        let there = "is there already and belongs to no tentacle";
        match (self.wishes.adopt, self.commanded) {
            (true, true) if is_terminating(live) => Some("is being deleted".to_owned()),
            (true, true) => None,
            (true, false) => Some(format!("{there}, and adopt is for the enclave's owner")),
            (false, true) => Some(format!("{there} (adopt: true would make it this one's)")),
            (false, false) => Some(there.to_owned()),
        }
    }

    /// The manifest as it goes to the API server: with the inventory, the checksum of what its pods read, and the
    /// `annotations` of the server where it is the Deployment that the tentacle is.
    pub(super) fn stamped(&self, planned: &Planned, annotations: impl FnOnce() -> Pairs) -> Manifest {
        let mut stamped = planned.manifest.clone();
        if stamped.kind == Kind::Deployment
            && let Some(checksum) = self.checksum(planned)
        {
            stamped.annotate_pods(keys::CONFIG_CHECKSUM, &checksum);
        }
        if stamped.is_deployment_of(self.tentacle()) {
            let mut annotations = annotations();
            annotations.insert(keys::INVENTORY.to_owned(), self.inventory());
            stamped.annotate(annotations);
        }
        stamped
    }

    fn checksum(&self, planned: &Planned) -> Option<String> {
        let read = planned.object.as_ref()?.names(self.scope);
        let uid = |manifest: &Manifest| {
            let same = |other: &&Planned| std::ptr::eq(&raw const other.manifest, manifest);
            self.planned.iter().find(same).and_then(Planned::uid)
        };
        checksum::of(self.planned.iter().map(|planned| &planned.manifest), &read, uid)
    }

    fn inventory(&self) -> String {
        let kept: Vec<_> = self.superfluous.kept.iter().map(|live| (live.kind, live.name().to_owned())).collect();
        let manifests: Vec<_> = self.planned.iter().map(|planned| &planned.manifest).collect();
        inventory::of(&manifests, &kept)
    }

    /// What happened, or would happen, to each object; `detail` adds which fields change.
    pub(crate) fn changes(&self, detail: bool) -> Vec<Change> {
        let planned = self.planned.iter().map(|planned| {
            let (fields, more_fields) = match (&planned.live, &planned.rehearsed, planned.effect) {
                (Some(live), Some(after), Effect::Updated) if detail => {
                    differences::between(planned.manifest.kind, live, after)
                }
                _ => (Vec::new(), 0),
            };
            let name = planned.manifest.name.clone();
            Change { kind: planned.manifest.kind.as_str(), name, action: planned.effect, fields, more_fields }
        });
        let removed = self.superfluous.removed.iter().map(|live| Change {
            kind: live.kind.as_str(),
            name: live.name().to_owned(),
            action: Effect::Deleted,
            fields: Vec::new(),
            more_fields: 0,
        });
        planned.chain(removed).collect()
    }

    /// What the tentacle has beside the manifests and keeps, as Kind/name.
    pub(crate) fn kept(&self) -> Vec<String> {
        self.superfluous.kept.iter().map(Live::title).collect()
    }

    /// What stays although no manifest has it, and what was nobody's before.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let kept = self.superfluous.kept.iter().map(|live| {
            format!(
                "{} is in no manifest; it stays, since its data would be lost (prune_volumes removes it)",
                live.title()
            )
        });
        let adopted = self
            .planned
            .iter()
            .filter(|planned| planned.live.as_ref().is_some_and(|live| release_of(&live.metadata).is_none()));
        let adopted = adopted.map(|planned| format!("{} was nobody's and is this tentacle's now", planned.manifest));
        let older = self.planned.iter().filter(|planned| planned.is_of_older_server()).map(|planned| {
            let object = &planned.manifest;
            format!(
                "{object} was written by an older server: what its manifest no longer has goes too and is not listed, and \
                 the API server's own checks of it wait for the apply"
            )
        });
        kept.chain(adopted).chain(older).collect()
    }
}
