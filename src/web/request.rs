//! Parameters that the page and the API share.

use std::borrow::Cow;

use actix_web::HttpRequest;

use crate::http::parameter;

/// The device type that a request for one device names; an empty value, as forms send it, names none.
pub fn device_type(request: &HttpRequest) -> Option<String> {
    let name = parameter(request, "type").filter(|name| !name.is_empty());
    name.map(Cow::into_owned)
}
