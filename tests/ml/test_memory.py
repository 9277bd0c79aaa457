import subprocess
import sys

_MEASURED = """
import resource
from ml import memory
memory.configure_process()
size = 50_000_000

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        b"x" * size
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    status = open("/proc/self/status").read()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

fresh = faults()
with memory.keep_heap():
    b"x" * size
    kept, inside = faults(), held()
print(fresh, kept, inside - held(), faults())
"""


def test_keep_heap_reuses_freed_memory_and_returns_it_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", _MEASURED], capture_output=True, text=True, check=True)
    fresh, kept, given_back, afterwards = map(int, done.stdout.split())
    assert fresh > 20 * (kept + 1)
    assert given_back > 40_000, "KiB"
    assert afterwards > fresh / 2
