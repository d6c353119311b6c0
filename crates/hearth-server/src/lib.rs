//! HTTP and every wire format. All routes are on this page.
//!
//! A request passes, from outside in: `log` (one line each), `error::shape` (errors get their protocol's form), `guard`
//! (pages of other sites stay out), `auth` (the API key), and then its handler; below `/admin/v1` `admin::guard` takes the
//! place of `auth`. [`serve`] is the accept loop below it all; `ui` is Hearth's own page.

mod activity;
pub mod admin;
mod auth;
mod body;
mod error;
mod fields;
mod guard;
mod health;
mod keep_alive;
pub mod library;
mod log;
mod models;
mod openai;
mod report;
mod secret;
mod serve;
mod sessions;
mod sse;
mod state;
mod ui;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, patch, post},
};
use hearth_engine::Engine;

use activity::{Activity, Door};
pub use secret::secret;
pub use serve::{ServeOptions, serve};
use state::AppState;
pub use state::{Protocol, Protocols, ServerOptions};
pub use ui::Files;

/// All routes. Another server may embed it; behind [`serve`] it also knows its own port, and checks it in `Host`.
pub fn router(engine: Engine, options: ServerOptions) -> Router {
    let activity = Activity::new(engine.clone());
    let state = AppState { engine, options: Arc::new(options), activity };
    let mut router = Router::new().route("/health", get(health::health)).route("/healthz", get(health::healthz));
    router = router.merge(session_routes()).nest("/v1", session_routes());
    router = router.merge(model_routes()).nest("/v1", model_routes());
    if state.options.protocols.contains(Protocol::OpenAi) {
        router = router.merge(openai_routes(&state)).nest("/v1", openai_routes(&state));
    }
    if state.options.admin.is_some() {
        let guarded = admin_routes().layer(middleware::from_fn_with_state(state.clone(), admin::guard::require_token));
        let routes = guarded.route("/session", post(admin::links::sign_in));
        router = router.nest(admin::PATH, routes.layer(middleware::from_fn(admin::guard::this_machine_only)));
    }
    if let Some(files) = state.options.ui {
        router = router.merge(ui::routes(files));
    }
    router
        .fallback(error::unknown_path)
        .method_not_allowed_fallback(error::unknown_method)
        .layer(middleware::from_fn_with_state(state.clone(), auth::require_key))
        .layer(middleware::from_fn_with_state(state.clone(), guard::guard))
        .layer(middleware::from_fn(error::shape))
        .layer(middleware::from_fn(log::requests))
        .with_state(state)
}

fn session_routes() -> Router<AppState> {
    Router::new()
        .route("/sessions", get(sessions::routes::list))
        .route(
            "/sessions/{id}",
            get(sessions::routes::retrieve).patch(sessions::routes::rename).delete(sessions::routes::delete),
        )
        .route("/sessions/{id}/fork", post(sessions::routes::fork))
}

fn model_routes() -> Router<AppState> {
    Router::new()
        .route("/models/load", post(models::load))
        .route("/models/unload", post(models::unload))
        .route("/models/status", get(models::status))
}

fn openai_routes(state: &AppState) -> Router<AppState> {
    let door = Door { protocol: Protocol::OpenAi.as_str(), path: "/v1/chat/completions" };
    let follow = middleware::from_fn_with_state((state.activity.clone(), door), activity::follow);
    Router::new()
        .route("/models", get(openai::models::list))
        .route("/models/{*id}", get(openai::models::retrieve))
        .route("/chat/completions", post(openai::chat::complete).layer(follow))
}

fn admin_routes() -> Router<AppState> {
    use admin::{activity, conversations, downloads, events, key, links, models, offer, settings, status};
    Router::new()
        .route("/catalog", get(offer::catalog))
        .route("/search", get(offer::search))
        .route("/fit", get(offer::fit))
        .route("/models", get(models::list))
        .route("/unload", post(crate::models::unload))
        .route("/models/{*name}", get(models::retrieve).patch(models::change).delete(models::remove))
        .route("/downloads", get(downloads::list).post(downloads::create))
        .route("/downloads/{id}", get(downloads::retrieve).delete(downloads::cancel))
        .route("/downloads/{id}/pause", post(downloads::pause))
        .route("/downloads/{id}/resume", post(downloads::resume))
        .route("/requests", get(activity::requests))
        .route("/activity", get(activity::activity))
        .route("/conversations", get(conversations::list).post(conversations::create))
        .route(
            "/conversations/{id}",
            get(conversations::retrieve).patch(conversations::change).delete(conversations::remove),
        )
        .route("/conversations/{id}/messages", post(conversations::add_message))
        .route("/conversations/{id}/messages/{message}", patch(conversations::change_message))
        .route("/key", post(key::create).delete(key::remove))
        .route("/links", post(links::create))
        .route("/events", get(events::stream))
        .route("/settings", get(settings::retrieve).patch(settings::change))
        .route("/status", get(status::status))
        .route("/logs", get(status::logs))
}
