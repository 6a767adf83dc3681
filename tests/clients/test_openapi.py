"""schemathesis on the OpenAPI document: no server error, no undocumented status or media type."""

import subprocess
import sys


def test_schemathesis_finds_nothing(serve, tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/numbers.csv").write_text("a,b\n1,x\n2,y\n")
    server = serve(f"{tmp_path}/lake/")
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--checks", checks,
         "--max-examples", "20", "--seed", "1", "--workers", "2", "--request-timeout", "20", "--no-color"],
        capture_output=True, text=True, cwd=tmp_path, timeout=600,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert server.process.poll() is None
