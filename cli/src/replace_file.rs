//! Replacing a file at once.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// How many symbolic links are followed, as Linux does.
const MAX_LINKS: usize = 40;

/// Replaces the content of a file at once: who reads it sees the old or the new content. A symbolic link stays, and the
/// file that it leads to is replaced. The permissions stay. A missing file is created for this user alone.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = link_target(path)?;
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    match fs::metadata(&target) {
        Ok(metadata) => file.as_file().set_permissions(metadata.permissions())?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    file.persist(&target)?;
    Ok(())
}

/// Returns the file that a symbolic link leads to, or the path if it is no link.
fn link_target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            // It is no link, or it is missing.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_link_and_the_permissions_stay() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("dotfiles")).unwrap();
        fs::write(at("dotfiles/settings.json"), "old").unwrap();
        fs::set_permissions(at("dotfiles/settings.json"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("dotfiles/settings.json", at("link")).unwrap();
        symlink(at("link"), at("settings.json")).unwrap();
        replace_file(&at("settings.json"), b"new").unwrap();
        assert!(at("settings.json").is_symlink() && at("link").is_symlink());
        assert_eq!(fs::read_to_string(at("dotfiles/settings.json")).unwrap(), "new");
        let mode = fs::metadata(at("dotfiles/settings.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);

        // A link that leads nowhere yet, and a missing file.
        symlink("dotfiles/other.json", at("other")).unwrap();
        replace_file(&at("other"), b"1").unwrap();
        replace_file(&at("plain"), b"2").unwrap();
        assert_eq!(fs::read_to_string(at("dotfiles/other.json")).unwrap(), "1");
        assert_eq!(fs::read_to_string(at("plain")).unwrap(), "2");
        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        assert!(replace_file(&at("a"), b"3").is_err(), "a circle");
    }
}

/// Makes the file names in a directory durable.
///
/// # Errors
/// If the directory cannot be opened or synced.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match File::open(path)?.sync_all() {
        // Some network and container file systems cannot sync directories.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}
