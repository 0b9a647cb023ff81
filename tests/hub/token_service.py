"""The token service: GET as the Docker token specification says, POST as its OAuth2 sister."""

from __future__ import annotations

import binascii
import secrets
from base64 import b64decode
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from .exchange import Answer, Asked, document
from .state import State
from .tokens import Access, parse_scopes

PATH = "/token"


class WrongCredentials(Exception):
    """Neither a user's password nor a refresh token of ours."""


@dataclass(frozen=True, slots=True)
class TokenService:
    state: State

    def answer(self, asked: Asked) -> Answer:
        if asked.path != PATH:
            return document({"details": "not found"}, 404)
        try:
            if asked.method == "GET":
                return self._get(asked)
            if asked.method == "POST":
                return self._post(asked)
        except WrongCredentials:
            return document({"details": "incorrect username or password"}, 401)
        return document({"details": "method not allowed"}, 405, {"Allow": "GET, POST"})

    def _get(self, asked: Asked) -> Answer:
        parameters = asked.parameters
        user = self._basic(asked.header("Authorization"))
        offline = dict(parameters).get("offline_token") == "true"
        return self._issue(parameters, user, offline=offline)

    def _post(self, asked: Asked) -> Answer:
        form = dict(asked.form)
        grant = form.get("grant_type")
        if grant == "password":
            user = self._login(form.get("username", ""), form.get("password", ""))
            return self._issue(asked.form, user, offline=form.get("access_type") == "offline")
        if grant == "refresh_token":
            token = form.get("refresh_token", "")
            if token not in self.state.refresh_tokens:
                raise WrongCredentials
            return self._issue(asked.form, self.state.refresh_tokens[token], refresh=token)
        return document({"error": "unsupported_grant_type"}, 400)

    def _basic(self, header: str) -> str:
        """The user who logs in, or "" for nobody."""
        if not header:
            return ""
        scheme, _, value = header.partition(" ")
        try:
            user, _, password = b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise WrongCredentials from None
        if scheme.lower() != "basic":
            raise WrongCredentials
        return self._login(user, password)

    def _login(self, user: str, password: str) -> str:
        if self.state.settings.users.get(user) != password:
            raise WrongCredentials
        return user

    def _issue(
        self,
        parameters: list[tuple[str, str]],
        user: str,
        *,
        offline: bool = False,
        refresh: str = "",
    ) -> Answer:
        if dict(parameters).get("service") != self.state.signer.service:
            return document({"details": "unknown service"}, 400)
        now, seconds = self.state.settings.now(), self.state.settings.token_seconds
        asked = parse_scopes([value for name, value in parameters if name == "scope"])
        granted = [access for access in (self._grant(each, user) for each in asked) if access]
        token = self.state.signer.issue(user, granted, now, seconds)
        issued = {
            "token": token,
            "access_token": token,
            "expires_in": seconds,
            "issued_at": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        if offline and user:
            refresh = secrets.token_urlsafe(32)
            self.state.refresh_tokens[refresh] = user
        return document({**issued, **({"refresh_token": refresh} if refresh else {})})

    def _grant(self, access: Access, user: str) -> Access | None:
        """What of it this user gets: Hub leaves out what it does not give, and answers 200."""
        if access.kind != "repository" or not self.state.may_read(access.name, user):
            return None
        actions = tuple(action for action in access.actions if action == "pull")
        return replace(access, actions=actions) if actions else None
