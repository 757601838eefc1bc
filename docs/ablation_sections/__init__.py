"""The sections of ``docs/ablations.md``; each repeats a table of a paper."""

from ablation_sections import columns, copies, cushion, deployed, geometry, metric, networks, noise, training
from ablation_sections.section import Section

SECTIONS: dict[str, Section] = {
    "noise": noise.NOISE,
    "networks": networks.SECTION,
    "columns": columns.SECTION,
    "level": noise.LEVEL,
    "copies": copies.SECTION,
    "deployed": deployed.SECTION,
    "metric": metric.SECTION,
    "geometry": geometry.SECTION,
    "cushion": cushion.SECTION,
    "training": training.SECTION,
}
