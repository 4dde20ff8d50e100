"""PyTorch on the GPU: says its version, then measures what stands in JSON lines, and answers in JSON lines.

{"convolution": {n, c, h, w, k, r, s, stride, padding, groups}, "pass": ..., "precision": ..., "sets": ..., "seconds": ...,
 "benchmark": whether cuDNN's engines are measured first, as everywhere else}
{"matmul": extent, "precision": ..., "seconds": ...}
{"network": torchvision's or "mobilenet_v1", "work": "inference" | "training", "n": ..., "precision": ...,
 "mode": "eager" | "captured" | "compile", "seconds": ...}
-> {"seconds": the median of one run} | {"failure": why}
"""
import json
import statistics
import sys

import torch

# Answers alone go to stdout: what libraries print there would be taken for one.
answers, sys.stdout = sys.stdout, sys.stderr
assert torch.cuda.is_available(), "no GPU"
print(json.dumps({"version": f"{torch.__version__}, cuDNN {torch.backends.cudnn.version()}"}), file=answers, flush=True)

DTYPES = {"tf32": torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
GRAPH_SECONDS = 2e-3  # as timing.ts has it
MOST_RUNS = 512


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

    sample(1)
    repeats = max(1, round(seconds / 5 / sample(3)))
    return statistics.median(sample(repeats) for _ in range(5))


def graph_of(work):
    """The work as one CUDA graph, after runs that make whatever is made once."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph


def timed_replayed(work, sets, seconds):
    """Like `timed`, for work that is shorter than Python takes to queue it: many runs of it are one graph.
    work(i) runs on the i-th of so many sets of data, which take turns so that no cache holds them."""

    def round():
        kept = [work(i) for i in range(sets)]  # results take turns, too
        del kept

    once = timed(round, seconds / 5)
    rounds = max(1, min(int(GRAPH_SECONDS / once + 0.5), MOST_RUNS // sets))

    def many():
        for _ in range(rounds):
            round()

    return timed(graph_of(many).replay, seconds) / rounds / sets


def convolution(request):
    size, sets = request["convolution"], request["sets"]
    make = dict(device="cuda", dtype=DTYPES[request["precision"]])

    def activation(channels, height, width):
        values = torch.randn(size["n"], channels, height, width, **make)
        return values.contiguous(memory_format=torch.channels_last)

    weight = torch.randn(size["k"], size["c"] // size["groups"], size["r"], size["s"], **make)
    weight = weight.contiguous(memory_format=torch.channels_last)
    x = [activation(size["c"], size["h"], size["w"]) for _ in range(sets)]
    stride, padding, groups = [size["stride"]] * 2, [size["padding"]] * 2, size["groups"]

    def forward(i):
        return torch.nn.functional.conv2d(x[i], weight, None, stride, padding, 1, groups)

    if request["pass"] == "forward":
        return timed_replayed(forward, sets, request["seconds"])
    shape = forward(0).shape
    dy = [activation(*shape[1:]) for _ in range(sets)]
    mask = [request["pass"] == "gradInput", request["pass"] == "gradWeight", False]

    def backward(i):
        return torch.ops.aten.convolution_backward(
            dy[i], x[i], weight, None, stride, padding, [1, 1], False, [0, 0], groups, mask
        )

    return timed_replayed(backward, sets, request["seconds"])


def matmul(request):
    make = dict(device="cuda", dtype=DTYPES[request["precision"]])
    a, b = (torch.randn(request["matmul"], request["matmul"], **make) for _ in range(2))
    return timed(lambda: a @ b, request["seconds"])


def mobilenet_v1():
    from torch.nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential

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
    dtype, n, mode = DTYPES[request["precision"]], request["n"], request["mode"]
    x = torch.randn(n, 3, 224, 224, device="cuda").contiguous(memory_format=torch.channels_last)
    labels = torch.randint(1000, (n,), device="cuda")
    training = request["work"] == "training"
    model.train(training)
    if not training and dtype != torch.float32:
        model, x = model.to(dtype), x.to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), 0.001, 0.9)
    # A captured graph is part of this mode: for one image the host is what takes the time.
    run = torch.compile(model, mode="reduce-overhead" if n == 1 else "default") if mode == "compile" else model

    def infer():
        with torch.no_grad():
            run(x)

    def train():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32, cache_enabled=mode != "captured"):
            loss = torch.nn.functional.cross_entropy(run(x), labels)
        loss.backward()
        optimizer.step()

    work = train if training else infer
    return timed(graph_of(work).replay if mode == "captured" else work, request["seconds"])


for line in sys.stdin:
    request = json.loads(line)
    tf32 = request["precision"] == "tf32"
    torch.backends.cudnn.benchmark = request.get("benchmark", True)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        measure = convolution if "convolution" in request else matmul if "matmul" in request else network
        answer = {"seconds": measure(request)}
    except Exception as error:  # one measurement less, told to whoever asked
        answer = {"failure": str(error).split("\n")[0][:200] or type(error).__name__}
    torch.cuda.empty_cache()
    print(json.dumps(answer), file=answers, flush=True)
