use serde_json::json;

use super::*;

#[test]
fn a_leader_must_renew_its_lease() {
    let now: Timestamp = "2026-01-01T00:01:00Z".parse().expect("a time");
    let lease = |holder: &str, renewed: &str| -> Lease {
        let spec = json!({ "holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed });
        serde_json::from_value(json!({ "metadata": { "name": "l" }, "spec": spec })).expect("a Lease")
    };
    for (lease, passed, part) in [
        (Some(lease("one", "2026-01-01T00:00:58.000000Z")), true, "one leads"),
        (Some(lease("one", "2026-01-01T00:00:30.000000Z")), true, "one leads"),
        (Some(lease("one", "2026-01-01T00:00:29.000000Z")), false, "renewed its Lease last at"),
        (Some(lease("", "2025-01-01T00:00:00.000000Z")), true, "no scheduler leads yet"),
        (None, true, "no scheduler leads yet"),
    ] {
        let check = led(lease.as_ref(), "home", now);
        let text = check.warning.or(check.detail).unwrap_or_default();
        assert!(check.passed == passed && text.contains(part), "{text}");
        assert_eq!(check.remediation.is_some(), !passed);
    }
}

#[test]
fn a_network_that_ignores_policies_fails_and_an_unknown_one_warns() {
    for (enforced, passed, warns) in
        [(Enforced::Yes, true, false), (Enforced::No, false, true), (Enforced::Unknown, true, true)]
    {
        let check = judged(&Cni { name: "x", version: None, enforced });
        assert_eq!((check.passed, check.warning.is_some()), (passed, warns));
        assert_eq!(check.remediation.is_some(), !passed);
    }
}

#[test]
fn a_service_is_usable_when_it_is_available() {
    let found = |enabled, available, isolation| Found {
        enabled,
        available,
        isolation,
        reason: Some("because\u{7}".to_owned()),
        time: None,
    };
    for (found, passed, warning) in [
        (found(true, true, Some(Isolation::Full)), true, None),
        (found(true, true, None), true, None),
        (found(true, true, Some(Isolation::None)), true, Some("its isolation between tentacles is none: because")),
        (found(true, false, None), false, Some("it cannot be used: because")),
        (found(false, false, None), true, Some("it is switched off")),
    ] {
        let check = usable(Ok((Service::Nats, found)), "home");
        assert_eq!((check.name.as_str(), check.passed, check.warning.as_deref()), ("backing-nats", passed, warning));
        assert_eq!(check.remediation.is_some(), !passed);
    }
    let unreadable = Unreadable { service: Service::Rustfs, why: "line 1".to_owned() };
    assert!(!usable(Err(unreadable), "home").passed);
}

#[test]
fn a_webhook_is_where_its_configuration_says() {
    for (config, url) in [
        (json!({ "url": "https://127.0.0.1:1/admit" }), "https://127.0.0.1:1/admit"),
        (
            json!({ "service": { "name": "hook", "namespace": "home", "path": "/admit", "port": 8443 } }),
            "https://hook.home.svc.cluster.local:8443/admit",
        ),
        (json!({ "service": { "name": "hook", "namespace": "home" } }), "https://hook.home.svc.cluster.local:443/"),
    ] {
        let config: WebhookClientConfig = serde_json::from_value(config).expect("a configuration");
        assert_eq!(webhook_url(&config, "cluster.local"), url);
    }
}

#[tokio::test]
async fn an_identity_provider_must_answer_with_its_own_name() {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/realm", listener.local_addr().expect("an address"));
    let issuer = Issuer { url: url.clone(), ca_file: None };
    let check = async |said: String| {
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.expect("a request"));
            }
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", said.len());
            stream.write_all((head + &said).as_bytes()).await.expect("written");
        };
        tokio::join!(identity_provider(Some(&issuer), "home"), serve).0
    };
    assert!(check(json!({ "issuer": url }).to_string()).await.passed);
    for said in [json!({ "issuer": "https://other" }).to_string(), "hello".to_owned()] {
        let check = check(said).await;
        assert!(!check.passed && check.remediation.is_some(), "{check:?}");
    }
    drop(listener);
    let gone = identity_provider(Some(&issuer), "home").await;
    assert!(gone.warning.as_deref().is_some_and(|text| text.contains("does not answer")), "{gone:?}");
    assert!(identity_provider(None, "home").await.passed);
}
