//! Makes the table of the files that `ferry init` writes: templates, and the packages that no npm registry has.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let variable = |name| PathBuf::from(env::var_os(name).expect("cargo sets it for build scripts"));
    let (crate_folder, out) = (variable("CARGO_MANIFEST_DIR"), variable("OUT_DIR"));
    let mut table = String::new();
    for (name, folder) in [("TEMPLATES", "templates"), ("PACKAGES", "packages")] {
        println!("cargo::rerun-if-changed={folder}");
        let folder = crate_folder.join(folder);
        let mut files = Vec::new();
        collect(&folder, &mut files)?;
        files.sort();
        writeln!(table, "pub(crate) const {name}: &[(&str, &[u8])] = &[").expect("a String takes all");
        for file in files {
            let path = file.strip_prefix(&folder).expect("the walk stays below the folder");
            let path = path.to_string_lossy().replace('\\', "/");
            writeln!(table, "    ({path:?}, include_bytes!({:?})),", file.display().to_string())
                .expect("a String takes all");
        }
        table.push_str("];\n");
    }
    fs::write(out.join("embedded.rs"), table)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            // What a developer's npm and the build leave here is not shipped.
            Some("node_modules" | "package-lock.json" | ".ferry") => {}
            _ if entry.file_type()?.is_dir() => collect(&entry.path(), files)?,
            _ => files.push(entry.path()),
        }
    }
    Ok(())
}
