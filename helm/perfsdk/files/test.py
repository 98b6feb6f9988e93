"""Asks a sidecar for /-/ready and its metrics; ends with a line that says what is wrong."""

import json
import ssl
import sys
import urllib.parse
import urllib.request

url, headers = sys.argv[1], json.loads(sys.argv[2])
unchecked = ssl.create_default_context()
unchecked.check_hostname = False
unchecked.verify_mode = ssl.CERT_NONE  # that it answers is what is tested

for page, part in ((urllib.parse.urljoin(url, "/-/ready"), b""), (url, b"perfsdk_exporter_build")):
    try:
        request = urllib.request.Request(page, headers=headers)  # noqa: S310 - values.yaml says it
        opened = urllib.request.urlopen(request, timeout=10, context=unchecked)  # noqa: S310 - same
        with opened as answer:
            body = answer.read()
    except OSError as error:
        sys.exit(f"{page}: {error}")
    if part not in body:
        sys.exit(f"{page}: not a page of perfsdk-exporter")
    print(f"{page}: {len(body)} bytes")
