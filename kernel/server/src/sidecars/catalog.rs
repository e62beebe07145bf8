//! The merged list of tools: who offers which name, what it declares, and the answer to `tools/list` as bytes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::Value;
use tentacular_contract::{
    Authz, keys,
    limits::SHOWN_CHARACTERS,
    text::{self, is_shown},
};
use tentacular_process::link::client::LinkClient;

use crate::edge::{
    Era, Prepared,
    headers::{ParamHeader, param_headers},
    listed, listed_for_handshake,
};

/// Tools of one sidecar that is not built in, how large the description of each may be, and how many aliases it may have.
const FOREIGN_TOOLS: usize = 100;
const FOREIGN_TOOL_BYTES: usize = 32 * 1024;
const FOREIGN_ALIASES: usize = 16;
/// Longest name of a tool, in characters (MCP, Tools, tool names).
const NAME: usize = 128;
/// What is told of all that is left out of one sidecar.
const TOLD: usize = 20;

/// What one sidecar offers, as it said when it joined.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// The sidecar's name, which is its socket's.
    pub(crate) sidecar: String,
    pub(crate) client: LinkClient,
    /// It belongs to every installation.
    pub(crate) built_in: bool,
    pub(crate) tools: Vec<rmcp::model::Tool>,
}

/// Names that the built-in sidecars have offered, and which of them did.
pub(crate) type Reserved = BTreeMap<String, &'static str>;

/// A tool that may be called.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) sidecar: String,
    pub(crate) client: LinkClient,
    /// Whether its sidecar belongs to every installation, so that both their names are known.
    pub(crate) built_in: bool,
    /// Its canonical name; calls may spell an alias.
    pub(crate) name: String,
    pub(crate) authz: Authz,
    pub(crate) read_only: bool,
    pub(crate) param_headers: Vec<ParamHeader>,
    listed: rmcp::model::Tool,
}

/// All tools of all sidecars.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    tools: Vec<Arc<Tool>>,
    by_name: HashMap<String, Arc<Tool>>,
    refused: Vec<String>,
    handshake: Prepared,
    stateless: Prepared,
}

