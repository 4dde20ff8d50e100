"""PyTorch on the GPU: measures convolutions and networks that stand in JSON lines, and answers in JSON lines.

{"convolution": {n, c, h, w, k, r, s, stride, padding, groups}, "pass": …, "dtype": …, "seconds": …}
{"network": torchvision's or "mobilenet_v1", "work": "inference" | "training", "n": …, "dtype": …, "compile": bool, …}
-> {"seconds": the median of one run} | {"failure": why}
"""
import json
import statistics
import sys

import torch

torch.backends.cudnn.benchmark = True
torch.backends.cudnn.allow_tf32 = False  # float32 is float32, as groupconv's
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def timed(work, seconds):
    """Median seconds of one run by CUDA events, over samples that last `seconds` together."""

    def sample(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(repeats):
            work()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000 / repeats

    sample(3)
    repeats = max(1, round(seconds / 5 / sample(3)))
    return statistics.median(sample(repeats) for _ in range(5))


def convolution(request):
    size, dtype = request["convolution"], DTYPES[request["dtype"]]
    make = dict(device="cuda", dtype=dtype)
    x = torch.randn(size["n"], size["c"], size["h"], size["w"], **make).to(memory_format=torch.channels_last)
    weight = torch.randn(size["k"], size["c"] // size["groups"], size["r"], size["s"], **make)
    weight = weight.to(memory_format=torch.channels_last)
    stride, padding, groups = [size["stride"]] * 2, [size["padding"]] * 2, size["groups"]
    forward = lambda: torch.nn.functional.conv2d(x, weight, None, stride, padding, 1, groups)
    if request["pass"] == "forward":
        return timed(forward, request["seconds"])
    dy = torch.randn_like(forward())
    mask = [request["pass"] == "gradInput", request["pass"] == "gradWeight", False]
    backward = lambda: torch.ops.aten.convolution_backward(
        dy, x, weight, None, stride, padding, [1, 1], False, [0, 0], groups, mask
    )
    return timed(backward, request["seconds"])


def mobilenet_v1():
    from torch.nn import BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential, AdaptiveAvgPool2d

    def norm(convolution):
        return [convolution, BatchNorm2d(convolution.out_channels), ReLU(inplace=True)]

    sizes = [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2)]
    sizes += [(512, 512, 1)] * 5 + [(512, 1024, 2), (1024, 1024, 1)]
    layers = norm(Conv2d(3, 32, 3, 2, 1, bias=False))
    for inputs, outputs, stride in sizes:
        layers += norm(Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False))
        layers += norm(Conv2d(inputs, outputs, 1, bias=False))
    return Sequential(*layers, AdaptiveAvgPool2d(1), Flatten(), Linear(1024, 1000))


def network(request):
    if request["network"] == "mobilenet_v1":
        model = mobilenet_v1()
    else:
        import torchvision

        model = getattr(torchvision.models, request["network"])()
    model = model.cuda().to(memory_format=torch.channels_last)
    dtype, n = DTYPES[request["dtype"]], request["n"]
    x = torch.randn(n, 3, 224, 224, device="cuda").to(memory_format=torch.channels_last)
    labels = torch.randint(1000, (n,), device="cuda")
    autocast = lambda: torch.autocast("cuda", dtype, enabled=dtype != torch.float32)
    training = request["work"] == "training"
    model.train(training)
    if not training and dtype != torch.float32:
        model, x = model.to(dtype), x.to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), 0.001, 0.9)
    run = torch.compile(model, mode="max-autotune" if n == 1 else "default") if request["compile"] else model

    def infer():
        with torch.no_grad():
            run(x)

    def train():
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = torch.nn.functional.cross_entropy(run(x), labels)
        loss.backward()
        optimizer.step()

    return timed(train if training else infer, request["seconds"])


# Answers alone go to stdout: what libraries print there would be taken for one.
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"seconds": (convolution if "convolution" in request else network)(request)}
    except Exception as error:  # one measurement less, told to whoever asked
        answer = {"failure": str(error).split("\n")[0][:200]}
    torch.cuda.empty_cache()
    print(json.dumps(answer), file=answers, flush=True)
