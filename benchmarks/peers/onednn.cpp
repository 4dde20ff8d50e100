// Times oneDNN's convolutions for the benchmark suites; the lines it reads and writes are described in
// protocol.ts. Primitives are made once and weights, activations and gradients lie in the layout that the
// primitive chose, or in the one that was asked for: reorders are outside the timing.
#include <dnnl.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

using dnnl::memory;
using tag = memory::format_tag;
constexpr auto kFloat = memory::data_type::f32;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// test/golden/README.md: the same values in every language.
std::vector<float> hashed(uint32_t seed, size_t size) {
  std::vector<float> values(size);
  for (size_t i = 0; i < size; ++i) {
    uint32_t z = seed * 0x9E3779B1u + static_cast<uint32_t>(i);
    z = (z ^ (z >> 16)) * 0x21F0AAADu;
    z = (z ^ (z >> 15)) * 0x735A2D97u;
    z ^= z >> 15;
    values[i] = static_cast<float>(z / 2147483648.0 - 1);
  }
  return values;
}

// The flat requests of the protocol: {"command":"prepare","pass":"forward","n":1,…}; strings have no escapes.
class Request {
 public:
  explicit Request(const std::string& line) {
    for (size_t at = 0; (at = line.find('"', at)) != std::string::npos;) {
      const size_t end = line.find('"', at + 1);
      const std::string key = line.substr(at + 1, end - at - 1);
      size_t begin = line.find(':', end);
      if (begin == std::string::npos) throw std::runtime_error("not a request: " + line);
      begin = line.find_first_not_of(' ', begin + 1);
      const bool quoted = line[begin] == '"';
      const size_t stop = quoted ? line.find('"', begin + 1) : line.find_first_of(",}", begin);
      fields_[key] = line.substr(begin + quoted, stop - begin - quoted);
      at = stop + 1;
    }
  }
  const std::string& text(const std::string& key) const {
    const auto found = fields_.find(key);
    if (found == fields_.end()) throw std::runtime_error("missing: " + key);
    return found->second;
  }
  double number(const std::string& key) const { return std::stod(text(key)); }
  memory::dim dim(const std::string& key) const { return static_cast<memory::dim>(number(key)); }

 private:
  std::map<std::string, std::string> fields_;
};

struct Layer {
  memory::dims x, weight, y, strides, dilations, padding;
  bool grouped;
};

