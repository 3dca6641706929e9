//! Parameters that the page and the API share.

use std::borrow::Cow;

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::state::WebState;
use crate::http::parameter;
use crate::view::{DeviceQuery, LineQuery, PoolQuery, QueryError};

/// The list of devices that a request asks for.
///
/// # Errors
/// A parameter is wrong, or there is no account with the given name.
pub fn device_query(request: &HttpRequest, state: &WebState) -> Result<DeviceQuery, QueryError> {
    let query = DeviceQuery::parse(request.query_string())?;
    query.of_known_account(|name| is_account(state, name))
}

/// The list of service lines that a request asks for.
///
/// # Errors
/// A parameter is wrong, or there is no account with the given name.
pub fn line_query(request: &HttpRequest, state: &WebState) -> Result<LineQuery, QueryError> {
    let query = LineQuery::parse(request.query_string())?;
    query.of_known_account(|name| is_account(state, name))
}

/// The list of data pools that a request asks for.
///
/// # Errors
/// A parameter is wrong, or there is no account with the given name.
pub fn pool_query(request: &HttpRequest, state: &WebState) -> Result<PoolQuery, QueryError> {
    let query = PoolQuery::parse(request.query_string())?;
    query.of_known_account(|name| is_account(state, name))
}

fn is_account(state: &WebState, name: &str) -> bool {
    state.sources.accounts.find(name).is_some()
}

/// The response to a request whose query is refused, without a body: 404 for an unknown account, as on `/metrics`, else 400.
pub fn refused(error: &QueryError) -> HttpResponseBuilder {
    match error {
        QueryError::Account(_) => HttpResponse::NotFound(),
        _ => HttpResponse::BadRequest(),
    }
}

/// The device type that a request for one device names; an empty value, as forms send it, names none.
pub fn device_type(request: &HttpRequest) -> Option<String> {
    let name = parameter(request, "type").filter(|name| !name.is_empty());
    name.map(Cow::into_owned)
}
