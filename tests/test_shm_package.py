"""The package stands alone: numpy and the standard library, as inside TouchDesigner."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import promptmatte_shm

ALONE = """
import sys
sys.path[:0] = sys.argv[1:3]
import numpy
before = set(sys.modules)
import promptmatte_shm
added = {name.partition(".")[0] for name in set(sys.modules) - before}
foreign = added - set(sys.stdlib_module_names) - {"promptmatte_shm", "numpy"}
assert not foreign, foreign
assert "multiprocessing.resource_tracker" not in sys.modules
with promptmatte_shm.ClientSession("nobody-there") as client:
    assert not client.status.connected
print("alone")
"""


def test_imports_with_nothing_but_numpy_and_the_standard_library(tmp_path: Path) -> None:
    # a folder with numpy only: its neighbours in site-packages must not be found
    packages = Path(np.__file__).parents[1]
    for entry in packages.glob("numpy*"):
        (tmp_path / entry.name).symlink_to(entry)
    own = Path(promptmatte_shm.__file__).parents[1]
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", ALONE, str(tmp_path), str(own)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alone\n"), done.stderr
