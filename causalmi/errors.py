"""What can go wrong that a user can mend: every such fault is one of these types, with a message that says how."""

from collections.abc import Sequence


class CausalmiError(Exception):
    """A mistake in what was asked, with what was given, what is wrong, what is allowed and what to try."""


class SpecError(CausalmiError, ValueError):
    """A claim that is not well formed; ``problems`` lists everything that is wrong with it, one sentence each."""

    def __init__(self, subject: str, problems: Sequence[str]):
        self.subject = subject
        self.problems = tuple(problems)
        super().__init__(self._message())

    def _message(self) -> str:
        if len(self.problems) == 1:
            return f"{self.subject}: {self.problems[0]}"
        return "\n".join([f"{self.subject} has {len(self.problems)} problems:", *(f"  - {p}" for p in self.problems)])


class SiteError(CausalmiError, LookupError):
    """A site that the network does not have, or an edit that does not fit it."""


class PositionError(CausalmiError, IndexError):
    """A position that an example does not have."""


class DataError(CausalmiError, ValueError):
    """Examples that cannot be used: unequal lengths, an answer of several tokens, no pairs left."""


class ModelError(CausalmiError, ValueError):
    """A network that cannot be loaded or trusted: unknown family, weights that are not finite, a failed self-check."""


class CausalmiWarning(UserWarning):
    """A result that is easily misread: it says less than it seems to."""


class UsageError(CausalmiError, ValueError):
    """A file, a parameter or an option that the command line cannot use."""
