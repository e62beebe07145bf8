use serde_json::{Value, json};

use super::*;

/// An Ingress for `host` with a certificate and a Service behind it.
fn ingress(host: &Value, service: &str, secret: &str) -> Value {
    let path = json!({ "pathType": "Prefix", "path": "/", "backend": { "service": { "name": service } } });
    let tls = json!([{ "hosts": ["report.team-a.apps.x.io"], "secretName": secret }]);
    json!({ "spec": { "ingressClassName": "any", "tls": tls, "rules": [{ "host": host, "http": { "paths": [path] } }] } })
}

#[test]
fn an_ingress_has_hosts_of_the_enclave_and_own_services_behind_them() {
    let of = |body: &Value| {
        let own = object("Ingress", "i", body);
        [scope(|scope| texts(&scope.alone(&own))), among(&own, &Neighbours::default())].concat()
    };
    let good = ingress(&json!("a.report.team-a.apps.x.io"), "mine", "mine");
    assert_eq!(of(&good), Vec::<String>::new());
    for host in [
        "report.team-b.apps.x.io",
        "team-a.apps.x.io",
        ".team-a.apps.x.io",
        "*.team-a.apps.x.io",
        "x-team-a.apps.x.io",
        "x.team-a.apps.x.io.evil.io",
        "x.TEAM-A.apps.x.io",
        "x.team-a.apps.x.io.",
        "a b.team-a.apps.x.io",
    ] {
        let found = of(&ingress(&json!(host), "mine", "mine"));
        let start =
            format!("Ingress/i spec.rules[0].host: {host} is not the enclave's; use a name that ends in .team-a.");
        assert!(found.len() == 1 && found[0].starts_with(&start), "{host}: {found:?}");
    }
    let mut tls = good.clone();
    tls["spec"]["tls"][0]["hosts"][0] = json!("x.team-b.apps.x.io");
    let mut backend = good.clone();
    backend["spec"]["defaultBackend"] = json!({ "service": { "name": "mine" } });
    let mut resource = good.clone();
    let bucket = json!({ "resource": { "apiGroup": "x.io", "kind": "Bucket", "name": "b" } });
    resource["spec"]["rules"][0]["http"]["paths"][0]["backend"] = bucket;
    let mut alias = good.clone();
    let annotations =
        json!({ "kubernetes.io/ingress.class": "a", "nginx.ingress.kubernetes.io/server-alias": "evil.io" });
    alias["metadata"]["annotations"] = annotations;
    let host = json!("x.team-a.apps.x.io");
    for (body, part) in [
        (tls, "spec.tls[0].hosts[0]: x.team-b.apps.x.io is not the enclave's"),
        (backend, "spec.defaultBackend: answers for every host"),
        (resource, "backend.resource.name: b names a Bucket as a backend"),
        (alias, "metadata.annotations: nginx.ingress.kubernetes.io/server-alias"),
        (ingress(&json!(null), "mine", "mine"), "spec.rules[0].host: is missing, which means every host"),
        (ingress(&host, "theirs", "mine"), "paths[0].backend.service.name: theirs is no Service of this tentacle"),
        (ingress(&host, "mine", "theirs"), "spec.tls[0].secretName: theirs is no Secret of this tentacle"),
    ] {
        let found = of(&body);
        assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:?}");
    }
    let mut neighbours = Neighbours::default();
    neighbours.add(&object("Ingress", "theirs", &ingress(&host, "s", "s")), Some("other"));
    let found = among(&object("Ingress", "i", &ingress(&host, "mine", "mine")), &neighbours);
    assert!(found.len() == 2 && found[0].contains("is a host of Ingress/theirs of tentacle other"), "{found:?}");
    let (enclave, tentacle) = ("team-a".parse().unwrap(), "report".parse().unwrap());
    let scope = Scope { enclave: &enclave, tentacle: &tentacle, ingress_domain: None };
    let found = texts(&scope.alone(&object("Ingress", "i", &good)));
    assert!(found.len() == 1 && found[0].ends_with("leave it out (rule allowed-kind)"), "{found:?}");
}
