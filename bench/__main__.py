"""`make bench`: all measurements, or those named in ARGS."""

from __future__ import annotations

import argparse
import importlib
import sys

from bench.measure import machine

MEASUREMENTS = {
    "gateway_start": "the gateway process: exec to ready, resident memory (floor: a trivial aiohttp server)",
    "run_to_page": "`make run`: start to page, memory of all processes (environment already made)",
    "first_delta": "send to the first words of the answer, beside a bare client of the same model",
    "idle_memory": "memory of a gateway that has answered and of what it started (floor: a Python that waits)",
    "prompt": "what `hello` sends to the model, part by part",
    "turns": "1,000 turns with tools: what the gateway and its children hold, what a turn costs late in a long conversation (minutes)",
    "wake": "on a cluster (KUBECONFIG): request to first byte, beside a bare pod with the same kind of volume",
}

# Only when they are asked for: minutes, or a cluster.
NAMED_ONLY = ("turns", "wake")


def main() -> int:
    listing = "\n".join(f"  {name:<14} {what}" for name, what in MEASUREMENTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measurements:\n" + listing, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure; all but {' and '.join(NAMED_ONLY)} when absent")
    parser.add_argument("--runs", type=int, default=7, help="counted runs of each subject (7)")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"no such measurement: {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    print(f"{machine()}, {chosen.runs} runs of each in turn\n")
    for name in chosen.names or [name for name in MEASUREMENTS if name not in NAMED_ONLY]:
        print(f"### {MEASUREMENTS[name]}\n", flush=True)
        importlib.import_module(f"bench.{name}").main(chosen.runs)
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
