"""How does a setting of the causal model become an input of the network, and a label? What every way must offer."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from jaxtyping import Int
from torch import Tensor

from causalmi.data.inputs import Inputs

Settings: TypeAlias = Sequence[Mapping[str, Any]]


class Form(ABC):
    """One way to put settings to a network."""

    needs_tokenizer: bool

    @abstractmethod
    def problems(self, variables: Sequence[str]) -> Iterator[str]:
        """What is wrong with it for a causal model of these ``variables``."""

    @abstractmethod
    def texts(self, settings: Settings) -> tuple[str, ...]:
        """Each setting as the text that the network is given; empty where there is none."""

    @abstractmethod
    def inputs(self, settings: Settings, tokenizer: Any) -> Inputs:
        """What the network is run on for each setting."""

    @abstractmethod
    def labels(self, settings: Settings, inputs: Inputs, tokenizer: Any) -> Int[Tensor, " n"]:
        """The output, a token or a class, that each setting says is right for the input in the same row."""

    @abstractmethod
    def choice_ids(self, settings: Settings, inputs: Inputs, tokenizer: Any) -> Int[Tensor, "n c"] | None:
        """The outputs among which the network's answer is looked for; None for all."""
