//! The policies themselves, as the cluster sees them.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, ObjectList},
};
use tentacular_test_harness::eventually;

use super::place::admin;

#[tokio::test]
async fn their_expressions_fit_the_types_that_they_are_about_and_nothing_is_let_pass() -> anyhow::Result<()> {
    crate::support::stack().await?;
    let policies = Api::<ValidatingAdmissionPolicy>::all(admin().await?);
    let bindings: ObjectList<ValidatingAdmissionPolicyBinding> =
        Api::all(admin().await?).list(&ListParams::default()).await?;
    let mut found = 0;
    let names = policies.list(&ListParams::default()).await?.into_iter().map(|policy| policy.name_any());
    for name in names.filter(|name| name.starts_with("tentacular-")) {
        let checked = |policy: Option<&ValidatingAdmissionPolicy>| {
            policy.is_some_and(|policy| {
                policy.status.as_ref().and_then(|status| status.observed_generation) == policy.metadata.generation
            })
        };
        let policy = eventually(&policies, &name, checked).await?.unwrap();
        let warnings = policy.status.and_then(|status| status.type_checking?.expression_warnings);
        assert_eq!(warnings.unwrap_or_default(), [], "{name}");
        assert_eq!(policy.spec.unwrap().failure_policy.as_deref(), Some("Fail"), "{name}");
        let binding = bindings.iter().find(|binding| binding.name_any() == name);
        let binding = binding.and_then(|binding| binding.spec.clone()).unwrap();
        assert_eq!((binding.policy_name, binding.match_resources), (Some(name), None));
        assert_eq!(binding.validation_actions.unwrap(), ["Deny"]);
        found += 1;
    }
    assert_eq!(found, 8);
    Ok(())
}
