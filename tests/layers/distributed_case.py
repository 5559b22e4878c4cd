"""Run by test_distributed.py once a rank: a layer in DDP, in FSDP and under fully_shard, each beside one that nothing wraps."""

import json
import sys
import warnings

import torch
from torch import distributed
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel

import lstm_odyssey as lo


class Model(torch.nn.Module):
    """A layer in both directions and a linear one."""

    def __init__(self, backend):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = lo.RNN("vanilla", 3, 5, bidirectional=True, backend=backend, dtype=torch.float64, initial_std=0.5)
        self.out = torch.nn.Linear(10, 2, dtype=torch.float64)

    def forward(self, x):
        return self.out(self.rnn(x)[0])


def steps(model, x, size):
    """Three updates by Adam; the losses, averaged over ranks."""
    optimiser, losses = torch.optim.Adam(model.parameters(), 0.01), []
    for _ in range(3):
        optimiser.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimiser.step()
        total = loss.detach().clone()
        distributed.all_reduce(total)
        losses.append(float(total) / size)
    return losses


def sharded(model, size):
    mesh = distributed.device_mesh.init_device_mesh("cpu", (size,))
    fully_shard(model.rnn, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def main():
    rank, size, backend, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    distributed.init_process_group("gloo", store=distributed.FileStore(store, size), rank=rank, world_size=size)
    torch.set_num_threads(1)
    x = torch.randn(4, 2 * size, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wrapped = {
        "plain": None,
        "ddp": DistributedDataParallel,
        "fsdp": lambda model: FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=True),
        "fully_shard": lambda model: sharded(model, size),
    }
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own words about FSDP on a CPU and about gloo
        for name, wrap in wrapped.items():
            model = Model(backend)
            own = x if wrap is None else x[:, 2 * rank : 2 * rank + 2]
            found[name] = steps(model if wrap is None else wrap(model), own, size)
    if rank == 0:
        sys.stdout.write(json.dumps(found) + "\n")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
