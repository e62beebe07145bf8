//! As much of a browser as a sign-in takes: pages, forms, redirections and cookies.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use reqwest::{
    Client, Method, RequestBuilder, Url,
    header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE},
};

/// More redirections than this are a loop.
const REDIRECTIONS: usize = 10;

/// A browser with its cookies. It sends those that are for TLS only over plain HTTP too, as browsers do on loopback.
pub(super) struct Browser<'a> {
    http: &'a Client,
    cookies: BTreeMap<String, String>,
}

/// A page.
pub(super) struct Page {
    url: Url,
    html: String,
}

impl<'a> Browser<'a> {
    /// One without cookies. The client must follow no redirection by itself.
    pub(super) const fn new(http: &'a Client) -> Self {
        Self { http, cookies: BTreeMap::new() }
    }

    /// Opens an address.
    pub(super) async fn open(&mut self, url: &str) -> anyhow::Result<Page> {
        let url = Url::parse(url)?;
        self.send(self.http.request(Method::GET, url.clone()), url).await
    }

    /// Submits the page's form with its hidden fields and these.
    pub(super) async fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> anyhow::Result<Page> {
        let form = page.form().with_context(|| format!("no form in the page: {}", page.text()))?;
        let action = attribute(form, "action").context("a form without action")?;
        let url = page.url.join(&action)?;
        let hidden = form.split("<input ").skip(1).filter(|input| input.contains("type=\"hidden\""));
        let mut all: BTreeMap<String, String> = hidden
            .filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value").unwrap_or_default())))
            .collect();
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.send(with_form(self.http.request(Method::POST, url.clone()), &all), url).await
    }

    async fn send(&mut self, mut request: RequestBuilder, mut url: Url) -> anyhow::Result<Page> {
        for _ in 0..REDIRECTIONS {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let response = request.header(COOKIE, cookies.join("; ")).send().await?;
            for cookie in response.headers().get_all(SET_COOKIE) {
                let cookie = cookie.to_str()?.split(';').next().unwrap_or_default();
                let (name, value) = cookie.split_once('=').context("a cookie without a value")?;
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
            let Some(location) = response.headers().get(LOCATION) else {
                let status = response.status();
                let page = Page { url, html: response.text().await? };
                ensure!(status.is_success(), "{} answers {status}: {}", page.url, page.text());
                return Ok(page);
            };
            url = url.join(location.to_str()?)?;
            request = self.http.request(Method::GET, url.clone());
        }
        anyhow::bail!("{url} redirects without end")
    }
}

impl Page {
    /// What a person reads, with the white space as it comes.
    pub(super) fn text(&self) -> String {
        let body = self.html.split_once("<body").map_or(&*self.html, |(_, body)| body);
        body.split('<').filter_map(|tag| Some(tag.split_once('>')?.1.trim())).collect::<Vec<_>>().join(" ")
    }

    /// The one form.
    fn form(&self) -> Option<&str> {
        let (_, form) = self.html.split_once("<form ")?;
        Some(form.split_once("</form>")?.0)
    }
}

/// The request with these fields as its body, encoded as a form is.
pub(super) fn with_form<Name, Value>(
    request: RequestBuilder,
    fields: impl IntoIterator<Item = (Name, Value)>,
) -> RequestBuilder
where
    Name: AsRef<str>,
    Value: AsRef<str>,
{
    // A query is encoded in the same way.
    let mut encoded: Url = "http://localhost".parse().expect("a URL");
    encoded.query_pairs_mut().extend_pairs(fields);
    let body = encoded.query().unwrap_or_default().to_owned();
    request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
}

/// The value of the first attribute of this name.
fn attribute(html: &str, name: &str) -> Option<String> {
    let (_, value) = html.split_once(&format!("{name}=\""))?;
    Some(value.split_once('"')?.0.replace("&amp;", "&"))
}
