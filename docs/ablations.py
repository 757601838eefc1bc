"""The source papers' ablation tables, measured again, in ``docs/ablations.md``.

Usage: ``python docs/ablations.py [--section NAME] [--write]``. The result of a finished section is kept in a JSON file,
so that an interrupted run goes on with the next one; other code of attacks, views and defenses, or of training and
other recipes, or other weights begin another file. What a table is made of (``docs/ablation_sections``) is not seen by
this: ``--fresh`` runs the chosen sections anew.

Every table of accuracies has three attackers. The clean one does nothing. The non-adaptive one knows the bare
classifier alone, as MedRDF's figures read: its accuracy under PGD exceeds the clean one. The adaptive one attacks what
is deployed, through BPDA and EOT (Athalye et al. 2018).
"""

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from ablation_sections import SECTIONS
from ablation_sections.bench import Bench
from ablation_sections.document import DOCUMENT, document
from ablation_sections.keep import fingerprint, kept

from benchmark.errors import BenchError
from benchmark.memory import keep_freed_memory

OUTPUT = Path(tempfile.gettempdir()) / "medrobustbench-ablations"


def main() -> None:
    """Run what is chosen and print it; write the document if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--section", metavar="NAME", choices=SECTIONS, help=f"one of {', '.join(SECTIONS)} alone")
    parser.add_argument("--write", action="store_true", help="write the document (all sections)")
    parser.add_argument("--fresh", action="store_true", help="run anew what is kept from an earlier run")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"folder of what is kept (default: {OUTPUT})")
    given = parser.parse_args()
    if given.section and given.write:
        parser.error("--write needs all sections: leave --section out (finished ones are kept)")
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        bench = Bench()
    except BenchError as error:
        parser.exit(2, f"{error}\n")
    parts, seconds = {}, 0.0
    for name in [given.section] if given.section else SECTIONS:
        section = SECTIONS[name]
        result = kept(
            given.output / f"{name}-{fingerprint(section.sources)}.json", given.fresh, partial(section.run, bench)
        )
        parts[name] = section.tell(result["found"], bench.split)
        seconds += result["seconds"]
        print(f"## {section.title} ({result['seconds']:.0f} s)\n\n{parts[name]}\n", flush=True)
    if given.write:
        DOCUMENT.write_text(document(parts, bench.split, seconds), "utf-8")


if __name__ == "__main__":
    main()
