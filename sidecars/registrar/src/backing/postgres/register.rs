//! Making and removing a tentacle's roles and schema.

use std::{collections::BTreeMap, time::Duration};

use backon::{ConstantBuilder, Retryable as _};
use chrono::{DateTime, SecondsFormat, Utc};
use postgres_protocol::password::scram_sha_256;
use tokio_postgres::{Client, Error, GenericClient, Transaction, error::SqlState};

use super::sql::{identifier, identifiers, literal};
use crate::backing::{
    service::{Failure, Holder},
    share::Share,
    tenant::Tenant,
};

/// Connections that a tentacle may have at once with one login.
const CONNECTION_LIMIT: u8 = 20;
/// How long a tentacle's statement may take, unless it asks for another time.
const STATEMENT_TIMEOUT: &str = "5min";
/// How often a change of the database's rights is tried, and the longest pause in between. Of several at once the server does one
/// and refuses the others; a lock that they could wait for, a tentacle could hold.
const ATTEMPTS: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);
/// Roles with a comment that begins with a text, the shortest name first: it is the owner's, the others have an ending.
const ROLES: &str = "SELECT r.rolname::text FROM pg_roles r \
     JOIN pg_shdescription d ON d.objoid = r.oid AND d.classoid = 'pg_authid'::regclass \
     WHERE starts_with(d.description, $1) ORDER BY length(r.rolname), r.rolname";
/// Roles with a comment that begins with a text, with that comment; owners before their logins, whose names are longer.
const COMMENTS: &str = "SELECT r.rolname::text, d.description FROM pg_roles r \
     JOIN pg_shdescription d ON d.objoid = r.oid AND d.classoid = 'pg_authid'::regclass \
     WHERE starts_with(d.description, $1) ORDER BY length(r.rolname), r.rolname";

/// What the comments on all roles of tentacles begin with.
pub(super) const MARK: &str = "tentacular tentacle ";

/// What the comments on the tenant's roles begin with.
fn mark(tenant: &Tenant) -> String {
    // No name has a space, so that none is the beginning of another's.
    format!("{MARK}{tenant} ")
}

/// The role that owns what the tenant has.
pub(super) async fn owner(client: &Client, tenant: &Tenant) -> Result<Option<String>, Failure> {
    Ok(roles(client, tenant).await?.into_iter().next())
}

/// The tenant's roles, the owner first.
async fn roles(client: &impl GenericClient, tenant: &Tenant) -> Result<Vec<String>, Failure> {
    let rows = client.query(ROLES, &[&mark(tenant)]).await?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// Whether there is a role of that name that may log in.
pub(super) async fn may_log_in(client: &Client, role: &str) -> Result<bool, Failure> {
    let found = client.query_opt("SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", &[&role]).await?;
    Ok(found.is_some_and(|row| row.get(0)))
}

/// The tenants that have roles.
pub(super) async fn holders(client: &Client) -> Result<Vec<Holder>, Failure> {
    let mut holders = BTreeMap::new();
    for row in client.query(COMMENTS, &[&MARK]).await? {
        let (name, comment): (String, String) = (row.get(0), row.get(1));
        if let Some((tenant, since)) = read(&comment) {
            holders.entry(tenant.clone()).or_insert(Holder { tenant, name, since });
        }
    }
    Ok(holders.into_values().collect())
}

/// Whose role it is by its comment, and since when.
fn read(comment: &str) -> Option<(Tenant, Option<DateTime<Utc>>)> {
    let (tenant, rest) = comment.strip_prefix(MARK)?.split_once(' ')?;
    let since = rest.strip_prefix("since ").and_then(|time| DateTime::parse_from_rfc3339(time).ok());
    Some((tenant.parse().ok()?, since.map(|time| time.to_utc())))
}

/// Makes what the tenant's share says.
pub(super) async fn register(client: &mut Client, tenant: &Tenant, share: &Share) -> Result<(), Failure> {
    let (owner, login) = (share.field("schema"), share.field("user"));
    if share.fresh && roles(client, tenant).await?.iter().any(|role| role == login) {
        // Whoever had it before keeps no session.
        close(client, &[login.to_owned()]).await?;
    }
    let database = database(client).await?;
    let transaction = client.transaction().await?;
    for role in [owner, login] {
        make_role(&transaction, tenant, role).await?;
    }
    make_schema(&transaction, owner).await?;
    let password = if share.fresh {
        // What is sent, and may be logged, is only good for checking the password.
        format!("PASSWORD {}", literal(&scram_sha_256(share.field("password").as_bytes())))
    } else {
        String::new()
    };
    let (quoted_owner, quoted_login) = (identifier(owner), identifier(login));
    if share.fresh {
        // A login sets for itself what its sessions begin with, and for one database that counts more than what is set here.
        let reset = format!(
            "ALTER ROLE {quoted_login} RESET ALL; ALTER ROLE {quoted_login} IN DATABASE {database} RESET ALL"
        );
        transaction.batch_execute(&reset).await?;
    }
    transaction
        .batch_execute(&format!(
            "GRANT {quoted_owner} TO {quoted_login};
             ALTER ROLE {quoted_login} LOGIN INHERIT CONNECTION LIMIT {CONNECTION_LIMIT} {password};
             ALTER ROLE {quoted_login} SET role = {};
             ALTER ROLE {quoted_login} SET search_path = {quoted_owner};
             ALTER ROLE {quoted_login} SET statement_timeout = {};",
            literal(owner),
            literal(STATEMENT_TIMEOUT)
        ))
        .await?;
    transaction.commit().await?;
    let may_connect = "SELECT has_database_privilege($1, current_database(), 'CONNECT') \
                       AND has_database_privilege($1, current_database(), 'TEMPORARY')";
    if !client.query_one(may_connect, &[&owner]).await?.get::<_, bool>(0) {
        change_rights(client, &format!("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {quoted_owner}")).await?;
    }
    Ok(())
}

/// The database's name, quoted.
async fn database(client: &Client) -> Result<String, Failure> {
    let name: String = client.query_one("SELECT current_database()::text", &[]).await?.get(0);
    Ok(identifier(&name))
}

/// Changes the rights on the database, by a statement that is good again.
async fn change_rights(client: &Client, statement: &str) -> Result<(), Failure> {
    let pauses = ConstantBuilder::default().with_delay(PAUSE / 2).with_jitter().with_max_times(ATTEMPTS - 1);
    let change = || client.batch_execute(statement);
    // "tuple concurrently updated" has no code of its own.
    let met_another = |error: &Error| error.code() == Some(&SqlState::INTERNAL_ERROR);
    Ok(change.retry(pauses).when(met_another).await?)
}

/// Makes a role of the tenant's, unless it is there. Another one of that name is not touched.
async fn make_role(transaction: &Transaction<'_>, tenant: &Tenant, role: &str) -> Result<(), Failure> {
    let found = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1";
    let found = transaction.query_opt(found, &[&role]).await?.map(|row| row.get::<_, Option<String>>(0));
    let quoted = identifier(role);
    match found {
        Some(comment) if comment.as_ref().is_some_and(|comment| comment.starts_with(&mark(tenant))) => {}
        Some(_) => {
            return Err(Failure::Refused(format!(
                "role {role} is there and its comment does not say that it is {tenant}'s, so it is left alone"
            )));
        }
        None => {
            let comment = format!("{}since {}", mark(tenant), Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true));
            let make = format!("CREATE ROLE {quoted} NOLOGIN; COMMENT ON ROLE {quoted} IS {}", literal(&comment));
            transaction.batch_execute(&make).await?;
        }
    }
    // Only a member may make what the role owns, and end its sessions.
    Ok(transaction.batch_execute(&format!("GRANT {quoted} TO CURRENT_USER")).await?)
}

