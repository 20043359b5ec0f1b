#!/bin/sh
# install-role ROLE: puts a role's locked packages and Antiphon's wheel into /opt/antiphon, with the same bytes each time.
# Reads /requirements.txt, /wheels/*.whl and MODELS (yes: those that no package brings are fetched too).
set -eu
python=/opt/antiphon/bin/python
"$python" -m pip install --no-compile --require-hashes --only-binary :all: --requirement /requirements.txt
"$python" -m pip install --no-compile --no-deps /wheels/*.whl
if [ "${MODELS:-no}" = yes ]; then
    mkdir -p "$ANTIPHON_MODELS"
    /opt/antiphon/bin/antiphon models
fi
"$python" -m pip uninstall --quiet --yes setuptools pip
find /opt/antiphon -type d -name __pycache__ -prune -exec rm -rf {} +
# Byte code by the source's hash, not by its time; nothing is written when the container runs.
"$python" -m compileall -q --invalidation-mode unchecked-hash /opt/antiphon/lib || true
find /opt/antiphon -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
"$python" -c "import antiphon.cli.app, antiphon.$1"
