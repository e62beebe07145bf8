//! One call of a tool: checked, authorized, and forwarded, with its record.

use tentacular_contract::Caller;
use tentacular_process::{http::BoxResponse, link::envelope::INVALID_PARAMS};

use super::{
    Inner, answer,
    concurrency::Running,
    forward::{Call, sidecar_headers},
    message::Message,
};
use crate::{audit::Record, refusal::Refusal};

/// Characters of an unknown name that are told back.
const NAME_SHOWN: usize = 128;

impl Inner {
    /// Answers a call; the error is the kernel's own answer.
    pub(super) async fn call(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        mut record: Record,
    ) -> Result<BoxResponse, Box<BoxResponse>> {
        match self.permitted(caller, message, &mut record).await {
            Ok((call, running)) => Ok(self.forwarder.forward(call, record, running).await),
            Err(refusal) => {
                record.denied(&refusal);
                Err(Box::new(answer::refusal(message.id, &refusal, message.era)))
            }
        }
    }

    async fn permitted(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        record: &mut Record,
    ) -> Result<(Call, Running), Refusal> {
        message.check_version()?;
        let invalid = |rule, message: String| Refusal::error(rule, INVALID_PARAMS, message);
        let name = message.envelope.name.as_deref();
        let name = name.ok_or_else(|| invalid("invalid-params", "params.name must name a tool".to_owned()))?;
        let catalog = self.registry.catalog();
        let Some(tool) = catalog.find(name) else {
            return Err(unknown_tool(name));
        };
        record.tool(tool);
        if message.envelope.arguments.is_some_and(|arguments| !arguments.starts_with('{')) {
            return Err(invalid("invalid-params", "params.arguments must be an object".to_owned()));
        }
        message.check_headers(&tool.param_headers)?;
        let running = self.concurrency.begin(caller, message.body.len());
        let running = running.map_err(|much| Refusal::sentence("too-many-calls", much.to_string()))?;
        let permit = self.authorizer.permit(caller, tool, name, &message.envelope, record).await?;
        let call = Call {
            tool: tool.clone(),
            name: name.to_owned(),
            headers: sidecar_headers(message.headers, &tool.param_headers, caller, &permit),
            body: message.body.clone(),
            id: message.id.to_owned(),
            era: message.era,
        };
        Ok((call, running))
    }
}

fn unknown_tool(name: &str) -> Refusal {
    let shown: String = name.chars().take(NAME_SHOWN).collect();
    Refusal::error("unknown-tool", INVALID_PARAMS, format!("unknown tool {shown:?}: see tools/list"))
}
