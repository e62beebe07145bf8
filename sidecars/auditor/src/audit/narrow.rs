//! What of the objects that an audit judged its caller is shown.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::view::View;

/// Said where something was left out.
const LEFT_OUT: &str = "what belongs to tentacles that you may not read is not shown";

/// Of `objects` those that the caller may see, and a warning where that is not all. `what` tells of each its kind and its
/// metadata.
pub(crate) fn narrow<T>(
    view: &View,
    objects: Vec<T>,
    what: impl Fn(&T) -> (&'static str, &ObjectMeta),
    warnings: &mut Vec<String>,
) -> Vec<T> {
    let before = objects.len();
    let is_shown = |object: &T| {
        let (kind, metadata) = what(object);
        view.shows_object(kind, metadata)
    };
    let shown: Vec<_> = objects.into_iter().filter(is_shown).collect();
    if shown.len() < before {
        warnings.push(LEFT_OUT.to_owned());
    }
    shown
}

#[cfg(test)]
mod tests {
    use tentacular_contract::keys;

    use super::*;
    use crate::view::tests::view;

    fn object(name: &str, release: Option<&str>) -> ObjectMeta {
        let labels = release.map(|release| [(keys::RELEASE.to_owned(), release.to_owned())].into());
        ObjectMeta { name: Some(name.to_owned()), labels, ..ObjectMeta::default() }
    }

    #[test]
    fn what_is_of_a_tentacle_is_for_who_may_read_there_also_where_no_label_says_so() {
        let objects = || {
            vec![
                ("NetworkPolicy", object("default-deny", None)),
                ("NetworkPolicy", object("open", Some("open"))),
                ("NetworkPolicy", object("private", Some("private"))),
                // As one that was not applied by this server.
                ("Deployment", object("private", None)),
                ("Deployment", object("nobodys", None)),
            ]
        };
        for (email, number) in [("ann@x.io", 3), ("bob@x.io", 5), ("owner@x.io", 5)] {
            let mut warnings = Vec::new();
            let shown = narrow(&view(email), objects(), |(kind, metadata)| (*kind, metadata), &mut warnings);
            assert_eq!((shown.len(), warnings.len()), (number, usize::from(number < 5)), "{email}: {shown:?}");
        }
    }
}