Layer layer_of(const Request& r) {
  const auto g = r.dim("groups"), c = r.dim("c"), k = r.dim("k"), kr = r.dim("r"), ks = r.dim("s");
  const auto stride = r.dim("stride"), padding = r.dim("padding"), dilation = r.dim("dilation");
  const auto extent = [&](memory::dim input, memory::dim kernel) {
    return (input + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
  };
  const memory::dims weight = g > 1 ? memory::dims{g, k / g, c / g, kr, ks} : memory::dims{k, c, kr, ks};
  return {{r.dim("n"), c, r.dim("h"), r.dim("w")},
          weight,
          {r.dim("n"), k, extent(r.dim("h"), kr), extent(r.dim("w"), ks)},
          {stride, stride},
          {dilation - 1, dilation - 1},
          {padding, padding},
          g > 1};
}

// One prepared pass of one layer.
class Convolution {
 public:
  Convolution(const dnnl::engine& engine, const Layer& layer, const std::string& pass,
              const std::string& layout)
      : engine_(engine), stream_(engine) {
    const tag activation = layout == "any" ? tag::any : layout == "nhwc" ? tag::nhwc : tag::nchw;
    const memory::desc x({layer.x, kFloat, activation}), y({layer.y, kFloat, activation});
    const memory::desc weight({layer.weight, kFloat, tag::any});
    constexpr auto kDirect = dnnl::algorithm::convolution_direct;
    const auto hint = dnnl::convolution_forward::primitive_desc(
        {dnnl::prop_kind::forward_training, kDirect, x, weight, y, layer.strides, layer.dilations,
         layer.padding, layer.padding},
        engine);
    if (pass == "forward") {
      place(DNNL_ARG_SRC, hint.src_desc(), layer.x, 0),
          place(DNNL_ARG_WEIGHTS, hint.weights_desc(), layer.weight, 1);
      result(DNNL_ARG_DST, hint.dst_desc(), layer.y);
      primitive_ = dnnl::convolution_forward(hint), implementation_ = hint.impl_info_str();
    } else if (pass == "gradInput") {
      const auto chosen = dnnl::convolution_backward_data::primitive_desc(
          {kDirect, x, weight, y, layer.strides, layer.dilations, layer.padding, layer.padding}, engine,
          hint);
      place(DNNL_ARG_DIFF_DST, chosen.diff_dst_desc(), layer.y, 2);
      place(DNNL_ARG_WEIGHTS, chosen.weights_desc(), layer.weight, 1);
      result(DNNL_ARG_DIFF_SRC, chosen.diff_src_desc(), layer.x);
      primitive_ = dnnl::convolution_backward_data(chosen), implementation_ = chosen.impl_info_str();
    } else {
      const auto chosen = dnnl::convolution_backward_weights::primitive_desc(
          {kDirect, x, weight, y, layer.strides, layer.dilations, layer.padding, layer.padding}, engine,
          hint);
      place(DNNL_ARG_SRC, chosen.src_desc(), layer.x, 0),
          place(DNNL_ARG_DIFF_DST, chosen.diff_dst_desc(), layer.y, 2);
      result(DNNL_ARG_DIFF_WEIGHTS, chosen.diff_weights_desc(), layer.weight);
      primitive_ = dnnl::convolution_backward_weights(chosen), implementation_ = chosen.impl_info_str();
    }
    run();
  }

  void run() { primitive_.execute(stream_, arguments_), stream_.wait(); }
  const std::string& implementation() const { return implementation_; }

  // Evenly spaced values of the result in the logical order.
  std::vector<float> probe(size_t count) {
    run();
    memory plain({result_dims_, kFloat, plain_tag(result_dims_)}, engine_);
    dnnl::reorder(arguments_.at(result_), plain).execute(stream_, arguments_.at(result_), plain);
    stream_.wait();
    const auto* values = static_cast<const float*>(plain.get_data_handle());
    const size_t size = plain.get_desc().get_size() / sizeof(float);
    std::vector<float> sample(std::min(count, size));
    for (size_t i = 0; i < sample.size(); ++i) sample[i] = values[i * size / sample.size()];
    return sample;
  }

 private:
  static tag plain_tag(const memory::dims& dims) { return dims.size() == 5 ? tag::goihw : tag::nchw; }

  void place(int argument, const memory::desc& chosen, const memory::dims& dims, uint32_t seed) {
    const size_t size = std::accumulate(dims.begin(), dims.end(), size_t{1}, std::multiplies<>());
    std::vector<float> values = hashed(seed, size);
    memory plain({dims, kFloat, plain_tag(dims)}, engine_, values.data());
    memory target(chosen, engine_);
    dnnl::reorder(plain, target).execute(stream_, plain, target);
    stream_.wait();
    arguments_.emplace(argument, target);
  }
  void result(int argument, const memory::desc& chosen, const memory::dims& dims) {
    result_ = argument, result_dims_ = dims;
    arguments_.emplace(argument, memory(chosen, engine_));
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::primitive primitive_;
  std::unordered_map<int, memory> arguments_;
  std::string implementation_;
  int result_ = 0;
  memory::dims result_dims_;
};

// As groupconv's own: work shorter than 0.2 ms is timed in groups.
std::vector<double> time_work(const std::function<void()>& work, double budget_seconds, int at_least) {
  work();
  double start = seconds_now();
  work();
  const double once = seconds_now() - start;
  const int group = once >= 2e-4 ? 1 : static_cast<int>(2e-4 / (once + 1e-9)) + 1;
  std::vector<double> samples;
  const double begin = seconds_now();
  while (seconds_now() - begin < budget_seconds || static_cast<int>(samples.size()) < at_least) {
    start = seconds_now();
    for (int i = 0; i < group; ++i) work();
    samples.push_back((seconds_now() - start) / group);
  }
  return samples;
}

template <class Numbers>
std::string list(const Numbers& numbers) {
  std::ostringstream text;
  text.precision(9);
  for (const auto& number : numbers) text << (&number == &numbers.front() ? "[" : ",") << number;
  text << "]";
  return text.str();
}

std::string version() {
  const dnnl_version_t* v = dnnl::version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

}  // namespace

int main() {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  std::unique_ptr<Convolution> prepared;
  for (std::string line; std::getline(std::cin, line);) {
    try {
      const Request request(line);
      const std::string& command = request.text("command");
      if (command == "describe") {
#ifdef _OPENMP
        omp_set_num_threads(static_cast<int>(request.number("threads")));
#endif
        std::cout << "{\"version\":\"" << version() << "\"}" << std::endl;
      } else if (command == "prepare") {
        prepared.reset();
        prepared = std::make_unique<Convolution>(engine, layer_of(request), request.text("pass"),
                                                 request.text("variant"));
        std::cout << "{\"probe\":" << list(prepared->probe(512)) << ",\"detail\":\""
                  << prepared->implementation() << "\"}" << std::endl;
      } else if (command == "run" && prepared) {
        const auto samples = time_work([&] { prepared->run(); }, request.number("seconds"),
                                       static_cast<int>(request.number("atLeast")));
        std::cout << "{\"samples\":" << list(samples) << "}" << std::endl;
      } else {
        throw std::runtime_error("unknown command " + command);
      }
    } catch (const std::exception& error) {
      std::cout << "{\"error\":\"" << error.what() << "\"}" << std::endl;
    }
  }
}
