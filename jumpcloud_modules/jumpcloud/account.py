"""An account of JumpCloud as plain values, and the clients that speak with its credentials."""

from dataclasses import dataclass, field

from jumpcloud_modules.errors import Refused
from jumpcloud_modules.http.client import Observe, Transport, Transports, unobserved
from jumpcloud_modules.http.redaction import Secrets
from jumpcloud_modules.http.throttle import Throttle
from jumpcloud_modules.jumpcloud.auth import ApiKey, Credentials, ServiceAccount
from jumpcloud_modules.jumpcloud.client import DEFAULT_OPTIONS, END, Client, ClientOptions
from jumpcloud_modules.jumpcloud.clock import JumpCloudClock
from jumpcloud_modules.jumpcloud.regions import places_of


@dataclass(frozen=True, slots=True)
class Account:
    """Say where to ask, with what, and about whom.

    With a `client_id` it is a service account, whose secret is `client_secret`; else `api_key` is
    what counts.
    """

    base_url: str
    api_key: str = field(default="", repr=False)
    client_id: str | None = None
    client_secret: str = field(default="", repr=False)
    organization_id: str | None = None
    provider_id: str | None = None

    @property
    def is_service_account(self) -> bool:
        """Tell whether it needs tokens."""
        return bool(self.client_id)


def credentials_of(
    account: Account,
    secrets: Secrets | None = None,
    options: ClientOptions = DEFAULT_OPTIONS,
    observe: Observe = unobserved,
    transports: Transports = Transport,
) -> Credentials:
    """Return an account's credentials; several clients may share them, and with them a token.

    Raises Refused where nobody knows whom to ask for tokens.
    """
    if not account.client_id:
        return ApiKey(account.api_key, secrets)
    token_url = places_of(account.base_url).token_url
    if token_url is None:
        raise Refused(WITHOUT_TOKENS, end=END)
    return ServiceAccount(
        token_url,
        account.client_id,
        account.client_secret,
        secrets,
        options.user_agent,
        transports=transports,
        observe=observe,
    )


def events_client(
    account: Account,
    credentials: Credentials,
    options: ClientOptions = DEFAULT_OPTIONS,
    clock: JumpCloudClock | None = None,
    observe: Observe = unobserved,
    *,
    transports: Transports = Transport,
    throttle: Throttle | None = None,
) -> Client:
    """Return the client of an account's Directory Insights."""
    return Client(
        places_of(account.base_url).events_url,
        credentials,
        account.organization_id,
        account.provider_id,
        options,
        clock,
        observe,
        transports=transports,
        throttle=throttle,
    )


def console_client(
    account: Account,
    credentials: Credentials,
    options: ClientOptions = DEFAULT_OPTIONS,
    clock: JumpCloudClock | None = None,
) -> Client | None:
    """Return the client of the console that an account's address belongs to, if that is known.

    It names no organization: what lists organizations takes none.
    """
    url = places_of(account.base_url).console_url
    return Client(url, credentials, options=options, clock=clock) if url else None


WITHOUT_TOKENS = (
    "base_url is not an address of JumpCloud's own, so nobody can be asked for the service"
    " account's tokens. Give one of JumpCloud's, or an API key."
)
