//! What is done again changes nothing, and what was left half done is finished.

use std::time::SystemTime;

use aws_sdk_s3::config::Credentials;
use aws_sigv4::{
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use reqwest::Method;
use serde_json::json;

use super::{
    super::{connect::credentials, seal::seal, settings::Server},
    *,
};

#[tokio::test]
async fn a_credential_that_works_is_kept_and_another_is_replaced() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let offered = world.rustfs.offer(&tenant, &Fields::new(), false).await.unwrap();
    assert!(world.rustfs.unregister(&tenant, &offered.fields).await.unwrap().is_none(), "an offer makes nothing");
    let first = world.given(&tenant, &Fields::new()).await;
    assert!(first.fresh && first.field("access_key").ends_with("_a"), "{:?}", first.field("access_key"));
    let kept = format!("{}kept", first.field("prefix"));
    put(&world.client(&first), &kept).await.unwrap();
    let again = world.given(&tenant, &first.fields).await;
    assert!(!again.fresh && again.fields == first.fields);

    let mut wrong = first.fields.clone();
    wrong.insert("secret_key".to_owned(), "wrong".to_owned());
    let replaced = world.given(&tenant, &wrong).await;
    assert!(replaced.fresh && replaced.field("access_key") == first.field("access_key"));
    assert!(get(&world.client(&first), &kept).await.is_err());
    get(&world.client(&replaced), &kept).await.unwrap();
    // Another's key in the Secret, however it came there, gives nobody anything.
    let stolen = world.rustfs.offer(&super::tenant("team-a", "other"), &replaced.fields, false).await.unwrap();
    assert!(stolen.fresh && stolen.field("access_key") != replaced.field("access_key"));
}

#[tokio::test]
async fn what_an_administrator_took_away_is_made_again() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let share = world.given(&tenant, &Fields::new()).await;
    let (name, key) = (tenant.share_name(), format!("{}mine", share.field("prefix")));
    let server = world.rustfs.args.server().unwrap();
    let admin = world.admin(&server);
    admin.put_policy(&name, &policy::document("elsewhere", share.field("prefix"))).await.unwrap();
    assert!(put(&world.client(&share), &key).await.is_err());
    assert!(!world.given(&tenant, &share.fields).await.fresh);
    put(&world.client(&share), &key).await.unwrap();
    admin.attach("readonly", share.field("access_key")).await.unwrap();
    assert!(put(&world.client(&share), &key).await.is_err());
    assert!(!world.given(&tenant, &share.fields).await.fresh);
    put(&world.client(&share), &key).await.unwrap();
    admin.remove_user(share.field("access_key")).await.unwrap();
    let anew = world.given(&tenant, &share.fields).await;
    assert!(anew.fresh);
    get(&world.client(&anew), &key).await.unwrap();
}

#[tokio::test]
async fn what_was_removed_is_gone_and_removing_it_again_is_no_error() {
    let Some(world) = World::start().await else { return };
    removed(&world).await;
}

#[tokio::test]
async fn what_was_removed_is_gone_and_removing_it_again_is_no_error_with_iam() {
    let Some(world) = World::with_iam().await else { return };
    removed(&world).await;
}

async fn removed<Server>(world: &World<Server>) {
    let (tenant, other) = (tenant("team-a", "report"), tenant("team-a", "repor"));
    let (share, others) = (world.given(&tenant, &Fields::new()).await, world.given(&other, &Fields::new()).await);
    let (client, kept) = (world.client(&share), format!("{}kept", others.field("prefix")));
    put(&world.client(&others), &kept).await.unwrap();
    // More than one call removes.
    let keys: Vec<_> = (0..1001).map(|number| format!("{}{number} & ü", share.field("prefix"))).collect();
    for some in keys.chunks(50) {
        assert!(join_all(some.iter().map(|key| put(&client, key))).await.iter().all(Result::is_ok));
    }
    assert_eq!(world.unregister(&tenant).await.unwrap(), Some("user removed"));
    assert!(get(&client, &keys[0]).await.is_err());
    let left = world.administrator().list_objects_v2().bucket("tentacular").send().await.unwrap();
    assert_eq!(left.contents().len(), 1, "only the other's");
    assert_eq!(world.unregister(&tenant).await.unwrap(), None);
    get(&world.client(&others), &kept).await.unwrap();
    // It comes back with nothing of what it had.
    let anew = world.given(&tenant, &share.fields).await;
    assert!(anew.fresh);
    let listed = world.client(&anew).list_objects_v2().bucket("tentacular").prefix(anew.field("prefix"));
    assert_eq!(listed.send().await.unwrap().key_count(), Some(0));
}

