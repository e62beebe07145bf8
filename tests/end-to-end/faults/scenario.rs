//! The calls that are disturbed, and what each comes to when nobody disturbs it.

use anyhow::{Context as _, bail, ensure};
use http::Method;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use tentacular_test_harness::{fault_proxy::Call, mcp::ToolFailed, until};

use super::{
    lane::Lane,
    live::{Content, same},
    release::{changed, six},
};
use crate::support::unique;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    /// `enclave_provision`.
    Provision,
    /// `wf_apply` of a tentacle that is new.
    FirstApply,
    /// `wf_apply` that changes some objects, prunes one and rolls the pods.
    Change,
    /// `wf_remove`.
    Remove,
    /// `enclave_deprovision`.
    Deprovision,
}

/// What a call is about.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) enclave: String,
    pub(super) tentacle: String,
}

/// A write that the undisturbed call makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    method: Method,
    /// Its path, where the place's names are replaced.
    path: String,
    /// How many of the same come before it.
    number: usize,
}

/// What an undisturbed call does.
pub(super) struct Undisturbed {
    pub(super) result: Content,
    pub(super) points: Vec<Point>,
}

impl Scenario {
    const fn is_about_enclaves(self) -> bool {
        matches!(self, Self::Provision | Self::Deprovision)
    }

    /// Makes what has to be there before the call: its tentacle in an enclave of the lane where no other call runs.
    pub(super) async fn prepare(self, lane: &Lane, slot: usize) -> anyhow::Result<Place> {
        let place = match self {
            Self::Provision => Place { enclave: lane.unused_name(), tentacle: String::new() },
            Self::Deprovision => Place { enclave: lane.unused().await?, tentacle: "inside".to_owned() },
            _ => Place { enclave: lane.enclave(slot).to_owned(), tentacle: unique("point") },
        };
        if matches!(self, Self::Change | Self::Remove | Self::Deprovision) {
            let manifests = six(&place.tentacle, 1, u32::from(self == Self::Change));
            let arguments = json!({ "enclave": place.enclave, "name": place.tentacle, "manifests": manifests });
            lane.mcp.call("wf_apply", arguments).await?;
        }
        Ok(place)
    }

    /// The call.
    pub(super) async fn call(self, lane: &Lane, place: &Place) -> Result<Value, String> {
        let Place { enclave, tentacle } = place;
        let answer = match self {
            Self::Provision => {
                let arguments = json!({ "name": enclave, "owner_email": "ann@example.com" });
                lane.mcp.call("enclave_provision", arguments).await
            }
            Self::FirstApply | Self::Change => lane.mcp.call("wf_apply", self.apply(place, false)).await,
            Self::Remove => lane.mcp.call("wf_remove", json!({ "enclave": enclave, "name": tentacle })).await,
            Self::Deprovision => lane.mcp.call("enclave_deprovision", json!({ "name": enclave })).await,
        };
        answer.map_err(|error| match error.downcast::<ToolFailed>() {
            Ok(ToolFailed(sentence)) => sentence,
            Err(error) => panic!("{self:?} of {place:?} did not get an answer: {error:#}"),
        })
    }

    /// The arguments of an apply.
    fn apply(self, place: &Place, dry_run: bool) -> Value {
        let Place { enclave, tentacle } = place;
        let manifests = if self == Self::Change { changed(tentacle) } else { six(tentacle, 1, 0) };
        json!({ "enclave": enclave, "name": tentacle, "manifests": manifests, "dry_run": dry_run })
    }

    /// Repeats the call until it is through.
    pub(super) async fn repeat(self, lane: &Lane, place: &Place) -> anyhow::Result<()> {
        until(format!("{self:?} of {place:?} gets through"), async || {
            let Err(sentence) = self.call(lane, place).await else { return Ok(()) };
            let name = &place.enclave;
            match self {
                // It is all there already, as the comparison shows.
                Self::Provision if sentence.contains("already exists, active, of the same owner") => Ok(()),
                Self::Deprovision if sentence.contains(&format!("there is no enclave {name}")) => Ok(()),
                // What was begun is taken back, and the sentence asks to wait for that.
                Self::Provision if sentence.contains("is still being deleted") => bail!(sentence),
                _ => panic!("{self:?} of {place:?}, repeated: {sentence}"),
            }
        })
        .await
    }

