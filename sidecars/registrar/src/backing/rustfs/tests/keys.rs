//! Objects go whatever they are called.

use std::time::Duration;

use tokio::time::timeout;

use super::*;

/// Within which nothing that goes on for ever ends.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn objects_are_removed_whatever_they_are_called() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let share = world.given(&tenant, &Fields::new()).await;
    let (client, prefix) = (world.client(&share), share.field("prefix"));
    for name in ["\u{8}", "\u{1}", "a b", "a+b", "a%20b", "ü", "\u{fffd}", "\u{fffe}", "\t\r\n\u{85}", "&<\"'>"] {
        put(&client, &format!("{prefix}{name}")).await.unwrap();
    }
    let removed = timeout(SOON, world.unregister(&tenant)).await.expect("it ends");
    assert_eq!(removed.unwrap(), Some("user removed"));
    let left = world.administrator().list_object_versions().bucket("tentacular").prefix(prefix).send().await.unwrap();
    assert!(left.versions().is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_a_server_lists_by_another_name_holds_nobody_up_and_is_told_with_iam() {
    let Some(world) = World::with_iam().await else { return };
    let [objects, uploads] = ["objects", "uploads"].map(|name| tenant("team-a", name));
    let share = world.given(&objects, &Fields::new()).await;
    let (client, prefix) = (world.client(&share), share.field("prefix"));
    for name in ["\u{8}", "plain"] {
        put(&client, &format!("{prefix}{name}")).await.unwrap();
    }
    let share = world.given(&uploads, &Fields::new()).await;
    let upload = world.client(&share).create_multipart_upload().bucket("tentacular");
    upload.key(format!("{}\u{8}", share.field("prefix"))).send().await.unwrap();
    for (tenant, what) in [(&objects, "objects"), (&uploads, "uploads")] {
        let removed = timeout(SOON, world.unregister(tenant)).await.expect("it ends");
        let Err(Failure::Refused(why)) = removed else { panic!("{removed:?}") };
        let prefix = policy::prefix(tenant);
        assert!(why.contains(&format!("1 {what} of {prefix}")) && why.ends_with("\u{fffd}\""), "{why}");
    }
    let kept = world.administrator().get_object().bucket("tentacular").key(format!("{prefix}plain"));
    assert!(kept.send().await.is_err(), "the others are removed");
}
