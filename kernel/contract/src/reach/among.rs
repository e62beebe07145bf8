//! What shows only beside the other objects of the release and beside its neighbours.

use std::collections::BTreeSet;

use super::{
    Scope, Violation,
    neighbours::{Choice, Neighbours, Pods},
    object::Object,
    reference::Reference,
    reserved,
    violation::{Findings, Rule},
};

/// Kind and name of every object that a release has or is to have.
pub type Names = BTreeSet<(String, String)>;

/// Kinds that others refer to by name, for which the names of [`reserved`] are kept.
const REFERRED: [&str; 2] = ["ConfigMap", "Secret"];

/// Kinds of which a tentacle's own name is kept: it is the one, and is called at the other.
const CALLED: [&str; 2] = ["Deployment", "Service"];

impl Scope<'_> {
    /// What the rules hold against the objects of a release, beside [`Scope::alone`], given what else is in the enclave.
    /// `names` are the names that the release has, whether or not they are among `objects`.
    pub fn among(&self, objects: &[Object], names: &Names, neighbours: &Neighbours) -> Vec<Violation> {
        objects.iter().flat_map(|object| self.one_among(object, names, neighbours)).collect()
    }

    fn one_among(&self, object: &Object, names: &Names, neighbours: &Neighbours) -> Vec<Violation> {
        let mut found = Findings::of(object.title());
        if let Some(tentacle) = keeper(object, neighbours) {
            let problem = format!("is a name that is kept for tentacle {tentacle}");
            found.add(Rule::Name, "metadata.name", object.name(), problem, "choose another");
        }
        self.call(object, names, neighbours, &mut found);
        for reference in object.references(self) {
            self.reference(&reference, names, neighbours, &mut found);
        }
        selectors(object, neighbours, &mut found);
        labels(object, neighbours, &mut found);
        for (field, host) in object.hosts() {
            if let Some(whose) = neighbours.hosts.get(host) {
                found.add(Rule::Host, field, host, format!("is a host of {whose}"), "choose another");
            }
        }
        found.into_violations()
    }

    /// Whoever calls the tentacle calls the Service of its name, which another release may have made before.
    fn call(&self, object: &Object, names: &Names, neighbours: &Neighbours, found: &mut Findings) {
        let service = ("Service".to_owned(), self.tentacle.as_str().to_owned());
        let is_called = object.kind() == "Deployment" && object.name() == self.tentacle.as_str();
        if !is_called || names.contains(&service) {
            return;
        }
        if let Some(Some(other)) = neighbours.names.get(&service) {
            let problem = format!("would be called at a Service of tentacle {other}");
            found.add(Rule::Name, "metadata.name", object.name(), problem, "choose another");
        }
    }

    fn reference(&self, reference: &Reference, names: &Names, neighbours: &Neighbours, found: &mut Findings) {
        if reference.is_settled(self) {
            return;
        }
        let Reference { kind, name, field } = reference;
        let meant = (kind.clone(), name.clone());
        if names.contains(&meant) {
            return;
        }
        let kept = REFERRED.contains(&kind.as_str()) && reserved(self.tentacle.as_str()).contains(name);
        let problem = match neighbours.names.get(&meant) {
            // Nobody's object under a name that is kept for this tentacle was made for it.
            None | Some(None) if kept => return,
            Some(Some(other)) => format!("is a {kind} of tentacle {other}"),
            Some(None) => format!("is a {kind} that belongs to no tentacle"),
            None => format!("is no {kind} of this tentacle"),
        };
        let fix = format!("name a {kind} that is among the manifests");
        found.add(Rule::Reference, field, name, problem, fix);
    }
}

/// The other tentacle that the object's name is kept for.
fn keeper<'a>(object: &Object, neighbours: &'a Neighbours) -> Option<&'a String> {
    neighbours.tentacles.iter().find(|tentacle| {
        REFERRED.contains(&object.kind()) && reserved(tentacle).iter().any(|name| name == object.name())
            || CALLED.contains(&object.kind()) && *tentacle == object.name()
    })
}

/// Pods of others that the object selects.
fn selectors(object: &Object, neighbours: &Neighbours, found: &mut Findings) {
    for chooser in object.choosers() {
        // What selects everything was refused without looking at anybody.
        let Some(selector) = chooser.selector.filter(super::selector::Selector::asks_for_a_value) else { continue };
        let caught = |pods: &&Pods| selector.matches(&pods.labels);
        if let Some(Pods { whose, .. }) = neighbours.pods.iter().find(caught) {
            let problem = format!("selects pods of {whose}");
            found.add(
                Rule::Selector,
                chooser.field,
                selector.to_string(),
                problem,
                "select this tentacle's pods alone",
            );
        }
    }
}

/// Selectors of other tentacles that the object's pods would fall under.
fn labels(object: &Object, neighbours: &Neighbours, found: &mut Findings) {
    let Some((field, labels)) = object.pods() else { return };
    // A selector that asks for no value catches whatever labels there are.
    let catches = |choice: &&Choice| choice.selector.asks_for_a_value() && choice.selector.matches(labels);
    if let Some(Choice { whose, selector }) = neighbours.selectors.iter().find(catches) {
        let problem = format!("is what {whose} selects");
        found.add(Rule::Labels, field, selector.to_string(), problem, "choose other labels");
    }
}
