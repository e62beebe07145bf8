//! The checks on what surrounds the server: the API server, the webhook, the network, the identity provider, the
//! scheduler, the backing services.

use k8s_openapi::{
    api::{
        admissionregistration::v1::{ValidatingWebhookConfiguration, WebhookClientConfig},
        coordination::v1::Lease,
        core::v1::Node,
        node::v1::RuntimeClass,
    },
    jiff::{SignedDuration, Timestamp},
};
use serde_json::Value;
use tentacular_cluster::{Cluster, Error, Selector};
use tentacular_contract::{
    Platform,
    backing::{Found, Isolation, Service, Unreadable},
    keys,
};
use tentacular_process::trust;

use super::{Issuer, check::Check, rights::upgrade};
use crate::{
    backing,
    cluster_facts::{Cni, Enforced, cni, distribution, system_pods},
    http_get, text,
};

const WEBHOOK: &str = "admission-webhook";
const POLICIES: &str = "network-policies";
const PROVIDER: &str = "identity-provider";
const LEADER: &str = "schedule-leader";
const GVISOR: &str = "gvisor-runtime";
/// The name of the webhook's configuration in the chart.
const CONFIGURATION: &str = "tentacular-webhook";
/// How far the clocks of two nodes may differ.
const SKEW: SignedDuration = SignedDuration::from_secs(15);

/// Whether the API server answers.
pub(super) async fn api(cluster: &Cluster) -> Check {
    match cluster.version().await {
        Ok(version) => Check::passed("api-reachability", format!("Kubernetes {}", text::line(&version))),
        Err(error) => Check::failed("api-reachability", error.to_string(), "kubectl get --raw /readyz"),
    }
}

/// Whether the webhook is registered, and answers those who trust what it registered.
pub(super) async fn webhook(cluster: &Cluster, platform: &Platform) -> Check {
    let home = &platform.server_namespace;
    let restart = || format!("kubectl -n {home} rollout restart deployment/tentacular-webhook");
    let found = cluster.all::<ValidatingWebhookConfiguration>().get(CONFIGURATION).await;
    let entries = match found {
        Ok(Some(found)) => found.webhooks.unwrap_or_default(),
        Ok(None) => {
            let warning = "it is not installed: rules hold for calls of this server, and nobody holds others to them";
            return Check::warned(WEBHOOK, warning);
        }
        Err(error) => {
            return Check::failed(WEBHOOK, format!("its configuration cannot be read: {error}"), upgrade(home));
        }
    };
    let Some(entry) = entries.first() else {
        return Check::failed(WEBHOOK, format!("configuration {CONFIGURATION} has no entry"), upgrade(home));
    };
    let without: Vec<_> =
        entries.iter().filter(|entry| entry.client_config.ca_bundle.is_none()).map(|entry| &*entry.name).collect();
    if !without.is_empty() {
        let warning = format!("it has not registered its certificate with {}", without.join(", "));
        return Check::failed(WEBHOOK, warning, restart());
    }
    let bundle = entry.client_config.ca_bundle.as_ref().map_or(&[][..], |bundle| &bundle.0);
    let url = webhook_url(&entry.client_config, &platform.cluster_domain);
    let answer = match trust::authorities(bundle) {
        Ok(authorities) => http_get::get(&url, authorities).await,
        Err(error) => Err(format!("caBundle: {error}")),
    };
    match answer {
        Ok(_) => {
            Check::passed(WEBHOOK, format!("it is registered for {} kinds of reviews and answers", entries.len()))
        }
        Err(error) => {
            let warning =
                format!("it does not answer at {url}: {error}; until it does, changes in enclaves are refused");
            Check::failed(WEBHOOK, warning, restart())
        }
    }
}

fn webhook_url(config: &WebhookClientConfig, domain: &str) -> String {
    match (&config.url, &config.service) {
        (Some(url), _) => url.clone(),
        (None, Some(service)) => {
            let (name, namespace) = (&service.name, &service.namespace);
            let path = service.path.as_deref().unwrap_or("/");
            format!("https://{name}.{namespace}.svc.{domain}:{}{path}", service.port.unwrap_or(443))
        }
        (None, None) => String::new(),
    }
}

/// Whether the network holds to network policies, as far as its pods show it.
pub(super) async fn network_policies(cluster: &Cluster) -> Check {
    let read = async {
        let nodes = cluster.all::<Node>().list(&Selector::all()).await?;
        Ok::<_, Error>(cni(&system_pods(cluster).await?, distribution(&nodes)))
    };
    match read.await {
        Ok(cni) => judged(&cni),
        Err(error) => Check::warned(POLICIES, format!("the network plugin is not known: {error}")),
    }
}

fn judged(cni: &Cni) -> Check {
    let Cni { name, version, enforced } = cni;
    let named =
        version.as_ref().map_or_else(|| (*name).to_owned(), |version| format!("{name} {}", text::line(version)));
    match enforced {
        Enforced::Yes => Check::passed(POLICIES, format!("{named} enforces them")),
        Enforced::No => Check::failed(
            POLICIES,
            format!("{named} does not enforce them: tentacles can reach each other and the cluster"),
            "kubectl apply -f https://raw.githubusercontent.com/projectcalico/calico/v3.30.1/manifests/canal.yaml",
        ),
        Enforced::Unknown => Check::warned(
            POLICIES,
            format!("whether the network plugin ({named}) enforces them is not known; see its documentation"),
        ),
    }
}

