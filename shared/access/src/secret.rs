//! The secret of a token.

use std::fmt;

use sha2::{Digest, Sha256};

/// What every token begins with, so that people and scanners for secrets recognize one.
const PREFIX: &str = "gamt_";
const SECRET_BYTES: usize = 32;
/// The longest secret that is looked up.
const MAX_SECRET_BYTES: usize = 512;

/// A token as its holder sends it. Its debug output does not contain it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(String);

impl TokenSecret {
    /// Creates 256 random bits from the operating system's source.
    ///
    /// # Panics
    /// If the operating system has no random numbers, which no supported one lacks.
    pub fn random() -> Self {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).expect("the operating system has random numbers");
        TokenSecret(format!("{PREFIX}{}", hex::encode(bytes)))
    }

    /// Takes what somebody sent as a token. `None` if no token looks like that: it has printable ASCII characters without
    /// spaces. RFC 6750 allows fewer of them, but a deployment may have chosen a token with others.
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid =
            (1..=MAX_SECRET_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_valid.then(|| TokenSecret(text.to_owned()))
    }

    /// Returns whether a cookie can hold the secret as it is (RFC 6265, section 4.1.1).
    pub fn fits_cookie(&self) -> bool {
        !self.0.contains(['"', ',', ';', '\\'])
    }

    /// Returns the SHA-256 of the secret, as 64 hexadecimal digits. Whoever compares only hashes reveals nothing
    /// about a secret by the time that the comparison takes.
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(&self.0))
    }

    /// Returns the secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_random_and_do_not_print() {
        let (a, b) = (TokenSecret::random(), TokenSecret::random());
        assert_ne!(a, b);
        assert_eq!(a.expose().len(), PREFIX.len() + 64);
        assert_eq!(TokenSecret::parse(a.expose()), Some(a.clone()));
        assert!(!format!("{a:?}").contains(&a.expose()[PREFIX.len()..]));
        let hash = "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272";
        assert_eq!(TokenSecret::parse("sesame").unwrap().hash(), hash);
    }

    #[test]
    fn only_texts_of_a_header_can_be_secrets() {
        for invalid in ["", " ", "a b", "ä", "a\n", &"x".repeat(513)] {
            assert_eq!(TokenSecret::parse(invalid), None, "{invalid:?}");
        }
        assert!(TokenSecret::parse("aZ0-._~+/==").is_some_and(|secret| secret.fits_cookie()));
        assert!(TokenSecret::parse("a;b").is_some_and(|secret| !secret.fits_cookie()));
    }
}
