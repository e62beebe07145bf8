//! A real Keycloak with the realm `tentacular` of `keycloak/tentacular-realm.json`, where Java and Maven are present.
//!
//! Each one is a process of its own with a copy of a database that was filled once: it starts in seconds.

mod browser;
mod distribution;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use reqwest::{StatusCode, redirect::Policy};
use serde::Deserialize;
use serde_json::{Value, json};

use self::{browser::Browser, distribution::Distribution};
use crate::{Child, Scratch, provider::key::Algorithm, tls};

/// The password of every user of the realm, and of the administrator.
const PASSWORD: &str = "password";
/// The administrator, in the realm `master`.
const ADMINISTRATOR: &str = "admin";
/// What its log says when it can serve, before its address.
const LISTENING: &str = "Listening on: ";
/// How long it may take to start; it is slow on a loaded machine.
const START: Duration = Duration::from_mins(5);
/// The grant of the device flow (RFC 8628 section 3.4).
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// New keys win over those of the realm's file, which have priority 100.
const NEW_PRIORITY: &str = "200";

/// A running Keycloak. It ends when it is dropped, and with this process.
#[derive(Debug)]
pub struct Keycloak {
    base: String,
    http: reqwest::Client,
    // In this order: the process ends before its folder goes.
    _process: Child,
    _home: Scratch,
}

/// What Keycloak grants.
#[derive(Debug, Clone, Deserialize)]
pub struct Tokens {
    /// What is for a server.
    pub access_token: String,
    /// What gets the next tokens.
    pub refresh_token: String,
    /// What is for the client, with the scope `openid`.
    pub id_token: String,
}

/// Fetches and prepares it where it is not in the cache.
pub(crate) async fn prepare() -> anyhow::Result<()> {
    Distribution::find().await.map(drop)
}

impl Keycloak {
    /// Starts one on a free port. The first time ever it is fetched and prepared, which takes a minute.
    ///
    /// None, with one printed reason, where it cannot run for want of Java or Maven. Fails when it should run and does not.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let Some(distribution) = Distribution::find().await? else { return Ok(None) };
        let home = Scratch::new()?;
        distribution.copy_to(home.path())?;
        let process = distribution.server(home.path()).start(&home.path().join("keycloak.log"))?;
        let base = listening(&process).await?;
        // Its cookies are for TLS only, so a jar would not send them here; redirections set some. A connection that is kept
        // would end with the runtime of the test that opened it.
        let http = tls::plain().redirect(Policy::none()).pool_max_idle_per_host(0).build()?;
        Ok(Some(Self { base, http, _process: process, _home: home }))
    }

    /// The value of `iss` in its tokens.
    pub fn issuer(&self) -> String {
        format!("{}/realms/tentacular", self.base)
    }

    /// The arguments by which a kernel trusts it, for the client `tentacular-mcp`.
    pub fn kernel_args(&self) -> Vec<String> {
        let issuer = format!("--oidc-issuer={}", self.issuer());
        vec!["--oidc=true".to_owned(), issuer, "--oidc-client-id=tentacular-mcp".to_owned()]
    }

    /// Tokens for a user's password (RFC 6749 section 4.3), with the scope `openid` and these.
    pub async fn password(&self, client: &str, user: &str, scopes: &str) -> anyhow::Result<Tokens> {
        let scope = format!("openid {scopes}");
        let form = [("grant_type", "password"), ("client_id", client), ("username", user), ("scope", &scope)];
        let form: Vec<_> = form.into_iter().chain([("password", PASSWORD)]).collect();
        Ok(serde_json::from_value(self.post("tentacular", "token", &form).await?)?)
    }

    /// Tokens by the device flow (RFC 8628), with a user who signs in and agrees in a browser.
    pub async fn device(&self, client: &str, user: &str) -> anyhow::Result<Tokens> {
        let form = [("client_id", client), ("scope", "openid")];
        let begun = self.post("tentacular", "auth/device", &form).await?;
        let member = |name: &str| begun[name].as_str().with_context(|| format!("no {name} in {begun}"));
        let mut browser = Browser::new(&self.http);
        let login = browser.open(member("verification_uri_complete")?).await?;
        let consent = browser.submit(&login, &[("username", user), ("password", PASSWORD)]).await?;
        let end = browser.submit(&consent, &[("accept", "Yes")]).await?;
        ensure!(end.text().contains("Device Login Successful"), "the device flow ends with: {}", end.text());
        let form = [("grant_type", DEVICE_GRANT), ("client_id", client), ("device_code", member("device_code")?)];
        Ok(serde_json::from_value(self.post("tentacular", "token", &form).await?)?)
    }

    /// Gives the realm a new key for this algorithm, which signs from now on, and removes the one of before.
    pub async fn rotate(&self, algorithm: Algorithm) -> anyhow::Result<()> {
        let (provider, option, value) = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => ("rsa-generated", "algorithm", algorithm.name()),
            Algorithm::Es256 => ("ecdsa-generated", "ecdsaEllipticCurveKey", "P-256"),
            Algorithm::EdDsa => ("eddsa-generated", "eddsaEllipticCurveKey", "Ed25519"),
            other => bail!("the realm has no key for {}", other.name()),
        };
        let token = self.administrator().await?;
        let admin = format!("{}/admin/realms/tentacular", self.base);
        let keys: Value = self.admin(self.http.get(format!("{admin}/keys")), &token).await?.json().await?;
        let old = &keys["active"][algorithm.name()];
        let old = keys["keys"].as_array().into_iter().flatten().find(|key| key["kid"] == *old);
        let old = old.and_then(|key| key["providerId"].as_str()).context("the realm has no active key")?;
        let new = json!({
            "name": format!("new-{}", algorithm.name()), "providerId": provider,
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": { "priority": [NEW_PRIORITY], option: [value] },
        });
        let components = format!("{admin}/components");
        self.admin(self.http.post(&components).json(&new), &token).await?;
        self.admin(self.http.delete(format!("{components}/{old}")), &token).await?;
        Ok(())
    }

    /// An access token for the admin REST API.
    async fn administrator(&self) -> anyhow::Result<String> {
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", ADMINISTRATOR),
            ("password", PASSWORD),
        ];
        let granted = self.post("master", "token", &form).await?;
        Ok(granted["access_token"].as_str().context("no access_token")?.to_owned())
    }

    async fn admin(&self, request: reqwest::RequestBuilder, token: &str) -> anyhow::Result<reqwest::Response> {
        Ok(request.bearer_auth(token).send().await?.error_for_status()?)
    }

    /// Posts a form to an OIDC endpoint of a realm.
    async fn post(&self, realm: &str, endpoint: &str, form: &[(&str, &str)]) -> anyhow::Result<Value> {
        let url = format!("{}/realms/{realm}/protocol/openid-connect/{endpoint}", self.base);
        let response = browser::with_form(self.http.post(&url), form.iter().copied()).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status == StatusCode::OK, "{endpoint} of Keycloak answers {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }
}

/// Waits until it serves, and returns its address.
async fn listening(process: &Child) -> anyhow::Result<String> {
    let begun = Instant::now();
    loop {
        let log = process.log();
        if let Some((_, rest)) = log.split_once(LISTENING)
            && let Some((address, _)) = rest.split_once('\n')
        {
            return Ok(address.trim().to_owned());
        }
        ensure!(process.is_running(), "Keycloak ended: {}", process.last_lines(20));
        ensure!(begun.elapsed() < START, "Keycloak does not serve: {}", process.last_lines(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
