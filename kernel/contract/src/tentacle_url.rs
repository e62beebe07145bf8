//! Where a tentacle answers: a setting with places for names, read once, so that auditor and scheduler ask the same.

use crate::names::{EnclaveName, TentacleName};

/// What [`TentacleUrl`] is made of where nothing is set: the tentacle's Service.
pub const DEFAULT_TENTACLE_URL: &str = "http://{tentacle}.{enclave}.svc.{domain}:8080";

/// The base URL of every tentacle, with places for its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TentacleUrl(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Enclave,
    Tentacle,
}

/// A setting that gives no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid URL of tentacles {template:?}: {why}; the default is {DEFAULT_TENTACLE_URL}")]
pub struct InvalidTentacleUrl {
    template: String,
    why: String,
}

impl TentacleUrl {
    /// Reads a setting: `http://`, a host, and a path or none, with `{tentacle}` and `{enclave}` where these names
    /// belong, and `{domain}` for the cluster's domain, which is `domain`.
    pub fn new(template: &str, domain: &str) -> Result<Self, InvalidTentacleUrl> {
        pieces(template, domain).map(Self).map_err(|why| InvalidTentacleUrl { template: template.to_owned(), why })
    }

    /// Where the tentacle is run.
    pub fn run_url(&self, enclave: &EnclaveName, tentacle: &TentacleName) -> String {
        self.base(enclave, tentacle) + "/run"
    }

    /// Where the tentacle tells how it is, in detail.
    pub fn health_url(&self, enclave: &EnclaveName, tentacle: &TentacleName) -> String {
        self.base(enclave, tentacle) + "/health?detail=1"
    }

    fn base(&self, enclave: &EnclaveName, tentacle: &TentacleName) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Enclave => enclave.as_str(),
                Piece::Tentacle => tentacle.as_str(),
            })
            .collect()
    }
}

fn pieces(template: &str, domain: &str) -> Result<Vec<Piece>, String> {
    let address = template.strip_prefix("http://").ok_or("it must begin with http://")?;
    let address = address.trim_end_matches('/');
    let mut pieces = vec![Piece::Text("http://".to_owned())];
    let mut rest = address;
    while let Some((text, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("a '{' has no '}'")?;
        pieces.push(Piece::Text(text.to_owned()));
        pieces.push(match name {
            "enclave" => Piece::Enclave,
            "tentacle" => Piece::Tentacle,
            "domain" if is_domain(domain) => Piece::Text(domain.to_owned()),
            "domain" => return Err(format!("{domain:?} is no DNS domain (--cluster-domain)")),
            _ => return Err(format!("{{{name}}} is none of {{enclave}}, {{tentacle}}, {{domain}}")),
        });
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    if pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains('}'))) {
        return Err("a '}' has no '{'".to_owned());
    }
    for (piece, name) in [(Piece::Enclave, "{enclave}"), (Piece::Tentacle, "{tentacle}")] {
        if !pieces.contains(&piece) {
            return Err(format!("without {name} all tentacles would share one address"));
        }
    }
    check(address)?;
    Ok(pieces)
}

/// Whether `address`, behind `http://`, can be one: the names that are put in are plain labels, so braces are.
fn check(address: &str) -> Result<(), String> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~{}:[]/%".contains(byte);
    if let Some(odd) = address.bytes().find(|byte| !plain(byte)) {
        return Err(format!("{:?} has no place in it", char::from(odd)));
    }
    let (authority, path) = address.split_once('/').unwrap_or((address, ""));
    // An IPv6 address has its colons in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let bare = host.strip_prefix('[').map_or_else(|| Some(host), |host| host.strip_suffix(']'));
    let is_address = bare.is_some_and(|inner| {
        if inner.len() == host.len() {
            !host.is_empty() && !host.contains([':', '[', ']', '%'])
        } else {
            inner.parse::<std::net::Ipv6Addr>().is_ok()
        }
    });
    if !is_address {
        return Err(format!("{host:?} is no host"));
    }
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err("the port must be a number from 1 to 65535".to_owned());
    }
    if path.contains(['[', ']', '%']) {
        return Err("its path must need no escaping".to_owned());
    }
    Ok(())
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_where_they_belong() {
        let (enclave, tentacle) = ("team-a".parse().expect("a name"), "report".parse().expect("a name"));
        for (template, run) in [
            (DEFAULT_TENTACLE_URL, "http://report.team-a.svc.cluster.local:8080/run"),
            ("http://127.0.0.1:9100/{enclave}/{tentacle}", "http://127.0.0.1:9100/team-a/report/run"),
            ("http://127.0.0.1:9100/{enclave}/{tentacle}/", "http://127.0.0.1:9100/team-a/report/run"),
            ("http://[::1]:80/{enclave}-{tentacle}", "http://[::1]:80/team-a-report/run"),
            ("http://{tentacle}.{enclave}.svc", "http://report.team-a.svc/run"),
        ] {
            let url = TentacleUrl::new(template, "cluster.local").expect(template);
            assert_eq!(url.run_url(&enclave, &tentacle), run);
            assert_eq!(url.health_url(&enclave, &tentacle), run.replace("/run", "/health?detail=1"));
        }
    }

    #[test]
    fn what_gives_no_url_is_refused_with_the_reason() {
        for (template, why) in [
            ("", "begin with http://"),
            ("https://{tentacle}.{enclave}", "begin with http://"),
            ("http://{tentacle}.svc", "without {enclave}"),
            ("http://{enclave}.svc", "without {tentacle}"),
            ("http://{tentacle}.{namespace}", "{namespace} is none of"),
            ("http://{tentacle}.{enclave", "has no '}'"),
            ("http://{tentacle}}.{enclave}", "has no '{'"),
            ("http:///{enclave}/{tentacle}", "is no host"),
            ("http://:80/{enclave}/{tentacle}", "is no host"),
            ("http://[x]/{enclave}/{tentacle}", "is no host"),
            ("http://::1/{enclave}/{tentacle}", "is no host"),
            ("http://a:0/{enclave}/{tentacle}", "port"),
            ("http://a:x/{enclave}/{tentacle}", "port"),
            ("http://u@a/{enclave}/{tentacle}", "'@'"),
            ("http://a/{enclave}/{tentacle}?x", "'?'"),
            ("http://a/{enclave} {tentacle}", "' '"),
            ("http://a/%2e/{enclave}/{tentacle}", "escaping"),
        ] {
            let error = TentacleUrl::new(template, "cluster.local").expect_err(template).to_string();
            assert!(error.contains(why), "{template}: {error}");
        }
        for domain in ["", "a b", "a..b", "a/b"] {
            assert!(TentacleUrl::new(DEFAULT_TENTACLE_URL, domain).is_err(), "{domain}");
        }
    }
}
