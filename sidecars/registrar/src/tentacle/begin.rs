//! The first write of a tentacle that is new: its Deployment, paused and without its schedules, so that no pod starts and
//! nothing fires before what it reads is there.
//! What an apply leaves that ends half way then belongs to whoever began the tentacle, who can go on with it or remove it.

use serde_json::Value;
use tentacular_cluster::Kind;
use tentacular_contract::keys;

use super::{
    outcome::Effect,
    plan::{Plan, Planned},
    progress::{Failure, Writing},
};

impl Plan<'_> {
    /// Makes the Deployment of a tentacle that is new, unless it is the first to be written in any case. Returns what was
    /// made.
    pub(super) async fn begin(&mut self, writing: &Writing<'_>) -> Result<Option<String>, (String, Failure)> {
        let is_new = |planned: &Planned| planned.live.is_none() && planned.manifest.is_deployment_of(self.tentacle());
        let is_before =
            |planned: &Planned| planned.manifest.kind < Kind::Deployment && planned.effect != Effect::Unchanged;
        let Some(index) = self.planned.iter().position(is_new).filter(|_| self.planned.iter().any(is_before)) else {
            return Ok(None);
        };
        let Planned { manifest, object, .. } = &self.planned[index];
        let (title, mut manifest, object) = (manifest.to_string(), manifest.clone(), object.clone());
        if let Some(spec) = manifest.body.pointer_mut("/spec").and_then(Value::as_object_mut) {
            spec.insert("paused".to_owned(), true.into());
        }
        if let Some(annotations) = manifest.body.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.remove(keys::CRON_SCHEDULE);
        }
        let begun = Planned { manifest, object, live: None, effect: Effect::Created, rehearsed: None, made: None };
        let made = match writing.held.require() {
            Ok(()) => self.write_one(&begun, writing).await,
            Err(lost) => Err(lost.into()),
        };
        match made {
            Ok((_, made)) => self.planned[index].live = Some(made),
            Err(failure) => return Err((title, failure)),
        }
        Ok(Some(format!("{title} (paused)")))
    }
}
