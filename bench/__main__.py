"""`make bench`: all measurements, or those named in ARGS."""

from __future__ import annotations

import argparse
import importlib
import sys

from bench.measure import machine

MEASUREMENTS = {
    "gateway_start": "the gateway process: exec to ready, resident memory (floor: a trivial aiohttp server)",
    "run_to_page": "`make run`: start to page, memory of all processes (environment already made)",
    "wake": "on a cluster (KUBECONFIG): request to first byte, beside a bare pod with the same kind of volume",
}


def main() -> int:
    listing = "\n".join(f"  {name:<14} {what}" for name, what in MEASUREMENTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measurements:\n" + listing, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure; all that need no cluster when absent")
    parser.add_argument("--runs", type=int, default=7, help="counted runs of each subject (7)")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"no such measurement: {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    print(f"{machine()}, {chosen.runs} runs of each in turn\n")
    for name in chosen.names or [name for name in MEASUREMENTS if name != "wake"]:
        print(f"### {MEASUREMENTS[name]}\n", flush=True)
        importlib.import_module(f"bench.{name}").main(chosen.runs)
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
