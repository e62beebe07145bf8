//! A webhook that answers without looking, a process of its own that is asked under the conditions of the product's: the least
//! that a webhook can add.

use std::{env::current_exe, net::Ipv4Addr};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{ValidatingWebhookConfiguration, WebhookClientConfig},
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use kube::{
    Client,
    api::{Api, DeleteParams, PostParams},
};
use serde_json::json;
use tentacular_demo::say;
use tentacular_test_harness::{
    Child, Program, Scratch,
    part::logged,
    tls::{Acceptor, Authority},
};
use tokio::net::TcpListener;

/// The name of its configuration.
const NAME: &str = "bench-floor";
/// The message of the line that it says.
const SERVING: &str = "serving";
/// Label of the namespaces about which it is asked.
pub(crate) const LABEL: &str = "bench.tentacular.io/floor";

/// Starts it with its log in `scratch`, and has the API server ask it.
pub(crate) async fn start(admin: &Client, scratch: &Scratch) -> anyhow::Result<Child> {
    let process = Program::new(current_exe()?).arg("--serve=floor").start(&scratch.path().join("floor.log"))?;
    let url = format!("https://{}/", logged(&process, SERVING, "address").await?);
    let authority = logged(&process, SERVING, "authority").await?;
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(admin.clone());
    let mut entries =
        configurations.get("tentacular-webhook").await?.webhooks.context("the product's has no entries")?;
    entries.retain(|entry| entry.namespace_selector.is_some());
    for entry in &mut entries {
        let ca_bundle = Some(ByteString(authority.clone().into_bytes()));
        entry.client_config = WebhookClientConfig { ca_bundle, url: Some(url.clone()), service: None };
        let labels = [(LABEL.to_owned(), "true".to_owned())].into();
        entry.namespace_selector = Some(LabelSelector { match_labels: Some(labels), match_expressions: None });
    }
    let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
    let configuration = ValidatingWebhookConfiguration { metadata, webhooks: Some(entries) };
    configurations.create(&PostParams::default(), &configuration).await?;
    Ok(process)
}

/// Has nobody ask any more.
pub(crate) async fn stop(admin: &Client) -> anyhow::Result<()> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(admin.clone());
    configurations.delete(NAME, &DeleteParams::default()).await?;
    Ok(())
}

/// Serves on a free port, and says on which, and as whom, in a line like a log's. Never ends.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let acceptor = Acceptor::new(&authority)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?.to_string();
    say(&json!({ "message": SERVING, "address": address, "authority": authority.pem() }).to_string());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let stream = TokioIo::new(acceptor.accept(stream).await?);
            anyhow::Ok(http1::Builder::new().serve_connection(stream, service_fn(allow)).await?)
        });
    }
}

async fn allow(request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let review = request.into_body().collect().await?.to_bytes();
    // The request's own is the first in the review.
    let text = std::str::from_utf8(&review)?;
    let uid = text.split_once("\"uid\":\"").and_then(|(_, rest)| rest.split('"').next()).context("no uid")?;
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": { "uid": uid, "allowed": true },
    });
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
