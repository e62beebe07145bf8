//! What stands in the cluster now where a call wants to write, and whether the caller may: decided once more, since
//! the kernel decided by what its watches had shown.

use k8s_openapi::api::core::v1::Namespace;
use tentacular_cluster::{Kind, Metadata, Object};
use tentacular_contract::{Caller, Denied, Enclave, Mode, Place, Tentacle, facts::Pairs, release::release_of};
use tentacular_process::link::{Permitted, ToolError};

use super::release;
use crate::{locks::Held, registrar::Registrar};

/// Takes the tentacle's lock. In an enclave that is gone or not the caller's any more that fails, and the reason is told.
pub(crate) async fn lock(registrar: &Registrar, permitted: &Permitted) -> Result<Held, ToolError> {
    match registrar.locks.tentacle(permitted.enclave()?, permitted.tentacle()?).await {
        Ok(held) => Ok(held),
        Err(error) => {
            Standing::read(registrar, permitted).await?;
            Err(error)
        }
    }
}

/// The enclave and the tentacle of a call, as they are now.
pub(crate) struct Standing {
    pub(crate) enclave: Enclave,
    /// The labels of its namespace.
    pub(crate) labels: Pairs,
    /// The Deployment that the tentacle is.
    pub(crate) deployment: Option<Object>,
}

impl Standing {
    /// Reads both, and refuses a caller who may not, and everybody in an enclave that is being deleted.
    pub(crate) async fn read(registrar: &Registrar, permitted: &Permitted) -> Result<Self, ToolError> {
        let (enclave, labels) = Self::enclave(registrar, permitted).await?;
        if enclave.terminating {
            // Its objects may be out of reach already.
            return Err(Denied::Terminating(enclave.name).into());
        }
        Self::inside(registrar, permitted, (enclave, labels)).await
    }

    /// The same for a call that only reads, for which an enclave may be on its way out.
    pub(crate) async fn look(registrar: &Registrar, permitted: &Permitted) -> Result<Self, ToolError> {
        let enclave = Self::enclave(registrar, permitted).await?;
        Self::inside(registrar, permitted, enclave).await
    }

    async fn enclave(registrar: &Registrar, permitted: &Permitted) -> Result<(Enclave, Pairs), ToolError> {
        let name = permitted.enclave()?;
        let namespace = registrar.cluster.all::<Metadata<Namespace>>().get(name.as_str()).await?;
        let metadata = namespace.map(|namespace| namespace.metadata).unwrap_or_default();
        let Some(enclave) = registrar.facts(&metadata) else {
            return Err(Denied::NoEnclave(name.clone()).into());
        };
        Ok((enclave, metadata.labels.unwrap_or_default()))
    }

    async fn inside(
        registrar: &Registrar,
        permitted: &Permitted,
        (enclave, labels): (Enclave, Pairs),
    ) -> Result<Self, ToolError> {
        let deployments = registrar.cluster.objects(Kind::Deployment, permitted.enclave()?.as_str());
        let deployment = deployments.get(permitted.tentacle()?.as_str()).await?;
        let standing = Self { enclave, labels, deployment };
        permitted.recheck(Place::Enclave(&standing.enclave), standing.tentacle().as_ref())?;
        Ok(standing)
    }

    fn tentacle(&self) -> Option<Tentacle> {
        self.deployment.as_ref().map(|object| Tentacle::from_annotations(&release::annotations(object)))
    }

    /// The Deployment that the tentacle is. An error where there is none, or one that was not applied as the tentacle.
    pub(crate) fn require_deployment(&self, permitted: &Permitted) -> Result<&Object, ToolError> {
        let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
        let Some(deployment) = &self.deployment else {
            return Err(ToolError::new(format_args!(
                "tentacle {enclave}/{tentacle} has no Deployment, which is what this tool acts on; wf_status shows what \
                 there is of it, and wf_apply gives it one"
            )));
        };
        match release_of(&deployment.metadata) {
            Some(release) if release == tentacle.as_str() => Ok(deployment),
            _ => Err(ToolError::new(format_args!(
                "Deployment {enclave}/{tentacle} was not applied as a tentacle of that name (label \
                 tentacular.io/release), so this tool leaves it alone"
            ))),
        }
    }

    /// Whether everything in the enclave is the caller's to decide on.
    pub(crate) fn is_commanded_by(&self, permitted: &Permitted) -> bool {
        match permitted.caller() {
            Caller::Bearer => true,
            Caller::Oidc(identity) => !permitted.permit().authorization() || self.enclave.is_owned_by(identity),
        }
    }

    /// The mode to write: of a new tentacle the one that is asked for or the enclave's default, of another only the
    /// one that its owner asks for.
    pub(crate) fn mode(&self, permitted: &Permitted, asked: Option<Mode>) -> Result<Option<Mode>, ToolError> {
        let Some(tentacle) = self.tentacle() else {
            return Ok(Some(asked.unwrap_or(self.enclave.default_mode)));
        };
        let identity = permitted.caller().identity();
        let owns = identity.zip(tentacle.owner.as_ref()).is_some_and(|(identity, owner)| identity.is(owner));
        match asked {
            Some(mode) if mode != tentacle.mode && !owns && !self.is_commanded_by(permitted) => {
                Err(ToolError::new(format_args!(
                    "permission denied: the mode of a tentacle is for its owner or the enclave's owner to change; \
                     leave out mode to keep {}",
                    tentacle.mode
                )))
            }
            asked => Ok(asked),
        }
    }
}
