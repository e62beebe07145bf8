//! Settings, and a server that is away, refuses, or is somebody else.

use std::fs;

use tentacular_test_harness::{Scratch, tls::Authority};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::backing::service::unavailable;

#[tokio::test]
async fn a_server_that_was_away_is_used_again() {
    let Some(mut world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let mut share = world.given(&tenant, &Fields::new()).await;
    world.server.server.kill().await.unwrap();
    let why = unavailable(world.rustfs.probe().await);
    assert!(why.contains("refused") && !why.contains(&world.server.secret_key), "{why}");
    unavailable(world.rustfs.offer(&tenant, &share.fields, false).await);
    unavailable(world.rustfs.register(&tenant, &mut share).await);
    unavailable(world.rustfs.revoke(&tenant, &share).await);
    unavailable(world.unregister(&tenant).await);
    world.server.server.restart().await.unwrap();
    assert!(!world.given(&tenant, &share.fields).await.fresh, "what was given still works");
}

#[tokio::test]
async fn a_key_that_was_changed_counts_at_once() {
    let Some(world) = World::start().await else { return };
    let folder = Scratch::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), format!("{text}\n")).unwrap();
    write("endpoint", &world.server.endpoint());
    write("access_key", &world.server.access_key);
    write("secret_key", &world.server.secret_key);
    let given = ["registrar".to_owned(), format!("--rustfs-path={}", folder.path().display())];
    let args = <Args as clap::Parser>::parse_from(given).rustfs;
    let rustfs = Rustfs::from_args(args).unwrap().unwrap();
    rustfs.probe().await.unwrap();
    // Another administrator, with all the signs that a signature or an encryption could stumble over.
    let odd = Key { id: "other-admin".to_owned(), secret: Password("p@ss:/?#%20 '\"\\$$ü=&+".to_owned()) };
    let server = world.rustfs.args.server().unwrap();
    let admin = world.admin(&server);
    admin.put_user(&odd).await.unwrap();
    admin.attach("consoleAdmin", &odd.id).await.unwrap();
    write("access_key", &odd.id);
    let why = unavailable(rustfs.probe().await);
    assert!(why.contains("SignatureDoesNotMatch") && !why.contains(&world.server.secret_key), "{why}");
    write("secret_key", &odd.secret.0);
    rustfs.probe().await.unwrap();
    let mut share = rustfs.offer(&tenant("team-a", "report"), &Fields::new(), false).await.unwrap();
    rustfs.register(&tenant("team-a", "report"), &mut share).await.unwrap();
    fs::remove_file(folder.path().join("access_key")).unwrap();
    assert_eq!(unavailable(rustfs.probe().await), "missing: access_key");
}

