//! What stands at a place now, and the second look before a run: the kernel decided by what its watch had seen.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use tentacular_cluster::{Cluster, Error, Metadata, enclave_of};
use tentacular_contract::{
    Caller, Enclave, EnclaveName, Frozen, Permit, Place, Platform, Status, Tentacle, TentacleName, facts::Pairs,
};
use tentacular_process::link::ToolError;

/// What stands at a place now.
#[derive(Debug, Default)]
pub(crate) struct Live {
    protected: bool,
    enclave: Option<Enclave>,
    tentacle: Option<Tentacle>,
    annotations: Pairs,
}

impl Live {
    /// Asks the API server.
    pub(crate) async fn read(
        cluster: &Cluster,
        platform: &Platform,
        enclave: &EnclaveName,
        tentacle: &TentacleName,
    ) -> Result<Self, Error> {
        if platform.is_protected(enclave.as_str()) {
            return Ok(Self { protected: true, ..Self::default() });
        }
        let namespaces = cluster.all::<Metadata<Namespace>>();
        let deployments = cluster.namespaced::<Metadata<Deployment>>(enclave.as_str());
        let namespace = namespaces.get(enclave.as_str()).await?;
        let Some(enclave) = namespace.and_then(|namespace| enclave_of(&namespace.metadata, platform)) else {
            return Ok(Self::default());
        };
        let metadata = deployments.get(tentacle.as_str()).await?.map(|deployment| deployment.metadata);
        let metadata = metadata.unwrap_or_default();
        let (labels, annotations) = (metadata.labels.unwrap_or_default(), metadata.annotations.unwrap_or_default());
        let tentacle = Tentacle::from_metadata(&labels, &annotations);
        Ok(Self { protected: false, enclave: Some(enclave), tentacle, annotations })
    }

    /// The annotations of the tentacle's Deployment.
    pub(crate) const fn annotations(&self) -> &Pairs {
        &self.annotations
    }

    /// Whether the enclave is frozen.
    pub(crate) fn is_frozen(&self) -> bool {
        self.enclave.as_ref().is_some_and(|enclave| enclave.status == Status::Frozen)
    }

    /// Whether what `permit` allows is still allowed; `frozen` is what the tool declares of frozen enclaves.
    ///
    /// That the tentacle does not exist is told only to whom the evaluator lets know.
    pub(crate) fn check(&self, permit: &Permit, caller: &Caller, frozen: Option<Frozen>) -> Result<(), ToolError> {
        let place = match &self.enclave {
            _ if self.protected => Place::Protected,
            Some(enclave) => Place::Enclave(enclave),
            None => Place::NoEnclave,
        };
        permit.recheck(caller, frozen, place, self.tentacle.as_ref())?;
        match (permit.enclave(), permit.tentacle()) {
            (Some(enclave), Some(tentacle)) if self.tentacle.is_none() => Err(ToolError::new(format_args!(
                "tentacle {enclave}/{tentacle} does not exist; wf_list names those that do"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tentacular_contract::{Authz, Needs, On, Policy, Question, evaluate, facts::Pairs, keys};

    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Pairs {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn enclave(status: &str, terminating: bool) -> Enclave {
        let labels = pairs(&[(keys::MANAGED_BY, keys::TENTACULAR)]);
        let annotations = pairs(&[
            (keys::ENCLAVE, "team-a"),
            (keys::ENCLAVE_OWNER, "o@x.io"),
            (keys::ENCLAVE_MEMBERS, "m@x.io"),
            (keys::ENCLAVE_STATUS, status),
        ]);
        Enclave::from_metadata("team-a", &labels, &annotations, terminating).expect("an enclave")
    }

    fn tentacle(mode: &str) -> Tentacle {
        Tentacle::from_annotations(&pairs(&[(keys::OWNER, "o@x.io"), (keys::MODE, mode)]))
    }

    fn caller(email: &str) -> Caller {
        let identity = tentacular_contract::Identity { email: email.parse().ok(), ..Default::default() };
        Caller::Oidc(identity)
    }

    /// What the kernel permitted when the tentacle was there and members could run it.
    fn permit(caller: &Caller) -> Permit {
        let (enclave_name, name) = ("team-a".parse().expect("a name"), "report".parse().expect("a name"));
        let (then, tentacle) = (enclave("active", false), tentacle("rwxr-x---"));
        evaluate(&Question {
            caller,
            policy: Policy::default(),
            tool: "wf_run",
            authz: &Authz::new(On::Tentacle, Needs::Execute),
            enclave: Some((&enclave_name, Place::Enclave(&then))),
            tentacle: Some((&name, Some(&tentacle))),
        })
        .expect("permitted")
    }

    #[test]
    fn what_stands_there_now_decides() {
        let (bearer, member) = (Caller::Bearer, caller("m@x.io"));
        let now = |enclave, tentacle| Live { enclave, tentacle, ..Live::default() };
        let (active, open) = (|| Some(enclave("active", false)), || Some(tentacle("rwxr-x---")));
        for (caller, live, said) in [
            (&member, now(active(), open()), None),
            (&bearer, now(active(), open()), None),
            (&member, now(active(), Some(tentacle("rwxr-----"))), Some("needs x for member")),
            (&bearer, now(Some(enclave("frozen", false)), open()), Some("enclave team-a is frozen")),
            (&bearer, now(Some(enclave("active", true)), open()), Some("being deleted")),
            (&bearer, now(active(), None), Some("tentacle team-a/report does not exist")),
            (&member, now(active(), None), Some("does not exist")),
            (&bearer, now(None, None), Some("there is no enclave team-a")),
            (&bearer, Live { protected: true, ..Live::default() }, Some("protected")),
        ] {
            let checked =
                live.check(&permit(caller), caller, Some(Frozen::Refuse)).map_err(|error| error.to_string());
            match said {
                None => assert_eq!(checked, Ok(())),
                Some(said) => {
                    let error = checked.expect_err(said);
                    assert!(error.contains(said), "{error}");
                }
            }
        }
    }
}
