//! Whether tentacles are kept apart in the database.

use tentacular_contract::backing::Isolation;
use tokio_postgres::Client;

use super::register::MARK;
use crate::backing::service::{Failure, Kept};

/// What the administrator may do.
const RIGHTS: &str = "SELECT r.rolcreaterole OR r.rolsuper, \
     has_database_privilege(current_database(), 'CREATE'), \
     (SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'public') \
     FROM pg_roles r WHERE r.rolname = current_user";
/// Schemas that everybody may use, beside those that the server needs and those that tentacles have opened themselves.
const OPEN_SCHEMAS: &str = "SELECT n.nspname::text FROM pg_namespace n \
     WHERE has_schema_privilege('public', n.oid, 'USAGE') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
     AND NOT coalesce(starts_with(shobj_description(n.nspowner, 'pg_authid'), $1), false) ORDER BY 1";
/// Other databases that everybody may connect to.
const OPEN_DATABASES: &str = "SELECT datname::text FROM pg_database \
     WHERE datallowconn AND datname <> current_database() AND has_database_privilege('public', oid, 'CONNECT') ORDER BY 1";

/// Sees what the administrator may do and what tentacles can see. Takes everybody's rights on the schema `public` away, where
/// it may.
pub(super) async fn probe(client: &Client) -> Result<Kept, Failure> {
    let rights = client.query_one(RIGHTS, &[]).await?;
    let (roles, schemas) = (rights.get::<_, bool>(0), rights.get::<_, bool>(1));
    let lacking: Vec<_> = [("CREATEROLE", roles), ("CREATE on the database", schemas)]
        .into_iter()
        .filter_map(|(right, has)| (!has).then_some(right))
        .collect();
    if !lacking.is_empty() {
        return Err(Failure::Refused(format!("the administrator lacks {}", lacking.join(" and "))));
    }
    if rights.get::<_, Option<bool>>(2) == Some(true)
        && open(client, OPEN_SCHEMAS).await?.contains(&"public".to_owned())
    {
        client.batch_execute("REVOKE ALL ON SCHEMA public FROM PUBLIC").await?;
    }
    let mut reasons = Vec::new();
    let schemas = open(client, OPEN_SCHEMAS).await?;
    if !schemas.is_empty() {
        reasons.push(format!(
            "everybody may use schema {}: make the administrator the owner of the database, or REVOKE ALL ON SCHEMA … FROM \
             PUBLIC",
            schemas.join(", ")
        ));
    }
    let databases: Vec<String> = client.query(OPEN_DATABASES, &[]).await?.into_iter().map(|row| row.get(0)).collect();
    if !databases.is_empty() {
        reasons.push(format!(
            "everybody may connect to database {}: REVOKE CONNECT ON DATABASE … FROM PUBLIC",
            databases.join(", ")
        ));
    }
    let isolation = if reasons.is_empty() { Isolation::Full } else { Isolation::Partial };
    Ok(Kept { isolation, reason: (!reasons.is_empty()).then(|| reasons.join("; ")) })
}

async fn open(client: &Client, query: &str) -> Result<Vec<String>, Failure> {
    Ok(client.query(query, &[&MARK]).await?.into_iter().map(|row| row.get(0)).collect())
}