#[tokio::test]
async fn all_versions_of_an_object_are_removed() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let share = world.given(&tenant, &Fields::new()).await;
    let versioned = aws_sdk_s3::types::VersioningConfiguration::builder()
        .status(aws_sdk_s3::types::BucketVersioningStatus::Enabled)
        .build();
    let administrator = world.administrator();
    let keep = administrator.put_bucket_versioning().bucket("tentacular").versioning_configuration(versioned);
    keep.send().await.unwrap();
    let (client, key) = (world.client(&share), format!("{}mine", share.field("prefix")));
    put(&client, &key).await.unwrap();
    put(&client, &key).await.unwrap();
    code(client.delete_object().bucket("tentacular").key(&key).send().await).unwrap();
    assert_eq!(world.unregister(&tenant).await.unwrap(), Some("user removed"));
    let left = administrator.list_object_versions().bucket("tentacular").send().await.unwrap();
    assert!(left.versions().is_empty() && left.delete_markers().is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_somebody_else_has_by_that_name_is_left_alone() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let server = world.rustfs.args.server().unwrap();
    let admin = world.admin(&server);
    // As another tentacle would have it, were its name's digits the same.
    let others = policy::document("tentacular", "ns/team-a/tentacles/report2/");
    admin.put_policy(&tenant.share_name(), &others).await.unwrap();
    let mut share = world.rustfs.offer(&tenant, &Fields::new(), false).await.unwrap();
    let error = world.rustfs.register(&tenant, &mut share).await.unwrap_err();
    assert!(matches!(&error, Failure::Refused(why) if why.contains("it is left alone")), "{error}");
    assert_eq!(world.unregister(&tenant).await.unwrap(), None);
    let kept = admin.policy(&tenant.share_name()).await.unwrap().unwrap();
    assert!(policy::is_about(&kept, "ns/team-a/tentacles/report2/"));
}

#[tokio::test]
async fn many_at_once_do_not_get_in_each_others_way() {
    let Some(world) = World::start().await else { return };
    many(&world).await;
}

#[tokio::test]
async fn many_at_once_do_not_get_in_each_others_way_with_iam() {
    let Some(world) = World::with_iam().await else { return };
    many(&world).await;
}

async fn many<Server>(world: &World<Server>) {
    let tenants: Vec<_> = (0..8).map(|number| tenant("team-a", &format!("t{number}"))).collect();
    let shares = join_all(tenants.iter().map(async |tenant| world.given(tenant, &Fields::new()).await)).await;
    for share in &shares {
        put(&world.client(share), &format!("{}mine", share.field("prefix"))).await.unwrap();
    }
    let removed = join_all(tenants.iter().map(|tenant| world.unregister(tenant))).await;
    assert!(removed.into_iter().all(|removed| removed.unwrap().is_some()));
}

#[tokio::test]
async fn a_credential_is_renewed_while_the_former_one_still_works() {
    let Some(world) = World::start().await else { return };
    renewed(&world).await;
}

#[tokio::test]
async fn a_credential_is_renewed_while_the_former_one_still_works_with_iam() {
    let Some(world) = World::with_iam().await else { return };
    renewed(&world).await;
}

async fn renewed<Server>(world: &World<Server>) {
    let tenant = tenant("team-a", "report");
    let mut former = world.given(&tenant, &Fields::new()).await;
    let key = format!("{}mine", former.field("prefix"));
    for _ in 0..3 {
        let mut offered = world.rustfs.offer(&tenant, &former.fields, true).await.unwrap();
        assert!(offered.fresh);
        world.rustfs.register(&tenant, &mut offered).await.unwrap();
        assert_ne!(offered.field("access_key"), former.field("access_key"));
        put(&world.client(&former), &key).await.unwrap();
        get(&world.client(&offered), &key).await.unwrap();
        world.rustfs.revoke(&tenant, &offered).await.unwrap();
        world.rustfs.revoke(&tenant, &offered).await.unwrap();
        assert!(get(&world.client(&former), &key).await.is_err());
        get(&world.client(&offered), &key).await.unwrap();
        assert!(!world.rustfs.offer(&tenant, &offered.fields, false).await.unwrap().fresh);
        former = offered;
    }
}

