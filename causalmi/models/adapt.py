"""Which adapter does a network need?"""

from torch import nn

from causalmi.models.adapter import Adapter, ModuleAdapter
from causalmi.models.decoder import decoder


def adapter_of(module: nn.Module, *, as_module: bool = False) -> Adapter:
    """The adapter of its family if ``module`` is a known decoder, else (or ``as_module``) one by module paths."""
    return (None if as_module else decoder(module)) or ModuleAdapter(module)
