//! Authorization: from the place that a call names to a permit or a refusal, logged where it is decided.

mod facts;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tentacular_contract::{
    Caller, EnclaveName, On, Permit, Question, TentacleName, evaluate,
    evaluate::{LeftOut, left_out},
};
use tentacular_process::{
    Context,
    link::envelope::{Envelope, INVALID_PARAMS, Refused},
};

pub(crate) use self::facts::Facts;
use crate::sidecars::Tool;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    tool: String,
    outcome: &'static str,
    rule: String,
}

/// Decides on calls.
#[derive(Debug)]
pub(crate) struct Authorizer {
    facts: Facts,
    authorization: bool,
    decisions: Family<DecisionLabels, Counter>,
}

/// The sentence of a refusal, for the caller.
pub(crate) type Sentence = String;

impl Authorizer {
    pub(crate) fn new(facts: Facts, authorization: bool, context: &Context) -> Self {
        let decisions = Family::default();
        context.metrics.register(|registry| {
            registry.register("decisions", "Authorization decisions by tool, outcome and rule", decisions.clone());
        });
        Self { facts, authorization, decisions }
    }

    /// Decides on one call of `tool`, which the body spells `name`. The outer error is a body that names no clear
    /// place; the inner one a refusal.
    pub(crate) async fn permit(
        &self,
        caller: &Caller,
        tool: &Tool,
        name: &str,
        envelope: &Envelope<'_>,
    ) -> Result<Result<Permit, Sentence>, Refused> {
        let enclave = parse::<EnclaveName>(envelope.text_at(&tool.authz.enclave)?)?;
        let tentacle = parse::<TentacleName>(envelope.text_at(&tool.authz.tentacle)?)?;
        if tool.authz.on == On::Tentacle && tentacle.is_none() {
            let message = format!("argument {} is required", names(&tool.authz.tentacle));
            return Err(Refused { code: INVALID_PARAMS, message });
        }
        let enclave = match self.place(caller, tool, enclave, tentacle.is_some()) {
            Ok(enclave) => enclave,
            Err(why) => return Ok(Err(self.refused(caller, tool, None, None, "left-out", why.to_string()))),
        };
        Ok(self.decide(caller, tool, name, enclave.as_ref(), tentacle.as_ref()).await)
    }

    /// The enclave of a call: the one that is named; else, where the tool cannot do without, the caller's only one.
    fn place(
        &self,
        caller: &Caller,
        tool: &Tool,
        named: Option<EnclaveName>,
        tentacle: bool,
    ) -> Result<Option<EnclaveName>, LeftOut> {
        let needed = matches!(tool.authz.on, On::Tentacle | On::Enclave) || tentacle;
        match named {
            None if needed => {
                let enclaves = self.facts.enclaves();
                left_out(caller, enclaves.iter().map(AsRef::as_ref)).map(Some)
            }
            named => Ok(named),
        }
    }

    async fn decide(
        &self,
        caller: &Caller,
        tool: &Tool,
        name: &str,
        enclave: Option<&EnclaveName>,
        tentacle: Option<&TentacleName>,
    ) -> Result<Permit, Sentence> {
        let refused = |rule: &str, sentence: String| self.refused(caller, tool, enclave, tentacle, rule, sentence);
        let (stands, tentacle_facts) = match self.facts.of(enclave, tentacle).await {
            Ok(facts) => facts,
            Err(error) => return Err(refused("unknown-facts", error.to_string())),
        };
        let question = Question {
            caller,
            authorization: self.authorization,
            tool: name,
            authz: &tool.authz,
            enclave: enclave.map(|name| (name, stands.place())),
            tentacle: tentacle.map(|name| (name, tentacle_facts.as_ref())),
        };
        match evaluate(&question) {
            Ok(permit) => {
                let rule = label(permit.rule());
                self.observe(tool, "allowed", &rule);
                log(caller, tool, enclave, tentacle, "allowed", &rule, "");
                Ok(permit)
            }
            Err(denied) => Err(refused(denied.rule(), denied.to_string())),
        }
    }

    fn refused(
        &self,
        caller: &Caller,
        tool: &Tool,
        enclave: Option<&EnclaveName>,
        tentacle: Option<&TentacleName>,
        rule: &str,
        sentence: String,
    ) -> Sentence {
        self.observe(tool, "denied", rule);
        log(caller, tool, enclave, tentacle, "denied", rule, &sentence);
        sentence
    }

    fn observe(&self, tool: &Tool, outcome: &'static str, rule: &str) {
        let labels = DecisionLabels { tool: tool.name.clone(), outcome, rule: rule.to_owned() };
        self.decisions.get_or_create(&labels).inc();
    }
}

/// The audit record of a decision.
fn log(
    caller: &Caller,
    tool: &Tool,
    enclave: Option<&EnclaveName>,
    tentacle: Option<&TentacleName>,
    outcome: &str,
    rule: &str,
    reason: &str,
) {
    tracing::info!(
        tool = tool.name,
        sidecar = tool.sidecar,
        caller = caller.label(),
        sub = caller.identity().and_then(|identity| identity.sub.as_deref()),
        enclave = enclave.map(EnclaveName::as_str),
        tentacle = tentacle.map(TentacleName::as_str),
        needs = label(tool.authz.needs),
        outcome,
        rule,
        reason,
        "decision"
    );
}

/// How JSON spells a value of one of the contract's word lists.
fn label(word: impl serde::Serialize) -> String {
    serde_json::to_value(word).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn parse<N: std::str::FromStr<Err = tentacular_contract::names::InvalidName>>(
    text: Option<String>,
) -> Result<Option<N>, Refused> {
    text.map(|text| text.parse::<N>())
        .transpose()
        .map_err(|error| Refused { code: INVALID_PARAMS, message: error.to_string() })
}

fn names(pointers: &[String]) -> String {
    pointers.iter().map(|pointer| pointer.trim_start_matches('/')).collect::<Vec<_>>().join(" or ")
}
