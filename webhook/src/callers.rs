//! Who writes: what is protected, the server's accounts and administrators may write.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use tentacular_cluster::{Cluster, Error};
use tokio::{sync::Semaphore, time::timeout};

use crate::wire::User;

/// How long the API server may take to say whether somebody is an administrator: with the second that a namespace may take,
/// below the 5 s that it waits itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// Questions at once; others wait. Whoever reaches the port may send reviews, and shall not ask in the webhook's name as often
/// as he likes.
const QUESTIONS: usize = 16;

/// Tells those apart who write. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Callers(Source);

#[derive(Debug, Clone)]
enum Source {
    Cluster {
        cluster: Cluster,
        /// How the names of the server's accounts begin.
        server: Arc<str>,
        questions: Arc<Semaphore>,
    },
    Administrators(Arc<BTreeSet<String>>),
}

/// That nobody can say whether the writer is an administrator. The text is for whoever is refused because of it.
#[derive(Debug, thiserror::Error)]
#[error("whether you are an administrator, who may do this, cannot be told: {0}; if you are one, try again")]
pub struct Unknown(Why);

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(transparent)]
    Failed(Error),
    #[error("the API server did not answer within {} s", PATIENCE.as_secs())]
    Late,
}

impl Callers {
    /// Those of a cluster, with the server's accounts in `server_namespace`. The webhook's account may ask about others
    /// (`create` on `subjectaccessreviews`).
    pub(crate) fn of_cluster(cluster: &Cluster, server_namespace: &str) -> Self {
        let server = format!("system:serviceaccount:{server_namespace}:tentacular-").into();
        Self(Source::Cluster { cluster: cluster.clone(), server, questions: Arc::new(Semaphore::new(QUESTIONS)) })
    }

    /// These are administrators, all others are not, and none is the server.
    pub fn administrators<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(Source::Administrators(Arc::new(names.into_iter().map(str::to_owned).collect())))
    }

    /// Whether it is one of the server's own accounts.
    pub(crate) fn is_server(&self, user: &User) -> bool {
        match &self.0 {
            Source::Cluster { server, .. } => user.username.starts_with(&**server),
            Source::Administrators(_) => false,
        }
    }

    /// Whether it is an administrator: may `administer` enclaves (`tentacular.io`) in all of the cluster, as the API server
    /// authorizes. Asked anew each time, so that a right that was taken away is gone.
    pub(crate) async fn is_administrator(&self, user: &User) -> Result<bool, Unknown> {
        match &self.0 {
            Source::Cluster { cluster, questions, .. } => {
                match timeout(PATIENCE, ask(cluster, questions, user)).await {
                    Ok(answer) => answer.map_err(|error| Unknown(Why::Failed(error))),
                    Err(_) => Err(Unknown(Why::Late)),
                }
            }
            Source::Administrators(names) => Ok(names.contains(&user.username)),
        }
    }
}

async fn ask(cluster: &Cluster, questions: &Semaphore, user: &User) -> Result<bool, Error> {
    let _turn = questions.acquire().await;
    let answer = cluster.all::<SubjectAccessReview>().create(&question(user)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// With all that an authorizer may look at.
fn question(User { username, uid, groups, extra }: &User) -> SubjectAccessReview {
    let administer = ResourceAttributes {
        group: Some("tentacular.io".to_owned()),
        resource: Some("enclaves".to_owned()),
        verb: Some("administer".to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(username.clone()),
        uid: uid.clone(),
        groups: groups.clone(),
        extra: Some(extra.iter().map(|(key, texts)| (key.clone(), texts.clone().unwrap_or_default())).collect()),
        resource_attributes: Some(administer),
        ..SubjectAccessReviewSpec::default()
    };
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}