#[tokio::test]
async fn a_key_that_is_given_anew_is_the_only_one_that_works() {
    let Some(world) = World::start().await else { return };
    given_anew(&world).await;
}

#[tokio::test]
async fn a_key_that_is_given_anew_is_the_only_one_that_works_with_iam() {
    let Some(world) = World::with_iam().await else { return };
    given_anew(&world).await;
}

/// As where no Secret tells any more of the keys that a tentacle of that name had.
async fn given_anew<Server>(world: &World<Server>) {
    let tenant = tenant("team-a", "report");
    let first = world.given(&tenant, &Fields::new()).await;
    let mut second = world.rustfs.offer(&tenant, &first.fields, true).await.unwrap();
    world.rustfs.register(&tenant, &mut second).await.unwrap();
    let key = format!("{}mine", first.field("prefix"));
    for former in [&first, &second] {
        put(&world.client(former), &key).await.unwrap();
    }
    let anew = world.given(&tenant, &Fields::new()).await;
    world.rustfs.revoke(&tenant, &anew).await.unwrap();
    for former in [&first, &second] {
        assert!(get(&world.client(former), &key).await.is_err());
    }
    get(&world.client(&anew), &key).await.unwrap();
}

#[tokio::test]
async fn what_a_tentacle_made_with_a_key_ends_with_it_for_good() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let first = world.given(&tenant, &Fields::new()).await;
    let key = format!("{}mine", first.field("prefix"));
    let tokens = async |share: &Share| [token(&world, share).await, access_key(&world, share).await];
    let mut made = tokens(&first).await.to_vec();
    for client in &made {
        put(client, &key).await.unwrap();
    }
    // Both users are there again after this.
    let mut former = first;
    for _ in 0..3 {
        let mut renewed = world.rustfs.offer(&tenant, &former.fields, true).await.unwrap();
        world.rustfs.register(&tenant, &mut renewed).await.unwrap();
        world.rustfs.revoke(&tenant, &renewed).await.unwrap();
        for client in &made {
            assert!(get(client, &key).await.is_err(), "after a renewal");
        }
        former = renewed;
        made.extend(tokens(&former).await);
    }
    let anew = world.given(&tenant, &Fields::new()).await;
    world.rustfs.revoke(&tenant, &anew).await.unwrap();
    for client in &made {
        assert!(get(client, &key).await.is_err(), "given anew");
    }
    made.extend(tokens(&anew).await);
    world.unregister(&tenant).await.unwrap();
    let next = world.given(&tenant, &Fields::new()).await;
    put(&world.client(&next), &key).await.unwrap();
    for client in &made {
        assert!(get(client, &key).await.is_err(), "after its removal");
    }
}

/// The key of the share, as the server's administrator would be named.
fn as_administrator(world: &World, share: &Share) -> Server {
    let administrator =
        Key { id: share.field("access_key").to_owned(), secret: Password(share.field("secret_key").to_owned()) };
    Server { administrator, ..world.rustfs.args.server().unwrap() }
}

/// A client with an access key that the tentacle makes for itself.
async fn access_key(world: &World, share: &Share) -> Client {
    let server = as_administrator(world, share);
    let made = Key {
        id: uuid::Uuid::new_v4().simple().to_string()[..20].to_owned(),
        secret: Password("its-own-secret".to_owned()),
    };
    let asked = json!({ "accessKey": made.id, "secretKey": made.secret.0 }).to_string();
    let sealed = seal(&server.administrator.secret.0, &asked).unwrap();
    world.admin(&server).call(Method::PUT, "add-service-account", &[], sealed).await.map_err(Failure::from).unwrap();
    world.rustfs.connections.s3(&server, &made)
}

