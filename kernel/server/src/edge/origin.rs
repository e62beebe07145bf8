//! Where a request comes from and what it takes this server for: client address, `Host`, `Origin`.

use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use clap::Args;
use http::{HeaderMap, HeaderValue, Request, header, uri::Authority};
use ipnet::IpNet;
use tentacular_process::http::Peer;
use url::Url;

use crate::args::listed;

/// Arguments about who may be in front of this server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct OriginArgs {
    /// The server's URL as clients see it, such as `https://mcp.example.com`; clients find the identity provider by it.
    #[arg(long, env = "TENTACULAR_EXTERNAL_URL", default_value = "", hide_default_value = true)]
    pub(crate) external_url: String,
    /// Values of the Host header that are served, with or without a port, separated by commas [default: all].
    #[arg(
        long,
        env = "TENTACULAR_ALLOWED_HOSTS",
        default_value = "",
        hide_default_value = true,
        value_delimiter = ','
    )]
    allowed_hosts: Vec<String>,
    /// Origins of web pages that may call, such as `https://app.example.com`, separated by commas [default: none].
    #[arg(
        long,
        env = "TENTACULAR_ALLOWED_ORIGINS",
        default_value = "",
        hide_default_value = true,
        value_delimiter = ','
    )]
    allowed_origins: Vec<String>,
    /// Addresses or networks of proxies whose X-Forwarded-For is believed, separated by commas [default: none].
    #[arg(
        long,
        env = "TENTACULAR_TRUSTED_PROXIES",
        default_value = "",
        hide_default_value = true,
        value_delimiter = ','
    )]
    trusted_proxies: Vec<String>,
}

/// What was set, checked.
#[derive(Debug, Default)]
pub(super) struct Origins {
    hosts: Vec<String>,
    pages: Vec<String>,
    proxies: Vec<IpNet>,
}

/// Why a request is not served, whoever sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Foreign {
    #[error("this name of the server is not allowed (--allowed-hosts)")]
    Host,
    #[error("web pages of this origin may not call this server (--allowed-origins)")]
    Origin,
}

impl Origins {
    pub(super) fn from_args(args: OriginArgs) -> anyhow::Result<Self> {
        let pages = listed(args.allowed_origins).map(|text| origin(&text)).collect::<anyhow::Result<_>>()?;
        let proxies = listed(args.trusted_proxies).map(|text| network(&text)).collect::<anyhow::Result<_>>()?;
        let hosts = listed(args.allowed_hosts).map(|text| allowed_host(&text)).collect::<anyhow::Result<_>>()?;
        Ok(Self { hosts, pages, proxies })
    }

    /// Refuses requests for another name, and those of web pages: a browser sends what a page tells it to, also to a
    /// server that the page's author cannot reach (DNS rebinding; MCP, Streamable HTTP, security warning).
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), Foreign> {
        if !self.hosts.is_empty() && !host(request).is_some_and(|host| self.is_listed(&host)) {
            return Err(Foreign::Host);
        }
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        if origins.all(|origin| self.pages.iter().any(|listed| origin == listed.as_str())) {
            Ok(())
        } else {
            Err(Foreign::Origin)
        }
    }

    fn is_listed(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|digit| digit.is_ascii_digit()));
        self.hosts.iter().any(|listed| *listed == host || name.is_some_and(|(name, _)| listed == name))
    }

    /// The address of the client: what the last proxy that is trusted says, else the other end of the connection.
    pub(super) fn client<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        let mut address = request.extensions().get::<Peer>()?.0;
        let forwarded = forwarded_for(request.headers());
        for hop in forwarded.iter().rev() {
            let trusted = self.proxies.iter().any(|network| network.contains(&address));
            match hop {
                Some(hop) if trusted => address = *hop,
                _ => break,
            }
        }
        Some(address)
    }
}

/// The name by which the client calls this server; HTTP/2 has it in the URI.
fn host<B>(request: &Request<B>) -> Option<String> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let first = hosts.next().and_then(|host| host.to_str().ok());
    if hosts.next().is_some() {
        return None;
    }
    request.uri().authority().map(Authority::as_str).or(first).map(str::to_owned)
}

/// The hops of all X-Forwarded-For headers in their order; `None` for one that is no address.
fn forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let texts = headers.get_all("x-forwarded-for").iter().map(HeaderValue::to_str);
    texts
        .flat_map(|text| text.unwrap_or("unreadable").split(','))
        .map(|hop| hop.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical()))
        .collect()
}

fn allowed_host(text: &str) -> anyhow::Result<String> {
    let named = || format!("{text:?} is no host such as mcp.example.com or 10.0.0.7:30080 (--allowed-hosts)");
    let authority: Authority = text.parse().with_context(named)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte);
    let port = authority.as_str().rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
    ensure!(text.bytes().all(is_plain) && port.is_none_or(|(_, port)| port.parse::<u16>().is_ok()), "{}", named());
    Ok(text.to_ascii_lowercase())
}