/// Whether the identity provider answers with the document that its tokens are checked by.
pub(super) async fn identity_provider(issuer: Option<&Issuer>, home: &str) -> Check {
    let Some(Issuer { url: issuer, ca_file }) = issuer else {
        return Check::warned(PROVIDER, "none is configured: the bearer token is the only way in");
    };
    let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let answer = match trust::system_and(ca_file.as_deref()) {
        Ok(authorities) => http_get::get(&place, authorities).await,
        Err(error) => Err(error.to_string()),
    };
    let wrong = match answer {
        Ok(answer) if (200..300).contains(&answer.status) => {
            let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            match document["issuer"].as_str() {
                Some(named) if named == issuer => return Check::passed(PROVIDER, format!("{issuer} answers")),
                Some(named) => format!("{place} names another issuer, {:?}", text::line(named)),
                None => format!("{place} is no discovery document"),
            }
        }
        Ok(answer) => format!("{place} answers with status {}", answer.status),
        Err(error) => format!("{place} does not answer: {error}"),
    };
    let remedy =
        format!("kubectl -n {home} run issuer --rm -i --restart=Never --image=curlimages/curl -- -sS {place}");
    Check::failed(PROVIDER, wrong, remedy)
}

/// Whether a scheduler leads.
pub(super) async fn leader(cluster: &Cluster, home: &str, now: Timestamp) -> Check {
    match cluster.namespaced::<Lease>(home).get(keys::SCHEDULER_LEASE).await {
        Ok(lease) => led(lease.as_ref(), home, now),
        Err(error) => Check::failed(LEADER, format!("its Lease cannot be read: {error}"), upgrade(home)),
    }
}

fn led(lease: Option<&Lease>, home: &str, now: Timestamp) -> Check {
    let spec = lease.and_then(|lease| lease.spec.as_ref());
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).filter(|holder| !holder.is_empty());
    let Some((spec, holder)) = spec.zip(holder) else {
        return Check::warned(LEADER, "no scheduler leads yet; one does within 15 s of its start");
    };
    let renewed = spec.renew_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let good_for = SignedDuration::from_secs(spec.lease_duration_seconds.unwrap_or(15).into()) + SKEW;
    let holder = text::line(holder);
    if now.duration_since(renewed) <= good_for {
        Check::passed(LEADER, format!("{holder} leads"))
    } else {
        let warning = format!("no scheduler leads: {holder} renewed its Lease last at {renewed}; no schedule fires");
        Check::failed(LEADER, warning, format!("kubectl -n {home} rollout restart deployment/tentacular-mcp"))
    }
}

/// Whether pods can be isolated by gVisor. Never fails: nothing needs it.
pub(super) async fn gvisor(cluster: &Cluster) -> Check {
    match cluster.all::<RuntimeClass>().list(&Selector::all()).await {
        Ok(classes) => match classes.iter().find(|class| ["gvisor", "runsc"].contains(&class.handler.as_str())) {
            Some(class) => {
                let name = text::line(class.metadata.name.as_deref().unwrap_or_default());
                Check::passed(GVISOR, format!("RuntimeClass {name} is there"))
            }
            None => Check::warned(GVISOR, "there is no RuntimeClass with the handler gvisor or runsc"),
        },
        Err(error) => Check::warned(GVISOR, format!("runtime classes cannot be read: {error}")),
    }
}

/// Whether each backing service that is switched on can be used.
pub(super) async fn backing_services(cluster: &Cluster, home: &str) -> Vec<Check> {
    match backing::services(cluster, home).await {
        Ok(services) if services.is_empty() => {
            vec![Check::warned("backing-services", "none is configured: tentacles can ask for none")]
        }
        Ok(services) => services.into_iter().map(|service| usable(service, home)).collect(),
        Err(error) => {
            let warning = format!("what is known of them cannot be read: {error}");
            vec![Check::failed("backing-services", warning, upgrade(home))]
        }
    }
}

fn usable(service: Result<(Service, Found), Unreadable>, home: &str) -> Check {
    let remedy = || format!("kubectl -n {home} logs deployment/tentacular-mcp -c registrar --tail=50");
    let (service, found) = match service {
        Ok(service) => service,
        Err(error) => return Check::failed(&name(error.service), text::line(&error.to_string()), remedy()),
    };
    let (name, reason) = (name(service), found.reason.as_deref().map(text::line));
    let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    match found.isolation {
        _ if !found.enabled => Check::warned(&name, "it is switched off"),
        _ if !found.available => Check::failed(&name, format!("it cannot be used{because}"), remedy()),
        Some(isolation) if isolation != Isolation::Full => {
            Check::warned(&name, format!("its isolation between tentacles is {}{because}", isolation.as_str()))
        }
        _ => Check::passed(&name, "it can be used"),
    }
}

fn name(service: Service) -> String {
    format!("backing-{}", service.as_str())
}

#[cfg(test)]
mod tests;
