"""docs/api.md says what the code's OpenAPI document says, which is whole."""

from __future__ import annotations

import json
import re

from tools import api_reference

from antiphon.config import load_config
from antiphon.signaling.app import create_app
from antiphon.signaling.rights import RIGHTS


def test_the_page_is_what_the_code_declares() -> None:
    assert api_reference.DOCUMENT.read_text() == api_reference.document(), "run make api-reference"


def test_every_operation_that_rights_know_is_on_the_page() -> None:
    told = re.findall(r"^### `([A-Z]+) (/v1[^`]*)`$", api_reference.document(), re.MULTILINE)
    assert set(told) == set(RIGHTS)


def test_every_reference_of_the_document_leads_to_a_schema() -> None:
    document = create_app(load_config()).openapi()
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)))
    assert references
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"], reference
