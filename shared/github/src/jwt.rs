//! The JSON Web Tokens with which a GitHub App identifies itself, signed with the app's private key.
//!
//! See <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app>.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;

use crate::credentials::AppCredentials;
use crate::error::Error;

/// How far a token's start lies in the past, because clocks differ.
const CLOCK_SKEW_ALLOWANCE: TimeDelta = TimeDelta::seconds(60);
/// How long a token is valid. GitHub accepts at most ten minutes.
pub(crate) const TOKEN_LIFETIME: TimeDelta = TimeDelta::minutes(8);

/// Signs the tokens of an app.
pub(crate) struct AppTokenSigner {
    id: String,
    key: KeyPair,
}

impl AppTokenSigner {
    /// Reads the app's private key.
    ///
    /// # Errors
    /// If it is not an RSA key in PEM format.
    pub(crate) fn new(app: &AppCredentials) -> Result<Self, Error> {
        let invalid = |why: String| {
            Error::Invalid(format!(
                "cannot use the GitHub App's private key ({why}): provide the PEM file that GitHub made for the \
                 app"
            ))
        };
        let der = PrivateKeyDer::from_pem_slice(app.private_key_pem.as_bytes())
            .map_err(|_| invalid("it is not a private key in PEM format".to_owned()))?;
        let key = match &der {
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(invalid("it is not an RSA key".to_owned())),
        };
        Ok(AppTokenSigner { id: app.id.clone(), key: key.map_err(|error| invalid(error.to_string()))? })
    }

    /// Returns a token that is valid for some minutes around `now`.
    ///
    /// # Errors
    /// If the key cannot sign.
    pub(crate) fn sign(&self, now: DateTime<Utc>) -> Result<String, Error> {
        let header = json!({ "alg": "RS256", "typ": "JWT" });
        let claims = json!({
            "iat": (now - CLOCK_SKEW_ALLOWANCE).timestamp(),
            "exp": (now + TOKEN_LIFETIME).timestamp(),
            "iss": self.id,
        });
        let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| Error::Invalid("the GitHub App's private key cannot sign".to_owned()))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    /// Made for this test: `openssl genrsa -traditional 2048`.
    const KEY: &str = include_str!("../testdata/app_key.pem");

    fn app(pem: &str) -> AppCredentials {
        AppCredentials {
            id: "77".into(),
            private_key_pem: pem.into(),
            now: || DateTime::from_timestamp(1_800_000_000, 0).expect("a moment"),
        }
    }

    #[test]
    fn tokens_are_signed_and_short_lived() {
        let app = app(KEY);
        let signer = AppTokenSigner::new(&app).unwrap();
        let token = signer.sign((app.now)()).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, signer.key.public().as_ref());
        public.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(message.split_once('.').unwrap().1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims, json!({ "iat": 1_799_999_940, "exp": 1_800_000_480, "iss": "77" }));
    }

    #[test]
    fn invalid_keys_are_refused_without_being_printed() {
        for pem in ["", "hunter2", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"] {
            let error = AppTokenSigner::new(&app(pem)).err().expect("an invalid key").to_string();
            assert!(error.contains("PEM file") && !error.contains("hunter2"), "{error}");
        }
    }
}
