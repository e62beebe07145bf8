//! Requests as they go to the API server, and what it answers.

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, stream};
use http::Method;
use kube::Client;
use serde_json::Value;
use tentacular_test_harness::{Part, installation::SERVER_NAMESPACE, until};

/// Requests under way at the same time.
const AT_ONCE: usize = 16;
/// As much of a body is shown, in characters.
const SHOWN: usize = 300;

/// A request of one account.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    method: Method,
    path: String,
    content: &'static str,
    body: Value,
    /// User and groups that the sender poses as.
    poses_as: Option<(String, &'static [&'static str])>,
}

/// Who refuses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    /// RBAC: there is no such right.
    Rbac,
    /// RBAC's guard against binding rights that one does not have.
    Escalation,
    /// An admission policy of the chart.
    Policy(&'static str),
    /// Several of them; the API server names one.
    SomePolicy,
    /// The webhook's rule of that name about who may.
    Protection(&'static str),
    /// The webhook's rule of that name about what is valid.
    Validation(&'static str),
}

impl Attempt {
    /// Whether it makes something by a plain create.
    pub(crate) fn makes(&self) -> bool {
        self.method == Method::POST
    }
}

pub(crate) fn get(path: impl Into<String>) -> Attempt {
    Attempt { method: Method::GET, path: path.into(), content: "application/json", body: Value::Null, poses_as: None }
}

pub(crate) fn create(path: impl Into<String>, body: Value) -> Attempt {
    Attempt { method: Method::POST, body, ..get(path) }
}

pub(crate) fn replace(path: impl Into<String>, body: Value) -> Attempt {
    Attempt { method: Method::PUT, body, ..get(path) }
}

pub(crate) fn merge(path: impl Into<String>, body: Value) -> Attempt {
    Attempt { method: Method::PATCH, content: "application/merge-patch+json", body, ..get(path) }
}

pub(crate) fn strategic(path: impl Into<String>, body: Value) -> Attempt {
    Attempt { content: "application/strategic-merge-patch+json", ..merge(path, body) }
}

pub(crate) fn json_patch(path: impl Into<String>, body: Value) -> Attempt {
    Attempt { content: "application/json-patch+json", ..merge(path, body) }
}

/// Server-side apply, taking over fields.
pub(crate) fn apply(path: impl Into<String>, body: Value) -> Attempt {
    let path = format!("{}?fieldManager=thief&force=true", path.into());
    Attempt { content: "application/apply-patch+yaml", ..merge(path, body) }
}

/// Without a body: with one, the API server takes no dry run from the path.
pub(crate) fn delete(path: impl Into<String>) -> Attempt {
    Attempt { method: Method::DELETE, ..get(path) }
}

impl Attempt {
    /// The same, posing as somebody else.
    pub(crate) fn posing_as(self, user: impl Into<String>) -> Self {
        Self { poses_as: Some((user.into(), &[])), ..self }
    }

    /// The same, posing as an account of the server that RBAC allows everything, so that policies alone refuse.
    pub(crate) fn all_powerful(self, part: Part) -> Self {
        let user = format!("system:serviceaccount:{SERVER_NAMESPACE}:{}", part.account());
        Self { poses_as: Some((user, &["system:masters"])), ..self }
    }

    /// The same, posing as somebody else in these groups.
    pub(crate) fn posing_among(self, user: impl Into<String>, groups: &'static [&'static str]) -> Self {
        Self { poses_as: Some((user.into(), groups)), ..self }
    }

    /// The same as one of Kubernetes' own controllers, with every right.
    pub(crate) fn by_a_controller(self) -> Self {
        let groups = &["system:masters", "system:serviceaccounts:kube-system"];
        self.posing_among("system:serviceaccount:kube-system:job-controller", groups)
    }

    /// The answer's object, or the refusal. Nothing is stored.
    pub(crate) async fn send(&self, client: &Client) -> Result<Value, kube::Error> {
        let path = &self.path;
        self.send_to(client, format!("{path}{}dryRun=All", if path.contains('?') { '&' } else { '?' })).await
    }

    /// The same for good.
    pub(crate) async fn send_for_real(&self, client: &Client) -> Result<Value, kube::Error> {
        self.send_to(client, self.path.clone()).await
    }

    async fn send_to(&self, client: &Client, uri: String) -> Result<Value, kube::Error> {
        let mut request = http::Request::builder().method(&self.method).uri(uri).header("content-type", self.content);
        if let Some((user, groups)) = &self.poses_as {
            request = request.header("impersonate-user", user);
            request = groups.iter().fold(request, |request, group| request.header("impersonate-group", *group));
        }
        let body = if self.body.is_null() { Vec::new() } else { self.body.to_string().into_bytes() };
        let text = client.request_text(request.body(body).unwrap()).await?;
        // Not every answer is an object: a log is not.
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    async fn refused(&self, client: &Client, by: By) -> anyhow::Result<()> {
        let status = match self.send(client).await {
            Err(kube::Error::Api(status)) => status,
            Err(error) => return Err(error).context("no answer of the API server"),
            Ok(_) => bail!("allowed"),
        };
        let text = match by {
            By::Rbac => r#"" cannot "#.to_owned(),
            By::Escalation => "is attempting to grant RBAC permissions not currently held".to_owned(),
            By::Policy(name) => format!("ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: "),
            By::SomePolicy => "ValidatingAdmissionPolicy 'tentacular-".to_owned(),
            By::Protection(rule) | By::Validation(rule) => format!("(rule {rule})"),
        };
        let (code, refuser) = match by {
            By::Protection(_) => ((403, "Forbidden"), "admission webhook \""),
            By::Validation(_) => ((422, "Invalid"), "admission webhook \""),
            _ => ((403, "Forbidden"), ""),
        };
        let told = status.message.contains(&text) && status.message.contains(refuser);
        let expected = (status.code, &*status.reason) == code && told;
        ensure!(expected, "refused, but not by {by:?}: {} {} {}", status.code, status.reason, status.message);
        Ok(())
    }

    async fn possible(&self, client: &Client) -> anyhow::Result<()> {
        match self.send(client).await {
            Ok(_) => Ok(()),
            // A controller was faster; it would have been stored.
            Err(kube::Error::Api(status)) if status.reason == "Conflict" => Ok(()),
            Err(error) => Err(error).context("not possible"),
        }
    }

    async fn reached(&self, client: &Client) -> anyhow::Result<()> {
        match self.send(client).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 403..=405) => bail!("{}", status.message),
            Err(kube::Error::Api(_)) | Ok(_) => Ok(()),
            Err(error) => Err(error).context("no answer"),
        }
    }
}

