//! Tokens that the provider did not issue, however they are dressed up.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Provider,
    provider::key::{Algorithm, Key, signing_input},
};

use super::{Attempt, Server, why, with};

/// A `SubjectPublicKeyInfo` of P-256 without its point (RFC 5480 section 2).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Attempts with the claims of a token that would be valid.
struct Forger<'a> {
    server: &'a Server,
    claims: Value,
    attempts: Vec<Attempt>,
}

impl<'a> Forger<'a> {
    fn new(server: &'a Server) -> Self {
        Self { server, claims: server.nobody(), attempts: Vec::new() }
    }

    fn attempt(&mut self, what: impl Into<String>, token: String, why: &'static str) {
        self.attempts.push(Attempt { what: what.into(), token, why });
    }

    /// The current key's header with these changes, signed by the current key.
    fn header(&mut self, what: &str, changes: Value, why: &'static str) {
        let key = self.server.provider.key();
        let token = key.sign(&with(key.header(), changes), &self.claims).unwrap();
        self.attempt(what, token, why);
    }

    async fn all_are_refused(self) -> anyhow::Result<()> {
        self.server.refuses_all(&self.attempts).await
    }
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    let mut forger = Forger::new(&server);
    let key = server.provider.key();
    let claims = forger.claims.to_string();
    for spelling in ["none", "None", "NONE", "nOnE", "", " none"] {
        let header = with(key.header(), json!({ "alg": spelling })).to_string();
        let input = signing_input(&header, &claims);
        forger.attempt(format!("{spelling:?}, no signature"), format!("{input}."), why::UNKNOWN);
        forger.attempt(format!("{spelling:?}, any signature"), format!("{input}.c2lnbmF0dXJl"), why::ALGORITHM);
        forger.header("signed, and said to be not", json!({ "alg": spelling }), why::ALGORITHM);
    }
    forger.header("no alg", json!({ "alg": null }), why::ALGORITHM);
    forger.header("a list of algorithms", json!({ "alg": ["none", "ES256"] }), why::MALFORMED);
    let zeros = format!("{}.{}", signing_input(&key.header().to_string(), &claims), URL_SAFE_NO_PAD.encode([0; 64]));
    forger.attempt("a signature of zeros", zeros, why::SIGNATURE);
    forger.all_are_refused().await
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() -> anyhow::Result<()> {
    let provider = Provider::start()?;
    let rsa = Key::rsa()?;
    if let Some(rsa) = &rsa {
        provider.publish(rsa.jwk());
    }
    // No provider must publish one; one that does must not let everybody sign.
    let shared = Key::hs256(b"published by mistake");
    provider.publish(shared.jwk());
    let server = Server::trusting(provider, &[]).await?;
    let mut forger = Forger::new(&server);
    let mut secrets = vec![("nothing".to_owned(), Vec::new(), None)];
    for key in [Some(server.provider.key()), rsa].into_iter().flatten() {
        let (public, jwk) = (key.public(), key.jwk());
        let mut forms = vec![("bytes", public.clone()), ("JWK", jwk.to_string().into_bytes())];
        if key.algorithm() == Algorithm::Es256 {
            let der = [&P256[..], &public].concat();
            forms.extend([("PEM", pem("PUBLIC KEY", &der)), ("DER", der), ("x", jwk["x"].to_string().into_bytes())]);
        } else {
            forms.extend([("PEM", pem("RSA PUBLIC KEY", &public)), ("n", jwk["n"].to_string().into_bytes())]);
        }
        let named = |(form, bytes)| (format!("{form} of {}", key.algorithm().name()), bytes, Some(key.clone()));
        secrets.extend(forms.into_iter().map(named));
    }
    for (form, secret, key) in secrets {
        let secret = Key::hs256(&secret);
        let id = key.map_or(Value::Null, |key| json!(key.id()));
        for alg in ["HS256", "HS384", "HS512"] {
            let header = json!({ "alg": alg, "typ": "JWT", "kid": id });
            forger.attempt(format!("{alg} with {form}"), secret.sign(&header, &forger.claims)?, why::ALGORITHM);
            let header = json!({ "alg": alg, "typ": "JWT" });
            forger.attempt(format!("{alg}, no kid"), secret.sign(&header, &forger.claims)?, why::ALGORITHM);
        }
    }
    forger.attempt("a published secret", shared.token(&forger.claims)?, why::ALGORITHM);
    forger.all_are_refused().await
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}

#[tokio::test]
async fn a_key_signs_by_its_own_algorithms_and_no_other() -> anyhow::Result<()> {
    let provider = Provider::start()?;
    let (es384, eddsa) = (Key::es384()?, Key::eddsa()?);
    let mut keys = vec![provider.key(), es384.clone(), eddsa.clone()];
    let rsa = Key::rsa()?;
    if let Some(rsa) = &rsa {
        use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        keys.extend([Rs256, Rs384, Rs512, Ps256, Ps384, Ps512].map(|algorithm| rsa.with(algorithm)));
    }
    let only = Key::rsa()?;
    if let Some(only) = &only {
        let mut jwk = only.jwk();
        jwk["alg"] = json!("PS256");
        provider.publish(jwk);
        keys.push(only.with(Algorithm::Ps256));
    }
    for key in [&es384, &eddsa].into_iter().chain(&rsa) {
        provider.publish(key.jwk());
    }
    let server = Server::trusting(provider, &[]).await?;
    for key in &keys {
        let claims = server.provider.claims("ann", "ann@example.com");
        server.admits(key.algorithm().name(), &key.token(&claims)?).await?;
    }
    let mut forger = Forger::new(&server);
    if let Some(only) = &only {
        let token = only.with(Algorithm::Rs256).token(&forger.claims)?;
        forger.attempt("RS256 by a key that is for PS256", token, why::ALGORITHM);
    }
    for key in &keys {
        for alg in ["ES256", "ES384", "ES512", "ES256K", "EdDSA", "RS256", "PS256", "HS256", "XX512"] {
            let of_rsa = |name: &str| name.starts_with(['R', 'P']);
            let own = key.algorithm().name();
            if alg != own && !(of_rsa(alg) && of_rsa(own)) {
                let token = key.sign(&with(key.header(), json!({ "alg": alg })), &forger.claims)?;
                forger.attempt(format!("{own} said to be {alg}"), token, why::ALGORITHM);
            }
        }
    }
    // The same family on another curve, and another family, by the name of a key that is published.
    let current = server.provider.key();
    let header = with(current.header(), json!({ "alg": "ES384" }));
    forger.attempt("ES384 for a key on P-256", es384.sign(&header, &forger.claims)?, why::ALGORITHM);
    let header = with(es384.header(), json!({ "kid": current.id() }));
    forger.attempt("another published key's name", es384.sign(&header, &forger.claims)?, why::ALGORITHM);
    forger.all_are_refused().await
}

#[tokio::test]
async fn a_token_brings_no_key_of_its_own() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    let attacker = Provider::start()?;
    let stranger = Key::es256()?;
    attacker.set_key(stranger.clone());
    let certs = format!("{}/protocol/openid-connect/certs", attacker.issuer());
    let mut forger = Forger::new(&server);
    let current = server.provider.key();
    let certificate = STANDARD.encode([&P256[..], &stranger.public()].concat());
    for (what, changes) in [
        ("nothing", json!({})),
        ("jwk", json!({ "jwk": stranger.jwk() })),
        ("jku", json!({ "jku": certs })),
        ("x5u", json!({ "x5u": certs })),
        ("x5c", json!({ "x5c": [certificate] })),
        ("all", json!({ "jwk": stranger.jwk(), "jku": certs, "x5u": certs, "iss": attacker.issuer() })),
    ] {
        for (id, why) in [(current.id(), why::SIGNATURE), (stranger.id(), why::KEY)] {
            let header = with(with(stranger.header(), json!({ "kid": id })), changes.clone());
            forger.attempt(what, stranger.sign(&header, &forger.claims)?, why);
        }
        let header = with(with(stranger.header(), json!({ "kid": null })), changes.clone());
        forger.attempt(format!("{what}, no kid"), stranger.sign(&header, &forger.claims)?, why::SIGNATURE);
        // A key that is published: what the header brings beside it is not looked at.
        let claims = server.provider.claims("ann", "ann@example.com");
        server.admits(what, &current.sign(&with(current.header(), changes), &claims)?).await?;
    }
    let sealing = server.provider.encryption_key();
    forger.attempt("the key for encryption", sealing.token(&forger.claims)?, why::KEY);
    forger.all_are_refused().await?;
    assert_eq!(attacker.fetches().keys, 0, "the attacker's keys were asked for");
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_bent_is_refused() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    let mut forger = Forger::new(&server);
    for (what, changes, why) in [
        ("crit", json!({ "crit": ["exp"] }), why::MALFORMED),
        ("an empty crit", json!({ "crit": [] }), why::MALFORMED),
        ("b64", json!({ "b64": false, "crit": ["b64"] }), why::MALFORMED),
        ("a number as kid", json!({ "kid": 7 }), why::ALGORITHM),
        ("a path as kid", json!({ "kid": "../../../../dev/null" }), why::KEY),
        ("a long kid", json!({ "kid": "k".repeat(8_000) }), why::KEY),
        ("typ of a logout token", json!({ "typ": "logout+jwt" }), why::KIND),
        ("typ of a DPoP proof", json!({ "typ": "dpop+jwt" }), why::KIND),
    ] {
        forger.header(what, changes, why);
    }
    let key = server.provider.key();
    let good = key.token(&forger.claims)?;
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    // The last character has bits that carry nothing; with another of the same meaning it is another text.
    let last = signature.chars().last().unwrap();
    let same = char::from(u8::try_from(last)? + 1);
    let other = URL_SAFE_NO_PAD.encode(with(forger.claims.clone(), json!({ "sub": "root" })).to_string());
    for (what, token, why) in [
        ("a cut signature", format!("{header}.{claims}.{}", &signature[..84]), why::SIGNATURE),
        ("half a signature", format!("{header}.{claims}.{}", &signature[..40]), why::SIGNATURE),
        ("a long signature", format!("{good}AAAA"), why::SIGNATURE),
        ("a padded signature", format!("{good}=="), why::MALFORMED),
        ("other last bits", format!("{header}.{claims}.{}{same}", &signature[..signature.len() - 1]), why::MALFORMED),
        ("padded claims", format!("{header}.{claims}==.{signature}"), why::SIGNATURE),
        ("other claims", format!("{header}.{other}.{signature}"), why::SIGNATURE),
        ("no claims", format!("{header}..{signature}"), why::UNKNOWN),
        ("claims as they are", format!("{header}.{}.{signature}", forger.claims), why::UNKNOWN),
        ("two parts", format!("{header}.{claims}"), why::UNKNOWN),
        ("four parts", format!("{good}.{signature}"), why::UNKNOWN),
        ("five parts, as a JWE", format!("{good}.{signature}.{signature}"), why::UNKNOWN),
        ("dots", "..".to_owned(), why::UNKNOWN),
        ("a space inside", format!("{header}.{claims} .{signature}"), why::SIGNATURE),
        ("no base64", format!("!{good}"), why::MALFORMED),
        ("no JSON", key.sign_text("alg=ES256", &forger.claims.to_string())?, why::MALFORMED),
        ("deep JSON", key.sign_text(&format!("{{\"a\":{}", "[".repeat(9_000)), "{}")?, why::MALFORMED),
        ("a list of claims", key.sign(&key.header(), &json!([forger.claims]))?, why::MALFORMED),
        ("a text of claims", key.sign(&key.header(), &json!("claims"))?, why::MALFORMED),
        ("20 KB", key.token(&with(forger.claims.clone(), json!({ "roles": "r".repeat(15_000) })))?, why::LARGE),
    ] {
        forger.attempt(what, token, why);
    }
    forger.all_are_refused().await?;
    server
        .admits("the one that all are made of", &key.token(&server.provider.claims("ann", "ann@example.com"))?)
        .await
}
