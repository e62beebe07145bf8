//! Having the API server check every object of a plan without storing it, and noting what each would change.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tentacular_cluster::{Conflicts, Error, Kind, Object};
use tentacular_process::link::ToolError;

use super::{
    effect::effect,
    immutable,
    outcome::Effect,
    ownership::Stamp,
    plan::{AT_ONCE, Plan, Planned},
    release,
    validate::Violations,
};

/// Longest beginning of a name to which Kubernetes adds five characters of its own within the 63 of a Job's.
const PREFIX: usize = 57;

impl Plan<'_> {
    /// Rehearses everything. All refusals of the API server are told at once.
    pub(crate) async fn rehearse(&mut self, stamp: &Stamp<'_>) -> Result<(), ToolError> {
        let plan = &*self;
        let asked = plan.planned.iter().map(|planned| async move {
            let object = plan.stamped(planned, || match &planned.live {
                Some(before) => stamp.kept(&release::annotations(before)),
                None => stamp.created(),
            });
            let mut object = object.to_object(planned.live.as_ref())?;
            // A change of the status since would be a conflict and means nothing here.
            object.metadata.resource_version = None;
            Ok::<_, ToolError>(plan.rehearse_one(planned, &object).await)
        });
        let answers: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await?;
        let mut refused = Vec::new();
        for (planned, answer) in self.planned.iter_mut().zip(answers) {
            match answer {
                Ok((effect, rehearsed)) => {
                    planned.effect = effect;
                    planned.rehearsed = Some(rehearsed);
                }
                Err(error @ Error::Unavailable { .. }) => {
                    return Err(ToolError::new(format_args!("nothing was applied: {error}; try again")));
                }
                // Beside what the apply would remove it may be more than the API server takes.
                Err(Error::Invalid { .. }) if planned.is_of_older_server() => planned.effect = Effect::Updated,
                Err(error) => refused.push(immutable::advice(&planned.manifest, &error)),
            }
        }
        if !refused.is_empty() {
            return Err(Violations(refused).into());
        }
        self.mark_deployment();
        Ok(())
    }

    async fn rehearse_one(&self, planned: &Planned, object: &Object) -> Result<(Effect, Object), Error> {
        let live = planned.live.as_ref();
        let objects = self.cluster.objects(planned.manifest.kind, self.enclave().as_str()).dry_run(true);
        // The fields of what is there are the server's to set; those of a new one belong to nobody, or it is not new.
        let conflicts = if live.is_some() { Conflicts::TakeOver } else { Conflicts::Refuse };
        match objects.apply(object, conflicts).await {
            Err(error) if planned.manifest.kind == Kind::Job && self.wishes.replace_jobs && immutable::is(&error) => {
                // The name is taken until the old one is gone, so it is checked under another.
                let mut anew = object.clone();
                anew.metadata.generate_name =
                    anew.metadata.name.take().map(|name| name.chars().take(PREFIX).collect());
                anew.metadata.uid = None;
                Ok((Effect::Replaced, objects.create(&anew).await?))
            }
            answer => answer.map(|rehearsed| (effect(live, &rehearsed), rehearsed)),
        }
    }

    /// An apply that changes anything is recorded on the Deployment, which is a change of that.
    fn mark_deployment(&mut self) {
        let quiet = self.planned.iter().all(|planned| planned.effect == Effect::Unchanged);
        if quiet && self.superfluous.removed.is_empty() {
            return;
        }
        let tentacle = self.tentacle();
        for planned in &mut self.planned {
            if planned.manifest.is_deployment_of(tentacle) && planned.effect == Effect::Unchanged {
                planned.effect = Effect::Updated;
            }
        }
    }
}
