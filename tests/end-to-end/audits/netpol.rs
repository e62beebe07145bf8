//! `audit_netpol`.

use serde_json::{Value, json};

use super::ground::{Place, recorded};

fn policy(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": name }, "spec": spec })
}

#[tokio::test]
async fn e2e_audits_netpol_says_nothing_against_the_servers_own_policies() -> anyhow::Result<()> {
    let place = Place::new("netpol").await?;
    let fresh = place.audit("audit_netpol").await?;
    assert_eq!((&fresh["findings"], &fresh["default_deny"]), (&json!([]), &json!(true)), "{fresh}");
    let names: Vec<_> = fresh["policies"].as_array().unwrap().iter().map(|policy| &policy["name"]).collect();
    assert_eq!(names, ["allow-dns", "default-deny"]);
    let dns = &fresh["policies"][0];
    assert_eq!((&dns["pod_selector"], &dns["types"]), (&json!("all pods"), &json!(["Egress"])), "{dns}");

    for arguments in recorded(&place.enclave) {
        place.bearer.call("wf_apply", arguments).await?;
    }
    let audit = place.audit("audit_netpol").await?;
    assert_eq!(audit["findings"], json!([]), "{audit}");
    assert_eq!(audit["policies"].as_array().unwrap().len(), 4, "{audit}");
    Ok(())
}

#[tokio::test]
async fn e2e_audits_netpol_finds_what_is_open_in_effect_and_each_remedy_closes_it() -> anyhow::Result<()> {
    let place = Place::new("netpol-open").await?;
    let block = |cidr: &str, except: &[&str]| json!({ "ipBlock": { "cidr": cidr, "except": except } });
    let name = |name: &str| json!({ "matchLabels": { "kubernetes.io/metadata.name": name } });
    let (web, https) = (json!([{ "port": 8080 }]), json!([{ "port": 443 }]));
    let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    let ingress = json!([
        { "ports": web },
        { "from": [block("0.0.0.0/1", &[]), block("10.0.0.0/8", &[])], "ports": web },
        { "from": [{ "namespaceSelector": {} }, { "podSelector": {} }], "ports": web },
        { "from": [{ "namespaceSelector": name("team-b"), "podSelector": {} }] },
    ]);
    let egress = json!([
        {},
        { "to": [block("0.0.0.0/0", &private[1..]), block("::/0", &[])], "ports": https },
        { "to": [block("0.0.0.0/0", &private)], "ports": [{ "port": 80 }] },
        { "to": [block("0.0.0.0/0", &[&private[..], &["169.254.0.0/16"]].concat())] },
        { "to": [block("169.254.169.254/32", &[])], "ports": [{ "port": 80, "endPort": 90 }] },
        { "to": [{ "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "x" } } }], "ports": web },
    ]);
    let spec = json!({
        "podSelector": { "matchLabels": { "app": "a" } }, "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress, "egress": egress,
    });
    place.create(policy("open", &spec)).await?;

    let found = place.findings("audit_netpol").await?;
    let of = |severity: &str, fields: &[&str]| -> Vec<String> {
        fields.iter().map(|field| format!("{severity} NetworkPolicy/open spec.{field}")).collect()
    };
    let expected = [
        of(
            "high",
            &[
                "egress[0].to",
                "egress[1].to[0].ipBlock",
                "egress[1].to[1].ipBlock",
                "egress[2].to[0].ipBlock",
                "egress[4].to[0].ipBlock",
                "ingress[0].from",
                "ingress[1].from",
            ],
        ),
        of("medium", &["egress[3].ports", "ingress[2].from[0].namespaceSelector"]),
        of("low", &["egress[5].to[0].namespaceSelector", "ingress[3].ports"]),
    ];
    assert_eq!(found, expected.concat());
    let mended = place.mend_all("audit_netpol").await?;
    assert_eq!(mended.len(), found.len(), "{mended:?}");
    let left = place.audit("audit_netpol").await?;
    assert_eq!(left["default_deny"], true, "{left}");
    Ok(())
}

#[tokio::test]
async fn e2e_audits_netpol_sees_whether_pods_are_closed_unless_opened() -> anyhow::Result<()> {
    let place = Place::new("netpol-deny").await?;
    for name in ["default-deny", "allow-dns"] {
        place.mend(&json!({
            "type": "delete",
            "object": {
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "namespace": place.enclave, "name": name,
            },
        }))
        .await?;
    }
    let open = place.audit("audit_netpol").await?;
    assert_eq!(open["default_deny"], false, "{open}");
    assert_eq!(open["findings"].as_array().unwrap().len(), 1, "{open}");
    place.create(policy("in", &json!({ "podSelector": {}, "policyTypes": ["Ingress"] }))).await?;
    let half = place.audit("audit_netpol").await?;
    assert!(half["findings"][0]["message"].as_str().unwrap().contains("has Egress:"), "{half}");
    place.create(policy("out", &json!({ "podSelector": {}, "policyTypes": ["Egress"] }))).await?;
    let split = place.audit("audit_netpol").await?;
    assert_eq!((&split["default_deny"], &split["findings"]), (&json!(true), &json!([])), "two policies do as one");

    place.mend(&json!({
        "type": "delete",
        "object": {
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "namespace": place.enclave, "name": "out",
        },
    }))
    .await?;
    assert_eq!(place.mend_all("audit_netpol").await?, ["high NetworkPolicy/default-deny spec.policyTypes"]);
    Ok(())
}

#[tokio::test]
async fn e2e_audits_netpol_shows_pages_and_nothing_of_tentacles_that_the_caller_cannot_read() -> anyhow::Result<()> {
    let place = Place::new("netpol-pages").await?;
    let arguments = recorded(&place.enclave).pop().unwrap();
    place
        .person("ann")
        .await?
        .call("wf_apply", {
            let mut arguments = arguments.clone();
            arguments["mode"] = json!("private");
            arguments
        })
        .await?;
    let tentacle = arguments["name"].as_str().unwrap();
    let mut labelled = policy("hers", &json!({ "policyTypes": ["Ingress"], "ingress": [{}], "podSelector": {} }));
    labelled["metadata"]["labels"] = json!({ "tentacular.io/release": tentacle });
    place.create(labelled).await?;
    let open = json!({ "policyTypes": ["Ingress"], "ingress": [{}, {}], "podSelector": {} });
    place.create(policy("of-nobody", &open)).await?;

    let here = json!({ "enclave": place.enclave });
    let (owner, member) = (place.person("ann").await?, place.person("bob").await?);
    let whole = owner.call("audit_netpol", here.clone()).await?;
    assert_eq!((whole["findings"].as_array().unwrap().len(), whole.get("warnings")), (3, None), "{whole}");
    let seen = member.call("audit_netpol", here).await?;
    assert_eq!(seen["findings"].as_array().unwrap().len(), 2, "{seen}");
    assert!(!seen.to_string().contains(tentacle) && !seen.to_string().contains("hers"), "{seen}");
    assert!(seen["warnings"][0].as_str().unwrap().contains("may not read"), "{seen}");

    let mut found = Vec::new();
    let mut arguments = json!({ "enclave": place.enclave, "limit": 1 });
    for page in 0..3 {
        let answer = owner.call("audit_netpol", arguments.clone()).await?;
        found.extend(answer["findings"].as_array().unwrap().clone());
        assert_eq!(answer["truncated"], json!(page < 2), "{answer}");
        assert_eq!(answer["policies"].as_array().unwrap().len(), usize::from(page == 0), "{answer}");
        arguments["cursor"] = answer["next_cursor"].clone();
    }
    assert_eq!(json!(found), whole["findings"]);
    Ok(())
}