/// Makes the schema, unless it is there. Another one's of that name is not touched.
async fn make_schema(transaction: &Transaction<'_>, owner: &str) -> Result<(), Failure> {
    let owned_by = "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = $1";
    match transaction.query_opt(owned_by, &[&owner]).await?.map(|row| row.get::<_, String>(0)) {
        Some(role) if role == owner => Ok(()),
        Some(role) => {
            Err(Failure::Refused(format!("schema {owner} is there and belongs to {role}, so it is left alone")))
        }
        None => {
            let quoted = identifier(owner);
            Ok(transaction.batch_execute(&format!("CREATE SCHEMA {quoted} AUTHORIZATION {quoted}")).await?)
        }
    }
}

/// Closes the tenant's logins other than the share's, and ends their sessions. What they made by themselves becomes the owner's.
pub(super) async fn revoke(client: &mut Client, tenant: &Tenant, share: &Share) -> Result<(), Failure> {
    let (owner, kept) = (share.field("schema"), share.field("user"));
    // Also one that is closed already: it may have ended before the rest was done.
    let roles = roles(client, tenant).await?.into_iter();
    let former: Vec<String> = roles.filter(|role| role != owner && role != kept).collect();
    if former.is_empty() {
        return Ok(());
    }
    close(client, &former).await?;
    let transaction = client.transaction().await?;
    let reassign = format!("REASSIGN OWNED BY {} TO {}", identifiers(&former), identifier(owner));
    transaction.batch_execute(&reassign).await?;
    Ok(transaction.commit().await?)
}

/// Admits nobody with these roles any more, and ends their sessions.
async fn close(client: &Client, roles: &[String]) -> Result<(), Failure> {
    for role in roles {
        client.batch_execute(&format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", identifier(role))).await?;
    }
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY($1)";
    client.query(end, &[&roles]).await?;
    Ok(())
}

/// Ends the tenant's sessions and removes all that it owns, and its roles.
pub(super) async fn unregister(client: &mut Client, tenant: &Tenant) -> Result<Option<&'static str>, Failure> {
    let roles = roles(client, tenant).await?;
    if roles.is_empty() {
        return Ok(None);
    }
    // First, and for itself, so that nobody comes back while the rest is done.
    close(client, &roles).await?;
    let (all, database) = (identifiers(&roles), database(client).await?);
    change_rights(client, &format!("REVOKE ALL ON DATABASE {database} FROM {all}")).await?;
    let transaction = client.transaction().await?;
    transaction
        .batch_execute(&format!("GRANT {all} TO CURRENT_USER; DROP OWNED BY {all} CASCADE; DROP ROLE {all}"))
        .await?;
    transaction.commit().await?;
    Ok(Some("schema dropped"))
}
