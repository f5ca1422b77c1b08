#!/usr/bin/env python3
"""Every dependency's licence must be one that Apache-2.0 software may carry.

Works offline, from what cargo already knows of the locked dependencies.
"""

import json
import re
import subprocess
import sys

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause",
    "BSL-1.0", "bzip2-1.0.6", "CC0-1.0", "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "MPL-2.0",
    "OpenSSL", "Unicode-3.0", "Unicode-DFS-2016", "Unlicense", "Zlib",
}


def allowed(expression: str) -> bool:
    """An SPDX expression is allowed if every AND part has an allowed OR alternative."""
    expression = expression.replace("/", " OR ")
    tokens = re.findall(r"\(|\)|[^\s()]+(?: WITH [^\s()]+)?", expression)
    python = " ".join(
        {"OR": "or", "AND": "and", "(": "(", ")": ")"}.get(token) or str(token in ALLOWED) for token in tokens
    )
    return bool(eval(python))  # only True, False, and, or and parentheses


def main() -> int:
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["packages"]
    bad = [
        f"{package['name']} {package['version']}: {package['license'] or package['license_file']}"
        for package in packages
        if package["source"] and not (package["license"] and allowed(package["license"]))
    ]
    print(f"{len(packages)} packages, {len(bad)} with a licence that is not on the list")
    for line in bad:
        print("  " + line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
