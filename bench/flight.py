"""Large results over Arrow Flight, to one client and to several at once."""

import contextlib
import pathlib
import statistics
import subprocess
import sys
import threading
import time

PEERS = pathlib.Path(__file__).parent / "peers"
CLIENTS = (1, 2, 4)
ROUNDS = 3


@contextlib.contextmanager
def server(script, address, *arguments):
    """One of the peers, ready when it listens."""
    child = subprocess.Popen([sys.executable, PEERS / script, f"grpc://{address}", *map(str, arguments)])
    try:
        yield child
    finally:
        child.terminate()
        child.wait()


@contextlib.contextmanager
def clients(url, query, count):
    command = [sys.executable, PEERS / "flight_client.py", url, query]
    all_of_them = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        for child in all_of_them:
            if child.stdout.readline() != "ready\n":
                raise RuntimeError("a client did not start")
        yield all_of_them
    finally:
        for child in all_of_them:
            child.stdin.close()
            child.wait()


def run(all_of_them):
    """Seconds until the last client has all, and what each of them got."""
    started = time.perf_counter()
    for child in all_of_them:
        child.stdin.write("\n")
        child.stdin.flush()
    answers = [child.stdout.readline().split() for child in all_of_them]
    seconds = time.perf_counter() - started
    if not all(answers):
        raise RuntimeError("a client has failed")
    return seconds, [(int(rows), int(size)) for rows, size in answers]


class Peak:
    """The most resident memory of a process while the block runs, in MiB."""

    def __init__(self, resident_mib, pid):
        self.resident_mib, self.pid, self.most, self.over = resident_mib, pid, 0, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self):
        while not self.over.wait(0.05):
            self.most = max(self.most, self.resident_mib(self.pid))

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def wait(url):
    import pyarrow.flight as flight

    deadline = time.monotonic() + 600
    while True:
        try:
            with flight.connect(url) as client:
                return client.wait_for_available(timeout=5)
        except flight.FlightError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def compare(urls, pids, query, count, resident_mib):
    """`{system: (GB/s, MiB)}`: medians of alternating runs, after one warm-up each; and rows and bytes of one client."""
    speeds, most, sizes, rows = {name: [] for name in urls}, dict.fromkeys(urls, 0), {}, set()
    with contextlib.ExitStack() as stack:
        readers = {name: stack.enter_context(clients(url, query, count)) for name, url in urls.items()}
        for round_number in range(ROUNDS + 1):
            for name, those in readers.items():
                with Peak(resident_mib, pids[name]) as peak:
                    seconds, got = run(those)
                most[name] = max(most[name], peak.most)
                rows |= {number for number, _ in got}
                sizes[name] = got[0][1]
                if round_number:
                    speeds[name].append(sum(size for _, size in got) / seconds / 1e9)
    assert len(rows) == 1, f"the systems disagree: {rows}"
    return {name: (statistics.median(found), most[name]) for name, found in speeds.items()}, rows.pop(), sizes
