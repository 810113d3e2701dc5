//! `/files/...`: what stages left, for its owner alone, in whole or in ranges.

use std::path::Path as FilePath;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeFile;

use crate::library::Library;
use crate::store::OutputKind;
use crate::web::{ApiError, Caller};

pub(super) async fn serve(
    caller: Caller,
    Path((kind, folder, file)): Path<(String, String, String)>,
    State(library): State<Library>,
    request: Request,
) -> Result<Response, ApiError> {
    let kind = OutputKind::of_folder(&kind).ok_or_else(ApiError::not_found)?;
    let id = folder.parse().map_err(|_| ApiError::not_found())?;
    let output = library.queue().store().output(caller.user_id, kind, id).await?;
    let output = output.ok_or_else(ApiError::not_found)?;
    if !is_plain_name(&file) {
        return Err(ApiError::not_found());
    }
    send(&library.data().output(kind, output.id).join(&file), request).await
}

/// Sends a file; the names of its kinds are ours, so the content type is as well.
pub(super) async fn send(path: &FilePath, request: Request) -> Result<Response, ApiError> {
    if !tokio::fs::metadata(path).await.is_ok_and(|metadata| metadata.is_file()) {
        return Err(ApiError::not_found());
    }
    let sent = ServeFile::new_with_mime(path, &content_type(path)).try_call(request).await?;
    let mut response = sent.into_response();
    // An owner's files are for nobody's cache but the browser's own.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
    Ok(response)
}

/// Nothing of a path; the files of an output lie in its folder itself.
fn is_plain_name(file: &str) -> bool {
    !file.is_empty()
        && !file.starts_with('.')
        && file.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

fn content_type(path: &FilePath) -> mime::Mime {
    let text = match path.extension().and_then(|extension| extension.to_str()) {
        Some("wav") => "audio/wav",
        Some("flac") => "audio/flac",
        Some("mp3") => "audio/mpeg",
        Some("ogg") => "audio/ogg",
        Some("m4a") => "audio/mp4",
        Some("zip") => "application/zip",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    text.parse().unwrap_or(mime::APPLICATION_OCTET_STREAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        for (name, plain) in [
            ("drums.wav", true),
            ("..", false),
            ("../a", false),
            ("a/b", false),
            ("a\\b", false),
            ("", false),
            (".hidden", false),
        ] {
            assert_eq!(is_plain_name(name), plain, "{name:?}");
        }
    }
}
