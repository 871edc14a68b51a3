"""Whether Kafka lets us in: aiokafka tries again for ever where it should say that it was refused."""

from __future__ import annotations

import contextlib
import ssl

from aiokafka.conn import create_conn, get_ip_port_afi
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from schemas.errors import FatalError
from streams.settings import Settings

# The user is known, and may not do what was asked.
FORBIDDEN = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


async def check_credentials(settings: Settings) -> None:
    """Connect to the first server that answers. Raises FatalError where it refuses us, or is not to be trusted."""
    options = settings.kafka.client_options()
    for server in options.pop("bootstrap_servers"):
        host, port, _ = get_ip_port_afi(server)
        try:
            connection = await create_conn(host, port, **options)
        except (AuthenticationFailedError, SaslAuthenticationFailed) as error:
            raise FatalError(
                f"Kafka at {server} refuses this user: {error}. See to kafka.sasl_username, kafka.sasl_password and "
                "kafka.sasl_mechanism."
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise FatalError(
                f"The certificate of Kafka at {server} is not trusted: {error.verify_message}. See to "
                "kafka.ssl_ca_file and kafka.ssl_check_hostname."
            ) from error
        except ssl.SSLError as error:
            raise FatalError(
                f"Kafka at {server} does not agree on TLS: {error.reason}. See to kafka.security_protocol, "
                "kafka.ssl_cert_file and kafka.ssl_key_file."
            ) from error
        except (KafkaError, OSError):
            # It is away, which whoever wants more of it will wait for.
            continue
        with contextlib.suppress(KafkaError, OSError):
            connection.close()
        return
