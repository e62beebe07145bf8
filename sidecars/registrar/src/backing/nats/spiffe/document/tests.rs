use proptest::{prelude::*, sample::select};

use super::*;

const USER: &str = "spiffe://tentacular/ns/team-a/tentacles/report";
/// What an older server wrote, beside what an administrator did.
const OTHERS: &str = r#"# tentacles and people
include ./cluster.conf
authorization {
  default_permissions = { publish = "public.>", subscribe = ["public.>", "_INBOX.>"] } // for people
  users = [
    {
      user = "spiffe://tentacular/ns/a/tentacles/b"
      permissions = {
        publish = {
          allow = ["tentacular.a.b.>"]
        }
        subscribe = {
          allow = ["tentacular.a.b.>"]
        }
      }
    },
    { user: ann, password: "$2a$11$a\"b]}" }, # her ] own
    // nobody: { user = spiffe://tentacular/ns/team-a/tentacles/report }
    {username: 'spiffe://elsewhere/x', permissions: { subscribe: { deny: [">"] } }}
    $BOB
  ]
  timeout: 2
}
motd = (
 } users = [ {
)
"#;

fn subjects() -> Vec<String> {
    vec!["tentacular.team-a.report.>".to_owned(), "_INBOX.team-a.report.>".to_owned()]
}

fn with_user(text: &str) -> String {
    with(text, USER, &subjects()).unwrap().expect("something to write")
}

/// That text without lines and spaces.
fn bare(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn what_others_wrote_stays_byte_for_byte() {
    let added = with_user(OTHERS);
    let (before, after) = OTHERS.split_once("  users = [\n").unwrap();
    let own = added.strip_prefix(before).unwrap().strip_suffix(after).unwrap();
    assert_eq!(
        bare(own),
        bare(
            r#"users = [ { user = "spiffe://tentacular/ns/team-a/tentacles/report" permissions = {
            publish = { allow = ["tentacular.team-a.report.>", "_INBOX.team-a.report.>"] }
            subscribe = { allow = ["tentacular.team-a.report.>", "_INBOX.team-a.report.>"] } } }"#
        )
    );
    let others = ["spiffe://tentacular/ns/a/tentacles/b", "ann", "spiffe://elsewhere/x"];
    assert_eq!(users(OTHERS).unwrap(), others);
    assert_eq!(users(&added).unwrap(), [&[USER], &others[..]].concat());
    assert_eq!(with(&added, USER, &subjects()), Ok(None));
    assert_eq!(without(&added, USER), Ok(Some(OTHERS.to_owned())));
    assert_eq!(without(OTHERS, USER), Ok(None));
}

#[test]
fn a_list_of_users_that_was_begun_is_never_empty_again() {
    for empty in ["", " \n", "authorization { users = [] }", "authorization { users [\n# none\n] }"] {
        assert_eq!((admits_everybody(empty), without(empty, USER)), (Ok(true), Ok(None)));
        let two = with(&with_user(empty), "spiffe://two", &subjects()).unwrap().unwrap();
        let one = without(&two, "spiffe://two").unwrap().unwrap();
        assert_eq!(one, with_user(empty));
        let none = without(&one, USER).unwrap().unwrap();
        assert_eq!((users(&none), admits_everybody(&none)), (Ok(vec!["tentacular-nobody"]), Ok(false)), "{none}");
        assert_eq!(users(&with_user(&none)).unwrap(), [USER, "tentacular-nobody"]);
        assert_eq!(without(&with_user(&none), USER), Ok(Some(none)));
    }
}

