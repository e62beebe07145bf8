//! Who has something is known from the accounts.

use super::*;

#[tokio::test]
async fn who_has_an_account_is_known() {
    let Some(world) = World::start().await else { return };
    let server = world.rustfs.args.server().unwrap();
    let admin = world.admin(&server);
    let others = policy::document("tentacular", &policy::prefix(&tenant("team-a", "theirs")));
    admin.put_policy("mine", &others).await.unwrap();
    listed(&world).await;
}

#[tokio::test]
async fn who_has_an_account_is_known_with_iam() {
    let Some(world) = World::with_iam().await else { return };
    listed(&world).await;
}

async fn listed<Server>(world: &World<Server>) {
    let tenants = ["one", "two"].map(|name| tenant("team-a", name));
    for tenant in &tenants {
        world.given(tenant, &Fields::new()).await;
    }
    let holders = async || {
        let mut holders = world.rustfs.holders().await.unwrap();
        holders.sort_by_key(|holder| holder.tenant.to_string());
        holders.into_iter().map(|holder| (holder.tenant, holder.name)).collect::<Vec<_>>()
    };
    assert_eq!(holders().await, tenants.clone().map(|tenant| (tenant.clone(), tenant.share_name())));
    world.unregister(&tenants[0]).await.unwrap();
    assert_eq!(holders().await, [(tenants[1].clone(), tenants[1].share_name())]);
}