    /// What the call is about, as it stands.
    pub(super) async fn stands(self, lane: &Lane, place: &Place) -> anyhow::Result<Content> {
        match self {
            _ if self.is_about_enclaves() => lane.live.enclave(&place.enclave).await,
            _ => lane.live.release(&place.enclave, &place.tentacle).await,
        }
    }

    /// Fails unless the full result stands and nothing else is left of the call.
    pub(super) async fn is_complete(self, lane: &Lane, place: &Place, result: &Content) -> anyhow::Result<()> {
        same(result, &self.stands(lane, place).await?).with_context(|| format!("{place:?}"))?;
        if !self.is_about_enclaves() {
            ensure!(lane.live.lease(&place.enclave, &place.tentacle).await?.is_none(), "{place:?} is still locked");
        }
        if matches!(self, Self::FirstApply | Self::Change) {
            let again = lane.mcp.call("wf_apply", self.apply(place, true)).await?;
            ensure!(again["status"] == "unchanged", "{place:?}: the same apply again would change {again}");
        }
        Ok(())
    }

    /// Runs it once without a fault.
    pub(super) async fn undisturbed(self, lane: &Lane) -> anyhow::Result<Undisturbed> {
        let place = self.prepare(lane, 0).await?;
        lane.proxy.start_afresh();
        self.call(lane, &place).await.map_err(anyhow::Error::msg).context("undisturbed")?;
        let mut points: Vec<Point> = Vec::new();
        let carried_out = |call: &Call| call.status.is_some_and(|status| status < 300);
        for call in lane.proxy.calls().iter().filter(|call| carried_out(call)) {
            if let Some((method, path)) = place.write(call) {
                let number = points.iter().filter(|point| (&point.method, &point.path) == (&method, &path)).count();
                points.push(Point { method, path, number });
            }
        }
        let result = self.stands(lane, &place).await?;
        self.is_complete(lane, &place, &result).await?;
        self.clear(lane, &place).await?;
        ensure!(!points.is_empty(), "{self:?} writes nothing");
        Ok(Undisturbed { result, points })
    }

    /// Has what was made for the call removed, without waiting.
    pub(super) async fn clear(self, lane: &Lane, place: &Place) -> anyhow::Result<()> {
        if self == Self::Provision {
            let namespaces = Api::<Namespace>::all(lane.live.0.clone());
            namespaces.delete(&place.enclave, &DeleteParams::background()).await?;
        }
        Ok(())
    }
}

impl Place {
    /// Method and path of a write about this place, where its names are replaced. A lock's renewals are none: they come with
    /// time, and not with what the call does.
    fn write(&self, call: &Call) -> Option<(Method, String)> {
        let renewal = call.resource() == "leases" && [Method::PUT, Method::PATCH].contains(&call.method);
        if !call.is_write() || renewal || call.namespace() != Some(&self.enclave) {
            return None;
        }
        // What a POST makes is named in its body alone.
        let made = call.body["metadata"]["name"].as_str().filter(|_| call.method == Method::POST);
        let path = made.map_or_else(|| call.path.clone(), |made| format!("{}/{made}", call.path));
        let mut path = path.replace(&self.enclave, "ENCLAVE");
        if !self.tentacle.is_empty() {
            path = path.replace(&self.tentacle, "TENTACLE");
        }
        Some((call.method.clone(), path))
    }

    /// Which requests are the write `point` at this place. Its number among them is the point's own.
    pub(super) fn is_at(&self, point: &Point) -> impl Fn(&Call) -> bool + Send + 'static + use<> {
        let (place, method, path) = (self.clone(), point.method.clone(), point.path.clone());
        move |call| place.write(call).is_some_and(|write| write == (method.clone(), path.clone()))
    }
}

impl Point {
    pub(super) const fn number(&self) -> usize {
        self.number
    }
}
