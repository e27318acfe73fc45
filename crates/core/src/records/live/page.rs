//! Pages that many subscribers take.

use crate::records::Whom;

/// A page that many subscribers take. It is complete for all that have everything up to where it begins, or up to any
/// position inside of it.
#[derive(Debug)]
pub struct SharedPage<T> {
    /// Devices that need a page of their own, since they wrote some of it; if it suits none that says who it is.
    pub whom: Whom,
    /// What is sent.
    pub content: T,
}

impl<T> SharedPage<T> {
    /// Whether it suits this device.
    #[must_use]
    pub fn suits(&self, device: Option<&str>) -> bool {
        let Whom { writers, only_nameless } = &self.whom;
        device.is_none_or(|device| !only_nameless && !writers.iter().any(|writer| writer == device))
    }
}
