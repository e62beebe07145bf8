//! A tentacle reaches its own and nothing of others.

use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};

use super::*;

#[tokio::test]
async fn a_tentacle_does_everything_with_its_own_objects() {
    let Some(world) = World::start().await else { return };
    own_objects(&world).await;
}

#[tokio::test]
async fn a_tentacle_does_everything_with_its_own_objects_with_iam() {
    let Some(world) = World::with_iam().await else { return };
    own_objects(&world).await;
}

async fn own_objects<Server>(world: &World<Server>) {
    let share = world.given(&tenant("team-a", "report"), &Fields::new()).await;
    let (client, prefix) = (world.client(&share), share.field("prefix"));
    for name in ["plain", "a/b/c", "odd * ? ${aws:username} %2e%2e é +&=", "../plain"] {
        let key = format!("{prefix}{name}");
        // A server that takes `..` for a folder refuses it.
        if put(&client, &key).await.is_err() {
            assert!(name.contains(".."), "{name}");
            continue;
        }
        get(&client, &key).await.unwrap();
        code(client.head_object().bucket("tentacular").key(&key).send().await).unwrap();
        let source = format!("tentacular/{prefix}plain");
        let copy = format!("{key}-copy");
        code(client.copy_object().bucket("tentacular").copy_source(source).key(copy).send().await).unwrap();
    }
    let listed = client.list_objects_v2().bucket("tentacular").prefix(prefix).send().await.unwrap();
    assert_eq!(listed.key_count(), Some(6));
    let below = format!("{prefix}a/");
    let listed = client.list_objects_v2().bucket("tentacular").prefix(below).delimiter("/").send().await.unwrap();
    assert_eq!(listed.common_prefixes().len(), 1);

    let key = format!("{prefix}large");
    let upload = client.create_multipart_upload().bucket("tentacular").key(&key);
    let upload = upload.checksum_algorithm(ChecksumAlgorithm::Crc32).send().await.unwrap();
    let upload = upload.upload_id().unwrap();
    let mut parts = Vec::new();
    for (number, bytes) in [(1, vec![b'x'; 5 << 20]), (2, b"end".to_vec())] {
        let part = client.upload_part().bucket("tentacular").key(&key).upload_id(upload).part_number(number);
        let part = part.body(ByteStream::from(bytes)).send().await.unwrap();
        let completed = CompletedPart::builder().part_number(number).set_e_tag(part.e_tag().map(str::to_owned));
        parts.push(completed.set_checksum_crc32(part.checksum_crc32().map(str::to_owned)).build());
    }
    let listed = client.list_parts().bucket("tentacular").key(&key).upload_id(upload).send().await.unwrap();
    assert_eq!(listed.parts().len(), 2);
    let all = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = client.complete_multipart_upload().bucket("tentacular").key(&key).upload_id(upload);
    complete.multipart_upload(all).send().await.unwrap();
    let head = client.head_object().bucket("tentacular").key(&key).send().await.unwrap();
    assert_eq!(head.content_length(), Some((5 << 20) + 3));

    let upload = client.create_multipart_upload().bucket("tentacular").key(&key).send().await.unwrap();
    let abort = client.abort_multipart_upload().bucket("tentacular").key(&key);
    abort.upload_id(upload.upload_id().unwrap()).send().await.unwrap();
    code(client.delete_object().bucket("tentacular").key(&key).send().await).unwrap();
    assert_eq!(get(&client, &key).await, Err(Some("NoSuchKey".to_owned())));
}

#[tokio::test]
async fn no_tentacle_reads_writes_lists_or_removes_anything_of_another() {
    let Some(world) = World::start().await else { return };
    others_objects(&world).await;
}

#[tokio::test]
async fn no_tentacle_reads_writes_lists_or_removes_anything_of_another_with_iam() {
    let Some(world) = World::with_iam().await else { return };
    others_objects(&world).await;
}

async fn others_objects<Server>(world: &World<Server>) {
    let mut given = Vec::new();
    for tenant in Tenant::hostile() {
        let share = world.given(&tenant, &Fields::new()).await;
        let client = world.client(&share);
        put(&client, &format!("{}mine", share.field("prefix"))).await.unwrap();
        given.push((share, client));
    }
    put(&world.administrator(), "everybodys").await.unwrap();
    for (own, client) in &given {
        for (other, _) in given.iter().filter(|(other, _)| other.field("prefix") != own.field("prefix")) {
            refused_at(client, own.field("prefix"), other.field("prefix")).await;
        }
        refused_list(client, own.field("prefix")).await;
        for key in ["everybodys", "ns/", "ns/a"] {
            assert_eq!(get(client, key).await, forbidden(), "{key}");
            assert_eq!(put(client, key).await, forbidden(), "{key}");
        }
    }
    // Nothing came of it all.
    for (share, client) in &given {
        get(client, &format!("{}mine", share.field("prefix"))).await.unwrap();
    }
}

fn forbidden() -> Result<(), Option<String>> {
    Err(Some("AccessDenied".to_owned()))
}