#[tokio::test]
async fn an_administrator_who_lacks_rights_is_told_so() {
    let Some(world) = World::start().await else { return };
    let share = world.given(&tenant("team-a", "report"), &Fields::new()).await;
    let further =
        ["access", "secret"].map(|key| format!("--rustfs-{key}-key={}", share.field(&format!("{key}_key"))));
    for accounts in ["auto", "minio"] {
        let further = [&further[..], &[format!("--rustfs-accounts={accounts}")]].concat();
        match of_other(&world.server, &further).probe().await {
            Err(Failure::Refused(why)) => assert!(why.contains("AccessDenied"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

fn of_other(server: &Minio, further: &[String]) -> Rustfs {
    let given = ["registrar".to_owned(), format!("--rustfs-endpoint={}", server.endpoint())];
    Rustfs::from_args(<Args as clap::Parser>::parse_from(given.iter().chain(further)).rustfs).unwrap().unwrap()
}

#[tokio::test]
async fn a_server_of_another_kind_is_told_apart() {
    let Some(world) = World::start().await else { return };
    match of(&world.server, &["--rustfs-accounts=rustfs".to_owned()]).probe().await {
        Err(Failure::Refused(why)) => assert_eq!(why, "it has no such admin API"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_answers_errors_is_quoted() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("--rustfs-endpoint=http://{}", listener.local_addr().unwrap());
    let answers = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let text = "<Error><Code>SlowDown</Code><Message>later</Message></Error>";
            let answer = format!(
                "HTTP/1.1 503 Slow Down\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let given = ["registrar", &endpoint, "--rustfs-access-key=a", "--rustfs-secret-key=hunter2"];
    let rustfs = Rustfs::from_args(<Args as clap::Parser>::parse_from(given).rustfs).unwrap().unwrap();
    assert_eq!(unavailable(rustfs.probe().await), "SlowDown: later");
    let current = [("access_key", users(&tenant("a", "b"))[0].clone()), ("secret_key", "hunter2".to_owned())];
    let current = current.map(|(name, value)| (name.to_owned(), value)).into();
    assert_eq!(unavailable(rustfs.offer(&tenant("a", "b"), &current, false).await), "SlowDown: later");
    answers.abort();
}

#[tokio::test]
async fn the_server_is_who_the_settings_say() {
    let (ours, others) = (Authority::new().unwrap(), Authority::new().unwrap());
    let Some(server) = Minio::start_with(Some(&ours)).await.unwrap() else { return };
    let folder = Scratch::new().unwrap();
    let file = folder.path().join("ours.pem");
    fs::write(&file, ours.pem()).unwrap();
    let by_file = format!("--rustfs-ca-file={}", file.display());
    let (by_text, wrong) = (format!("--rustfs-ca-pem={}", ours.pem()), format!("--rustfs-ca-pem={}", others.pem()));
    for (further, admitted) in [
        (vec![by_file.clone()], true),
        (vec![by_text], true),
        // The text wins.
        (vec![by_file, wrong], false),
        // Not one of the system's authorities.
        (Vec::new(), false),
    ] {
        let rustfs = of(&server, &further);
        let tenant = tenant("team-a", "report");
        let probed = rustfs.probe().await;
        assert_eq!(probed.is_ok(), admitted, "{probed:?}");
        if admitted {
            let mut share = rustfs.offer(&tenant, &Fields::new(), false).await.unwrap();
            rustfs.register(&tenant, &mut share).await.unwrap();
        } else {
            assert!(unavailable(probed).contains("certificate"));
            // Neither for users nor for objects.
            let current = [("access_key", users(&tenant)[0].clone()), ("secret_key", "x".to_owned())];
            let current = current.map(|(name, value)| (name.to_owned(), value)).into();
            let minio = of(&server, &[&further[..], &["--rustfs-accounts=minio".to_owned()]].concat());
            assert!(unavailable(minio.offer(&tenant, &current, false).await).contains("certificate"));
        }
    }
    for text in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        fs::write(&file, text).unwrap();
        let given = ["registrar", "--rustfs-endpoint=https://s3", "--rustfs-access-key=a", "--rustfs-secret-key=s"];
        let by_file = format!("--rustfs-ca-file={}", file.display());
        let args = <Args as clap::Parser>::parse_from(given.into_iter().chain([&*by_file])).rustfs;
        assert!(Rustfs::from_args(args).is_err(), "{text:?}");
    }
}

#[test]
fn what_is_missing_or_wrong_is_named_and_a_secret_shows_nowhere() {
    let parsed = |given: &[&str]| <Args as clap::Parser>::parse_from([&["registrar"], given].concat()).rustfs;
    assert!(Rustfs::from_args(parsed(&[])).unwrap().is_none());
    let keys = ["--rustfs-access-key=a", "--rustfs-secret-key=hunter2"];
    for (given, problem) in [
        (&["--rustfs-endpoint=http://s3"][..], "missing: access_key, secret_key"),
        (&["--rustfs-secret-key=hunter2"], "missing: endpoint, access_key"),
        (
            &["--rustfs-endpoint=http://s3", "--rustfs-bucket=*", "--rustfs-access-key=a"],
            "missing: secret_key; bucket is no name of a bucket: 3 to 63 of a-z, 0-9, '-' and '.'",
        ),
        (
            &[keys[0], keys[1], "--rustfs-endpoint=http://u:hunter2@s3"],
            "endpoint is no URL such as https://s3.example.org:9000, without a path",
        ),
    ] {
        let error = Rustfs::from_args(parsed(given)).unwrap_err();
        assert_eq!(format!("{error:#}"), format!("rustfs partially configured: {problem}"));
    }
    for endpoint in ["http://s3/x", "ftp://s3", "http://s3?x", "s3:9000", "http://"] {
        assert!(Rustfs::from_args(parsed(&[keys[0], keys[1], &format!("--rustfs-endpoint={endpoint}")])).is_err());
    }
    for bucket in ["ab", "a${aws:username}", "a?b", "A-b", "a/b", "-ab", &"x".repeat(64)] {
        let given = [keys[0], keys[1], "--rustfs-endpoint=http://s3", &format!("--rustfs-bucket={bucket}")];
        assert!(Rustfs::from_args(parsed(&given)).is_err(), "{bucket}");
    }
    let rustfs =
        Rustfs::from_args(parsed(&[keys[0], keys[1], "--rustfs-endpoint=https://[::1]:9000"])).unwrap().unwrap();
    let shown = format!("{rustfs:?}");
    assert!(shown.contains("::1") && !shown.contains("hunter2"), "{shown}");
    let key = Key { id: String::new(), secret: Password(String::new()) };
    let share = share(&rustfs.args.server().unwrap(), key, "p/".to_owned()).unwrap();
    assert_eq!(share.endpoint.to_string(), "[::1]:9000");
    assert_eq!(share.field("endpoint"), "https://[::1]:9000");
}

#[tokio::test]
async fn users_that_cannot_be_made_now_are_made_later() {
    let Some(mut world) = World::with_iam().await else { return };
    let tenant = tenant("team-a", "report");
    assert_eq!(world.rustfs.probe().await.unwrap(), Kept { isolation: Isolation::Full, reason: None });
    let mut share = world.rustfs.offer(&tenant, &Fields::new(), false).await.unwrap();
    world.server.iam.kill().await.unwrap();
    unavailable(world.rustfs.probe().await);
    unavailable(world.rustfs.register(&tenant, &mut share).await);
    unavailable(world.unregister(&tenant).await);
    world.server.iam.restart().await.unwrap();
    world.rustfs.register(&tenant, &mut share).await.unwrap();
    put(&world.client(&share), &format!("{}mine", share.field("prefix"))).await.unwrap();
}
