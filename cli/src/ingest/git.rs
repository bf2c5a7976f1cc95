//! The git checkout of a directory: where it is, and its remotes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use url::Url;

/// A checkout of a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitCheckout {
    /// The top directory.
    pub(crate) root: PathBuf,
    /// The names and addresses of its remotes: `origin` first, then `upstream`, then the others by name.
    pub(crate) remotes: Vec<(String, String)>,
}

/// A repository that an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteRepository {
    /// The host; without a dot it may be an alias of the SSH configuration.
    pub(crate) host: String,
    /// The login of the owner.
    pub(crate) owner: String,
    /// The name of the repository.
    pub(crate) name: String,
}

/// Finds the checkout that a directory is in; `None` if there is none, or the directory does not exist. Links are
/// followed, and a worktree belongs to the repository that it was made from.
pub(crate) fn find_checkout(directory: &Path) -> Option<GitCheckout> {
    let directory = fs::canonicalize(directory).ok()?;
    let root = directory.ancestors().find(|ancestor| ancestor.join(".git").exists())?;
    let config = fs::read_to_string(common_directory(&root.join(".git"))?.join("config")).ok()?;
    let mut remotes = parse_remotes(&config);
    remotes.sort_by_key(|(name, _)| match name.as_str() {
        "origin" => (0, String::new()),
        "upstream" => (1, String::new()),
        _ => (2, name.clone()),
    });
    Some(GitCheckout { root: root.to_owned(), remotes })
}

/// Returns the directory with the configuration of a repository. In a worktree or a submodule, `.git` is a file that
/// names another directory, and that one may name the directory which all worktrees share.
fn common_directory(dot_git: &Path) -> Option<PathBuf> {
    if dot_git.is_dir() {
        return Some(dot_git.to_owned());
    }
    let text = fs::read_to_string(dot_git).ok()?;
    let own = dot_git.parent()?.join(text.strip_prefix("gitdir:")?.trim());
    match fs::read_to_string(own.join("commondir")) {
        Ok(common) => Some(own.join(common.trim())),
        Err(_) => Some(own),
    }
}

/// Returns the remotes in the text of a configuration of git.
fn parse_remotes(config: &str) -> Vec<(String, String)> {
    let mut remotes: Vec<(String, String)> = Vec::new();
    let mut section: Option<String> = None;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            let name = line.strip_prefix("[remote \"").and_then(|rest| rest.split_once("\"]"));
            section = name.map(|(name, _)| name.to_owned());
        } else if let (Some(name), Some((key, value))) = (&section, line.split_once('='))
            && key.trim().eq_ignore_ascii_case("url")
            && !remotes.iter().any(|(known, _)| known == name)
        {
            remotes.push((name.clone(), value.trim().trim_matches('"').to_owned()));
        }
    }
    remotes
}

/// Parses the address of a remote: `https://HOST/OWNER/NAME.git`, `ssh://git@HOST/OWNER/NAME`, `git@HOST:OWNER/NAME`.
/// `None` for any other address.
pub(crate) fn parse_remote(address: &str) -> Option<RemoteRepository> {
    let (host, path) = match Url::parse(address) {
        Ok(url) if url.has_host() => (url.host_str()?.to_lowercase(), url.path().to_owned()),
        // An address with a scheme and without a host is a path on this machine.
        _ if address.contains("://") => return None,
        _ => {
            let (host, path) = address.split_once(':')?;
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            (host.to_lowercase(), path.to_owned())
        }
    };
    let path = path.trim_matches('/');
    let (owner, name) = path.strip_suffix(".git").unwrap_or(path).split_once('/')?;
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    (is_name(owner) && is_name(name)).then(|| RemoteRepository {
        host,
        owner: owner.to_owned(),
        name: name.to_owned(),
    })
}

/// Returns the e-mail address that git uses for commits in the directory; `None` if there is no git, or it has none.
pub(crate) fn email(directory: &Path) -> Option<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(directory).args(["config", "--get", "user.email"]);
    let output = git.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let email = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !email.is_empty()).then_some(email)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "[core]\n\tbare = false\n[remote \"fork\"]\n\turl = git@github.com:ann/site.git\n\
        [remote \"origin\"]\n\turl = https://github.com/acme/site.git\n\tfetch = x\n[branch \"main\"]\n\turl = no\n";

    fn names(checkout: &GitCheckout) -> Vec<&str> {
        checkout.remotes.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn checkouts_are_found_from_directories_worktrees_and_links() {
        let top = tempfile::tempdir().unwrap();
        let path = |path: &str| top.path().join(path);
        fs::create_dir_all(path("site/.git/worktrees/fix")).unwrap();
        fs::create_dir_all(path("site/src/deep")).unwrap();
        fs::create_dir_all(path("worktrees/fix/src")).unwrap();
        fs::create_dir_all(path("elsewhere")).unwrap();
        fs::write(path("site/.git/config"), CONFIG).unwrap();
        fs::write(path("site/.git/worktrees/fix/commondir"), "../..\n").unwrap();
        let git_directory = path("site/.git/worktrees/fix");
        fs::write(path("worktrees/fix/.git"), format!("gitdir: {}\n", git_directory.display())).unwrap();
        for directory in ["site", "site/src/deep", "worktrees/fix/src"] {
            let checkout = find_checkout(&path(directory)).unwrap();
            assert_eq!(names(&checkout), ["origin", "fork"], "{directory}");
        }
        assert_eq!(find_checkout(&path("elsewhere")), None);
        assert_eq!(find_checkout(&path("site/deleted")), None);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("site/src"), path("link")).unwrap();
            assert!(find_checkout(&path("link")).is_some());
        }
    }

    #[test]
    fn addresses_name_repositories() {
        let parsed = |address: &str| {
            parse_remote(address).map(|remote| format!("{} {} {}", remote.host, remote.owner, remote.name))
        };
        for address in [
            "https://github.com/Acme/site.git",
            "https://token@GitHub.com/Acme/site",
            "ssh://git@github.com:22/Acme/site.git",
            "git@github.com:Acme/site.git",
            "github.com:/Acme/site/",
        ] {
            assert_eq!(parsed(address).as_deref(), Some("github.com Acme site"), "{address}");
        }
        assert_eq!(parsed("git@work:acme/a.b").as_deref(), Some("work acme a.b"));
        for address in ["/srv/git/site.git", "file:///srv/site", "https://example.org/a/b/c", "", "a:b"] {
            assert_eq!(parsed(address), None, "{address}");
        }
    }
}
