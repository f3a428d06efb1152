"""Gets access tokens for a Google service account, and keeps each while it lasts."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from contracts.outcomes import OutcomeClass
from dispatcher.providers import http
from dispatcher.providers.port import Outcome

log = structlog.stdlib.get_logger()

_GOOGLE = "https://oauth2.googleapis.com/token"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_SECONDS = 600
#: A token is renewed while it is still good for this long, so that no send waits for it …
_RENEW_SECONDS = 300.0
#: … and no longer used when it might end under way.
_MARGIN_SECONDS = 10.0
_PAUSE_SECONDS = 5.0
#: A refused token that is younger than this is not replaced: another would fare no better.
_NEW_SECONDS = 60.0


class ServiceAccount(msgspec.Struct, frozen=True):
    """The file that Google gives out for a service account."""

    client_email: str
    private_key: str
    project_id: str
    private_key_id: str | None = None
    token_uri: str = _GOOGLE

    def __repr__(self) -> str:
        return f"ServiceAccount(project_id={self.project_id!r})"


def read_account(path: Path) -> ServiceAccount:
    """Read the file of a service account; raises ``ValueError`` without quoting from it."""
    try:
        account = msgspec.json.decode(path.read_bytes(), type=ServiceAccount)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ValueError("it is not the file of a service account") from error
    signing_key(account)
    return account


def signing_key(account: ServiceAccount) -> RSAPrivateKey:
    """Return the account's key; raises ``ValueError`` without quoting from it."""
    try:
        key = load_pem_private_key(account.private_key.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if isinstance(key, RSAPrivateKey):
        return key
    raise ValueError("its private_key is not an RSA key in PEM")


class _Grant(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float


class _Refusal(msgspec.Struct, frozen=True):
    error: str | None = None
    error_description: str | None = None


_decode_grant = msgspec.json.Decoder(_Grant).decode
_decode_refusal = msgspec.json.Decoder(_Refusal).decode


class TokenUnavailable(Exception):
    """No token could be had; the outcome says why, and is always transient."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome


class AccessTokens:
    """The tokens of one account for one scope; at most one is being asked for at a time."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        account: ServiceAccount,
        *,
        scope: str,
        url: str,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._account = account
        self._key = signing_key(account)
        self._scope = scope
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._token = ""
        self._got_at = 0.0
        self._good_until = 0.0
        self._ask_from = 0.0
        self._asking: asyncio.Task[str] | None = None

    async def current(self) -> str:
        """Return a token that is good now; raises ``TokenUnavailable``.

        One that ends soon is renewed beside the sends, which go on with it meanwhile.
        """
        left = self._good_until - self._clock()
        if left < _RENEW_SECONDS and self._asking is None and self._may_ask(left):
            self._asking = asyncio.create_task(self._ask(), name="access_token")
            self._asking.add_done_callback(self._asked)
        if left >= _MARGIN_SECONDS:
            return self._token
        assert self._asking is not None
        return await asyncio.shield(self._asking)

    def forget(self, token: str) -> bool:
        """Use a token no longer, because it was refused; say whether another may do better."""
        if token != self._token:
            return True
        if self._clock() - self._got_at < _NEW_SECONDS:
            return False
        self._good_until = 0.0
        return True

    async def close(self) -> None:
        """Stop asking."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def _may_ask(self, left: float) -> bool:
        return left < _MARGIN_SECONDS or self._clock() >= self._ask_from

    def _asked(self, task: "asyncio.Task[str]") -> None:
        self._asking = None
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._ask_from = self._clock() + _PAUSE_SECONDS
        if isinstance(error, TokenUnavailable):
            code = error.outcome.code
        else:
            code = type(error).__name__
        log.warning("access_token.unavailable", code=code)

    async def _ask(self) -> str:
        asked_at = self._clock()
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._session.post(
                    self._url,
                    data={"grant_type": _GRANT, "assertion": self._assertion()},
                    allow_redirects=False,
                ) as response,
            ):
                answer = await http.read(response.content)
        except TimeoutError as error:
            timeout = Outcome(kind=OutcomeClass.TRANSIENT, code="token_timeout")
            raise TokenUnavailable(timeout) from error
        except http.NETWORK_ERRORS as error:
            raise TokenUnavailable(http.network_error(error)) from error
        if response.status != 200:
            raise TokenUnavailable(_refused(response, answer))
        try:
            grant = _decode_grant(answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            garbled = Outcome(kind=OutcomeClass.TRANSIENT, code="token_garbled")
            raise TokenUnavailable(garbled) from error
        self._token = grant.access_token
        self._got_at = asked_at
        self._good_until = asked_at + grant.expires_in
        return self._token

    def _assertion(self) -> str:
        now = int(time.time())
        claims = {
            "iss": self._account.client_email,
            "scope": self._scope,
            "aud": self._url,
            "iat": now,
            "exp": now + _ASSERTION_SECONDS,
        }
        key_id = self._account.private_key_id
        headers = {"kid": key_id} if key_id else None
        return jwt.encode(claims, self._key, algorithm="RS256", headers=headers)


def _refused(response: aiohttp.ClientResponse, answer: bytes) -> Outcome:
    """Say why there is no token. It is our account, not the notification, that is refused."""
    try:
        said = _decode_refusal(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _Refusal()
    return Outcome(
        kind=OutcomeClass.TRANSIENT,
        code=f"token_{said.error or response.status}",
        words=said.error_description,
        retry_after_seconds=http.retry_after(response.headers),
    )
