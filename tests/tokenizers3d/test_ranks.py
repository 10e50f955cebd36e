"""What two ranks compute from a message between them, one after the other in this process; real processes are in the training's slow tests."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tokenizers3d import ranks
from tokenizers3d.adversarial import LeCam
from tokenizers3d.quantizers import LFQ
from tokenizers3d.ranks import mean_over_ranks


def on_ranks(monkeypatch: pytest.MonkeyPatch, parts: list[Tensor], compute: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """`compute` of each part, as ranks that send each other their messages: first all messages are gathered, then each rank gets their sum."""
    messages: list[Tensor] = []
    monkeypatch.setattr(ranks, "num_ranks", lambda: len(parts))
    monkeypatch.setattr(ranks.dist, "all_reduce", lambda message: messages.append(message.clone()))
    for part in parts:
        compute(part.detach())
    total = torch.stack(messages).sum(0)
    monkeypatch.setattr(ranks.dist, "all_reduce", lambda message: message.copy_(total))
    results = [compute(part) for part in parts]
    monkeypatch.undo()
    return results


def samples(*counts: int, width: int = 6) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, width, generator=generator, dtype=torch.float64) * 0.02 for n in counts]


@pytest.mark.parametrize("counts", [(8, 8), (3, 12), (5, 0, 2)])
def test_the_mean_and_its_gradient_are_those_of_one_process(counts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    parts, scale = samples(*counts), torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    expected = (torch.cat(parts) * scale).mean(0).exp().prod()
    results = on_ranks(monkeypatch, parts, lambda part: mean_over_ranks((part * scale).sum(0), len(part)).exp().prod())
    assert all(abs(found - expected) < 1e-12 for found in results)
    gradients = [torch.autograd.grad(found, scale)[0] for found in results]
    assert abs(sum(gradients) / len(counts) - torch.autograd.grad(expected, scale)[0]) < 1e-12


def test_nobody_has_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all((found == 0).all() for found in on_ranks(monkeypatch, samples(0, 0), lambda part: mean_over_ranks(part.sum(0), len(part))))


@pytest.mark.parametrize("counts", [(20, 20), (30, 10)])
def test_entropy_of_the_codes_of_all_ranks(counts: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer, parts = LFQ(6), samples(*counts)
    mixing = torch.eye(6, dtype=torch.float64).requires_grad_()
    expected = quantizer.entropies(torch.cat(parts) @ mixing)[1]
    alone = [quantizer.entropies(part @ mixing)[1] for part in parts]
    results = on_ranks(monkeypatch, parts, lambda part: quantizer.entropies(part @ mixing)[1])
    assert all(abs(found - expected) < 1e-12 for found in results)
    assert all(abs(found - expected) > 1e-3 for found in alone)
    gradient = sum(torch.autograd.grad(found, mixing)[0] for found in results) / 2
    assert (gradient - torch.autograd.grad(expected, mixing)[0]).abs().max() < 1e-10


def test_lecam_of_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [torch.tensor([2.0, 4.0]), torch.tensor([6.0, 0.0, 1.0, 5.0]), torch.zeros(0)]
    one, many = LeCam(decay=0.5), [LeCam(decay=0.5) for _ in range(6)]
    expected = one(torch.cat(parts), -torch.cat(parts))
    turn = iter(many)
    results = on_ranks(monkeypatch, parts, lambda part: next(turn)(part, -part))
    assert [found.item() for found in results] == pytest.approx([expected.item()] * 3)
    assert [module.real.item() for module in many[3:]] == pytest.approx([1.5] * 3)


def test_lecam_with_nothing_to_judge_keeps_its_means(monkeypatch: pytest.MonkeyPatch) -> None:
    module = LeCam()
    module.real.fill_(2.0)
    results = on_ranks(monkeypatch, [torch.zeros(0), torch.zeros(0)], lambda part: module(part, part))
    assert [found.item() for found in results] == [0.0, 0.0]
    assert module.real.item() == 2.0
