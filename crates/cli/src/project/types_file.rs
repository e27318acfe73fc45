//! `.generated/api.d.ts`: the types of a project's functions, for pages (FUN-73).

use std::{fmt::Write as _, fs, io, io::Write as _, path::Path};

use serde_json::Value;

use super::Project;
use crate::failure::Failure;

/// Its folder, and its name there.
pub(crate) const FOLDER: &str = ".generated";
pub(crate) const NAME: &str = "api.d.ts";

/// Types of functions of which no more is known than their names.
pub(crate) fn untyped(manifest: &Value) -> String {
    let mut text = String::from(
        "// Made by ferry without TypeScript: the arguments and results are not known.\nimport \"@ferry/client/functions\";\nexport interface Api {\n",
    );
    for function in manifest["functions"].as_array().map_or(&[][..], Vec::as_slice) {
        if function["internal"] == true {
            continue;
        }
        let (name, kind) = (&function["name"], &function["kind"]);
        writeln!(text, "  {name}: {{ kind: {kind}; args?: any; result: any }};")
            .expect("BUG: a String takes all");
    }
    text.push_str("}\ndeclare module \"@ferry/client/functions\" {\n  interface Register { api: Api }\n}\n");
    text
}

/// Writes the file, whole or not at all, and only if it changes: bundlers watch it.
pub(crate) fn write(project: &Project, text: &str) -> Result<bool, Failure> {
    write_to(&project.dir, text)
}

/// The same below another folder.
pub(crate) fn write_to(dir: &Path, text: &str) -> Result<bool, Failure> {
    let folder = dir.join(FOLDER);
    let path = folder.join(NAME);
    if fs::read_to_string(&path).is_ok_and(|before| before == text) {
        return Ok(false);
    }
    let write = || -> io::Result<()> {
        fs::create_dir_all(&folder)?;
        let mut file = tempfile::Builder::new().prefix(".api-").suffix(".tmp").tempfile_in(&folder)?;
        file.write_all(text.as_bytes())?;
        readable(file.as_file())?;
        file.persist(&path).map(drop).map_err(|error| error.error)
    };
    write().map_err(|error| Failure::other(format!("writing {}: {error}", path.display())))?;
    Ok(true)
}

/// Temporary files are their owner's alone; this one is for other tools too.
fn readable(file: &fs::File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}
