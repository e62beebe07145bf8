//! Who is shown what an audit finds: what belongs to a tentacle is for those who may read the tentacle.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tentacular_contract::{Caller, Enclave, Needs, Tentacle, TentacleName, evaluate::may, facts::Pairs, keys};
use tentacular_process::link::{Permitted, ToolError};

use crate::{observed::Observed, tentacle::Kept};

/// Said where something was left out.
pub(crate) const LEFT_OUT: &str = "what belongs to tentacles that you may not read is not shown";

/// What a caller may see in an enclave.
#[derive(Debug)]
pub(crate) struct Visible {
    caller: Caller,
    authorization: bool,
    enclave: Arc<Enclave>,
    tentacles: Vec<Arc<Kept>>,
}

impl Visible {
    /// What the caller may see in the enclave of the permit.
    pub(crate) async fn of(permitted: &Permitted, observed: &Observed) -> Result<Self, ToolError> {
        let enclave = observed.enclave(permitted.enclave()?).await?;
        let tentacles = observed.tentacles(&enclave).await?;
        let authorization = permitted.permit().authorization();
        Ok(Self { caller: permitted.caller().clone(), authorization, enclave, tentacles })
    }

    /// Whether the caller may see an object with this metadata. What belongs to a tentacle without a Deployment is for the
    /// enclave's owner.
    pub(crate) fn shows(&self, object: &ObjectMeta) -> bool {
        let label = |key| object.labels.as_ref().and_then(|labels| labels.get(key));
        label(keys::RELEASE).is_none_or(|release| release.parse().is_ok_and(|release| self.reads(&release)))
    }

    /// Whether the caller may read the tentacle.
    pub(crate) fn reads(&self, tentacle: &TentacleName) -> bool {
        let found = self.tentacles.iter().find(|kept| kept.name == *tentacle);
        let unowned = Tentacle::from_annotations(&Pairs::new());
        let facts = found.map_or(&unowned, |kept| &kept.facts);
        may(&self.caller, self.authorization, Needs::Read, &self.enclave, Some((tentacle, facts)))
    }

    /// Of `objects` those that the caller may see, and a warning where that is not all.
    pub(crate) fn narrow<T>(
        &self,
        objects: Vec<T>,
        metadata: impl Fn(&T) -> &ObjectMeta,
        warnings: &mut Vec<String>,
    ) -> Vec<T> {
        let before = objects.len();
        let shown: Vec<_> = objects.into_iter().filter(|object| self.shows(metadata(object))).collect();
        if shown.len() < before && !warnings.iter().any(|warning| warning == LEFT_OUT) {
            warnings.push(LEFT_OUT.to_owned());
        }
        shown
    }
}
