//! The address under which clients reach this server, and what it tells them about signing in (RFC 9728).

use std::str::FromStr;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL,
    },
};
use http_body_util::Full;
use serde_json::json;
use tentacular_process::http::{BoxResponse, boxed};
use url::Url;

use super::{answer, entrance::MCP};
use crate::authn::Oidc;

/// Where the metadata document lies, below the origin (RFC 9728 section 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
/// Scopes that a client asks for so that a token says whom it is about.
const SCOPES: [&str; 3] = ["openid", "email", "profile"];

/// The server's URL as clients see it, such as `https://mcp.example.com`; a path in front of `/mcp` is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExternalUrl(Url);

impl FromStr for ExternalUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let mut url = Url::parse(text).map_err(|_| "give a URL such as https://mcp.example.com")?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err("it must begin with https:// (or http://) and name a host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it must hold no user name and no password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it must have no query and no fragment");
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if path.ends_with(MCP) {
            return Err("leave out the /mcp at its end, it is added");
        }
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl ExternalUrl {
    /// Whether what is sent there can be read by whoever sits between.
    pub(crate) fn is_plain_http(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// The URL of the MCP endpoint: the resource that tokens are for.
    pub(crate) fn resource(&self) -> String {
        format!("{}{MCP}", self.0.as_str().trim_end_matches('/'))
    }

    fn metadata(&self) -> String {
        format!("{}{WELL_KNOWN}", self.0.origin().ascii_serialization())
    }

    /// Every path at which a client may look for the document: without a path, and with that of the resource.
    fn metadata_paths(&self) -> Vec<String> {
        let suffix = format!("{WELL_KNOWN}{}{MCP}", self.0.path().trim_end_matches('/'));
        let mut paths = vec![WELL_KNOWN.to_owned(), format!("{WELL_KNOWN}{MCP}"), suffix];
        paths.dedup();
        paths
    }
}

/// The metadata document of this protected resource, and its address.
#[derive(Debug)]
pub(super) struct ResourceMetadata {
    document: Bytes,
    paths: Vec<String>,
    pub(super) url: String,
}

impl ResourceMetadata {
    pub(super) fn new(external: &ExternalUrl, oidc: &Oidc) -> Self {
        let scopes = SCOPES.iter().copied().chain(oidc.required_scopes().iter().map(String::as_str));
        let document = json!({
            "resource": external.resource(),
            "authorization_servers": [oidc.issuer()],
            "scopes_supported": scopes.collect::<Vec<_>>(),
            "bearer_methods_supported": ["header"],
            "resource_name": "Tentacular MCP Server",
        });
        Self { document: document.to_string().into(), paths: external.metadata_paths(), url: external.metadata() }
    }

    /// The answer, where the request is for the document. Pages of any origin may read it: it holds nothing of anybody.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Option<BoxResponse> {
        if !self.paths.iter().any(|path| path == request.uri().path()) {
            return None;
        }
        let mut response = match *request.method() {
            Method::GET | Method::HEAD => answer::json(StatusCode::OK, self.document.clone()),
            Method::OPTIONS => preflight(),
            _ => {
                let mut response = answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
        Some(response)
    }
}

fn preflight() -> BoxResponse {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    boxed(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_checked_and_gives_resource_and_metadata() {
        for (text, resource, metadata) in [
            ("https://mcp.example.com", "https://mcp.example.com/mcp", "https://mcp.example.com"),
            ("https://mcp.example.com/", "https://mcp.example.com/mcp", "https://mcp.example.com"),
            ("http://10.0.0.7:30080", "http://10.0.0.7:30080/mcp", "http://10.0.0.7:30080"),
            ("https://example.com/tentacular/", "https://example.com/tentacular/mcp", "https://example.com"),
        ] {
            let url: ExternalUrl = text.parse().expect(text);
            assert_eq!(url.resource(), resource);
            assert_eq!(url.metadata(), format!("{metadata}/.well-known/oauth-protected-resource"));
        }
        let paths = "https://example.com/tentacular".parse::<ExternalUrl>().expect("a URL").metadata_paths();
        assert!(paths.contains(&"/.well-known/oauth-protected-resource/tentacular/mcp".to_owned()), "{paths:?}");
        for text in [
            "",
            "mcp.example.com",
            "/mcp",
            "ftp://example.com",
            "https://",
            "https://user@example.com",
            "https://user:word@example.com",
            "https://example.com?a=b",
            "https://example.com#a",
            "https://example.com?",
            "https://example.com/mcp",
            "https://example.com/base/mcp/",
        ] {
            assert!(text.parse::<ExternalUrl>().is_err(), "{text}");
        }
    }
}
