//! The certificate that this server shows, and the issuer whose tokens it takes.

use std::path::PathBuf;

use clap::Args;
use disinherit_server::{OidcSettings, Role, TlsFiles};

use crate::error::CliError;

#[derive(Debug, Args)]
#[command(next_help_heading = "TLS and OpenID Connect")]
pub(super) struct TrustArgs {
    /// Speak TLS with this certificate, PEM, followed by those that it was issued by. It is read again on
    /// SIGHUP, and when it changes.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Take tokens of this OpenID Connect issuer too.
    #[arg(long, value_name = "URL")]
    oidc_issuer: Option<String>,
    /// Whom the issuer's tokens must be for (`aud`).
    #[arg(long, value_name = "NAME")]
    oidc_audience: Option<String>,
    /// The claim with the roles; with dots where it is inside another one.
    #[arg(long, default_value = "roles", value_name = "CLAIM")]
    oidc_roles_claim: String,
    /// What a value of that claim stands for; more with commas. Without any, they are names of roles.
    #[arg(long, value_name = "VALUE=ROLE", value_parser = mapping, value_delimiter = ',')]
    oidc_role: Vec<(String, Role)>,
}

impl TrustArgs {
    /// The certificate, if there is one.
    pub(super) fn tls(&self) -> Result<Option<TlsFiles>, CliError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            })),
            (None, None) => Ok(None),
            _ => Err(
                CliError::usage("a certificate needs its key, and a key its certificate")
                    .help("give `--tls-cert FILE` and `--tls-key FILE`"),
            ),
        }
    }

    /// The issuer, if there is one.
    pub(super) fn oidc(&self) -> Result<Option<OidcSettings>, CliError> {
        match (&self.oidc_issuer, &self.oidc_audience) {
            (Some(issuer), Some(audience)) => Ok(Some(OidcSettings {
                issuer: issuer.clone(),
                audience: audience.clone(),
                roles_claim: self.oidc_roles_claim.clone(),
                roles: self.oidc_role.iter().cloned().collect(),
            })),
            (None, None) => Ok(None),
            _ => Err(CliError::usage(
                "an issuer needs an audience, or its tokens for other services would be taken too",
            )
            .help("give `--oidc-issuer URL` and `--oidc-audience NAME`")),
        }
    }
}

fn mapping(text: &str) -> Result<(String, Role), String> {
    let wrong = || format!("`{text}` is not VALUE=ROLE, such as privacy-team=approver");
    let (value, role) = text.rsplit_once('=').ok_or_else(wrong)?;
    Ok((value.to_owned(), role.parse()?))
}