/// A client with a token that the tentacle gets for itself (AWS STS, `AssumeRole`).
async fn token(world: &World, share: &Share) -> Client {
    let server = as_administrator(world, share);
    let identity = credentials(&server.administrator).into();
    let body = "Action=AssumeRole&Version=2011-06-15&DurationSeconds=86400";
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&server.region)
        .name("sts")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let url = server.endpoint.as_str();
    let signable =
        SignableRequest::new("POST", url, std::iter::once(kind), SignableBody::Bytes(body.as_bytes())).unwrap();
    let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
    let mut request = world.rustfs.connections.admin.post(url).header(kind.0, kind.1).body(body);
    for header in instructions.into_parts().0 {
        request = request.header(header.name(), header.value());
    }
    let answer = request.send().await.unwrap().text().await.unwrap();
    let part = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in an answer"));
        rest.split_once("</").unwrap().0.to_owned()
    };
    let token =
        Credentials::new(part("AccessKeyId"), part("SecretAccessKey"), Some(part("SessionToken")), None, "sts");
    let client = world.rustfs.connections.s3(&server, &server.administrator);
    Client::from_conf(client.config().to_builder().credentials_provider(token).build())
}

#[tokio::test]
async fn a_key_that_the_server_chooses_is_kept_and_another_is_replaced() {
    let Some(world) = World::with_iam().await else { return };
    let tenant = tenant("team-a", "report");
    let first = world.given(&tenant, &Fields::new()).await;
    let kept = format!("{}kept", first.field("prefix"));
    put(&world.client(&first), &kept).await.unwrap();
    let again = world.given(&tenant, &first.fields).await;
    assert!(!again.fresh && again.fields == first.fields);
    // A registration whose outcome nobody wrote down, as often as it may be.
    for _ in 0..3 {
        world.given(&tenant, &Fields::new()).await;
    }
    assert!(get(&world.client(&first), &kept).await.is_err());
    let replaced = world.given(&tenant, &first.fields).await;
    assert!(replaced.fresh && replaced.field("access_key") != first.field("access_key"));
    for _ in 0..3 {
        // Renewals of which nobody wrote down the outcome do not end what is in use.
        let mut lost = world.rustfs.offer(&tenant, &replaced.fields, true).await.unwrap();
        world.rustfs.register(&tenant, &mut lost).await.unwrap();
        get(&world.client(&replaced), &kept).await.unwrap();
    }
    // Another's key in the Secret, however it came there, gives nobody anything.
    let other = super::tenant("team-a", "other");
    let stolen = world.rustfs.offer(&other, &replaced.fields, false).await.unwrap();
    assert!(stolen.fresh && stolen.field("access_key") != replaced.field("access_key"));
}

#[tokio::test]
async fn a_user_that_is_somebody_elses_is_left_alone() {
    let Some(world) = World::with_iam().await else { return };
    let tenant = tenant("team-a", "report");
    let server = world.rustfs.args.server().unwrap();
    let iam = world.rustfs.connections.iam(&server, world.rustfs.args.iam_endpoint.as_ref());
    let user = iam.create_user().user_name(tenant.share_name()).path("/tentacular/team-a/report2/");
    user.send().await.unwrap();
    let mut share = world.rustfs.offer(&tenant, &Fields::new(), false).await.unwrap();
    let error = world.rustfs.register(&tenant, &mut share).await.unwrap_err();
    assert!(matches!(&error, Failure::Refused(why) if why.contains("it is left alone")), "{error}");
    assert_eq!(world.unregister(&tenant).await.unwrap(), None);
    iam.get_user().user_name(tenant.share_name()).send().await.unwrap();
}

#[tokio::test]
async fn an_upload_that_nobody_ended_goes_with_its_tentacle() {
    let Some(world) = World::with_iam().await else { return };
    let (tenant, other) = (tenant("team-a", "report"), tenant("team-a", "repor"));
    for tenant in [&tenant, &other] {
        let share = world.given(tenant, &Fields::new()).await;
        let (client, key) = (world.client(&share), format!("{}large", share.field("prefix")));
        let upload = client.create_multipart_upload().bucket("tentacular").key(&key).send().await.unwrap();
        let part = client.upload_part().bucket("tentacular").key(&key).set_upload_id(upload.upload_id);
        part.part_number(1).body(ByteStream::from_static(b"word")).send().await.unwrap();
    }
    assert_eq!(world.unregister(&tenant).await.unwrap(), Some("user removed"));
    let left = world.administrator().list_multipart_uploads().bucket("tentacular").send().await.unwrap();
    assert_eq!(left.uploads().len(), 1, "only the other's: {left:?}");
    assert_eq!(left.uploads()[0].key(), Some(&*format!("{}large", policy::prefix(&other))));
}
