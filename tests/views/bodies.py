"""Bodies as registries send them, and worse ones."""

from __future__ import annotations

import json
import random
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
JSON = "application/json"
BLOB = "application/octet-stream"

# Noon of the day of the tests, in seconds since 1970: 2024-05-01 12:00:00 UTC.
NOON = 1714564800

# What no terminal may be given: colours, a title, the way back, a C1 sequence, writing turned
# round, half a character, the end of a line that is none for JSON.
HOSTILE = "\x1b[31m\x1b]0;t\x07\r\x08\x9b2J\u202e\ud800\u2028\x00\x7f"


def encode(content: object) -> bytes:
    """JSON, with what is infinite as JSON may have it."""
    return json.dumps(content).replace("Infinity", "1e999").encode()


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def named(number: int, size: object = 5, media_type: object = OCI_LAYER, **more: object) -> object:
    return {"mediaType": media_type, "digest": digest(number), "size": size, **more}


def index(*manifests: object, **more: object) -> bytes:
    return encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests, **more})


def image(*layers: object, **more: object) -> bytes:
    config = named(1, 1469, OCI_CONFIG)
    return encode({"schemaVersion": 2, "config": config, "layers": layers, **more})


def config(history: object = (), **more: object) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [digest(7), digest(8)]}
    content = {"architecture": "amd64", "os": "linux", "rootfs": rootfs, "history": history}
    return encode({**content, **more})


def errors(*found: object) -> bytes:
    return encode({"errors": found})


def jwt(
    claims: Mapping[str, object], header: object = None, signature: str = "SignatureSignature"
) -> str:
    parts = header or {"alg": "ES256", "typ": "JWT"}, claims
    encoded = (urlsafe_b64encode(encode(part)).decode().rstrip("=") for part in parts)
    return ".".join((*encoded, signature))


CLAIMS: Mapping[str, object] = {
    "iss": "auth.docker.io",
    "exp": NOON + 287,
    "access": [{"type": "repository", "name": "library/alpine", "actions": ["pull"]}],
}


def is_harmless(text: str) -> bool:
    """Whether a text may be printed: lines of what is seen, and nothing else."""
    return all(c == "\n" or c.isprintable() for c in text)


# Every key that a view looks at, so that random values come where a view reads them.
KEYS = re.findall(
    r"\S+",
    """
    mediaType manifests layers config blobs artifactType subject annotations platform os
    architecture variant os.version digest size urls vnd.docker.reference.type
    vnd.docker.reference.digest org.opencontainers.image.title in-toto.io/predicate-type
    Env Entrypoint Cmd User WorkingDir ExposedPorts Volumes StopSignal Healthcheck Labels rootfs
    diff_ids history created created_by author comment empty_layer errors code message detail Type
    Name Action token access_token refresh_token expires_in issued_at scope access type name actions
    exp nbf iat
""",
)
TEXTS = (
    "",
    "a",
    HOSTILE,
    digest(3),
    OCI_INDEX,
    "attestation-manifest",
    "DENIED",
    "한글",
    "x" * 3000,
)
NUMBERS = (0, -1, 5, 10**30, 2**63, 0.5, 1e308, float("1e999"), True, False, None)


def random_json(rng: random.Random, depth: int = 0) -> object:
    """A value of any kind, small and not deep."""
    kind = rng.randrange(4 if depth < 5 else 2)
    if kind == 0:
        return rng.choice(TEXTS)
    if kind == 1:
        return rng.choice(NUMBERS)
    if kind == 2:
        return [random_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    return random_object(rng, depth + 1)


def random_object(rng: random.Random, depth: int = 0) -> dict[str, object]:
    """An object with keys that views look at."""
    keys = rng.sample([*KEYS, HOSTILE], rng.randrange(1, 12))
    return {key: random_json(rng, depth) for key in keys}


def spoilt(rng: random.Random, content: object) -> object:
    """A right value with something in it put in the place of something else."""
    if rng.random() < 0.1:
        return random_json(rng, 3)
    if isinstance(content, dict):
        return {key: spoilt(rng, value) for key, value in content.items()}
    if isinstance(content, list):
        return [spoilt(rng, value) for value in content]
    return content