impl Catalog {
    /// Merges offers. An earlier one wins a name, so the built-in sidecars come first, and `reserved` names are theirs
    /// even while they are away. A tool without a valid declaration is left out, and so is one whose name or alias is
    /// taken.
    pub(crate) fn merge<'a>(offers: impl Iterator<Item = &'a Offer>, reserved: &Reserved) -> Self {
        let mut catalog = Self::default();
        for offer in offers {
            let before = catalog.refused.len();
            for tool in &offer.tools {
                if let Err(why) = catalog.add(offer, tool, reserved) {
                    catalog.refuse(&format!("tool {} of {}: {why}", tool.name, offer.sidecar));
                }
            }
            let more = (catalog.refused.len() - before).saturating_sub(TOLD);
            if more > 0 {
                catalog.refused.truncate(before + TOLD);
                catalog.refuse(&format!("{more} more of {}", offer.sidecar));
            }
        }
        catalog.handshake = Prepared::new(&listed_for_handshake(&catalog));
        catalog.stateless = Prepared::new(&listed(&catalog));
        catalog
    }

    fn add(&mut self, offer: &Offer, listed: &rmcp::model::Tool, reserved: &Reserved) -> Result<(), String> {
        let member = |key: &str| listed.meta.as_ref().and_then(|meta| meta.get(key));
        let authz = Authz::parse(member(keys::AUTHZ_META)).map_err(|error| error.to_string())?;
        let aliases: Vec<String> = match member(keys::ALIASES_META) {
            Some(aliases) => serde_json::from_value(aliases.clone()).map_err(|error| format!("aliases: {error}"))?,
            None => Vec::new(),
        };
        if !offer.built_in {
            self.check_foreign(offer, listed, &aliases)?;
        }
        let mut listed = listed.clone();
        if let Some(meta) = &mut listed.meta {
            meta.remove(keys::ALIASES_META);
        }
        let name = listed.name.to_string();
        if let Some(owner) = self.owner(&name, offer, reserved) {
            return Err(format!("the name is taken by {owner}"));
        }
        let tool = Arc::new(Tool {
            sidecar: offer.sidecar.clone(),
            client: offer.client.clone(),
            built_in: offer.built_in,
            name: name.clone(),
            authz,
            read_only: listed.annotations.as_ref().and_then(|hints| hints.read_only_hint) == Some(true),
            param_headers: param_headers(&listed.input_schema),
            listed,
        });
        self.tools.push(Arc::clone(&tool));
        self.by_name.insert(name, Arc::clone(&tool));
        for alias in aliases {
            match self.owner(&alias, offer, reserved) {
                Some(owner) => {
                    self.refuse(&format!("alias {alias} of {}: the name is taken by {owner}", tool.name));
                }
                None => {
                    self.by_name.insert(alias, Arc::clone(&tool));
                }
            }
        }
        Ok(())
    }

    /// Notes what is left out, for the log: a sidecar may say anything.
    fn refuse(&mut self, what: &str) {
        self.refused.push(text::line(what, SHOWN_CHARACTERS));
    }

    /// Everybody gets the whole list, and their models read it: nobody who joined makes it long for all, has a name that
    /// looks like another's, or hides in it what a person does not see.
    fn check_foreign(&self, offer: &Offer, listed: &rmcp::model::Tool, aliases: &[String]) -> Result<(), String> {
        if !aliases.iter().map(String::as_str).chain([listed.name.as_ref()]).all(is_name) {
            return Err(format!("its name or an alias is none: use 1 to {NAME} of A-Z, a-z, 0-9, '_', '-' and '.'"));
        }
        if self.tools.iter().filter(|tool| tool.sidecar == offer.sidecar).count() >= FOREIGN_TOOLS {
            return Err(format!("a sidecar has at most {FOREIGN_TOOLS} tools"));
        }
        if aliases.len() > FOREIGN_ALIASES {
            return Err(format!("a tool has at most {FOREIGN_ALIASES} aliases"));
        }
        let json = serde_json::to_value(listed).map_err(|error| error.to_string())?;
        if json.to_string().len() > FOREIGN_TOOL_BYTES {
            return Err(format!("what it lists, its schemas included, is larger than {FOREIGN_TOOL_BYTES} bytes"));
        }
        if hides(&json) { Err("what it lists has characters that do not show".to_owned()) } else { Ok(()) }
    }

    /// Who has `name` already, so that `offer` cannot.
    fn owner(&self, name: &str, offer: &Offer, reserved: &Reserved) -> Option<String> {
        let taken = self.by_name.get(name).map(|tool| tool.sidecar.clone());
        taken.or_else(|| reserved.get(name).filter(|part| **part != offer.sidecar).map(|part| (*part).to_owned()))
    }

    /// Every name that is answered to, and by which sidecar.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_name.iter().map(|(name, tool)| (name.as_str(), tool.sidecar.as_str()))
    }

    /// The tool that answers to `name`, its own or an alias.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Tool>> {
        self.by_name.get(name)
    }

    /// The tools as they are listed.
    pub(crate) fn listed(&self) -> Vec<rmcp::model::Tool> {
        self.tools.iter().map(|tool| tool.listed.clone()).collect()
    }

    /// What was left out, and why.
    pub(crate) fn refused(&self) -> &[String] {
        &self.refused
    }

    /// Whether clients would see the same list and reach the same tools.
    pub(crate) fn lists_the_same(&self, other: &Self) -> bool {
        self.stateless == other.stateless
    }

    /// The list of tools as clients of an era get it.
    pub(crate) const fn list(&self, era: Era) -> &Prepared {
        match era {
            Era::Handshake => &self.handshake,
            Era::Stateless => &self.stateless,
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=NAME).contains(&name.len()) && name.bytes().all(allowed)
}

/// Whether any text in it has characters that do not show, other than line ends and tabs.
fn hides(json: &Value) -> bool {
    let hidden = |text: &str| text.chars().any(|letter| !is_shown(letter) && !"\n\r\t".contains(letter));
    match json {
        Value::String(text) => hidden(text),
        Value::Array(values) => values.iter().any(hides),
        Value::Object(members) => members.iter().any(|(name, value)| hidden(name) || hides(value)),
        _ => false,
    }
}