#[test]
fn an_older_servers_entry_is_changed_in_its_place() {
    let (user, subject) = ("spiffe://tentacular/ns/a/tentacles/b", "tentacular.a.b.>".to_owned());
    let subjects = [subject, "_INBOX.a.b.>".to_owned()];
    let changed = with(OTHERS, user, &subjects).unwrap().unwrap();
    let inbox = r#"["tentacular.a.b.>", "_INBOX.a.b.>"]"#;
    assert_eq!(changed, OTHERS.replace(r#"["tentacular.a.b.>"]"#, inbox));
    let (before, rest) = OTHERS.split_once("    {\n").unwrap();
    let (_, after) = rest.split_once("    },\n").unwrap();
    assert_eq!(without(OTHERS, user), Ok(Some([before, after].concat())));
}

#[test]
fn an_entry_in_one_line_takes_its_comma_along() {
    let file = "{\"authorization\": {\"users\": [{\"user\": \"ann\"}, {\"user\": \"bob\"} ]}}";
    let added = with_user(file);
    assert!(added.starts_with("{\"authorization\": {\"users\": [{ user = ") && !added.contains('\n'), "{added}");
    assert_eq!(without(&added, USER), Ok(Some(file.to_owned())));
    assert_eq!(without(file, "bob"), Ok(Some(file.replace("{\"user\": \"bob\"}", ""))));
    assert_eq!(without(file, "ann"), Ok(Some(file.replace("{\"user\": \"ann\"},", ""))));
}

#[test]
fn an_entry_with_more_in_it_is_an_administrators_word() {
    for more in ["deny = [\"x\"]", "# on purpose", "allow_responses = true"] {
        let theirs = with_user("").replacen("allow = [", &format!("{more}\n allow = ["), 1);
        let error = with(&theirs, USER, &subjects()).unwrap_err();
        assert!(error.starts_with(&format!("the entry of {USER} says more")), "{error}");
        assert_eq!(users(&without(&theirs, USER).unwrap().unwrap()).unwrap(), ["tentacular-nobody"]);
    }
    let wider = with_user("").replace("\"_INBOX.", "\"other.>\", \"_INBOX.");
    assert!(with(&wider, USER, &subjects()).is_err());
    let twice = with_user("").replace("users = [", &format!("users = [ {{ user = {USER} }},"));
    assert_eq!(with(&twice, USER, &subjects()).unwrap_err(), format!("{USER} has several entries; leave one"));
    assert_eq!(users(&without(&twice, USER).unwrap().unwrap()).unwrap(), ["tentacular-nobody"]);
}

#[test]
fn what_is_not_understood_is_refused_by_its_line_and_nothing_of_it_shown() {
    let list = |inside: &str| format!("authorization {{\n users = [\n{inside}\n ]\n}}\n");
    let no_list = "it has no list of users; write authorization { users = [] } into it";
    for (file, problem) in [
        ("# nothing\n".to_owned(), no_list),
        ("authorization { include users.conf }".to_owned(), no_list),
        ("accounts { A { users = [] } }".to_owned(), no_list),
        ("authorization { users = $hunter2 }".to_owned(), "users of authorization is no list"),
        ("authorization = hunter2".to_owned(), "authorization has no braces"),
        ("authorization { users = []\n USERS = [] }".to_owned(), "users stands there twice"),
        ("authorization { users = [] }\nAuthorization { users = [] }".to_owned(), "authorization stands there twice"),
        (list("{ user = hunter2 user = x }"), "line 3: a value that goes on after its end, which is not understood"),
        (list("{ user = \"hunter2 }"), "line 3: a quote without its end, which is not understood"),
        (list("{ user = hunter2"), "line 4: a key that is none, which is not understood"),
        (list("{ user = hunter2 } { user = x }"), "line 3: two values without a comma or a line between them, "),
        (list("{ user = hunter2 }\n, { user = x }"), "line 4: a comma without a value before it, "),
        (list("{ user = a\\hunter2 }"), "line 3: an escape outside of quotes, "),
        (list("5#hunter2"), "line 3: a number that goes on after its end, "),
        (list("{ hunter2 = (\n ) }"), "line 3: a ( without its ), "),
        (list("{ user = }"), "line 3: a key without a value, "),
        (list("hunter2\0"), "line 1: a byte 0, "),
        (list("} }\nhunter2"), "line 3: "),
        (list(&"[".repeat(100_000)), "line 3: too many values within each other, "),
        ("authorization { users = [".to_owned(), "line 1: a [ without its ], "),
    ] {
        for error in [with(&file, USER, &subjects()).unwrap_err(), without(&file, USER).unwrap_err()] {
            assert!(error.starts_with(problem) && !error.contains("hunter2"), "{problem}: {error}");
        }
    }
}

/// Parts of a file that others write.
fn foreign() -> impl Strategy<Value = String> {
    let before = select(vec!["", "# a { comment [\n", "include 'x.conf'\n", "port: 4222\r\n", "a { b = [1, 2m] }; "]);
    let within = select(vec!["", "timeout: 2\n", "default_permissions { publish: \"x.>\" } # }\n", "\"a\": 'b',"]);
    let begin = select(vec!["users = [", "users [", "\"Users\": [", "users=["]);
    let gap = select(vec!["", " ", "\n", "\r\n", " # { user = y\n", "\n\n   "]);
    let user = select(vec![
        "{user: ann, pass: \"a\\\"]}#\"}",
        "{\n  user = 'spiffe://tentacular/ns/a/tentacles/b' // }\n}",
        "{ nkey: UABC }",
        "$EVE",
        "{ user = x; permissions { publish { deny = [\">\"] } } }",
    ]);
    let separator = select(vec![",", "\n", " ,  ", ",\n    ", " # b ]\n", ", // c ]\r\n"]);
    let users = prop::collection::vec((user, separator), 1..4);
    let after = select(vec!["}", "}\n", "\n token_file: x }\n", " }\nmotd (\n ] }\n)\n", "}\nj { u = \"}\" }"]);
    (before, within, begin, gap, users, after).prop_map(|(before, within, begin, gap, users, after)| {
        let users: String = users.into_iter().flat_map(|(user, separator)| [user, separator]).collect();
        format!("{before}authorization {{ {within}{begin}{gap}{users}]{after}")
    })
}

proptest! {
    #[test]
    fn adding_and_removing_tentacles_leaves_every_byte_of_others(
        file in foreign(),
        order in Just(vec![0_usize, 1, 2]).prop_shuffle(),
    ) {
        let user = |number: usize| format!("spiffe://tentacular/ns/n{number}/tentacles/t");
        let before = users(&file).map_err(TestCaseError::fail)?.len();
        let mut changed = file.clone();
        for number in 0..3 {
            changed = with(&changed, &user(number), &subjects()).map_err(TestCaseError::fail)?.expect("it is new");
        }
        prop_assert_eq!(users(&changed).map_err(TestCaseError::fail)?.len(), before + 3);
        for number in order {
            changed = without(&changed, &user(number)).map_err(TestCaseError::fail)?.expect("it is there");
        }
        prop_assert_eq!(changed, file);
    }

    #[test]
    fn whatever_is_taken_for_a_file_stays_one(inside in "[a-c0-9{}\\[\\]\"'#/=:,;() \n\n\r\\\\$-]{0,12}", end in "[\n ]?") {
        let file = format!("authorization {{ users = [{inside}{end}]}}");
        if let Ok(Some(added)) = with(&file, USER, &subjects()) {
            let was_empty = admits_everybody(&file).map_err(TestCaseError::fail)?;
            let removed = without(&added, USER).map_err(TestCaseError::fail)?.expect("it is there");
            prop_assert!(if was_empty { removed.contains(NOBODY) } else { removed == file }, "{removed}");
        }
    }
}
