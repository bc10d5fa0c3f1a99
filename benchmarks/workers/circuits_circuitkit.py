"""What do its forks of auto-circuit's ACDC and of EAP-IG cost with circuitkit?"""

from importlib.metadata import version

import torch

from benchmarks.circuit_job import Search, write_found
from benchmarks.workers.circuits import start
from benchmarks.workers.circuits_auto_circuit import Package, acdc
from benchmarks.workers.circuits_eap_ig import Attribution, eap, tokenized

VERSION = version("circuitkit")


class Fork(Package):
    """Its loader wants a device and knows nothing of positions; of scores at one threshold it turns the order round."""

    kept = 0.0

    def options(self, length: int) -> dict[str, object]:
        return {"device": torch.device(self.search.device)}


def attribution(search: Search) -> Attribution:
    """Its EAP and EAP-IG, the tokenizer replaced by one that takes tokens."""
    from circuitkit.backends.eap import attribute
    from circuitkit.backends.eap.graph import Graph

    def pair(model, clean, corrupted, **_):
        tokens, mask, lengths, n = tokenized(model, clean)
        return tokens, corrupted, mask, mask, lengths, n

    attribute.tokenize_batch_pair = pair
    return Attribution(attribute.attribute, Graph, search)


if __name__ == "__main__":
    search = start()
    if search.part == "acdc":
        found = acdc(Fork("circuitkit.backends.acdc", search), VERSION)
    else:
        found = eap(attribution(search), VERSION)
    write_found(search.folder, "circuitkit", found)