/// Every attempt is refused, and by whom it says.
pub(crate) async fn all_refused(
    client: &Client,
    attempts: impl IntoIterator<Item = (By, Attempt)>,
) -> anyhow::Result<()> {
    all(attempts, |(by, attempt)| async move { (attempt.refused(client, by).await, attempt) }).await
}

/// Waits until the attempt is refused so: the API server takes up a policy some time after it stored it.
pub(crate) async fn until_refused(client: &Client, by: By, attempt: &Attempt) -> anyhow::Result<()> {
    until(format!("{by:?} is in force"), async || attempt.refused(client, by).await).await
}

/// Every attempt would succeed for this client, which may do it.
pub(crate) async fn all_possible(client: &Client, attempts: impl IntoIterator<Item = Attempt>) -> anyhow::Result<()> {
    all(attempts, |attempt| async move { (attempt.possible(client).await, attempt) }).await
}

/// Every attempt gets past the API server's checks, as far as it may lead then.
pub(crate) async fn all_reached(client: &Client, attempts: impl IntoIterator<Item = Attempt>) -> anyhow::Result<()> {
    all(attempts, |attempt| async move { (attempt.reached(client).await, attempt) }).await
}

/// Makes all attempts and fails with those that ended otherwise than wanted.
async fn all<T, F>(attempts: impl IntoIterator<Item = T>, one: impl Fn(T) -> F) -> anyhow::Result<()>
where
    F: Future<Output = (anyhow::Result<()>, Attempt)>,
{
    let ended: Vec<_> = stream::iter(attempts.into_iter().map(one)).buffer_unordered(AT_ONCE).collect().await;
    let wrong: Vec<String> = ended
        .iter()
        .filter_map(|(ended, attempt)| {
            let error = ended.as_ref().err()?;
            let Attempt { method, path, body, poses_as, .. } = attempt;
            let body: String = body.to_string().chars().take(SHOWN).collect();
            Some(format!("{method} {path} as {poses_as:?}: {error:#}; body: {body}"))
        })
        .collect();
    ensure!(wrong.is_empty(), "{} of {} attempts:\n{}", wrong.len(), ended.len(), wrong.join("\n"));
    Ok(())
}
