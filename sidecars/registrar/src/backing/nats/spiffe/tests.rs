//! What a real server makes of the files, and what the settings are.

use tentacular_test_harness::services::Nats;

use super::*;

#[tokio::test]
async fn the_server_reads_every_file_that_a_tentacle_was_added_to_or_taken_from() {
    let Some(server) = Nats::with_certificates().await.unwrap() else { return };
    let [one, two, ..] = Tenant::hostile();
    for file in [
        "",
        "authorization { users = [] }",
        "{\"authorization\": {\"users\": [{\"user\": \"ann\"}, {\"user\": \"bob\"} ]}}",
        "authorization {\n timeout: 2; users [ # people\n{user: ann # first\n}, // the first\n {user: bob}\n\n ] }\n",
        "authorization = { users = [\r\n  { user = 'ann' },\r\n  { user = \"b\\\"]}ob\" }\r\n ]\r\n}\r\n",
    ] {
        let add =
            |file: &str, tenant| document::with(file, &Tenant::principal(tenant), &own(tenant)).unwrap().unwrap();
        let remove = |file: &str, tenant| document::without(file, &Tenant::principal(tenant)).unwrap().unwrap();
        let first = add(file, &one);
        let both = add(&first, &two);
        let second = remove(&both, &one);
        for written in [&first, &both, &second, &remove(&second, &two), &add(&remove(&second, &two), &one)] {
            server.set_users(written).await.unwrap();
        }
    }
}

/// The arguments, as they are given.
#[derive(clap::Parser)]
struct Args {
    #[command(flatten)]
    nats: NatsArgs,
}

#[test]
fn what_is_missing_or_too_much_is_told_without_its_value() {
    let told = |given: &[&str]| {
        let Args { nats } = clap::Parser::parse_from([&["registrar", "--nats-spiffe=true"], given].concat());
        assert!(nats.is_configured());
        nats.server_alone().map(|server| server.address.as_url_str().to_owned())
    };
    let one = "give NATS a token, a signing key or nats-spiffe, and only one of them";
    for (given, problem) in [
        (&[][..], "nats partially configured, missing: url"),
        (&["--nats-url=nats://n", "--nats-token=hunter2"], one),
        (&["--nats-url=nats://n", "--nats-signing-key=hunter2"], one),
        (&["--nats-token=hunter2"], &format!("nats partially configured, missing: url; {one}")),
        (&["--nats-url=nats://u:hunter2@n"], "the NATS url holds a credential; give that as token"),
    ] {
        assert_eq!(told(given), Err(problem.to_owned()));
    }
    assert_eq!(told(&["--nats-url=tls://n:4222"]), Ok("tls://n:4222".to_owned()));
}
