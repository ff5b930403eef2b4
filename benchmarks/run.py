"""Every benchmark, one after the other; each prints metawsm beside a floor measured in the same run."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = ("run_of_ten_tickets", "store_transition", "status_of_200_agents", "supervision", "server")


def main() -> int:
    """Run each in a process of its own, so that none warms the next."""
    here = Path(__file__).parent
    names = sys.argv[1:] or BENCHMARKS
    return max(subprocess.run([sys.executable, str(here / f"{name}.py")], check=False).returncode for name in names)


if __name__ == "__main__":
    sys.exit(main())
