//! What the audits share: findings, the patches that mend them, and who is shown what.

mod finding;
mod narrow;
mod remedy;

pub(crate) use finding::{Finding, Severity, page};
pub(crate) use narrow::narrow;
pub(crate) use remedy::{Method, Remedy, Target, remove, replace, test};

use tentacular_cluster::{Error, Namespaced, Selector};

use crate::observed::{Observed, patiently};

/// All objects of a kind in an enclave, as they are now: who asks may just have mended something. Where they cannot be read
/// any more, as the enclave is going, that is an error: nobody can judge what is not seen.
pub(crate) async fn all_of<K: Namespaced>(observed: &Observed, enclave: &str) -> Result<Vec<K>, Error> {
    let (objects, all) = (observed.cluster.namespaced::<K>(enclave), Selector::all());
    patiently(|| objects.list(&all)).await
}
