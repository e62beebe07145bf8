//! The types of an admission webhook: what the API server asks and what it is answered.
//!
//! Objects under review are [`crate::Object`]: `AdmissionReview<Object>`.

pub use kube::core::{
    GroupVersionKind, GroupVersionResource, Status,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, ConvertAdmissionReviewError, Operation},
};
