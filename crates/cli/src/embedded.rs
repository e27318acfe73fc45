//! What `ferry init` writes, carried in the binary: templates of projects, and the npm packages that no registry has.

use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};

mod table {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// A file of a template or a package: its path there, with `/`.
pub(crate) type EmbeddedFile = (&'static str, &'static [u8]);

/// Names of the templates.
pub(crate) fn templates() -> Vec<&'static str> {
    folders(table::TEMPLATES)
}

/// The files of a template.
pub(crate) fn template(name: &str) -> Vec<EmbeddedFile> {
    below(table::TEMPLATES, name)
}

/// Names of the packages: `server` for `@ferry/server`.
pub(crate) fn packages() -> Vec<&'static str> {
    folders(table::PACKAGES)
}

/// A package as `npm pack` would make it, the same bytes each time.
pub(crate) fn packed(name: &str) -> io::Result<Vec<u8>> {
    // 255: no system's marks.
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    let mut archive = tar::Builder::new(gzip);
    for (path, content) in below(table::PACKAGES, name) {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("package/{path}"), content)?;
    }
    let mut gzip = archive.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}

fn folders(files: &[EmbeddedFile]) -> Vec<&'static str> {
    let mut names: Vec<&str> = files.iter().filter_map(|(path, _)| Some(path.split_once('/')?.0)).collect();
    names.dedup();
    names
}

fn below(files: &[EmbeddedFile], name: &str) -> Vec<EmbeddedFile> {
    let of_name = |(path, content): &EmbeddedFile| {
        Some((path.strip_prefix(name)?.strip_prefix('/')?, *content)).filter(|_| !name.is_empty())
    };
    files.iter().filter_map(of_name).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    // Verifies: FUN-70
    #[test]
    fn a_package_is_packed_to_the_same_bytes() {
        for name in packages() {
            let packed = packed(name).unwrap();
            assert_eq!(packed, super::packed(name).unwrap());
            let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&packed[..]));
            let paths: Vec<String> = archive
                .entries()
                .unwrap()
                .map(|entry| {
                    let mut entry = entry.unwrap();
                    let mut content = Vec::new();
                    entry.read_to_end(&mut content).unwrap();
                    assert!(!content.is_empty() || entry.size() == 0);
                    entry.path().unwrap().display().to_string()
                })
                .collect();
            assert!(paths.contains(&"package/package.json".to_owned()), "{name}: {paths:?}");
        }
    }

    #[test]
    fn each_template_has_what_a_project_needs() {
        assert!(!templates().is_empty());
        for name in templates() {
            let paths: Vec<&str> = template(name).iter().map(|(path, _)| *path).collect();
            for needed in [
                "_package.json",
                "_gitignore",
                "ferry/schema.ts",
                "ferry/functions/index.ts",
                "ferry/middlewares.ts",
                "ferry/types.ts",
                "ferry/client.ts",
                "ferry/_env",
            ] {
                assert!(paths.contains(&needed), "{name}: {needed} is missing among {paths:?}");
            }
        }
    }
}
