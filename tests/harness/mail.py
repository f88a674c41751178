"""A mail server that wants TLS and a login, and keeps what it gets: port, folder, certificate, key."""

import asyncio
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

PORT, FOLDER, CERTIFICATE, KEY = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4]


class Keep:
    count = 0

    async def handle_DATA(self, server, session, envelope):
        Keep.count += 1
        to = ",".join(envelope.rcpt_tos).encode()
        partial = FOLDER / f"{Keep.count}.partial"
        partial.write_bytes(envelope.mail_from.encode() + b"\n" + to + b"\n" + envelope.content)
        partial.rename(FOLDER / f"{Keep.count}.eml")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"storm", b"hush")
    return AuthResult(success=good)


async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE, KEY)
    make = lambda: SMTP(
        Keep(),
        hostname="mx.test",
        tls_context=context,
        require_starttls=True,
        authenticator=authenticate,
        auth_required=True,
    )
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", PORT)
    await server.serve_forever()


asyncio.run(main())
