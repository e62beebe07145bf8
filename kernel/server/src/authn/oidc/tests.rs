use std::time::Duration;

use serde_json::{Value, json};

use super::*;

/// RFC 7515 appendix A.2.
const RS256_KEY: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const RS256_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
/// RFC 7515 appendix A.3.
const ES256_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const ES256_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn keys(keys: &[&str]) -> KeySet {
    signature::install();
    let keys: Vec<Value> = keys.iter().map(|key| serde_json::from_str(key).expect("a key")).collect();
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).expect("a key set")
}

fn verified(token: &str, set: &KeySet) -> Result<Claims, InvalidToken> {
    verify(token, &Header::of(token)?, set)
}

#[test]
fn signatures_of_the_standards_own_examples_verify() {
    let both = keys(&[RS256_KEY, ES256_KEY]);
    for token in [RS256_TOKEN, ES256_TOKEN] {
        verified(token, &both).expect("genuine");
        let (message, signature) = token.rsplit_once('.').expect("a signature");
        let (header, payload) = message.split_once('.').expect("a payload");
        let other = format!("{header}.{}.{signature}", payload.replacen('I', "J", 1));
        assert_eq!(verified(&other, &both).err(), Some(InvalidToken::Signature));
        for end in (message.len() + 1..token.len()).step_by(7) {
            assert!(verified(&token[..end], &both).is_err());
        }
    }
    assert_eq!(verified(ES256_TOKEN, &keys(&[RS256_KEY])).err(), Some(InvalidToken::Algorithm));
}

