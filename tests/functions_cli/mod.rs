//! The command line of functions: the real binary, projects that it makes, hubs that it brings or meets.

mod dev;
mod init;

use ferry_testkit::dev::DevProject;

use crate::support::FERRY;

/// A project of the plain template.
pub(crate) fn project() -> DevProject {
    DevProject::new(FERRY)
}
