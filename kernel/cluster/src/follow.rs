//! Which watches begin and end when the set of enclaves changes. Pure, so that every order of events can be tested.

use std::collections::BTreeMap;

use tentacular_contract::EnclaveName;

/// Something to do, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// End the enclave's watch and forget its objects.
    Stop(EnclaveName),
    /// Begin a watch for the enclave, from nothing.
    Start(EnclaveName),
}

/// The enclaves that are watched, each with the uid of its namespace.
#[derive(Debug, Default)]
pub(crate) struct Follow {
    watched: BTreeMap<EnclaveName, String>,
}

impl Follow {
    /// What to do so that exactly `present` is watched. A namespace that was deleted and made again has another uid
    /// and starts afresh, also when nothing was seen of the time between.
    pub(crate) fn steps(&mut self, present: &BTreeMap<EnclaveName, String>) -> Vec<Step> {
        let ended = self.watched.iter().filter(|(name, uid)| present.get(*name) != Some(*uid));
        let begun = present.iter().filter(|(name, uid)| self.watched.get(*name) != Some(*uid));
        let ended = ended.map(|(name, _)| Step::Stop(name.clone()));
        let steps = ended.chain(begun.map(|(name, _)| Step::Start(name.clone()))).collect();
        self.watched.clone_from(present);
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enclaves(list: &[(&str, &str)]) -> BTreeMap<EnclaveName, String> {
        list.iter().map(|(name, uid)| (name.parse().unwrap(), (*uid).to_owned())).collect()
    }

    fn start(name: &str) -> Step {
        Step::Start(name.parse().unwrap())
    }

    fn stop(name: &str) -> Step {
        Step::Stop(name.parse().unwrap())
    }

    #[test]
    fn watches_follow_the_enclaves() {
        let mut follow = Follow::default();
        assert_eq!(follow.steps(&enclaves(&[("a", "1"), ("b", "2")])), [start("a"), start("b")]);
        assert_eq!(follow.steps(&enclaves(&[("a", "1"), ("b", "2")])), []);
        assert_eq!(follow.steps(&enclaves(&[("b", "2"), ("c", "3")])), [stop("a"), start("c")]);
        assert_eq!(follow.steps(&enclaves(&[])), [stop("b"), stop("c")]);
        assert_eq!(follow.steps(&enclaves(&[("a", "1")])), [start("a")]);
    }

    #[test]
    fn a_namespace_made_again_starts_afresh() {
        let mut follow = Follow::default();
        follow.steps(&enclaves(&[("a", "1"), ("b", "2")]));
        assert_eq!(follow.steps(&enclaves(&[("a", "9"), ("b", "2")])), [stop("a"), start("a")]);
    }
}