#[cfg(test)]
impl Offer {
    /// An offer of these tools, at `path`.
    pub(crate) fn of(sidecar: &str, path: &std::path::Path, tools: Value) -> Self {
        Self {
            sidecar: sidecar.to_owned(),
            client: LinkClient::new(path, None),
            built_in: false,
            tools: serde_json::from_value(tools).expect("tools"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn offer(sidecar: &str, tools: Value) -> Offer {
        Offer::of(sidecar, Path::new("/nowhere"), tools)
    }

    fn tool(name: &str, meta: &Value) -> Value {
        json!({"name": name, "inputSchema": {"type": "object"}, "_meta": meta})
    }

    fn read() -> Value {
        json!({"on": "caller", "needs": "read"})
    }

    #[test]
    fn a_tool_without_a_valid_declaration_is_neither_listed_nor_callable() {
        let tools = json!([
            tool("good", &json!({keys::AUTHZ_META: read()})),
            tool("silent", &json!({})),
            tool("vague", &json!({keys::AUTHZ_META: {"on": "tentacle", "needs": "read"}})),
            {"name": "bare", "inputSchema": {"type": "object"}},
        ]);
        let catalog = Catalog::merge([offer("part", tools)].iter(), &Reserved::new());
        assert_eq!(catalog.listed().len(), 1);
        for name in ["silent", "vague", "bare"] {
            assert!(catalog.find(name).is_none(), "{name}");
        }
        assert_eq!(catalog.refused().len(), 3);
    }

    #[test]
    fn who_joined_makes_the_list_no_longer_than_others_can_bear() {
        let large = json!({"name": "large", "description": "x".repeat(FOREIGN_TOOL_BYTES),
            "inputSchema": {"type": "object"}, "_meta": {keys::AUTHZ_META: read()}});
        let aliases: Vec<_> = (0..=FOREIGN_ALIASES).map(|number| format!("a{number}")).collect();
        let renamed = tool("renamed", &json!({keys::AUTHZ_META: read(), keys::ALIASES_META: aliases}));
        let many = (0..=FOREIGN_TOOLS).map(|number| tool(&format!("t{number}"), &json!({keys::AUTHZ_META: read()})));
        let tools: Vec<_> = [large, renamed].into_iter().chain(many).collect();
        let catalog = Catalog::merge([offer("part", json!(tools))].iter(), &Reserved::new());
        assert_eq!((catalog.listed().len(), catalog.refused().len()), (FOREIGN_TOOLS, 3));
        assert!(catalog.find("large").is_none() && catalog.find("a0").is_none());
    }

    #[test]
    fn a_name_belongs_to_who_comes_first_aliases_included() {
        let first = tool("wf_list", &json!({keys::AUTHZ_META: read(), keys::ALIASES_META: ["wf_ls"]}));
        let claims = json!([
            tool("wf_list", &json!({keys::AUTHZ_META: read()})),
            tool("wf_ls", &json!({keys::AUTHZ_META: read()})),
            tool("own", &json!({keys::AUTHZ_META: read(), keys::ALIASES_META: ["wf_list", "mine"]})),
        ]);
        let catalog = Catalog::merge(
            [offer("auditor", json!([first])), offer("later", claims.clone())].iter(),
            &Reserved::new(),
        );
        let owner = |name| catalog.find(name).map(|tool| tool.sidecar.as_str());
        assert_eq!(owner("wf_list"), Some("auditor"));
        assert_eq!(owner("wf_ls"), Some("auditor"));
        assert_eq!((owner("own"), owner("mine")), (Some("later"), Some("later")));
        assert_eq!(catalog.refused().len(), 3);
        let names: Vec<_> = catalog.listed().into_iter().map(|tool| tool.name).collect();
        assert_eq!(names, ["wf_list", "own"], "aliases are not listed");
        let listed = serde_json::to_string(&catalog.listed()).expect("JSON");
        assert!(!listed.contains(keys::ALIASES_META));

        let reserved = [("wf_list".to_owned(), "auditor"), ("wf_ls".to_owned(), "auditor")].into();
        let away = Catalog::merge([offer("later", claims)].iter(), &reserved);
        let names: Vec<_> = away.listed().into_iter().map(|tool| tool.name).collect();
        assert_eq!(names, ["own"], "a part that is away keeps its names");
        assert!(away.find("wf_list").is_none());
    }
}
