//! `GET /`: the status page. One document with everything in it, the same for everybody; what it
//! shows, it asks the API for.
//!
//! The browser is told to run this script and this style only, by their hashes, and to let nothing
//! become markup that comes from elsewhere (Trusted Types): names of clusters are made by others.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// The marks around what the policy names by its hash.
const STYLE: (&str, &str) = ("<style>", "</style>");
const SCRIPT: (&str, &str) = ("<script type=\"module\">", "</script>");

const DOCUMENT: &str = concat!(
    include_str!("page/head.html"),
    "<style>",
    include_str!("page/style.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script type=\"module\">",
    include_str!("page/words.js"),
    include_str!("page/dom.js"),
    include_str!("page/arbiter.js"),
    include_str!("page/drawing.js"),
    include_str!("page/details.js"),
    include_str!("page/list.js"),
    include_str!("page/link.js"),
    include_str!("page/main.js"),
    "</script>\n</body>\n</html>\n",
);

/// What stands between two marks in the document.
fn between((begin, end): (&str, &str)) -> &'static str {
    let after = DOCUMENT.split_once(begin).map_or("", |(_, after)| after);
    after.split_once(end).map_or("", |(inside, _)| inside)
}

/// What is sent with it.
static HEADERS: LazyLock<Headers> = LazyLock::new(Headers::new);

struct Headers {
    policy: String,
    etag: String,
}

impl Headers {
    fn new() -> Self {
        let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
        Self {
            // Another page of the same host may show it in a frame: that is how Home Assistant
            // shows what its add-ons offer.
            policy: format!(
                "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; \
                 img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                 frame-ancestors 'self'; require-trusted-types-for 'script'; trusted-types 'none'",
                hash(between(SCRIPT)),
                hash(between(STYLE)),
            ),
            etag: format!("\"{}\"", hash(DOCUMENT)),
        }
    }

    fn list(&self) -> [(HeaderName, &str); 5] {
        [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_SECURITY_POLICY, &self.policy),
            (CACHE_CONTROL, "no-cache"),
            (ETAG, &self.etag),
            (X_FRAME_OPTIONS, "SAMEORIGIN"),
        ]
    }
}

/// Answers with the page, or with nothing if the browser has it.
pub(super) async fn page(headers: HeaderMap) -> Response {
    let known = headers.get_all(IF_NONE_MATCH).into_iter();
    let is_known = known
        .filter_map(|value| HeaderValue::to_str(value).ok())
        .flat_map(|list| list.split(','))
        .any(|etag| etag.trim().trim_start_matches("W/") == HEADERS.etag);
    if is_known {
        (StatusCode::NOT_MODIFIED, HEADERS.list()).into_response()
    } else {
        (HEADERS.list(), DOCUMENT).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_takes_nothing_from_elsewhere() {
        assert!(DOCUMENT.len() < 60_000, "{}", DOCUMENT.len());
        for mark in ["<script", "</script", "<style", "</style"] {
            assert_eq!(DOCUMENT.matches(mark).count(), 1, "{mark}");
        }
        for from_elsewhere in [
            "src=",
            "@import",
            "url(",
            "//cdn",
            "innerHTML",
            " style=",
            " on",
        ] {
            let found = match from_elsewhere {
                // Attributes like onclick=; the word itself is fine.
                " on" => DOCUMENT.split(" on").skip(1).any(|rest| {
                    let end = rest.find(|c: char| !c.is_ascii_alphabetic());
                    end.is_some_and(|end| end > 0 && rest.as_bytes().get(end) == Some(&b'='))
                }),
                text => DOCUMENT.contains(text),
            };
            assert!(!found, "{from_elsewhere}");
        }
        assert!(between(SCRIPT).contains("follow"));
        assert!(between(STYLE).contains("prefers-color-scheme"));
    }
}
