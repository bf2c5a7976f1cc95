//! The bodies of errors.

use std::any::Any;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::request_id::request_id;
use crate::error::{ApiError, Panicked};
use crate::pages::ErrorPage;

/// Gives an [`ApiError`] the body that the client sees: a problem document, or a page if a page was requested. The error stays in the response's extensions,
/// for the log.
pub(crate) async fn render_errors(request: Request, next: Next) -> Response {
    let request_id = request_id(&request);
    let page = ErrorPage::of(&request);
    let response = next.run(request).await;
    match response.extensions().get::<ApiError>() {
        Some(error) => {
            let mut rendered = match page {
                Some(page) => page.render(error, &request_id),
                None => error.render(&request_id),
            };
            *rendered.extensions_mut() = response.extensions().clone();
            rendered
        }
        None => response,
    }
}

/// Gives the response to a client that accepts no available encoding a body of its own. The compression
/// changes only the status.
pub(crate) async fn render_unacceptable(request: Request, next: Next) -> Response {
    let request_id = request_id(&request);
    let response = next.run(request).await;
    let own_status = response.extensions().get::<ApiError>().map(ApiError::status);
    if response.status() != StatusCode::NOT_ACCEPTABLE || own_status == Some(StatusCode::NOT_ACCEPTABLE) {
        return response;
    }
    let error = ApiError::not_acceptable();
    let mut rendered = error.render(&request_id);
    rendered.extensions_mut().insert(error);
    rendered
}

/// Returns the response to a request whose handler panicked.
pub(crate) fn panic_response(payload: Box<dyn Any + Send>) -> Response {
    let message = match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => {
            payload.downcast::<&'static str>().map_or("no message".to_owned(), |it| it.to_string())
        }
    };
    ApiError::internal(Panicked(message)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_message_reaches_the_log() {
        for payload in [Box::new("boom") as Box<dyn Any + Send>, Box::new("boom".to_owned())] {
            let response = panic_response(payload);
            let error = response.extensions().get::<ApiError>().unwrap();
            assert_eq!(error.cause().unwrap(), "panicked: boom");
        }
    }
}
