//! Access tokens of an OIDC provider: who gets in as whom, and who does not and is told why.
//!
//! The provider is the harness's own, which signs whatever a test wants; `keycloak.rs` does the same with a real one.

mod claims;
mod forgeries;
mod keys;
pub(crate) mod persons;

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};
use futures::future::join_all;
use serde_json::Value;
use tentacular_test_harness::{Part, Provider, Stack, mcp::Answer};

use crate::support::{client, kernel_alone};

/// In every claim of a token that must be refused; no answer and no log may hold it.
const SECRET: &str = "zanzibar";
/// Lets each request come from an address of its own.
pub(crate) const PROXIES: &str = "--trusted-proxies=127.0.0.1";
/// The hint at the end of a body.
const HINT: &str = "; how to authenticate is in the WWW-Authenticate header\n";

/// What a refusal says, in words that the sender can act on.
pub(crate) mod why {
    pub(crate) const ALGORITHM: &str = "signed in a way that is not accepted";
    pub(crate) const AUDIENCE: &str = "another audience";
    pub(crate) const BOUND: &str = "bound to a key";
    pub(crate) const CLIENT: &str = "a client that is not trusted";
    pub(crate) const EXPIRED: &str = "has expired";
    pub(crate) const ISSUER: &str = "another issuer";
    pub(crate) const KEY: &str = "a key that the identity provider does not publish";
    pub(crate) const KIND: &str = "no access token";
    pub(crate) const LARGE: &str = "larger than 16 KiB";
    pub(crate) const MALFORMED: &str = "cannot be read";
    pub(crate) const NO_EXPIRY: &str = "does not say when it expires";
    pub(crate) const NOT_YET: &str = "not valid yet";
    pub(crate) const SIGNATURE: &str = "signature of the token is wrong";
    pub(crate) const UNKNOWN: &str = "not one of this server's";
}

/// A kernel without sidecars that trusts a provider of its own.
struct Server {
    provider: Provider,
    stack: Stack,
}

/// One attempt: what it tries, the token, and the words of the refusal.
struct Attempt {
    what: String,
    token: String,
    why: &'static str,
}

impl Server {
    async fn start(further: &[&str]) -> anyhow::Result<Self> {
        Self::trusting(Provider::start()?, further).await
    }

    async fn trusting(provider: Provider, further: &[&str]) -> anyhow::Result<Self> {
        client().await?;
        let mut args = provider.kernel_args();
        args.extend([PROXIES].iter().chain(further).map(|&arg| arg.to_owned()));
        Ok(Self { stack: kernel_alone(args).await?, provider })
    }

    /// The claims of somebody who must not get in.
    fn nobody(&self) -> Value {
        self.provider.claims(&format!("sub-{SECRET}"), &format!("{SECRET}@example.com"))
    }

    /// The claims of [`Server::nobody`] with these changes; `null` takes a claim away.
    fn nobody_with(&self, changes: Value) -> Value {
        with(self.nobody(), changes)
    }

    async fn ask(&self, token: &str) -> anyhow::Result<Answer> {
        ask(&self.stack, token).await
    }

    async fn admits(&self, what: &str, token: &str) -> anyhow::Result<()> {
        let answer = self.ask(token).await.with_context(|| what.to_owned())?;
        ensure!(answer.status == 200 && answer.json()["result"].is_object(), "{what}: {answer:?}");
        Ok(())
    }

    async fn refuses(&self, Attempt { what, token, why }: &Attempt) -> anyhow::Result<()> {
        let answer = self.ask(token).await.with_context(|| what.clone())?;
        is_invalid_token(&answer, why).with_context(|| what.clone())?;
        tells_nothing(&answer, token).with_context(|| what.clone())
    }

    /// Makes all attempts at once and says which of them do not end as they should.
    async fn refuses_all(&self, attempts: &[Attempt]) -> anyhow::Result<()> {
        let ended = join_all(attempts.iter().map(|attempt| self.refuses(attempt))).await;
        let wrong: Vec<_> = ended.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
        ensure!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), attempts.len(), wrong.join("\n"));
        let log = self.stack.process(Part::Kernel)?.log();
        ensure!(!log.contains(SECRET), "the log holds a claim of a token that was refused");
        let signatures = attempts.iter().filter_map(|attempt| attempt.token.rsplit('.').next());
        let told = signatures.filter(|signature| signature.len() > 10).find(|signature| log.contains(signature));
        ensure!(told.is_none(), "the log holds a token that was refused");
        Ok(())
    }
}

/// Sends the token with a `ping`, as if by a proxy from an address of its own, so that failures of before slow nothing
/// down.
pub(crate) async fn ask(stack: &Stack, token: &str) -> anyhow::Result<Answer> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let [_, second, third, fourth] = COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let from = format!("10.{second}.{third}.{fourth}");
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    stack.raw_as(token).post(ping, &[("x-forwarded-for", &from)]).await
}

/// Claims with these changes; `null` takes a claim away.
fn with(mut claims: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("the changes are an object") };
    for (name, value) in changes {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(&name),
            value => claims.as_object_mut().unwrap().insert(name, value),
        };
    }
    claims
}

/// RFC 6750 section 3: 401, `invalid_token`, and a description of the characters that it may have; the body says the same.
pub(crate) fn is_invalid_token(answer: &Answer, why: &str) -> anyhow::Result<()> {
    ensure!(answer.status == 401, "HTTP {}: {}", answer.status, answer.text);
    let mut challenges = answer.headers.get_all("www-authenticate").iter();
    let challenge = challenges.next().context("no WWW-Authenticate")?.to_str()?;
    ensure!(challenges.next().is_none(), "two challenges");
    let rest = challenge.strip_prefix(r#"Bearer error="invalid_token", error_description=""#);
    let description = rest.and_then(|rest| rest.split('"').next()).with_context(|| challenge.to_owned())?;
    let allowed = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    ensure!(description.bytes().all(allowed), "{description}");
    ensure!(description.contains(why), "{description:?} should say {why:?}");
    ensure!(answer.text == format!("401 Unauthorized: {description}{HINT}"), "{}", answer.text);
    Ok(())
}

/// Neither a claim's value nor a part of the token is in the answer.
pub(crate) fn tells_nothing(answer: &Answer, token: &str) -> anyhow::Result<()> {
    let told = format!("{:?} {}", answer.headers, answer.text);
    ensure!(!told.contains(SECRET), "the answer holds a claim's value");
    let part = token.split('.').filter(|part| part.len() > 10).find(|part| told.contains(part));
    ensure!(part.is_none(), "the answer holds a part of the token");
    Ok(())
}
