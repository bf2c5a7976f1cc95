//! The ids that `git commit` prints: `[branch 1a2b3c4] subject`.

/// The most bytes between the brackets.
const MAX_BRACKET_BYTES: usize = 250;
/// The most commits of one tool call. A longer list is a printed history.
const MAX_COMMITS: usize = 20;

/// Returns the abbreviated commit ids in the output of `git commit`, as it stands in JSON, in order.
pub(crate) fn printed_commit_ids(json: &str) -> Vec<&str> {
    let bytes = json.as_bytes();
    let mut ids: Vec<&str> = Vec::new();
    for open in memchr::memchr_iter(b'[', bytes) {
        // A line begins after a quotation mark, or after the two characters of an escaped newline.
        let starts_line = matches!(&bytes[..open], [.., b'"'] | [.., b'\\', b'n']);
        let end = (open + MAX_BRACKET_BYTES).min(bytes.len());
        let Some(close) = memchr::memchr(b']', &bytes[open..end]).filter(|_| starts_line) else { continue };
        let Some(inside) = json.get(open + 1..open + close) else { continue };
        let is_followed_by_subject = bytes.get(open + close + 1) == Some(&b' ');
        if let Some((branch, id)) = inside.rsplit_once(' ')
            && is_followed_by_subject
            && !branch.is_empty()
            && (7..=40).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            && !ids.contains(&id)
        {
            ids.push(id);
        }
        if ids.len() == MAX_COMMITS {
            break;
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_commits_are_found() {
        assert_eq!(printed_commit_ids(r#""[main 1a2b3c4] Fix it\n 1 file changed""#), ["1a2b3c4"]);
        assert_eq!(
            printed_commit_ids(r#""x\n[main (root-commit) 1a2b3c4] A\n[d e 0123456789] B""#),
            ["1a2b3c4", "0123456789"]
        );
        assert_eq!(printed_commit_ids(r#""[detached HEAD abcdef0] A""#), ["abcdef0"]);
    }

    #[test]
    fn other_brackets_are_no_commits() {
        for text in [
            r#""see [main 1a2b3c4] A""#,
            r#""[1a2b3c4] A""#,
            r#""[main 1a2b3c4]""#,
            r#""[main 1A2B3C4] A""#,
            r#""[main 12345] A""#,
            r#""[日本 1a2b3c"#,
        ] {
            assert_eq!(printed_commit_ids(text), Vec::<&str>::new(), "{text}");
        }
    }
}
