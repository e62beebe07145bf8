//! Labels, annotations, headers and `_meta` members: every key that more than one process reads or writes.

/// Label on everything the server makes; on a namespace it marks an enclave, together with [`ENCLAVE`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`] that is ours.
pub const TENTACULAR: &str = "tentacular";
/// Label selector for what the server manages.
pub const MANAGED_SELECTOR: &str = "app.kubernetes.io/managed-by=tentacular";
/// Label: the name of the tentacle or of the object, as Kubernetes recommends it.
pub const NAME: &str = "app.kubernetes.io/name";
/// Label: the version of the workflow program.
pub const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// Label on every object and pod template of a tentacle: the tentacle's name.
pub const RELEASE: &str = "tentacular.io/release";
/// Label on the Secret that the server makes for a tentacle's credentials of backing services.
pub const EXOSKELETON: &str = "tentacular.io/exoskeleton";
/// Annotation of that Secret: of when the credentials are, and of which services former ones are still to be revoked.
pub const CREDENTIALS: &str = "tentacular.io/credentials";

/// Namespace annotation that makes a managed namespace an enclave; its value is the enclave's name.
pub const ENCLAVE: &str = "tentacular.io/enclave";
/// Namespace: the owner's email address.
pub const ENCLAVE_OWNER: &str = "tentacular.io/enclave-owner";
/// Namespace: the owner's OIDC subject, absent where only the email is known.
pub const ENCLAVE_OWNER_SUB: &str = "tentacular.io/enclave-owner-sub";
/// Namespace: the members' email addresses, separated by commas.
pub const ENCLAVE_MEMBERS: &str = "tentacular.io/enclave-members";
/// Namespace: where the team talks, `slack` or empty.
pub const ENCLAVE_PLATFORM: &str = "tentacular.io/enclave-platform";
/// Namespace: the channel's id on that platform.
pub const ENCLAVE_CHANNEL_ID: &str = "tentacular.io/enclave-channel-id";
/// Namespace: the channel's name on that platform.
pub const ENCLAVE_CHANNEL_NAME: &str = "tentacular.io/enclave-channel-name";
/// Namespace: `provisioning`, `active` or `frozen`.
pub const ENCLAVE_STATUS: &str = "tentacular.io/enclave-status";
/// Namespace: the mode of tentacles created in it later.
pub const ENCLAVE_DEFAULT_MODE: &str = "tentacular.io/enclave-default-mode";
/// Namespace: RFC 3339 time of creation.
pub const ENCLAVE_CREATED_AT: &str = "tentacular.io/enclave-created-at";
/// Namespace: RFC 3339 time of the last change made through the server.
pub const ENCLAVE_UPDATED_AT: &str = "tentacular.io/enclave-updated-at";
/// Namespace: `small`, `medium` or `large`.
pub const ENCLAVE_QUOTA_PRESET: &str = "tentacular.io/enclave-quota-preset";
/// Namespace and Deployment: the permission mode, nine characters.
pub const MODE: &str = "tentacular.io/mode";

