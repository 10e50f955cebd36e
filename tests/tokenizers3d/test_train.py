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


def test_the_feature_network_is_left_alone() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(0)
    model = TokenizerTrainer(TINY, StageConfig(weights=LossWeights(l1=0.0, perceptual=1.0, commitment=0.0, entropy=0.0)), features=network).train()
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    terms = model(random_volume(1, 9, 32, 32))
    assert terms["loss"].item() == pytest.approx(terms["perceptual"].item())
    terms["loss"].backward()
    assert model.tokenizer.decoder.head.weight.grad.abs().max() > 0
    optimiser.step()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    with pytest.raises(ConfigError, match="without features"):
        TokenizerTrainer(TINY, StageConfig(weights=LossWeights(perceptual=1.0)))


@pytest.mark.parametrize("lecam", [0.0, 2.0])
def test_lecam_and_penalty_have_their_weights_in_the_loss(lecam: float) -> None:
    """The loss is the sum of its parts; the penalty alone is weighed on the steps that have it."""
    model = trainer(
        weights=LossWeights(l1=1.0, commitment=0.0, entropy=0.0), adversaries=AdversaryConfig(axes=(3,), lecam=lecam, penalty_every=2, filters=4)
    )
    with torch.no_grad():
        model.adversaries["3"].head[2].bias.fill_(1.5)
    x = random_volume(1, 9, 16, 16)
    for step in range(2):
        terms, judge = model(x), model.lecam["3"]
        parts = terms["l1"] + 0.1 * terms["generator3d"] + terms["discriminator3d"] + 10.0 * terms.get("penalty3d", torch.zeros(()))
        assert ("penalty3d" in terms) == (step == 0)
        real = model.adversaries["3"](x).mean().item()
        # Fake logits are far above the running mean of the real ones, so their half of the penalty is zero.
        expected = lecam * (real - judge.fake.item()) ** 2
        assert (terms["loss"] - parts).item() == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_schedules_as_published() -> None:
    """BTB3D's annealing of the entropy weight: three times 0.1, in a straight line to 0.1 at step 2,000; the commitment stays at 0.25."""
    weights = LossWeights()
    assert [weights.entropy_at(step) for step in (0, 500, 1000, 2000, 9000)] == pytest.approx([0.3, 0.25, 0.2, 0.1, 0.1])
    model = trainer(weights=LossWeights(entropy_steps=2))
    x = random_volume(1, 9, 16, 16)
    for factor in (3.0, 2.0, 1.0, 1.0):
        terms = model(x)
        entropy = terms["token_entropy"] - terms["batch_entropy"]
        assert terms["quantizer"].item() == pytest.approx((0.25 * terms["commitment"] + 0.1 * factor * entropy).item(), rel=1e-5)


def test_mixed_precision_leaves_judges_and_entropies_in_float32() -> None:
    """Twice the same step gives the same gradients (convolutions in bfloat16 did not), and the entropies are those of float32."""
    model = trainer(weights=LossWeights(inverse_temperature=1.0), adversaries=AdversaryConfig(filters=4, lecam=0.0))
    x, gradients = random_volume(1, 9, 16, 16), []
    for _ in range(4):
        model.step.zero_()
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            terms = model(x)
        terms["loss"].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.adversaries.parameters()]))
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
    assert gradients[0].isfinite().all()
    latents = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.tokenizer.quantizer.entropies(latents)
    assert [value.item() for value in mixed] == [value.item() for value in model.tokenizer.quantizer.entropies(latents)]
