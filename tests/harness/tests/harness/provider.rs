//! The provider is what it says: its tokens verify against the keys that it publishes, and against no others.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA512,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Provider,
    provider::{
        Fetches,
        key::{Algorithm, Key, signing_input},
    },
    tls,
};

#[tokio::test]
async fn its_tokens_verify_against_its_published_keys() {
    let provider = Provider::start().unwrap();
    let claims = provider.claims("ann", "ann@example.com");
    let mut keys = vec![provider.key(), Key::es384().unwrap(), Key::eddsa().unwrap()];
    if let Some(rsa) = Key::rsa().unwrap() {
        keys.extend([rsa.with(Algorithm::Ps512), rsa]);
    }
    for key in &keys[1..] {
        provider.publish(key.jwk());
    }
    let published = published(&provider).await;
    for key in &keys {
        let token = key.token(&claims).unwrap();
        assert!(verifies(&token, &published), "{key:?}");
        let changed = token.replacen('.', ".e30", 1);
        assert!(!verifies(&changed, &published), "{key:?}");
    }
    // What is in the set and signs no token.
    assert!(published.iter().any(|key| key["use"] == "enc"));
    assert!(published.iter().any(|key| !["EC", "OKP", "RSA"].contains(&key["kty"].as_str().unwrap())));
    assert!(!verifies(&Key::es256().unwrap().token(&claims).unwrap(), &published), "a key of nobody");
}

#[tokio::test]
async fn its_metadata_is_what_discovery_requires() {
    let provider = Provider::start().unwrap();
    let document = get(&format!("{}/.well-known/openid-configuration", provider.issuer())).await;
    assert_eq!(document["issuer"], provider.issuer());
    for required in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        assert!(document[required].as_str().unwrap().starts_with("http://127.0.0.1:"), "{required}");
    }
    for required in ["response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported"] {
        assert!(!document[required].as_array().unwrap().is_empty(), "{required}");
    }
    provider.set_discovered("issuer", json!("https://other.example.com"));
    let document = get(&format!("{}/.well-known/openid-configuration", provider.issuer())).await;
    assert_eq!(document["issuer"], "https://other.example.com");
    assert_eq!(provider.fetches(), Fetches { discovery: 2, keys: 0 });
}

#[tokio::test]
async fn a_rotation_takes_the_old_key_away() {
    let provider = Provider::start().unwrap();
    let old = provider.token(&provider.claims("ann", "ann@example.com"));
    assert!(verifies(&old, &published(&provider).await));
    provider.rotate();
    let new = provider.token(&provider.claims("ann", "ann@example.com"));
    let published = published(&provider).await;
    assert!(verifies(&new, &published) && !verifies(&old, &published));
    assert_eq!(provider.fetches().keys, 2);
}

#[tokio::test]
async fn a_provider_that_is_down_refuses_connections_and_comes_back_on_its_port() {
    let provider = Provider::start().unwrap();
    let issuer = provider.issuer();
    let url = format!("{issuer}/.well-known/openid-configuration");
    let client = client();
    client.get(&url).send().await.unwrap().bytes().await.unwrap();
    provider.set_up(false).await.unwrap();
    // The client learns in its own time that the connection which it kept is cut.
    let refused = async { while !client.get(&url).send().await.expect_err("it is down").is_connect() {} };
    tokio::time::timeout(Duration::from_mins(1), refused).await.expect("a new connection is refused");
    provider.set_up(true).await.unwrap();
    assert!(client.get(&url).send().await.unwrap().status().is_success());
    assert_eq!(provider.issuer(), issuer);
    drop(provider);
    let gone = async { while client.get(&url).send().await.is_ok() {} };
    tokio::time::timeout(Duration::from_mins(1), gone).await.expect("a provider that is dropped ends");
}

#[test]
fn a_header_is_signed_as_it_is_given() {
    let provider = Provider::start().unwrap();
    let token = provider.sign(&json!({ "alg": "none" }), &json!({ "iss": 1 }));
    assert!(token.starts_with(&signing_input(r#"{"alg":"none"}"#, r#"{"iss":1}"#)));
    let shared = Key::hs256(b"secret");
    assert_eq!(shared.header()["alg"], "HS256");
    assert!(!format!("{shared:?}").contains("secret"));
}

fn client() -> reqwest::Client {
    tls::plain().build().unwrap()
}

async fn get(url: &str) -> Value {
    client().get(url).send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
}

async fn published(provider: &Provider) -> Vec<Value> {
    let document = get(&format!("{}/.well-known/openid-configuration", provider.issuer())).await;
    let keys = get(document["jwks_uri"].as_str().unwrap()).await;
    keys["keys"].as_array().unwrap().clone()
}

/// Whether the key that the token's header names is published and made the signature.
fn verifies(token: &str, published: &[Value]) -> bool {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let header: Value = serde_json::from_slice(&decode(token.split_once('.').unwrap().0)).unwrap();
    let Some(key) = published.iter().find(|key| key["kid"] == header["kid"]) else { return false };
    let member = |name: &str| decode(key[name].as_str().unwrap());
    let signature = decode(signature);
    let point = || [vec![4], member("x"), member("y")].concat();
    let check = |algorithm: &'static dyn VerificationAlgorithm, public: Vec<u8>| {
        UnparsedPublicKey::new(algorithm, public).verify(input.as_bytes(), &signature).is_ok()
    };
    let rsa = || RsaPublicKeyComponents { n: member("n"), e: member("e") };
    match (header["alg"].as_str().unwrap(), key["kty"].as_str().unwrap()) {
        ("ES256", "EC") => check(&ECDSA_P256_SHA256_FIXED, point()),
        ("ES384", "EC") => check(&ECDSA_P384_SHA384_FIXED, point()),
        ("EdDSA", "OKP") => check(&ED25519, member("x")),
        ("RS256", "RSA") => rsa().verify(&RSA_PKCS1_2048_8192_SHA256, input.as_bytes(), &signature).is_ok(),
        ("PS512", "RSA") => rsa().verify(&RSA_PSS_2048_8192_SHA512, input.as_bytes(), &signature).is_ok(),
        other => panic!("no such key: {other:?}"),
    }
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}
