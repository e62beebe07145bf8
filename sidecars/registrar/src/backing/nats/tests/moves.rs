//! From an account that tentacles share to one of their own.

use super::*;

#[tokio::test]
async fn a_tentacle_moves_to_an_account_of_its_own_and_its_former_users_end() {
    let Some(world) = World::start().await else { return };
    let (sharing, tenant, other) = (of(&world.server, &[]), tenant("team-a", "report"), tenant("team-a", "other"));
    let (first, kept) = (
        sharing.offer(&tenant, &Fields::new(), false).await.unwrap(),
        sharing.offer(&other, &Fields::new(), false).await.unwrap(),
    );
    let second = sharing.offer(&tenant, &first.fields, true).await.unwrap();
    let mut sessions = Vec::new();
    for share in [&first, &second] {
        sessions.push(world.connect(share).await.unwrap());
    }
    let mut kept = world.connect(&kept).await.unwrap();
    let mut heard = kept.all().await;

    let moved = world.given(&tenant, &second.fields).await;
    assert!(moved.fresh && moved.field("subject_prefix") == second.field("subject_prefix"));
    let renewed = world.nats.offer(&tenant, &moved.fields, true).await.unwrap();
    assert!(!world.nats.offer(&tenant, &moved.fields, false).await.unwrap().fresh);
    for share in [&first, &second, &moved, &renewed] {
        world.connect(share).await.unwrap();
    }
    for _ in 0..2 {
        world.nats.revoke(&tenant, &renewed).await.unwrap();
    }
    for session in &mut sessions {
        session.ends().await;
    }
    for share in [&first, &second, &moved] {
        assert!(world.is_refused(share).await);
    }
    world.connect(&renewed).await.unwrap();
    kept.client.publish(kept.own("on"), "".into()).await.unwrap();
    assert_eq!(next(&mut heard).await.unwrap().0, kept.own("on"), "who shares the account goes on");

    // Without the right to make accounts it is one of those again.
    let back = sharing.offer(&tenant, &renewed.fields, false).await.unwrap();
    assert!(back.fresh);
    world.connect(&back).await.unwrap();
}

#[tokio::test]
async fn a_tentacle_that_has_not_moved_is_removed_too() {
    let Some(world) = World::start().await else { return };
    let (sharing, tenant) = (of(&world.server, &[]), tenant("team-a", "report"));
    let share = sharing.offer(&tenant, &Fields::new(), false).await.unwrap();
    let mut open = world.connect(&share).await.unwrap();
    for _ in 0..2 {
        assert_eq!(world.nats.unregister(&tenant, &share.fields).await.unwrap(), Some("credential revoked"));
    }
    open.ends().await;
    assert!(world.is_refused(&share).await);
    // Between the account and the Secret that names it somebody stopped.
    let share = sharing.offer(&tenant, &Fields::new(), false).await.unwrap();
    let moved = world.given(&tenant, &share.fields).await;
    let removed = world.nats.unregister(&tenant, &share.fields).await.unwrap();
    assert_eq!(removed, Some("account removed with its streams"));
    assert!(world.is_refused(&share).await && world.is_refused(&moved).await);
}
