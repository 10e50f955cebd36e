from pathlib import Path

import pytest
import torch

from tests.tokenizers3d.conftest import make_tokenizer, random_volume
from tokenizers3d.adversarial import LeCam, discriminator_loss, generator_loss, gradient_penalty
from tokenizers3d.config import TokenizerConfig
from tokenizers3d.discriminator import Discriminator
from tokenizers3d.errors import ConfigError, ShapeError
from tokenizers3d.losses import LossWeights, gradient_difference, perceptual_25d, reconstruction_terms
from tokenizers3d.train import AdversaryConfig, StageConfig, TokenizerTrainer

TINY = TokenizerConfig(name="tiny", filters=8, num_res_blocks=1, num_groups=4, quantizer_args={"num_bits": 6})


def trainer(**stage: object) -> TokenizerTrainer:
    torch.manual_seed(0)
    return TokenizerTrainer(TINY, StageConfig(**stage))


@pytest.mark.parametrize("mode", ["stream", "windowed"])
@pytest.mark.parametrize("shape", [(1, 17, 16, 16), (2, 1, 24, 16)])
def test_training_lowers_the_error(mode: str, shape: tuple[int, ...]) -> None:
    model, x = trainer(mode=mode, weights=LossWeights(l1=1.0, entropy=0.001, soft_steps=10)), random_volume(*shape)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    errors = []
    for _ in range(25):
        terms = model(x)
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        errors.append(terms["l1"].item())
    assert errors[-1] < 0.8 * errors[0]
    assert int(model.step) == 25
    assert model.tokenizer.config.modes == (mode,)


def test_schedules_follow_the_saved_step() -> None:
    weights = LossWeights(entropy=0.1, entropy_start=3.0, entropy_steps=10, soft_steps=4)
    assert [weights.softness_at(s) for s in (0, 2, 9)] == [1.0, 0.5, 0.0]
    assert weights.entropy_at(5) == pytest.approx(0.2)
    model = trainer(weights=weights)
    model(random_volume(1, 1, 16, 16))
    restored = trainer(weights=weights)
    restored.load_state_dict(model.state_dict())
    assert int(restored.step) == 1


def test_recomputing_gives_the_same_gradients() -> None:
    gradients = []
    for recompute in (False, True):
        model = trainer(recompute=recompute)
        model(random_volume(1, 9, 16, 16))["loss"].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert torch.allclose(*gradients, atol=1e-6)


def test_a_frozen_encoder_keeps_its_codes(tmp_path: Path) -> None:
    first = trainer()
    first.tokenizer.save(tmp_path / "t.safetensors")
    model = trainer(frozen_encoder=True, start_from=str(tmp_path / "t.safetensors"))
    x = random_volume(1, 9, 16, 16)
    before, parameters = model.tokenizer.encode(x), [p for p in model.parameters() if p.requires_grad]
    assert len(parameters) == len(list(model.tokenizer.decoder.parameters()))
    optimiser = torch.optim.Adam(parameters, lr=1e-2)
    terms = model(x)
    assert "commitment" not in terms
    terms["loss"].backward()
    optimiser.step()
    after = model.tokenizer.encode(x)
    assert torch.equal(before.codes, after.codes)
    assert before.tokenizer_id == after.tokenizer_id
    with pytest.raises(ConfigError, match="must have been trained"):
        trainer(frozen_encoder=True)
    make_tokenizer().save(tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="of other sizes"):
        trainer(start_from=str(tmp_path / "other.safetensors"))


def test_the_two_sides_do_not_move_each_other() -> None:
    """The judge's gradient comes from its own loss alone, the tokenizer's from being judged."""
    x = random_volume(1, 9, 16, 16)
    deaf = trainer(weights=LossWeights(), adversaries=AdversaryConfig(generator=0.0, penalty=0.0, filters=4))
    heard = trainer(weights=LossWeights(), adversaries=AdversaryConfig(generator=1.0, penalty=0.0, filters=4))
    for model in (deaf, heard):
        model(x)["loss"].backward()
    judges = [torch.cat([p.grad.flatten() for p in m.adversaries.parameters()]) for m in (deaf, heard)]
    makers = [torch.cat([p.grad.flatten() for p in m.tokenizer.decoder.parameters()]) for m in (deaf, heard)]
    assert torch.allclose(*judges)
    assert not torch.allclose(*makers)


def test_the_penalty_comes_every_so_often() -> None:
    model = trainer(adversaries=AdversaryConfig(penalty_every=2, filters=4))
    seen = ["penalty3d" in model(random_volume(1, 9, 16, 16)) for _ in range(4)]
    assert seen == [True, False, True, False]
    assert "generator3d" not in model(random_volume(1, 1, 16, 16))


@pytest.mark.parametrize("shape", [(1, 1, 16, 16), (2, 9, 24, 16), (1, 17, 8, 8)])
def test_discriminators_take_any_size(shape: tuple[int, ...]) -> None:
    x = random_volume(*shape)
    assert Discriminator(2, filters=4)(x).shape == (shape[0] * shape[1],)
    assert Discriminator(3, filters=4)(x).shape == (shape[0],)
    with pytest.raises(ShapeError):
        Discriminator(4)


def test_adversarial_losses_of_known_logits() -> None:
    high, low = torch.tensor([2.0]), torch.tensor([-2.0])
    assert discriminator_loss(high, low, "hinge").item() == 0
    assert discriminator_loss(low, high, "hinge").item() == 6
    assert generator_loss(high, "hinge").item() == -2
    assert generator_loss(low, "non_saturating") > generator_loss(high, "non_saturating")
    x = torch.ones(2, 1, 1, 2, 2, requires_grad=True)
    assert gradient_penalty(3 * x.sum((1, 2, 3, 4)), x).item() == pytest.approx(9 * 4)


def test_lecam_pulls_towards_the_past_of_the_other_side() -> None:
    regulariser = LeCam(decay=0.5)
    assert regulariser(torch.tensor([2.0]), torch.tensor([0.0])).item() == pytest.approx(2.0**2 + 1.0**2)
    regulariser.eval()
    regulariser(torch.tensor([9.0]), torch.tensor([9.0]))
    assert (regulariser.real.item(), regulariser.fake.item()) == (1.0, 0.0)


def test_likeness_terms() -> None:
    x, y = torch.zeros(1, 1, 1, 4, 4), torch.zeros(1, 1, 1, 4, 4)
    y[..., 2:] = 1
    assert gradient_difference(x, y).item() == pytest.approx(1 / 3)
    terms = reconstruction_terms(x, y, LossWeights(l1=2.0, mse=4.0))
    assert terms["reconstruction"].item() == pytest.approx(2 * 0.5 + 4 * 0.5)


def test_perceptual_uses_any_network() -> None:
    x, y = random_volume(1, 17, 32, 32, seed=1), random_volume(1, 17, 32, 32, seed=2)
    network = torch.nn.Conv2d(3, 4, 3)
    assert perceptual_25d(x, x, network).item() == 0
    assert perceptual_25d(x, y, network) > 0
    assert perceptual_25d(x, y, lambda v: [network(v), v]) > 0
    assert perceptual_25d(x[..., :8, :8], y[..., :8, :8], network) == 0
