//! Reading files of objects, as `kubectl` reads them: several documents a file, lists of objects among them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize as _;
use serde_json::Value;
use serde_saphyr::{Error, Options, Spanned, options};
use tentacular_cluster::{Object, TypeMeta};

use super::Source;

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) file: String,
    /// Line on which the document begins, or where it cannot be read, from 1 on; `None` where that is not known.
    pub(super) line: Option<u64>,
}

/// An object in a file.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) place: Place,
    /// API group, empty for the core group.
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) metadata: ObjectMeta,
    /// All of it.
    pub(super) object: Value,
}

/// Something in a file that is no object, and why.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) place: Place,
    pub(super) problem: String,
}

/// All objects in a file, in their order; those after one that cannot be read too, as far as the file is YAML.
pub(super) fn read(Source { file, bytes }: &Source) -> Vec<Result<Manifest, Unreadable>> {
    let place = |line: u64| Place { file: file.clone(), line: (line > 0).then_some(line) };
    let mut bytes = match bytes {
        Ok(bytes) => bytes.as_slice(),
        Err(error) => return vec![Err(Unreadable { place: place(0), problem: format!("cannot be read: {error}") })],
    };
    let documents = serde_saphyr::read_with_options::<_, Spanned<Value>>(&mut bytes, as_kubectl());
    let read = |document: Result<Spanned<Value>, Error>| match document {
        Ok(Spanned { value, defined, .. }) => objects(&place(defined.line()), value),
        Err(error) => {
            let place = place(error.location().map_or(0, |location| location.line()));
            vec![Err(Unreadable { place, problem: format!("is no YAML: {}", error.without_snippet()) })]
        }
    };
    documents.flat_map(read).collect()
}

/// YAML 1.1 as far as it matters: a number that begins with 0 is octal. A key that is there twice is an error.
fn as_kubectl() -> Options {
    options! { legacy_octal_numbers: true, with_snippet: false }
}

/// The objects of a document: itself, or those that it lists. A bare list is what `wf_apply` takes.
fn objects(place: &Place, document: Value) -> Vec<Result<Manifest, Unreadable>> {
    let is_list = document["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match document {
        Value::Array(items) => items.into_iter().flat_map(|item| objects(place, item)).collect(),
        Value::Object(mut members) if is_list && members.get("items").is_some_and(Value::is_array) => {
            members.remove("items").map(|items| objects(place, items)).unwrap_or_default()
        }
        document => vec![Manifest::read(place, document)],
    }
}

impl Manifest {
    fn read(place: &Place, document: Value) -> Result<Self, Unreadable> {
        let unreadable = |problem| Err(Unreadable { place: place.clone(), problem });
        let Object { types, metadata, data: _ } = match Object::deserialize(&document) {
            Ok(object) => object,
            Err(error) => return unreadable(format!("is no object of Kubernetes: {error}")),
        };
        let Some(TypeMeta { api_version, kind }) = types else {
            return unreadable("is no object of Kubernetes: apiVersion or kind is missing".to_owned());
        };
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
        Ok(Self { place: place.clone(), group, kind, metadata, object: document })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Vec<Result<Manifest, Unreadable>> {
        read(&Source { file: "file".to_owned(), bytes: Ok(text.as_bytes().to_vec()) })
    }

    /// `line kind/name`, or `line problem`.
    fn told(text: &str) -> Vec<String> {
        let tell = |read| match read {
            Ok(Manifest { place, kind, metadata, .. }) => {
                format!("{} {kind}/{}", place.line.unwrap_or(0), metadata.name.unwrap_or_default())
            }
            Err(Unreadable { place, problem }) => format!("{} {problem}", place.line.unwrap_or(0)),
        };
        read_text(text).into_iter().map(tell).collect()
    }

    fn map(name: &str) -> String {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n")
    }

    #[test]
    fn documents_and_lists_hold_objects() {
        let two = format!("# a comment\n{}---\n---\n# nothing\n---\n{}...\n", map("a"), map("b"));
        assert_eq!(told(&two), ["2 ConfigMap/a", "10 ConfigMap/b"]);
        let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: s}\n- \
                    apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: m}\n";
        assert_eq!(told(list), ["1 Secret/s", "1 ConfigMap/m"]);
        let json = r#"[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}}]"#;
        assert_eq!(told(json), ["1 Secret/s"]);
        for nothing in ["", "\n", "---\n", "# a comment\n", "null\n", "[]"] {
            assert_eq!(told(nothing), [""; 0], "{nothing:?}");
        }
    }

    #[test]
    fn what_is_no_object_is_told_by_its_line_and_the_rest_is_read() {
        let mixed = format!("{}---\nkind: ConfigMap\nmetadata: {{}}\n---\n{}", map("a"), map("b"));
        let told_of = told(&mixed);
        assert_eq!(told_of.len(), 3, "{told_of:?}");
        assert!(told_of[1].starts_with("6 is no object of Kubernetes: "), "{told_of:?}");
        assert_eq!(told_of[2], "9 ConfigMap/b");
        for (text, line, part) in [
            ("a: 1\n", 1, "apiVersion or kind is missing"),
            ("text\n", 1, "is no object"),
            ("apiVersion: v1\nkind: A\nmetadata: {labels: {a: true}}\n", 1, "invalid type: boolean"),
            ("apiVersion: v1\nkind: A\nmetadata:\n  name: a\n  name: b\n", 5, "duplicate"),
            ("a:\n\t- b\n", 2, "is no YAML"),
            ("kind: {{ .Values.kind }}\n", 1, "is no YAML"),
            ("a: &a [*a]\n", 1, "is no"),
        ] {
            let told_of = told(text);
            assert_eq!(told_of.len(), 1, "{told_of:?}");
            assert!(
                told_of[0].starts_with(&format!("{line} ")) && told_of[0].contains(part),
                "{text:?}: {told_of:?}"
            );
            assert!(!told_of[0].contains('\n'), "{told_of:?}");
        }
    }

    #[test]
    fn scalars_are_read_as_kubectl_reads_them() {
        let text = format!("{}data: {{mode: 0644, on: yes, text: \"yes\"}}\n", map("a"));
        let Some(Ok(Manifest { object, .. })) = read_text(&text).pop() else { panic!("no object") };
        assert_eq!(object["data"]["mode"], 0o644);
        assert_eq!(object["data"]["text"], "yes");
    }
}
