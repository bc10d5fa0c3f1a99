"""Do the readers that weights tell of read all there is, in every family?"""

import pytest
import torch

from causalmi import site
from causalmi.engine.load import load_model
from causalmi.errors import SiteError
from causalmi.methods.illusion.readers import readers_of
from causalmi.methods.illusion.splitting import Split
from causalmi.spec.basis import Basis
from tests.networks import Network, every_transformer


@every_transformer
def test_what_no_reader_sees_changes_no_logit(network: Network) -> None:
    model, tokens = load_model(network.make()), network.draw(3, 0)
    place = site.mlp_hidden(1)
    try:
        hidden = model.capture(tokens, place)[place]
    except SiteError:
        return  # attention only
    readers = readers_of(model, place, None)
    assert not isinstance(readers, str)
    random = torch.randn(2, hidden.shape[-1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    split = Split.of(Basis.of(random), readers)
    assert split.shares.min() > 0 and split.shares.max() < 1
    unseen, seen = (torch.tensor(part.T).to(hidden) for part in (split.null, split.row))
    clean = model.run(tokens).logits
    assert torch.allclose(model.run(tokens, edits={place: hidden + 9 * unseen.sum(0)}).logits, clean, atol=1e-4)
    assert not torch.allclose(model.run(tokens, edits={place: hidden + 9 * seen.sum(0)}).logits, clean, atol=1e-2)


@every_transformer
def test_a_head_is_read_by_what_gives_its_contribution(network: Network) -> None:
    model, tokens = load_model(network.make()), network.draw(3, 0)
    z, out = site.z(1, 1), site.head_out(1, 1)
    values = model.capture(tokens, [z, out])
    readers = readers_of(model, z, None)
    assert not isinstance(readers, str)
    assert torch.allclose(values[z] @ readers, values[out], atol=1e-5)


@pytest.mark.parametrize("place", [site.z(0), site.z(0, (0, 1)), site.head_out(0, 0), site.resid_post(0), site.embed()])
def test_places_with_several_readers_say_so(place: site.Site) -> None:
    from tests.networks import gpt2

    assert "reader" in str(readers_of(load_model(gpt2()), place, None))
