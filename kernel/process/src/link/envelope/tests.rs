//! What the strict parse takes and what it refuses.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;

fn call(arguments: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#)
}

fn at(arguments: &str, pointers: &[&str]) -> Result<Option<String>, i32> {
    let body = call(arguments);
    let pointers: Vec<_> = pointers.iter().map(|&pointer| pointer.to_owned()).collect();
    let envelope = Envelope::parse(body.as_bytes()).map_err(|refused| refused.code)?;
    envelope.text_at(&pointers).map_err(|refused| refused.code)
}

#[test]
fn a_call_is_read() {
    let body = call(r#"{"enclave":"a"}"#);
    let envelope = Envelope::parse(body.as_bytes()).expect("a call");
    assert_eq!((envelope.kind, envelope.method.as_str()), (Kind::Request, "tools/call"));
    assert_eq!((envelope.id, envelope.name.as_deref()), (Some("1"), Some("t")));
}

#[test]
fn repeated_and_case_variant_members_are_refused_where_they_decide() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","NAME":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Name":"a"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","argumentſ":{}}}"#,
    ] {
        assert_eq!(Envelope::parse(body.as_bytes()).expect_err(body).code, INVALID_REQUEST, "{body}");
    }
    for arguments in [
        r#"{"enclave":"a","enclave":"b"}"#,
        r#"{"enclave":"a","Enclave":"b"}"#,
        r#"{"ENCLAVE":"b"}"#,
        r#"{"enclave":"a","encl\u0061ve":"b"}"#,
    ] {
        assert_eq!(at(arguments, &["/enclave"]), Err(INVALID_REQUEST), "{arguments}");
    }
    assert_eq!(at(r#"{"place":{"enclave":"a","enclavE":"b"}}"#, &["/place/enclave"]), Err(INVALID_REQUEST));
    assert_eq!(at(r#"{"place":{"enclave":"a"},"Place":1}"#, &["/place/enclave"]), Err(INVALID_REQUEST));
    // What decides nothing is the sidecar's own business.
    assert_eq!(at(r#"{"enclave":"a","x":1,"X":2,"x":3}"#, &["/enclave"]), Ok(Some("a".to_owned())));
}

#[test]
fn the_first_present_pointer_counts_and_two_that_differ_are_refused() {
    let both = ["/enclave", "/namespace"];
    assert_eq!(at(r#"{"namespace":"b"}"#, &both), Ok(Some("b".to_owned())));
    assert_eq!(at(r#"{"enclave":"","namespace":"b"}"#, &both), Ok(Some("b".to_owned())));
    assert_eq!(at(r#"{"enclave":null,"namespace":"b"}"#, &both), Ok(Some("b".to_owned())));
    assert_eq!(at(r#"{"enclave":"b","namespace":"b"}"#, &both), Ok(Some("b".to_owned())));
    assert_eq!(at(r#"{"enclave":"a","namespace":"b"}"#, &both), Err(INVALID_PARAMS));
    assert_eq!(at(r#"{"enclave":7}"#, &both), Err(INVALID_PARAMS));
    assert_eq!(at("{}", &both), Ok(None));
    assert_eq!(at("[]", &both), Err(INVALID_PARAMS));
}

#[test]
fn what_is_no_single_message_is_refused() {
    for body in [
        "",
        "x",
        "[]",
        "null",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1e3,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":-0,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":9223372036854775808,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {"#,
        r#"{"jsonrpc":"2.0","id":"\ud800","method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1,"x":2}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
    ] {
        assert!(Envelope::parse(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn broken_json_is_told_from_json_that_is_no_message() {
    let whole = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[1]}}"#;
    for body in
        ["", " \n", "{", "[1,", "nul", &whole[..30], &whole[..50], &format!("{whole}{whole}"), "{\"a\":\"\u{1}\"}"]
    {
        assert_eq!(Envelope::parse(body.as_bytes()).expect_err(body).code, PARSE_ERROR, "{body}");
    }
    let latin = [whole.as_bytes(), b" "]
        .concat()
        .iter()
        .map(|byte| if *byte == b'1' { 0xe4 } else { *byte })
        .collect::<Vec<_>>();
    assert_eq!(Envelope::parse(&latin).expect_err("no UTF-8").code, PARSE_ERROR);
    for body in ["[]", "null", "1", "\"x\"", &format!("[{whole}]")] {
        assert_eq!(Envelope::parse(body.as_bytes()).expect_err(body).code, INVALID_REQUEST, "{body}");
    }
}

#[test]
fn a_body_that_no_parser_behind_takes_is_refused_here() {
    let nested = |levels: usize| call(&format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels)));
    assert!(Envelope::parse(nested(100).as_bytes()).is_ok());
    assert_eq!(Envelope::parse(nested(200_000).as_bytes()).expect_err("deep").code, INVALID_REQUEST);
    let brackets = call(r#"{"a":"[[[\"[[["}"#).replace("[[[", &"[".repeat(500));
    assert!(Envelope::parse(brackets.as_bytes()).is_ok(), "brackets in a text are no nesting");
}

#[test]
fn a_body_that_would_be_much_larger_in_memory_is_refused() {
    let zeros = |count: usize| call(&format!(r#"{{"a":[{}]}}"#, vec!["0"; count].join(",")));
    assert!(Envelope::parse(zeros(VALUES - 100).as_bytes()).is_ok());
    let refused = Envelope::parse(zeros(VALUES).as_bytes()).expect_err("too many");
    assert_eq!((refused.code, refused.message.contains("200000 values")), (INVALID_REQUEST, true));
    let text = call(&format!(r#"{{"a":"{}"}}"#, ",[{\\\",".repeat(VALUES)));
    assert!(Envelope::parse(text.as_bytes()).is_ok(), "what stands in a text is no value");
}

#[test]
fn a_refusal_can_be_matched_with_its_request() {
    let id = |body: &str| Envelope::id_of(body.as_bytes()).map(str::to_owned);
    assert_eq!(id(r#"{"jsonrpc":"2.0","id":"a","method":1}"#).as_deref(), Some("\"a\""));
    for body in [r#"{"id":1,"id":2}"#, r#"{"id":1,"ID":2}"#, r#"{"id":null}"#, "[]", "{"] {
        assert_eq!(id(body), None, "{body}");
    }
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Envelope::parse(&body);
    }

    #[test]
    fn what_is_read_is_what_an_ordinary_parser_reads(enclave in "[a-zA-Z\\\\\"\u{0}-\u{1f}é]{0,12}") {
        let arguments = serde_json::json!({ "enclave": enclave, "other": [1, {"enclave": "z"}] });
        let expected = (!enclave.is_empty()).then_some(enclave);
        prop_assert_eq!(at(&arguments.to_string(), &["/enclave"]), Ok(expected));
    }
}

#[test]
fn a_text_is_never_read_as_json() {
    // As it would be with a feature of serde_json that any dependency can switch on for all.
    let text = r#"{"$serde_json::private::RawValue":"[1]"}"#;
    let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(value["$serde_json::private::RawValue"], "[1]");
}

#[test]
fn members_are_those_of_one_object_whatever_stands_between_them() {
    let read = |text| Members::read(text).map(|Members(members)| members);
    let (a, b) = (Cow::Borrowed("a"), Cow::Borrowed("b"));
    assert_eq!(read(" {\t} \n"), Some(vec![]));
    assert_eq!(read("{\"a\" : 1,\r\n\"b\":\t[ 1, {} ] }"), Some(vec![(a.clone(), "1"), (b.clone(), "[ 1, {} ]")]));
    assert_eq!(read(r#"{"\u0061":"}","b":-0.5e1}"#), Some(vec![(a.clone(), r#""}""#), (b, "-0.5e1")]));
    assert_eq!(read(r#"{"a":true}"#), Some(vec![(a, "true")]));
    for text in [
        "",
        "{",
        "}",
        "{}}",
        "{} {}",
        "[]",
        "1",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a":1;"b":2}"#,
        "{a:1}",
        "{1:1}",
        r#"{"a":1"#,
        r#"{"a":01}"#,
        r#"{"a":1x}"#,
        r#"{"a":truefalse}"#,
        "{\"a\":\"\n\"}",
        r#"{"a":"\ud800x"#,
        "{\u{a0}}",
        r#"{"a":[1}"#,
        r#"{"a":nul}"#,
    ] {
        assert_eq!(read(text), None, "{text}");
        assert!(serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_err(), "{text}");
    }
}
