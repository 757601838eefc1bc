"""Repeat the source papers' ablation studies; the results are in ``docs/ablations.md``.

Usage: ``python docs/ablations.py [--section NAME] [--write]``. Each finished section is saved in a JSON file, so an
interrupted run continues with the next section. A change of the weights, of the recipes or of the code of attacks,
views, defenses and training starts a new file. A change of ``docs/ablation_sections`` does not: use ``--fresh`` to run
the chosen sections again.

Every table of accuracies has three attackers. The clean one does not attack. The non-adaptive one attacks the bare
classifier; MedRDF's figures suggest this setting, because its accuracy under PGD exceeds its clean accuracy. The
adaptive one attacks the deployed defense through BPDA and EOT (Athalye et al. 2018).
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
    """Run the chosen sections and print them; write the document on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--section", metavar="NAME", choices=SECTIONS, help=f"run this section only: {', '.join(SECTIONS)}"
    )
    parser.add_argument("--write", action="store_true", help="write the document (all sections)")
    parser.add_argument("--fresh", action="store_true", help="run saved sections again")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"folder of saved results (default: {OUTPUT})")
    given = parser.parse_args()
    if given.section and given.write:
        parser.error("--write needs all sections: omit --section (finished sections are saved)")
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        bench = Bench()
    except BenchError as error:
        parser.exit(2, f"{error}\n")
    parts, seconds, versions = {}, 0.0, set()
    for name in [given.section] if given.section else SECTIONS:
        section = SECTIONS[name]
        result = kept(
            given.output / f"{name}-{fingerprint(section.sources)}.json", given.fresh, partial(section.run, bench)
        )
        parts[name] = section.tell(result["found"], bench.split)
        seconds += result["seconds"]
        versions.add(result["version"])
        print(f"## {section.title} ({result['seconds']:.0f} s)\n\n{parts[name]}\n", flush=True)
    if given.write:
        DOCUMENT.write_text(document(parts, bench.split, seconds, sorted(versions)), "utf-8")


if __name__ == "__main__":
    main()
