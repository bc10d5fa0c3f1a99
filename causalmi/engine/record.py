"""How is a clean run recorded, and can this network's runs start in its middle? It is tried before it is believed."""

from dataclasses import replace

import torch
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.data.positions import is_single, resolve
from causalmi.engine.recording import Recording
from causalmi.engine.resume import refusal
from causalmi.engine.state import registered
from causalmi.engine.tape import Tape, tape
from causalmi.engine.trial import ROUNDED, TOLERANCE
from causalmi.errors import DataError, ModelError
from causalmi.models.adapter import Adapter
from causalmi.models.decoder import DecoderAdapter
from causalmi.models.transformer import Transformer
from causalmi.rng import torch_stream
from causalmi.spec.site import Position, Site


def record(adapter: Adapter, inputs: Inputs, at: Position, *, resume: bool) -> Recording:
    """A clean run of ``inputs``, in one batch, whose logits are read ``at``; see :meth:`causalmi.Model.record`."""
    if len(inputs) == 0:
        raise DataError("there are no examples to record; give at least one")
    adapter.check(inputs.values)
    if not resume:
        return _whole(adapter, inputs, at, "resume=False was asked for")
    if isinstance(adapter, DecoderAdapter):
        _try(adapter)
    if (reason := refusal(adapter)) is not None or not isinstance(adapter, DecoderAdapter):
        return _whole(adapter, inputs, at, str(reason))
    try:
        return _kept(adapter, inputs, at)
    except ModelError as error:  # what these inputs, such as padded ones, are called with cannot be cut
        return _whole(adapter, inputs, at, str(error))


def _whole(adapter: Adapter, inputs: Inputs, at: Position, why: str) -> Recording:
    readout = resolve(at, inputs) if bool(inputs.lengths.any()) else None
    recording = Recording(adapter, inputs, readout, is_single(at), None, torch.empty(0), why)
    logits = recording.run({}).logits
    return replace(recording, logits=logits, dropped=recording.dropped or logits.ndim == 2)


def _kept(adapter: DecoderAdapter, inputs: Inputs, at: Position) -> Recording:
    kept = tape(adapter, inputs)
    readout, dropped = resolve(at, inputs), is_single(at)
    if isinstance(adapter.module, Transformer) and adapter.readout_position is not None:
        assert inputs.mask is not None
        readout, dropped = adapter.module.readout(inputs.mask)[:, None], True
    recording = Recording(adapter, inputs, readout, dropped, kept, torch.empty(0))
    return replace(recording, logits=_clean(adapter, kept, recording))


def _clean(adapter: DecoderAdapter, kept: Tape, recording: Recording) -> Tensor:
    with torch.no_grad():
        if recording.readout is None:
            return adapter.tail(kept.final)
        rows = torch.arange(len(kept.final), device=kept.final.device)[:, None]
        logits = adapter.tail(kept.final[rows, recording.readout.to(kept.final.device)])
    return logits[:, 0] if recording.dropped else logits


def _try(adapter: DecoderAdapter) -> None:
    """Compare edits from a recording with whole runs, once for each network; again when its hooks are gone."""
    if adapter.tried == (hooks := registered(adapter.module)):
        return
    adapter.tried = adapter.whole = None
    if hooks:
        adapter.whole = "its modules have hooks of the user's own, which may look at positions or at the whole network"
    elif refusal(adapter) is None:
        try:
            same = all(_agree(adapter, *edit) for edit in ((0, None), (adapter.shape.n_layers // 2, "last")))
            adapter.whole = None if same else "a run from the middle of a clean one does not give the same numbers"
        except (ModelError, RuntimeError, TypeError, IndexError, KeyError) as error:  # what modules raise
            adapter.whole = f"a run from the middle of a clean one fails: {error}"
    adapter.tried = hooks


def _agree(adapter: DecoderAdapter, layer: int, at: Position) -> bool:
    """Whether an edit of what enters ``layer`` gives the same logits ``at`` from a recording as in a whole run."""
    inputs = Inputs.of(adapter.example())
    place = Site("resid_pre", layer, at=min(inputs.values.shape[1] - 1, 2))
    value = torch.randn(len(inputs), adapter.shape.d_model, generator=torch_stream(0, "resume"))
    ways = (_kept(adapter, inputs, at), _whole(adapter, inputs, at, "it is compared with one"))
    found, wanted = (recording.run({place: value}).logits for recording in ways)
    off, size = float((found - wanted).abs().max()), max(1.0, float(wanted.abs().max()))
    moved = float((wanted - ways[1].logits).abs().max())  # a replay that ignored the edit would be off by as much
    seen = off <= max(moved / 2, 100 * torch.finfo(wanted.dtype).eps * size)
    return seen and off <= max(TOLERANCE.get(wanted.dtype, 0.1), ROUNDED) * size