/// Everything with another's objects.
async fn refused_at(client: &Client, own: &str, prefix: &str) {
    let key = format!("{prefix}mine");
    assert_eq!(get(client, &key).await, forbidden(), "{key}");
    assert_eq!(put(client, &key).await, forbidden(), "{key}");
    assert_eq!(put(client, &format!("{prefix}new")).await, forbidden(), "{key}");
    let head = client.head_object().bucket("tentacular").key(&key).send().await;
    assert_eq!(code(head), Err(Some("403".to_owned())), "{key}");
    assert_eq!(code(client.delete_object().bucket("tentacular").key(&key).send().await), forbidden(), "{key}");
    let begun = client.create_multipart_upload().bucket("tentacular").key(&key).send().await;
    assert_eq!(code(begun), forbidden(), "{key}");
    let source = format!("tentacular/{key}");
    let stolen =
        client.copy_object().bucket("tentacular").copy_source(source).key(format!("{own}stolen")).send().await;
    assert_eq!(code(stolen), forbidden(), "{key}");
    let object = aws_sdk_s3::types::ObjectIdentifier::builder().key(&key).build().unwrap();
    let all = aws_sdk_s3::types::Delete::builder().objects(object).build().unwrap();
    // Allowed as a call, and refused object by object.
    if let Ok(answer) = client.delete_objects().bucket("tentacular").delete(all).send().await {
        assert!(answer.deleted().is_empty() && answer.errors().len() == 1, "{answer:?}");
    }
    // By way of its own prefix: never another's object, whether the server refuses the name or takes it as it is.
    let up = own.trim_end_matches('/').split('/').count();
    for dots in ["../", "%2e%2e/", "..%2f", "./../"] {
        let around = format!("{own}{}{key}", dots.repeat(up));
        assert!(get(client, &around).await.is_err(), "{around}");
    }
    for prefix in [prefix, prefix.trim_end_matches('/'), &format!("{prefix}mine")] {
        let listed = client.list_objects_v2().bucket("tentacular").prefix(prefix).send().await;
        assert_eq!(code(listed), forbidden(), "{prefix}");
        let listed = client.list_multipart_uploads().bucket("tentacular").prefix(prefix).send().await;
        assert_eq!(code(listed), forbidden(), "{prefix}");
    }
}

/// Listing more than its own, and everything with the bucket.
async fn refused_list(client: &Client, own: &str) {
    let parent = own.trim_end_matches('/');
    for prefix in ["", "n", "ns/", "ns/*", "*", &parent[..parent.len() - 1], parent] {
        let listed = client.list_objects_v2().bucket("tentacular").prefix(prefix).send().await;
        assert_eq!(code(listed), forbidden(), "{prefix:?}");
        let listed = client.list_objects().bucket("tentacular").prefix(prefix).send().await;
        assert_eq!(code(listed), forbidden(), "{prefix:?}");
        let listed = client.list_object_versions().bucket("tentacular").prefix(prefix).send().await;
        assert_eq!(code(listed), forbidden(), "{prefix:?}");
    }
    let listed = client.list_objects_v2().bucket("tentacular").send().await;
    assert_eq!(code(listed), forbidden());
    assert_eq!(code(client.list_multipart_uploads().bucket("tentacular").send().await), forbidden());
    assert_eq!(code(client.create_bucket().bucket("mine").send().await), forbidden());
    assert_eq!(code(client.delete_bucket().bucket("tentacular").send().await), forbidden());
    assert_eq!(code(client.get_bucket_policy().bucket("tentacular").send().await), forbidden());
    let policy = r#"{"Version":"2012-10-17","Statement":[]}"#;
    assert_eq!(code(client.put_bucket_policy().bucket("tentacular").policy(policy).send().await), forbidden());
}

#[tokio::test]
async fn a_tentacle_is_no_administrator() {
    let Some(world) = World::start().await else { return };
    let (own, other) = (tenant("team-a", "report"), tenant("team-a", "other"));
    let (share, others) = (world.given(&own, &Fields::new()).await, world.given(&other, &Fields::new()).await);
    let key =
        Key { id: share.field("access_key").to_owned(), secret: Password(share.field("secret_key").to_owned()) };
    let server = Server { administrator: key, ..world.rustfs.args.server().unwrap() };
    let admin = world.admin(&server);
    let everything = policy::document("tentacular", "");
    let (name, user) = (own.share_name(), others.field("access_key").to_owned());
    let new = Key { id: user.clone(), secret: Password("x".repeat(32)) };
    let refusals = [
        admin.put_policy(&name, &everything).await,
        admin.put_user(&new).await,
        admin.attach(BUILT_IN, share.field("access_key")).await,
        admin.attach(&name, &user).await,
        admin.remove_user(&user).await,
        admin.remove_policy(&other.share_name()).await,
        admin.policy(&other.share_name()).await.map(drop),
    ];
    for (number, refusal) in refusals.into_iter().enumerate() {
        assert!(matches!(refusal, Err(Failure::Refused(_))), "{number}: {refusal:?}");
    }
    put(&world.client(&others), &format!("{}mine", others.field("prefix"))).await.unwrap();
}

#[tokio::test]
async fn it_is_said_how_far_tentacles_are_kept_apart() {
    let Some(world) = World::start().await else { return };
    assert_eq!(world.rustfs.probe().await.unwrap(), Kept { isolation: Isolation::Full, reason: None });
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "AWS": ["*"] }, "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::tentacular/*"],
    }] });
    let open = world.administrator().put_bucket_policy().bucket("tentacular").policy(policy.to_string());
    open.send().await.unwrap();
    let kept = world.rustfs.probe().await.unwrap();
    assert_eq!(kept.isolation, Isolation::Partial);
    let reason = kept.reason.unwrap();
    assert_eq!(reason, "everybody may use bucket tentacular: take that out of its bucket policy");
}
