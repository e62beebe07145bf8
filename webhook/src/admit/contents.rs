//! What an object under review consists of, as Kubernetes defines it: read once for all rules that look into it, and of the
//! object as it was before only where a rule asks.

use std::{borrow::Cow, cell::OnceCell};

use serde_json::{Value, json};
use tentacular_contract::reach::{KINDS, Object, Violation};

use super::{Kind, Request, object::at};

/// Finalizer that Kubernetes puts on every claim.
const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";

/// An object that was read, or in what it is unlike Kubernetes' definition.
pub(super) type Read = Result<Object, Box<Violation>>;

/// The objects of a request.
pub(super) struct Contents<'a> {
    request: &'a Request<'a>,
    object: OnceCell<Option<Read>>,
    old: OnceCell<Option<Read>>,
}

impl<'a> Contents<'a> {
    pub(super) const fn of(request: &'a Request<'a>) -> Self {
        Self { request, object: OnceCell::new(), old: OnceCell::new() }
    }

    /// The object as it would be stored; none when it is deleted, or of a kind that no rule looks into.
    pub(super) fn object(&self) -> Option<&Read> {
        self.object.get_or_init(|| read(self.request, self.request.object?)).as_ref()
    }

    /// The object as it is stored; none when it is new, or of a kind that no rule looks into.
    pub(super) fn old(&self) -> Option<&Read> {
        self.old.get_or_init(|| read(self.request, self.request.old?)).as_ref()
    }
}

fn read(request: &Request<'_>, object: &Value) -> Option<Read> {
    let object = settled(request.kind, object);
    if KINDS.contains(&request.kind.as_str()) {
        return Some(Object::read(request.kind.as_str(), request.name, &object));
    }
    Some(Object::pods_of(request.kind.workload()?, request.name, &object))
}

/// Without the finalizers that Kubernetes itself puts on an object: on a claim, and on what is being deleted.
fn settled(kind: Kind, object: &Value) -> Cow<'_, Value> {
    let going = !at(Some(object), &["metadata", "deletionTimestamp"]).is_null();
    let finalizers = at(Some(object), &["metadata", "finalizers"]);
    if finalizers.is_null() || !going && (kind != Kind::CLAIM || finalizers != &json!([CLAIM_PROTECTION])) {
        return Cow::Borrowed(object);
    }
    let mut settled = object.clone();
    settled["metadata"]["finalizers"].take();
    Cow::Owned(settled)
}