fn origin(text: &str) -> anyhow::Result<String> {
    let named = || format!("{text:?} is no origin such as https://app.example.com (--allowed-origins)");
    let url = Url::parse(text).with_context(named)?;
    ensure!(url.origin().is_tuple() && url.path() == "/" && url.query().is_none(), "{}", named());
    Ok(url.origin().ascii_serialization())
}

fn network(text: &str) -> anyhow::Result<IpNet> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.with_context(|| format!("{text:?} is no address and no network such as 10.0.0.0/8 (--trusted-proxies)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(hosts: &str, origins: &str, proxies: &str) -> Origins {
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        let args = OriginArgs {
            external_url: String::new(),
            allowed_hosts: list(hosts),
            allowed_origins: list(origins),
            trusted_proxies: list(proxies),
        };
        Origins::from_args(args).expect("settings")
    }

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri("/mcp");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.extension(Peer("10.0.0.1".parse().expect("an address"))).body(()).expect("a request")
    }

    #[test]
    fn hosts_count_only_where_some_are_listed() {
        let any = origins("", "", "");
        assert_eq!(any.check(&request(&[("host", "10.1.2.3:30080")])), Ok(()));
        assert_eq!(any.check(&request(&[])), Ok(()));
        let some = origins("mcp.example.com, other:8443,[::1]", "", "");
        for (host, expected) in [
            ("MCP.example.com", Ok(())),
            ("mcp.example.com:443", Ok(())),
            ("other:8443", Ok(())),
            ("[::1]:8080", Ok(())),
            ("other", Err(Foreign::Host)),
            ("other:80", Err(Foreign::Host)),
            ("evil.example.com", Err(Foreign::Host)),
            ("mcp.example.com:443:443", Err(Foreign::Host)),
            ("mcp.example.com.", Err(Foreign::Host)),
        ] {
            assert_eq!(some.check(&request(&[("host", host)])), expected, "{host}");
        }
        assert_eq!(some.check(&request(&[])), Err(Foreign::Host));
        let twice = [("host", "mcp.example.com"), ("host", "evil.example.com")];
        assert_eq!(some.check(&request(&twice)), Err(Foreign::Host));
    }

    #[test]
    fn a_web_page_calls_only_from_a_listed_origin() {
        let none = origins("", "", "");
        assert_eq!(none.check(&request(&[("origin", "http://localhost:8080")])), Err(Foreign::Origin));
        assert_eq!(none.check(&request(&[("origin", "null")])), Err(Foreign::Origin));
        let some = origins("", "https://app.example.com", "");
        assert_eq!(some.check(&request(&[("origin", "https://app.example.com")])), Ok(()));
        for origin in
            ["https://app.example.com:8443", "http://app.example.com", "https://app.example.com.evil.io", ""]
        {
            assert_eq!(some.check(&request(&[("origin", origin)])), Err(Foreign::Origin), "{origin}");
        }
        let twice = [("origin", "https://app.example.com"), ("origin", "https://evil.io")];
        assert_eq!(some.check(&request(&twice)), Err(Foreign::Origin));
    }

    #[test]
    fn forwarded_addresses_are_believed_from_listed_proxies_alone() {
        let client = |proxies: &str, forwarded: &[&str]| {
            let headers: Vec<_> = forwarded.iter().map(|value| ("x-forwarded-for", *value)).collect();
            origins("", "", proxies).client(&request(&headers)).expect("an address").to_string()
        };
        assert_eq!(client("", &["192.0.2.1"]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.9, 192.0.2.1"]), "192.0.2.1", "what a client writes itself");
        assert_eq!(client("10.0.0.0/8", &["192.0.2.1, 10.9.9.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", &["192.0.2.1", "10.9.9.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", &["192.0.2.1, nonsense"]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", &["::ffff:192.0.2.1"]), "192.0.2.1");
    }

    #[test]
    fn settings_that_cannot_be_read_are_named() {
        for host in ["https://mcp.example.com", "mcp.example.com/x", "*", "a b", "127.0.0.1:99999", "mcp.test:x"] {
            assert!(allowed_host(host).expect_err(host).to_string().contains("--allowed-hosts"));
        }
        for host in ["mcp.example.com", "MCP.example.com:443", "[::1]", "[::1]:8080", "10.0.0.7:30080"] {
            assert!(allowed_host(host).is_ok(), "{host}");
        }
        let args = |origins: &str, proxies: &str| OriginArgs {
            external_url: String::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: vec![origins.to_owned()],
            trusted_proxies: vec![proxies.to_owned()],
        };
        for (origins, proxies, flag) in [
            ("app.example.com", "", "--allowed-origins"),
            ("https://app.example.com/path", "", "--allowed-origins"),
            ("*", "", "--allowed-origins"),
            ("", "10.0.0.0/99", "--trusted-proxies"),
            ("", "proxy", "--trusted-proxies"),
        ] {
            let error = Origins::from_args(args(origins, proxies)).expect_err("an error").to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}
