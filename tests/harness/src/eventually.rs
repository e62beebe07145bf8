//! Waits for the cluster without sleeping and hoping.

use std::{fmt::Debug, time::Duration};

use anyhow::Context as _;
use kube::{
    Api,
    runtime::wait::{Condition, await_condition},
};
use serde::{Serialize, de::DeserializeOwned};

/// Things take a second or two here; a busy machine gets this much.
const DEADLINE: Duration = Duration::from_mins(1);

/// Watches the object `name` until `condition` holds, and gives the object as it was then: nothing when the condition
/// holds for an object that is not there.
///
/// Fails when that takes more than a minute, with the object as it is instead, and when the watch fails.
pub async fn eventually<K>(api: &Api<K>, name: &str, condition: impl Condition<K>) -> anyhow::Result<Option<K>>
where
    K: kube::Resource + Clone + Debug + Send + Serialize + DeserializeOwned + 'static,
{
    if let Ok(object) = tokio::time::timeout(DEADLINE, await_condition(api.clone(), name, condition)).await {
        return object.with_context(|| format!("cannot watch {name}"));
    }
    let object = match api.get_opt(name).await? {
        Some(object) => serde_json::to_string_pretty(&object)?,
        None => "it is not there".to_owned(),
    };
    anyhow::bail!("{name} did not become what was waited for in {} s: {object}", DEADLINE.as_secs())
}
