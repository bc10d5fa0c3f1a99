"""Where is the code of a tool that no package index has? In git, or in a folder that a variable names."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import UnavailableError, cache

PATIENCE = 120  # seconds that git may take


@dataclass(frozen=True)
class Source:
    """A ``commit`` of a ``repository``; ``variable`` names an environment variable with a folder to take instead."""

    title: str
    distribution: str
    repository: str
    commit: str
    variable: str

    def bring(self, folder: str, device: str) -> None:
        """Put a copy into ``folder`` that runs on ``device`` where the code says cuda; raises UnavailableError."""
        given, copy = os.environ.get(self.variable), Path(folder, f"{self.distribution}-source")
        if given and not Path(given).is_dir():
            raise UnavailableError(f"{self.title} cannot be had: {self.variable} is {given}, which is no folder")
        shutil.copytree(given or self._checkout(), copy, ignore=shutil.ignore_patterns(".git"), dirs_exist_ok=True)
        for file in copy.rglob("*.py"):
            text = file.read_text()
            file.write_text(text.replace("'cuda'", f"'{device}'").replace('"cuda"', f'"{device}"'))
        if not (copy / "VERSION").is_file():
            (copy / "VERSION").write_text(f"given in {self.variable}" if given else self.commit[:8])

    def _checkout(self) -> Path:
        home = cache() / f"{self.distribution}-{self.commit[:8]}"
        if not (home / "done.txt").is_file():
            shutil.rmtree(home, ignore_errors=True)
            self._git("clone", "--quiet", self.repository, str(home))
            self._git("-C", str(home), "checkout", "--quiet", self.commit)
            (home / "done.txt").write_text(self.commit)
        return home

    def _git(self, *arguments: str) -> None:
        failed = f"{self.title} cannot be had (set {self.variable} to a folder with its source)"
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        try:
            done = subprocess.run(
                ["git", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnavailableError(f"{failed}: {type(error).__name__}") from error
        if done.returncode:
            last = [line.strip() for line in done.stderr.splitlines() if line.strip()][-1:]
            raise UnavailableError(f"{failed}: {last[0] if last else f'git gave status {done.returncode}'}")
