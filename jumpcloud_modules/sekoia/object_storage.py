"""The platform's object storage as the SDK finds it, with bounds to the time that it may take."""

from pathlib import Path

import boto3
from s3path import S3Path, register_configuration_parameter
from sekoia_automation import constants
from sekoia_automation.configuration import get_configuration

from jumpcloud_modules.state import objects


def bound(folder: Path) -> None:
    """Have whatever is asked of S3 below the SDK's data path end in time, as `objects` says."""
    if not isinstance(folder, S3Path):
        return
    made = objects.client_of(folder).meta
    if made.config.read_timeout <= objects.SECONDS_TO_ANSWER:
        return
    # No client can be changed, and the SDK lets nobody choose: so another one is made, in the
    # session that it set up, with the endpoint and the certificates that it gave.
    resource = boto3.resource(
        "s3",
        endpoint_url=made.endpoint_url,
        verify=_authorities(),
        config=made.config.merge(objects.BOUNDS),
    )
    register_configuration_parameter(S3Path(f"/{folder.bucket}"), resource=resource)


def _authorities() -> str | None:
    """Return where the SDK wrote whom to trust, None where nobody named any."""
    if not get_configuration().load("ca_cert", non_exist_ok=True):
        return None
    return str(Path(constants.TLS_VOLUME_PATH) / "ca.crt")
