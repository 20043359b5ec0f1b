"""Reads an annotation of this pod's node: advertise.py ANNOTATION FOLDER.

The annotation holds addresses as edge.advertise has them, separated by commas. The file `advertise` gets them as JSON,
`host` the first one's host as it stands in a URL.
"""

import json
import os
import ssl
import sys
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def host_of(address: str) -> str:
    """Of 192.0.2.1, tcp:192.0.2.1:443, 2001:db8::1, [2001:db8::1]:5000."""
    plain = address.removeprefix("udp:").removeprefix("tcp:")
    if "." in plain:
        return plain.partition(":")[0]
    return plain.partition("]")[0] + "]" if plain.startswith("[") else f"[{plain}]"


def main(annotation: str, folder: Path) -> None:
    node = os.environ["NODE_NAME"]
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    token = (ACCOUNT / "token").read_text(encoding="utf-8").strip()
    request = urllib.request.Request(
        f"https://{host}:{port}/api/v1/nodes/{node}", headers={"Authorization": f"Bearer {token}"}
    )
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=trusted) as answer:  # noqa: S310
        annotations = json.load(answer)["metadata"].get("annotations", {})
    addresses = [part.strip() for part in annotations.get(annotation, "").split(",") if part.strip()]
    if not addresses:
        sys.exit(f"node {node} has no annotation {annotation}: kubectl annotate node {node} {annotation}=ADDRESS")
    (folder / "advertise").write_text(json.dumps(addresses), encoding="utf-8")
    (folder / "host").write_text(host_of(addresses[0]), encoding="utf-8")
    print(f"node {node} is reached by {', '.join(addresses)}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
