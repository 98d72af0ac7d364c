"""The semantic codebook."""

import torch

from model.s2.quantizer import ResidualVectorQuantizer


def test_codes_survive_decoding_and_encoding() -> None:
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(size=16, dim=6)
    codes = torch.randint(0, 16, (2, 9))
    features = quantizer.decode(codes)
    assert features.shape == (2, 6, 9)
    assert torch.equal(quantizer.encode(features), codes)


def test_nearest_is_euclidean() -> None:
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(size=16, dim=6)
    features = torch.randn(1, 6, 9)
    embed = quantizer.vq.codebook.embed
    assert torch.equal(
        quantizer.encode(features)[0], torch.cdist(features[0].T, embed).argmin(dim=1)
    )


def test_codebook_is_not_a_parameter() -> None:
    quantizer = ResidualVectorQuantizer(size=16, dim=6)
    assert not list(quantizer.parameters())
    assert {name.rsplit(".", 1)[-1] for name in quantizer.state_dict()} == {
        "inited",
        "cluster_size",
        "embed",
        "embed_avg",
    }
