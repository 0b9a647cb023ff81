"""A registry's error in a sentence (distribution-spec, "Error Codes")."""

from __future__ import annotations

import re
from collections.abc import Mapping

from addon.views.escaping import any_value, pairs
from addon.views.reading import read_object
from addon.views.table import MAX_ROWS

# Some registries answer without a type, or with this one.
_TYPES = frozenset({"", "application/json", "text/plain"})

# By the specification upper case letters and underscores.
_CODE = re.compile(r"[A-Z][A-Z_0-9]{0,63}")

# Those of distribution-spec, and what the Docker Hub and distribution's registry add.
_MEANINGS: Mapping[str, str] = {
    "BLOB_UNKNOWN": "the registry has no such blob in this repository",
    "BLOB_UPLOAD_INVALID": "the upload of the blob cannot go on",
    "BLOB_UPLOAD_UNKNOWN": "the registry knows no such upload",
    "DENIED": "whoever asks may not do this",
    "DIGEST_INVALID": "the digest is not that of the content, or is none",
    "MANIFEST_BLOB_UNKNOWN": "the manifest names a blob or a manifest that the registry has not",
    "MANIFEST_INVALID": "the registry does not accept the manifest",
    "MANIFEST_UNKNOWN": "the repository has no manifest of this tag or digest",
    "NAME_INVALID": "this is no name of a repository",
    "NAME_UNKNOWN": "the registry has no such repository",
    "SIZE_INVALID": "the length that was announced is not that of the content",
    "TAG_INVALID": "the tag is not that of the manifest",
    "TOOMANYREQUESTS": "too much was asked in too short a time",
    "UNAUTHORIZED": "a token is needed, or the one that came does not cover this",
    "UNAVAILABLE": "the service does not answer now",
    "UNKNOWN": "something failed that has no code",
    "UNSUPPORTED": "the registry does not do this",
}
_OTHER = "a code of this registry's own"


def show_error(content_type: str, body: bytes) -> str | None:
    """A sentence an error, None for what is none; `content_type` in lower case, "" for none."""
    if content_type not in _TYPES:
        return None
    match read_object(body):
        case {"errors": [_, *_] as errors}:
            sentences = [_sentence(each) for each in errors[:MAX_ROWS]]
        case _:
            return None
    # Other services have `errors` too.
    return "\n".join(s for s in sentences if s) if all(sentences) else None


def first_error(body: bytes) -> str:
    """The code and the meaning of an error body's first error, "" for what is none."""
    match read_object(body):
        case {"errors": [{"code": str(code)}, *_]} if _CODE.fullmatch(code):
            return f"{code}, {_MEANINGS[code]}" if code in _MEANINGS else code
    return ""


def _sentence(error: object) -> str | None:
    match error:
        case {"code": str(code), **rest} if _CODE.fullmatch(code):
            said = f"{code}: {_MEANINGS.get(code, _OTHER)}."
            message = _message(rest.get("message"))
            detail = _detail(rest.get("detail"))
            return f"{said}{message}{detail}"
    return None


def _message(message: object) -> str:
    return f' The registry says: "{any_value(message)}".' if message else ""


def _detail(detail: object) -> str:
    """What is unstructured by the specification; two forms are the registries' own."""
    if not detail:
        return ""
    match detail:
        # What a token would have to allow.
        case [{"Type": str(), "Name": str(), "Action": str()}, *_]:
            return f" It would take: {', '.join(map(_access, detail[:MAX_ROWS]))}."
        case dict():
            said = [" ".join(pair) for pair in pairs(detail)]
            return f" Detail: {', '.join(said[:MAX_ROWS])}."
    return f" Detail: {any_value(detail)}."


def _access(access: object) -> str:
    match access:
        case {"Type": str(kind), "Name": str(name), "Action": str(action)}:
            return any_value(f"{action} on {kind} {name}")
    return any_value(access)
