//! Answers: JSON, or protobuf for who asks for it.

use super::state::State;
use crate::proto::v1::Problem;
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use prost::Message;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;

/// The media type of protobuf messages.
const PROTOBUF: &str = "application/x-protobuf";

/// The form in which the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Protobuf,
}

impl Form {
    /// What the Accept header asks for: JSON, unless it names protobuf.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        if accepts(headers, PROTOBUF) {
            Self::Protobuf
        } else {
            Self::Json
        }
    }

    /// An answer with a message.
    pub(super) fn reply<M: Message + Serialize>(self, message: &M) -> Response {
        self.reply_with(StatusCode::OK, message)
    }

    /// An answer with a message and a status.
    pub(super) fn reply_with<M: Message + Serialize>(
        self,
        status: StatusCode,
        message: &M,
    ) -> Response {
        let (kind, body) = match self {
            Self::Json => match serde_json::to_vec(message) {
                Ok(body) => ("application/json", body),
                Err(error) => {
                    tracing::error!("an HTTP answer can't be made: {error}");
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                }
            },
            Self::Protobuf => (PROTOBUF, message.encode_to_vec()),
        };
        (status, [(CONTENT_TYPE, kind), (VARY, "Accept")], body).into_response()
    }

    /// Says that a request can't be fulfilled.
    pub(super) fn problem(self, status: StatusCode, detail: impl Into<String>) -> Response {
        let problem = Problem {
            status: status.as_u16().into(),
            detail: detail.into(),
        };
        self.reply_with(status, &problem)
    }
}

impl FromRequestParts<Arc<State>> for Form {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<State>) -> Result<Self, Infallible> {
        Ok(Self::wanted(&parts.headers))
    }
}

/// Whether the Accept header names a media type as welcome. Wildcards leave the choice to us.
pub(super) fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let values = headers.get_all(ACCEPT).into_iter();
    let ranges = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut kinds = ranges.filter(|range| !is_unwelcome(range));
    kinds.any(|range| {
        let named = range.split(|byte| *byte == b';').next();
        named.is_some_and(|named| named.trim_ascii().eq_ignore_ascii_case(kind.as_bytes()))
    })
}

/// Whether the weight of a media range is zero: not acceptable (RFC 9110, 12.4.2).
fn is_unwelcome(range: &[u8]) -> bool {
    let mut parameters = range.split(|byte| *byte == b';').skip(1);
    parameters.any(|parameter| {
        let weight = match parameter.trim_ascii() {
            [b'q' | b'Q', b'=', weight @ ..] => weight,
            _ => return false,
        };
        std::str::from_utf8(weight).is_ok_and(|weight| weight.parse() == Ok(0.0_f32))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protobuf_is_for_who_names_it() {
        let form = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            Form::wanted(&headers)
        };
        assert_eq!(Form::wanted(&HeaderMap::new()), Form::Json);
        for json in [
            "*/*",
            "application/json",
            "text/html, */*;q=0.1",
            "",
            "application/x-protobuf;q=0",
            "application/json, application/x-protobuf; Q=0.000",
        ] {
            assert_eq!(form(json), Form::Json, "{json}");
        }
        for protobuf in [
            "application/x-protobuf",
            "text/html, Application/X-Protobuf;q=1",
            "application/x-protobuf;q=0.001",
            "application/json;q=0, application/x-protobuf",
        ] {
            assert_eq!(form(protobuf), Form::Protobuf, "{protobuf}");
        }
    }
}
