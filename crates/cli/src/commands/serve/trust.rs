//! The certificate that this server shows, and the issuer whose tokens it takes.

use std::path::PathBuf;

use clap::Args;
use disinherit_server::{ClientSecret, OidcSettings, Role, SignInSettings, TlsFiles};

use crate::error::CliError;
use crate::files;

/// The variable with the client's secret. It is no flag, so that it is in no list of processes and no printed settings.
const SECRET: &str = "DISINHERIT_SERVE_OIDC_CLIENT_SECRET";

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
    /// Where browsers reach this server, such as https://desk.example.org: people sign in on the page through the
    /// issuer then.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// What the issuer calls this server; the audience when not given.
    #[arg(long, value_name = "ID")]
    oidc_client_id: Option<String>,
    /// A file with this server's secret at the issuer, if it has one; DISINHERIT_SERVE_OIDC_CLIENT_SECRET has it
    /// otherwise.
    #[arg(long, value_name = "FILE")]
    oidc_client_secret_file: Option<PathBuf>,
    /// What is asked of the issuer beside `openid`, such as `profile`; more with commas.
    #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
    oidc_scope: Vec<String>,
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
                sign_in: self.sign_in(audience)?,
            })),
            (None, None) if self.public_url.is_some() || self.has_client() => Err(CliError::usage(
                "there is no issuer that people could sign in through",
            )
            .help("give `--oidc-issuer URL` and `--oidc-audience NAME`")),
            (None, None) => Ok(None),
            _ => Err(CliError::usage(
                "an issuer needs an audience, or its tokens for other services would be taken too",
            )
            .help("give `--oidc-issuer URL` and `--oidc-audience NAME`")),
        }
    }

    /// How people sign in through the issuer, if they can.
    fn sign_in(&self, audience: &str) -> Result<Option<SignInSettings>, CliError> {
        let Some(public_url) = &self.public_url else {
            return match self.has_client() {
                true => Err(CliError::usage(
                    "the issuer sends people back to where browsers reach this server, which is not said",
                )
                .help("give `--public-url URL`")),
                false => Ok(None),
            };
        };
        let client_id = self.oidc_client_id.as_deref().unwrap_or(audience);
        Ok(Some(SignInSettings {
            public_url: public_url.clone(),
            client_id: client_id.to_owned(),
            client_secret: self.secret()?,
            scopes: self.oidc_scope.clone(),
        }))
    }

    /// Whether something is said that only a sign-in through the issuer needs.
    fn has_client(&self) -> bool {
        self.oidc_client_id.is_some()
            || self.oidc_client_secret_file.is_some()
            || !self.oidc_scope.is_empty()
    }

    /// The client's secret, from its file or from the environment.
    fn secret(&self) -> Result<Option<ClientSecret>, CliError> {
        let named = std::env::var(SECRET).ok();
        let text = match (&self.oidc_client_secret_file, named) {
            (Some(_), Some(_)) => {
                let reason = format!("the client's secret is in a file and in {SECRET}");
                return Err(CliError::usage(reason).help("give one of them"));
            }
            (Some(file), None) => files::read_text(file)?,
            (None, Some(text)) => text,
            (None, None) => return Ok(None),
        };
        match text.trim() {
            "" => Err(CliError::usage("the client's secret is empty")),
            text => Ok(Some(ClientSecret::new(text))),
        }
    }
}

fn mapping(text: &str) -> Result<(String, Role), String> {
    let wrong = || format!("`{text}` is not VALUE=ROLE, such as privacy-team=approver");
    let (value, role) = text.rsplit_once('=').ok_or_else(wrong)?;
    Ok((value.to_owned(), role.parse()?))
}
