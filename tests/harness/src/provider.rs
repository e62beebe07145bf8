//! A small OpenID provider on loopback: discovery, keys, and tokens with real signatures, good ones and bad ones.
//!
//! It has no pages and grants nothing: a test signs what it wants to be granted.

pub mod key;

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use self::key::Key;
use crate::port::Port;

/// The path of the issuer, as Keycloak has it: discovery is below it, not at the root.
const REALM: &str = "/realms/tentacular";
const DISCOVERY: &str = "/realms/tentacular/.well-known/openid-configuration";
const KEYS: &str = "/realms/tentacular/protocol/openid-connect/certs";
const TOKEN: &str = "/realms/tentacular/protocol/openid-connect/token";

/// The provider. It lives on [`crate::background`] and ends when it is dropped.
#[derive(Debug)]
pub struct Provider {
    port: Port,
    state: Arc<Mutex<State>>,
}

/// How often somebody asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fetches {
    /// For the discovery document.
    pub discovery: usize,
    /// For the key set.
    pub keys: usize,
}

#[derive(Debug)]
struct State {
    current: Key,
    encryption: Key,
    others: Vec<Value>,
    discovery: Map<String, Value>,
    fetches: Fetches,
}

impl Provider {
    /// Starts it on a free port. Fails when there is none.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST)
    }

    /// The same on another address than loopback's.
    pub fn start_on(address: Ipv4Addr) -> anyhow::Result<Self> {
        let port = Port::reserve_on(address)?;
        let state = State {
            current: Key::es256()?,
            encryption: Key::es256()?,
            others: Vec::new(),
            discovery: discovery(&format!("http://{}", port.address())),
            fetches: Fetches::default(),
        };
        let provider = Self { port, state: Arc::new(Mutex::new(state)) };
        provider.listen()?;
        Ok(provider)
    }

    fn listen(&self) -> anyhow::Result<()> {
        self.port.open(|listener| serve(listener, Arc::clone(&self.state)))
    }

    /// Lets it answer, or refuse connections and cut those that there are. Its port stays its own. Fails when it cannot
    /// listen again.
    pub async fn set_up(&self, up: bool) -> anyhow::Result<()> {
        self.port.close().await;
        if up { self.listen() } else { Ok(()) }
    }

    /// The value of `iss` in its tokens.
    pub fn issuer(&self) -> String {
        format!("http://{}{REALM}", self.port.address())
    }

    /// The arguments by which a kernel trusts it, for the client `tentacular-mcp`.
    pub fn kernel_args(&self) -> Vec<String> {
        let issuer = format!("--oidc-issuer={}", self.issuer());
        vec!["--oidc=true".to_owned(), issuer, "--oidc-client-id=tentacular-mcp".to_owned()]
    }

    /// The claims of an ordinary access token: issued now to the client `tentacular-mcp`, valid for 300 s, with an email
    /// that is verified, and an audience as Keycloak's default.
    pub fn claims(&self, sub: &str, email: &str) -> Value {
        let now = now();
        json!({
            "iss": self.issuer(), "sub": sub, "azp": "tentacular-mcp", "aud": "account", "typ": "Bearer",
            "iat": now, "exp": now + 300, "scope": "openid email profile",
            "email": email, "email_verified": true, "name": sub,
        })
    }

    /// A token signed by the current key.
    pub fn token(&self, claims: &Value) -> String {
        self.key().token(claims).expect("a fresh key signs")
    }

    /// A token with exactly this header, signed by the current key whatever the header says.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.key().sign(header, claims).expect("a fresh key signs")
    }

    /// The key that signs now, which is an ES256 key until a test sets another.
    pub fn key(&self) -> Key {
        self.state().current.clone()
    }

    /// Makes a new ES256 key the current one. The one of before is no longer published.
    pub fn rotate(&self) {
        self.set_key(Key::es256().expect("ring makes a key"));
    }

    /// Makes this key the current one. The one of before is no longer published.
    pub fn set_key(&self, key: Key) {
        self.state().current = key;
    }

    /// Publishes one more JWK beside the current key's.
    pub fn publish(&self, jwk: Value) {
        self.state().others.push(jwk);
    }

    /// The key that is published for encryption: what it signs is not valid.
    pub fn encryption_key(&self) -> Key {
        self.state().encryption.clone()
    }

    /// Changes a member of the discovery document, such as `issuer`.
    pub fn set_discovered(&self, member: &str, value: Value) {
        self.state().discovery.insert(member.to_owned(), value);
    }

    /// How often the documents were asked for since the start.
    pub fn fetches(&self) -> Fetches {
        self.state().fetches
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Seconds since 1970, as claims have them.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_secs()).expect("it is before the year 292 billion")
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Its connections end with it.
async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let response = answer(&state, &request);
            async { Ok::<_, Infallible>(response) }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        // Those that ended need not be kept.
        while connections.try_join_next().is_some() {}
    }
}

fn answer(state: &Mutex<State>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut state = lock(state);
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, DISCOVERY) => {
            state.fetches.discovery += 1;
            (StatusCode::OK, Value::Object(state.discovery.clone()))
        }
        (&Method::GET, KEYS) => {
            state.fetches.keys += 1;
            (StatusCode::OK, key_set(&state))
        }
        // RFC 6749 section 5.2.
        (&Method::POST, TOKEN) => (StatusCode::BAD_REQUEST, json!({ "error": "unsupported_grant_type" })),
        _ => (StatusCode::NOT_FOUND, json!({ "error": "not found" })),
    };
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// The key set (RFC 7517 section 5). It always has keys that sign no token: one for encryption and one of a type that
/// nobody knows, which must be ignored.
fn key_set(state: &State) -> Value {
    let mut encryption = state.encryption.jwk();
    encryption["use"] = json!("enc");
    if let Some(members) = encryption.as_object_mut() {
        // It may be left out (RFC 7517 section 4.4); then its use alone tells it from a key that signs.
        members.remove("alg");
    }
    let unknown = json!({ "kty": "LATTICE", "kid": "of-tomorrow", "use": "sig", "alg": "XX512", "p": "AQAB" });
    let mut keys = vec![encryption, unknown, state.current.jwk()];
    keys.extend(state.others.iter().cloned());
    json!({ "keys": keys })
}

/// The metadata that OpenID Connect Discovery 1.0 section 3 requires.
fn discovery(base: &str) -> Map<String, Value> {
    let document = json!({
        "issuer": format!("{base}{REALM}"),
        "authorization_endpoint": format!("{base}{REALM}/protocol/openid-connect/auth"),
        "token_endpoint": format!("{base}{TOKEN}"),
        "jwks_uri": format!("{base}{KEYS}"),
        "response_types_supported": ["code"],
        "grant_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "scopes_supported": ["openid", "email", "profile"],
        "claims_supported": ["iss", "sub", "azp", "aud", "exp", "iat", "email", "email_verified", "name"],
    });
    let Value::Object(members) = document else { unreachable!("an object was written above") };
    members
}
