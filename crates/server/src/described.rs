//! The service as it describes itself: the calls in JSON, and their OpenAPI description.

use std::sync::Arc;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{bundle, events, log, messages, models, requests, steps, webhooks};
use crate::app::App;

/// The description of the service.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "disinherit",
        description = "Erasure requests for machine learning models, from their arrival to the purge. Every call but \
                       this one needs a bearer token."
    ),
    security(("token" = [])),
    modifiers(&Tokens)
)]
struct Description;

struct Tokens;

impl utoipa::Modify for Tokens {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("token", scheme);
    }
}

/// The description of the service, OpenAPI 3.1, from its code.
pub fn description() -> utoipa::openapi::OpenApi {
    api().split_for_parts().1
}

/// The calls in JSON, each with its description.
pub(crate) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(requests::list, requests::file))
        .routes(routes!(requests::preview))
        .routes(routes!(requests::show))
        .routes(routes!(requests::jobs))
        .routes(routes!(events::of_request))
        .routes(routes!(events::all))
        .routes(routes!(requests::scope))
        .routes(routes!(requests::history))
        .routes(routes!(requests::verdicts))
        .routes(routes!(requests::certificate))
        .routes(routes!(bundle::bundle))
        .routes(routes!(steps::comment))
        .routes(routes!(steps::plan))
        .routes(routes!(steps::approve))
        .routes(routes!(steps::reject))
        .routes(routes!(steps::extend))
        .routes(routes!(steps::run))
        .routes(routes!(steps::cancel))
        .routes(routes!(steps::verify))
        .routes(routes!(steps::certify))
        .routes(routes!(steps::purge))
        .routes(routes!(steps::close))
        .routes(routes!(models::list))
        .routes(routes!(log::list))
        .routes(routes!(webhooks::list, webhooks::add))
        .routes(routes!(messages::list))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::pause))
        .routes(routes!(webhooks::resume))
        .routes(routes!(webhooks::remove))
}
