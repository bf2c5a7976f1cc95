//! Removes what looks like a secret from a line of output.

use std::borrow::Cow;

/// What a secret is replaced by.
const REDACTED: &str = "[redacted]";
/// What secrets of well-known services begin with, and the least number of characters after it.
const PREFIXES: [(&str, usize); 22] = [
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("gamt_", 20),
    ("glpat-", 16),
    ("sk-", 20),
    ("sk_live_", 16),
    ("rk_live_", 16),
    ("whsec_", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("npm_", 20),
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("eyJ", 40),
];
/// Names whose values are secret if they end a name, such as `AWS_SECRET_ACCESS_KEY=...` or `"password": "..."`.
const NAMES: [&str; 10] = [
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "credential",
    "credentials",
];
/// The shortest value after such a name that is removed, in characters. Shorter ones are words such as `none`.
const MIN_VALUE_CHARS: usize = 6;

/// Returns a line without what looks like a secret: tokens of well-known services, values of names such as `PASSWORD`,
/// `Authorization` headers, passwords in addresses, and lines of private keys. It cannot find every secret: a program must
/// not print any.
pub fn redact(line: &str) -> Cow<'_, str> {
    if line.contains("PRIVATE KEY-----") || is_key_material(line) {
        return Cow::Borrowed(REDACTED);
    }
    let mut spans = Vec::new();
    find_tokens(line, &mut spans);
    find_named_values(line, &mut spans);
    find_authorization(line, &mut spans);
    find_passwords_of_addresses(line, &mut spans);
    if spans.is_empty() {
        return Cow::Borrowed(line);
    }
    spans.sort_unstable();
    let (mut text, mut at) = (String::with_capacity(line.len()), 0);
    for (start, end) in spans {
        if start >= at {
            text.push_str(&line[at..start]);
            text.push_str(REDACTED);
        }
        at = at.max(end);
    }
    text.push_str(&line[at..]);
    Cow::Owned(text)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

/// Returns whether a line is nothing but a long run of base64, as in a PEM file.
fn is_key_material(line: &str) -> bool {
    let text = line.trim();
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    // A hash in hexadecimal digits is no secret.
    text.len() >= 64
        && text.bytes().all(is_base64)
        && text.bytes().any(|byte| b"+/=".contains(&byte) || byte.is_ascii_uppercase())
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn find_tokens(line: &str, spans: &mut Vec<(usize, usize)>) {
    let bytes = line.as_bytes();
    for (prefix, min_rest) in PREFIXES {
        for (start, _) in line.match_indices(prefix) {
            let is_at_start = start == 0 || !bytes[start - 1].is_ascii_alphanumeric();
            let end = start + bytes[start..].iter().take_while(|byte| is_token_byte(**byte)).count();
            if is_at_start && end - start >= prefix.len() + min_rest {
                spans.push((start, end));
            }
        }
    }
}

/// Finds the values of assignments in the syntax of shells, JSON and YAML.
fn find_named_values(line: &str, spans: &mut Vec<(usize, usize)>) {
    let lower = line.to_ascii_lowercase();
    for name in NAMES {
        for (start, _) in lower.match_indices(name) {
            let rest = &line[start + name.len()..];
            let after_name = rest.trim_start_matches(['"', '\'']);
            let after_space = after_name.trim_start();
            let Some(value) = after_space.strip_prefix(['=', ':']) else { continue };
            // A path of Rust or a second colon is no value.
            if value.starts_with(':') || value.starts_with("//") {
                continue;
            }
            let value = value.trim_start().trim_start_matches(['"', '\'']);
            let from = line.len() - value.len();
            let length: usize = value
                .chars()
                .take_while(|c| !c.is_whitespace() && !matches!(c, '"' | '\'' | ',' | ';' | '&' | '}' | ')'))
                .map(char::len_utf8)
                .sum();
            if length >= MIN_VALUE_CHARS {
                spans.push((from, from + length));
            }
        }
    }
}

fn find_authorization(line: &str, spans: &mut Vec<(usize, usize)>) {
    let lower = line.to_ascii_lowercase();
    for scheme in ["bearer ", "basic "] {
        for (start, _) in lower.match_indices(scheme) {
            let from = start + scheme.len();
            let value = &line.as_bytes()[from..];
            let length =
                value.iter().take_while(|byte| is_token_byte(**byte) || b"~+/=".contains(byte)).count();
            if length >= 16 {
                spans.push((from, from + length));
            }
        }
    }
}

/// Finds the password in `https://user:password@host`.
fn find_passwords_of_addresses(line: &str, spans: &mut Vec<(usize, usize)>) {
    for (start, separator) in line.match_indices("://") {
        let from = start + separator.len();
        let authority: &str = line[from..].split(['/', ' ', '"', '\'', '?', '#']).next().unwrap_or_default();
        let Some((user_info, _)) = authority.rsplit_once('@') else { continue };
        if let Some((user, password)) = user_info.split_once(':')
            && !password.is_empty()
        {
            let from = from + user.len() + 1;
            spans.push((from, from + password.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_removed() {
        let token = format!("ghp_{}", "a1".repeat(18));
        for (line, expected) in [
            (format!("using {token}, ok"), "using [redacted], ok"),
            (
                format!("https://x-access-token:{token}@github.com/a/b.git"),
                "https://x-access-token:[redacted]",
            ),
            ("Authorization: Bearer abcdefghijklmnop.qrstuv".to_owned(), "Authorization: Bearer [redacted]"),
            ("AWS_SECRET_ACCESS_KEY=abcDEF123/+x".to_owned(), "AWS_SECRET_ACCESS_KEY=[redacted]"),
            (r#"{"password": "hunter22", "x": 1}"#.to_owned(), r#"{"password": "[redacted]", "x": 1}"#),
            ("api_key: 0123456789".to_owned(), "api_key: [redacted]"),
            ("postgres://me:hunter2@db/x".to_owned(), "postgres://me:[redacted]@db/x"),
            ("-----BEGIN RSA PRIVATE KEY-----".to_owned(), "[redacted]"),
            ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj".to_owned(), "[redacted]"),
            (format!("é {token} é"), "é [redacted] é"),
        ] {
            assert_eq!(redact(&line), expected, "{line}");
        }
    }

    #[test]
    fn ordinary_lines_stay() {
        for line in [
            "",
            "compiling gam-work v0.1.0",
            "token: none",
            "3 tokens: ok",
            "https://github.com/acme/site/pull/7",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "use token::Secret;",
            "password policy: see https://example.com",
        ] {
            assert_eq!(redact(line), line);
        }
    }
}