/// Deployment: the owner's email address.
pub const OWNER: &str = "tentacular.io/owner";
/// Deployment: the owner's OIDC subject.
pub const OWNER_SUB: &str = "tentacular.io/owner-sub";
/// Deployment: the owner's email address, as older clients read it.
pub const OWNER_EMAIL: &str = "tentacular.io/owner-email";
/// Deployment: the owner's display name.
pub const OWNER_NAME: &str = "tentacular.io/owner-name";
/// Deployment: who applied it last, an email address or `bearer-token`.
pub const DEPLOYED_BY: &str = "tentacular.io/deployed-by";
/// Deployment: through which client it was applied last.
pub const DEPLOYED_VIA: &str = "tentacular.io/deployed-via";
/// Deployment: RFC 3339 time of the last apply that changed something.
pub const DEPLOYED_AT: &str = "tentacular.io/deployed-at";
/// Deployment: the identity provider of who applied it last.
pub const AUTH_PROVIDER: &str = "tentacular.io/auth-provider";
/// Deployment: RFC 3339 time of the first apply.
pub const CREATED_AT: &str = "tentacular.io/created-at";
/// Deployment: RFC 3339 time of the last update.
pub const UPDATED_AT: &str = "tentacular.io/updated-at";
/// Deployment: subject of who updated it last.
pub const UPDATED_BY_SUB: &str = "tentacular.io/updated-by-sub";
/// Deployment: email of who updated it last.
pub const UPDATED_BY_EMAIL: &str = "tentacular.io/updated-by-email";
/// Deployment: kinds, names and Secret key names of the release, for readers without a right on Secrets.
pub const INVENTORY: &str = "tentacular.io/inventory";
/// Checksum of the `ConfigMap`s and Secrets that a Deployment's pods read, on its pod template.
pub const CONFIG_CHECKSUM: &str = "tentacular.io/config-checksum";
/// Deployment: the workflow's version, written by the client.
pub const VERSION: &str = "tentacular.io/version";
/// Deployment: free text, written by the client.
pub const DESCRIPTION: &str = "tentacular.io/description";
/// Deployment: comma list, written by the client.
pub const TAGS: &str = "tentacular.io/tags";
/// Deployment: free text such as `production`, written by the client.
pub const ENVIRONMENT: &str = "tentacular.io/environment";
/// Deployment: a JSON list of the names of the workflow's nodes, written by the client.
pub const NODES: &str = "tentacular.io/nodes";
/// Deployment: a JSON list of pairs of nodes, from and to, written by the client.
pub const EDGES: &str = "tentacular.io/edges";
/// Deployment: a JSON list of the containers beside the engine, written by the client.
pub const SIDECARS: &str = "tentacular.io/sidecars";
/// Deployment: a JSON list of what the workflow needs, written by the client.
pub const DEPENDENCIES: &str = "tentacular.io/dependencies";
/// Deployment: one or more cron schedules (see [`crate::cron`]).
pub const CRON_SCHEDULE: &str = "tentacular.io/cron-schedule";
/// The same, where an older server left it. Read only.
pub const LEGACY_CRON_SCHEDULE: &str = "tentacular.dev/cron-schedule";
/// Deployment: the IANA time zone of the schedules, UTC where absent.
pub const CRON_TIMEZONE: &str = "tentacular.io/cron-timezone";
/// Deployment: what happens to an instant that passed while nobody could fire it: `skip` or `once`.
pub const CRON_MISSED: &str = "tentacular.io/cron-missed";
/// Deployment: whether a run may start while the one before it still runs: `skip` or `allow`.
pub const CRON_OVERLAP: &str = "tentacular.io/cron-overlap";
/// Deployment: over how many seconds after an instant tentacles are spread that would fire at once, 0 to 3600.
pub const CRON_JITTER: &str = "tentacular.io/cron-jitter";

/// Begins the name of the `ConfigMap` that holds a tentacle's ledger of runs; the tentacle's name follows. The admission
/// policy `tentacular-ledgers` holds the scheduler to this prefix and to [`LEDGER`].
pub const LEDGER_PREFIX: &str = "tentacular-runs-";
/// `ConfigMap`: marks a ledger of runs, whatever the value.
pub const LEDGER: &str = "tentacular.io/ledger";

/// `ConfigMap` in the server's namespace: what is known of the backing services (see [`crate::backing`]).
pub const BACKING_SERVICES: &str = "tentacular-backing-services";
/// Lease in the server's namespace: the scheduler that leads.
pub const SCHEDULER_LEASE: &str = "tentacular-scheduler";
/// Lease in the server's namespace: the webhook that issues certificates.
pub const WEBHOOK_LEASE: &str = "tentacular-webhook";

/// `_meta` of `server/discover`: the version of the contract between kernel and sidecar.
pub const CONTRACT_META: &str = "tentacular.io/contract";
/// The contract version of this build, `major.minor`. One minor more or less works both ways, another major does not join.
/// The feature `next-minor` makes a build that says one minor more, to be tried with parts that do not.
pub const CONTRACT_VERSION: &str = if cfg!(feature = "next-minor") { "1.1" } else { "1.0" };
/// `_meta` of a tool: its [`crate::Authz`] declaration.
pub const AUTHZ_META: &str = "tentacular.io/authz";
/// `_meta` of a tool: other names it answers to, callable and never listed.
pub const ALIASES_META: &str = "tentacular.io/aliases";

/// Request header written by the kernel alone: who calls, see [`crate::Caller`].
pub const CALLER_HEADER: &str = "tentacular-caller";
/// Request header written by the kernel alone: what was allowed, see [`crate::Permit`].
pub const PERMIT_HEADER: &str = "tentacular-permit";
/// Request header of a run: its id in the ledger.
pub const RUN_ID_HEADER: &str = "tentacular-run-id";
