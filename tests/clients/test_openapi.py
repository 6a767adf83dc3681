"""schemathesis on the OpenAPI document: no server error, no undocumented status or media type."""

import os
import pathlib
import subprocess
import sys

# Names that exist, so that not every answer is 404.
CONFIG = """
[parameters]
"path.database" = "default"
"path.table" = "numbers"
"""


def test_schemathesis_finds_nothing(serve, lakebed, tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/numbers.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    server = serve(f"{tmp_path}/lake/")
    # Otherwise it would make the first key itself, and every answer from then on would be 401.
    key = lakebed("keys", "create", "root", "--role", "admin", "--url", server.url).stdout.strip()
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    hooks = {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(pathlib.Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--checks", checks,
         "--header", f"Authorization: Bearer {key}",
         "--max-examples", "20", "--seed", "1", "--workers", "1", "--request-timeout", "20", "--no-color",
         # It has no end.
         "--exclude-operation-id", "tail_table",
         # About how values are generated, not about answers.
         "--suppress-health-check", "filter_too_much,too_slow"],
        capture_output=True, text=True, cwd=tmp_path, timeout=600, env=os.environ | hooks,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert server.process.poll() is None
