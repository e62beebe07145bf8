use serde_json::json;

use super::*;

fn only(schema: &Value) -> Row {
    let whole = json!({ "type": "object", "properties": { "x": schema } });
    let mut rows = rows(&whole).expect("it can be shown");
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

#[test]
fn what_may_be_left_out_is_what_it_is_when_it_is_there() {
    let inner = json!({ "type": "string", "enum": ["a", "b"] });
    let kinds = [
        (json!({ "type": ["string", "null"], "description": "." }), "string"),
        (json!({ "type": ["string", "null"], "enum": ["a", "b", null], "description": "." }), "`a` or `b`"),
        (json!({ "anyOf": [inner, { "type": "null" }], "description": "." }), "`a` or `b`"),
        (json!({ "type": "array", "items": { "type": "string" }, "description": "." }), "list of strings"),
        (json!({ "type": "array", "items": inner, "description": "." }), "list of `a` or `b`"),
        (json!({ "type": "object", "additionalProperties": inner, "description": "." }), "object of `a` or `b`"),
        (json!({ "anyOf": [{ "type": "integer" }, { "type": "string" }], "description": "." }), "integer or string"),
        (json!({ "description": "." }), "any JSON"),
    ];
    for (schema, kind) in kinds {
        assert_eq!(only(&schema).kind, kind, "{schema}");
    }
}

#[test]
fn what_is_always_there_may_be_null() {
    for schema in [
        json!({ "type": ["string", "null"], "description": "." }),
        json!({ "anyOf": [{ "type": "string" }, { "type": "null" }], "description": "." }),
    ] {
        let whole = json!({ "type": "object", "required": ["x"], "properties": { "x": schema } });
        assert_eq!(rows(&whole).expect("it can be shown")[0].kind, "string or null", "{schema}");
    }
}

#[test]
fn limits_and_defaults_are_shown() {
    let row =
        only(&json!({ "type": ["integer", "null"], "minimum": 1, "maximum": 5, "default": 2, "description": "." }));
    assert_eq!((row.range.as_str(), row.default.as_str()), ("1 to 5", "`2`"));
    let row = only(&json!({ "anyOf": [{ "type": "array", "maxItems": 7 }, { "type": "null" }], "description": "." }));
    assert_eq!(row.range, "at most 7 items");
}

#[test]
fn each_of_several_values_is_explained() {
    let row = only(&json!({ "description": "What.", "oneOf": [
        { "type": "string", "const": "on", "description": "It is on." },
        { "type": "string", "const": "off", "description": "It is off." },
    ]}));
    assert_eq!(
        (row.kind.as_str(), row.description.as_str()),
        ("`on` or `off`", "What. `on`: It is on. `off`: It is off.")
    );
}

#[test]
fn nested_members_are_shown_by_their_path_and_required_ones_first() {
    let inner = json!({ "type": "object", "required": ["z"], "properties": {
        "a": { "type": "string", "description": "." }, "z": { "type": "string", "description": "." } } });
    let list = json!({ "type": "array", "items": inner, "description": "." });
    let optional = json!({ "anyOf": [inner, { "type": "null" }], "description": "." });
    let schema = json!({ "type": "object", "required": ["one"], "properties": { "list": list, "one": optional } });
    let names: Vec<_> = rows(&schema).expect("shown").into_iter().map(|row| (row.name, row.required)).collect();
    let expected =
        [("one", true), ("one.z", true), ("one.a", false), ("list", false), ("list[].z", true), ("list[].a", false)];
    assert_eq!(names, expected.map(|(name, required)| (name.to_owned(), required)));
}

#[test]
fn what_cannot_be_shown_is_an_error_that_says_where() {
    let whole = |schema: Value| {
        json!({ "type": "object", "properties": { "list": { "description": ".", "items": {
        "type": "object", "properties": { "x": schema } } } } })
    };
    for (schema, what) in [
        (json!({ "type": "string" }), "no description"),
        (json!({ "type": "integer", "multipleOf": 2, "description": "." }), "multipleOf"),
        (json!({ "$ref": "#/$defs/x", "description": "." }), "$ref"),
    ] {
        let error = format!("{:#}", rows(&whole(schema)).expect_err("refused"));
        assert!(error.contains(what) && error.contains("list[].x"), "{error}");
    }
}