#[test]
fn a_key_verifies_with_the_algorithms_of_its_own_type_alone() {
    let narrowed = RS256_KEY.replace(r#""kty""#, r#""alg":"PS256","kty""#);
    assert_eq!(verified(RS256_TOKEN, &keys(&[&narrowed])).err(), Some(InvalidToken::Algorithm));
    for (name, unusable) in [
        ("encryption", RS256_KEY.replace(r#""kty""#, r#""use":"enc","kty""#)),
        ("no verification", RS256_KEY.replace(r#""kty""#, r#""key_ops":["wrapKey"],"kty""#)),
        ("another algorithm", RS256_KEY.replace(r#""kty""#, r#""alg":"RSA-OAEP","kty""#)),
        ("a secret", r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}"#.to_owned()),
        ("an unknown kind", r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#.to_owned()),
        ("an unknown curve", ES256_KEY.replace("P-256", "secp256k1")),
    ] {
        assert_eq!(keys(&[&unusable]).len(), 0, "{name}");
        assert_eq!(keys(&[&unusable, ES256_KEY]).len(), 1, "{name} hides no other");
    }
}

#[test]
fn headers_that_demand_more_than_a_signature_are_refused() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    for (header, why) in [
        (json!({ "alg": "none" }), InvalidToken::Algorithm),
        (json!({ "alg": "NONE" }), InvalidToken::Algorithm),
        (json!({ "alg": "HS256" }), InvalidToken::Algorithm),
        (json!({ "alg": "ES256", "crit": ["b64"], "b64": false }), InvalidToken::Malformed),
        (json!({ "alg": "ES256", "typ": "logout+jwt" }), InvalidToken::Kind),
        (json!({ "alg": "ES256", "typ": "dpop+jwt" }), InvalidToken::Kind),
        (json!({ "typ": "JWT" }), InvalidToken::Algorithm),
        (json!("ES256"), InvalidToken::Algorithm),
    ] {
        let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header.to_string()));
        assert_eq!(Header::of(&token).err(), Some(why), "{header}");
    }
    for header in [json!({ "alg": "ES256", "typ": "at+jwt" }), json!({ "alg": "ES256", "typ": "application/at+JWT" })]
    {
        let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header.to_string()));
        assert!(Header::of(&token).is_ok(), "{header}");
    }
    assert_eq!(Header::of("not base64.e30.AA").err(), Some(InvalidToken::Malformed));
}

const NOW: u64 = 2_000_000_000;

fn settings() -> Settings {
    Settings {
        issuer: "https://id.example.com".to_owned(),
        client_id: "tentacular-mcp".to_owned(),
        trusted_clients: ["tentacular-mcp", "thekraken"].map(str::to_owned).into(),
        resource: Some("https://mcp.example.com/mcp".to_owned()),
        require_audience: false,
        trust_unmarked_email: false,
        required_scopes: Vec::new(),
        ca_file: None,
    }
}

/// The claims of an ordinary token with some changed; `null` takes one away.
fn claims(changes: &Value) -> Claims {
    let mut claims = json!({
        "iss": "https://id.example.com", "sub": "s1", "aud": "account", "azp": "thekraken", "typ": "Bearer",
        "exp": NOW + 300, "iat": NOW, "email": "Ann@Example.com", "email_verified": true, "name": "Ann",
    });
    for (name, value) in changes.as_object().expect("changes") {
        claims[name] = value.clone();
    }
    claims.as_object_mut().expect("claims").retain(|_, value| !value.is_null());
    serde_json::from_value(claims).expect("claims")
}

fn accept(settings: &Settings, changes: &Value) -> Result<Identity, Refused> {
    settings.accept(&claims(changes), SystemTime::UNIX_EPOCH + Duration::from_secs(NOW))
}

#[test]
fn a_token_must_be_of_the_issuer_and_in_force() {
    for (changes, why) in [
        (json!({ "iss": "https://id.example.com/" }), InvalidToken::Issuer),
        (json!({ "iss": null }), InvalidToken::Issuer),
        (json!({ "exp": null }), InvalidToken::NoExpiry),
        (json!({ "exp": NOW - 60 }), InvalidToken::Expired),
        (json!({ "nbf": NOW + 61 }), InvalidToken::NotYetValid),
        (json!({ "iat": NOW + 61 }), InvalidToken::NotYetValid),
        (json!({ "typ": "ID" }), InvalidToken::Kind),
        (json!({ "typ": "Refresh" }), InvalidToken::Kind),
        (json!({ "typ": "Offline" }), InvalidToken::Kind),
        (json!({ "cnf": { "jkt": "x" } }), InvalidToken::Bound),
        (json!({ "sub": "s\n1" }), InvalidToken::Malformed),
        (json!({ "sub": "s".repeat(256) }), InvalidToken::Malformed),
    ] {
        assert_eq!(accept(&settings(), &changes), Err(why.into()), "{changes}");
    }
    for changes in [
        json!({}),
        json!({ "exp": NOW - 59 }),
        json!({ "exp": NOW + 1, "iat": 1.5 }),
        json!({ "nbf": NOW + 60, "iat": NOW + 60 }),
        json!({ "iat": null, "nbf": null, "typ": null }),
    ] {
        assert!(accept(&settings(), &changes).is_ok(), "{changes}");
    }
}

#[test]
fn a_token_must_be_for_this_server_and_of_a_trusted_client() {
    let (open, strict) = (settings(), Settings { require_audience: true, ..settings() });
    let (audience, client) = (Some(InvalidToken::Audience), Some(InvalidToken::Client));
    for (changes, in_open, in_strict) in [
        (json!({ "aud": "account" }), None, audience),
        (json!({ "aud": null }), None, audience),
        (json!({ "aud": [] }), None, audience),
        (json!({ "aud": "tentacular-mcp" }), None, None),
        (json!({ "aud": ["account", "tentacular-mcp"] }), None, None),
        (json!({ "aud": "https://mcp.example.com/mcp" }), None, None),
        (json!({ "aud": "https://mcp.example.com/mcp/" }), audience, audience),
        (json!({ "aud": ["account", "other"] }), audience, audience),
        (json!({ "aud": "other" }), audience, audience),
        (json!({ "azp": "stranger" }), client, client),
        (json!({ "azp": "stranger", "aud": "tentacular-mcp" }), client, client),
        (json!({ "azp": null, "client_id": "thekraken" }), None, audience),
        (json!({ "azp": null, "client_id": "stranger", "aud": "tentacular-mcp" }), client, client),
        (json!({ "client_id": "stranger" }), client, client),
        (json!({ "azp": null, "aud": "tentacular-mcp" }), None, None),
        (json!({ "azp": null }), audience, audience),
        (json!({ "azp": null, "aud": null }), audience, audience),
    ] {
        for (settings, expected) in [(&open, in_open), (&strict, in_strict)] {
            let refused = accept(settings, &changes).err();
            assert_eq!(refused, expected.map(Refused::Invalid), "{changes}");
        }
    }
}

#[test]
fn required_scopes_are_demanded_in_either_spelling() {
    let scoped = Settings { required_scopes: vec!["tentacular".to_owned(), "mcp".to_owned()], ..settings() };
    for (changes, expected) in [
        (json!({}), Err(Refused::Scope)),
        (json!({ "scope": "tentacular" }), Err(Refused::Scope)),
        (json!({ "scope": "tentacularmcp" }), Err(Refused::Scope)),
        (json!({ "scope": "openid mcp tentacular" }), Ok(())),
        (json!({ "scp": ["mcp", "tentacular"] }), Ok(())),
    ] {
        assert_eq!(accept(&scoped, &changes).map(drop), expected, "{changes}");
    }
}

#[test]
fn an_email_is_identity_only_when_it_is_verified() {
    let email = |settings: &Settings, changes: Value| {
        let identity = accept(settings, &changes).expect("a person");
        assert_eq!(identity.sub.as_deref(), Some("s1"));
        identity.email.map(String::from)
    };
    let (plain, trusting) = (settings(), Settings { trust_unmarked_email: true, ..settings() });
    assert_eq!(email(&plain, json!({})).as_deref(), Some("ann@example.com"));
    assert_eq!(email(&plain, json!({ "email_verified": false })), None);
    assert_eq!(email(&plain, json!({ "email_verified": "true" })), None);
    assert_eq!(email(&plain, json!({ "email_verified": null })), None);
    assert_eq!(email(&trusting, json!({ "email_verified": null })).as_deref(), Some("ann@example.com"));
    assert_eq!(email(&trusting, json!({ "email_verified": false })), None);
    assert_eq!(email(&plain, json!({ "email": "ann@example.com,bob@example.com" })), None);
}

#[test]
fn names_are_shown_without_what_could_deceive() {
    let name = |changes: Value| accept(&settings(), &changes).expect("a person").name;
    assert_eq!(name(json!({})).as_deref(), Some("Ann"));
    assert_eq!(name(json!({ "name": null, "preferred_username": "ann" })).as_deref(), Some("ann"));
    assert_eq!(name(json!({ "name": "An\u{1b}[31m\nn" })).as_deref(), Some("An n"));
    assert_eq!(name(json!({ "name": "nnA \u{202e}\u{200b}\u{e0041}Ann" })).as_deref(), Some("nnA Ann"));
    assert_eq!(name(json!({ "name": "ä".repeat(300) })).expect("a name").chars().count(), 101);
}

#[test]
fn claims_that_stand_twice_or_have_another_type_are_unreadable() {
    for text in [
        r#"{"iss":"a","iss":"b"}"#,
        r#"{"exp":1,"exp":2}"#,
        r#"{"exp":"2000000300"}"#,
        r#"{"iss":["a"]}"#,
        r#"{"aud":[1]}"#,
        r#"{"azp":["thekraken"]}"#,
        r#"{"exp":1e999}"#,
    ] {
        assert!(serde_json::from_str::<Claims>(text).is_err(), "{text}");
    }
}
